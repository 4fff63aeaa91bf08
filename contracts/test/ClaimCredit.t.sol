// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {FalseToken, ReentrantToken} from "./util/Doubles.sol";
import {VaultTest} from "./util/VaultTest.sol";

contract ClaimCreditTest is VaultTest {
    address private constant CREATOR = address(0xc4ea);
    bytes32 private constant TITLE = keccak256("a title");

    function earn() private {
        registry.set(TITLE, CREATOR, 1000);
        IPieceworkVault.Voucher memory v = voucherTo(payee, 1, 1);
        v.content = TITLE;
        redeemAs(payee, one(claimAt(v, 100)), PURSE);
    }

    function test_PaysTheCallersCreditWhereItSays() public {
        openUsual();
        earn();
        vm.assertEq(vault.credit(CREATOR), 390);
        vm.prank(CREATOR);
        vm.assertEq(vault.claimCredit(STRANGER), 390);
        vm.assertEq(token.balanceOf(STRANGER), 390);
        vm.assertEq(vault.credit(CREATOR), 0);
    }

    function test_Once() public {
        openUsual();
        earn();
        vm.startPrank(CREATOR);
        vault.claimCredit(CREATOR);
        vm.expectRevert(IPieceworkVault.NothingDue.selector);
        vault.claimCredit(CREATOR);
        vm.stopPrank();
    }

    function test_NothingForSomebodyWithoutCredit() public {
        openUsual();
        earn();
        vm.prank(STRANGER);
        vm.expectRevert(IPieceworkVault.NothingDue.selector);
        vault.claimCredit(STRANGER);
    }

    function test_NeverToZeroOrToTheVault() public {
        openUsual();
        earn();
        vm.startPrank(CREATOR);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.BadRecipient.selector, address(0)));
        vault.claimCredit(address(0));
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.BadRecipient.selector, address(vault)));
        vault.claimCredit(address(vault));
        vm.stopPrank();
    }

    function test_OutlivesTheAccountItCameFrom() public {
        openUsual();
        earn();
        exitUsual();
        vm.prank(owner);
        vault.withdraw(session, owner);
        vm.prank(CREATOR);
        vm.assertEq(vault.claimCredit(CREATOR), 390);
        vm.assertEq(token.balanceOf(address(vault)), 0, "to the last unit");
    }

    /// Rule 7: a creator whom the token refuses delays only itself.
    function test_ARefusedPayoutKeepsTheCredit() public {
        FalseToken token_ = new FalseToken();
        vault = deployVault(address(token_), address(registry), SINK, EXIT_DELAY);
        token_.mint(owner, AMOUNT);
        vm.startPrank(owner);
        token_.approve(address(vault), AMOUNT);
        vault.open(session, Q, AMOUNT, 0, noPermit());
        vm.stopPrank();
        earn();
        token_.setRefuse(true);
        vm.prank(CREATOR);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token_)));
        vault.claimCredit(CREATOR);
        vm.assertEq(vault.credit(CREATOR), 390);
    }

    /// Rule 7: the token is its own creator here, and tries to claim twice at once.
    function test_IsLockedAgainstReentry() public {
        ReentrantToken evil = new ReentrantToken();
        vault = deployVault(address(evil), address(registry), SINK, EXIT_DELAY);
        evil.mint(owner, AMOUNT);
        vm.startPrank(owner);
        evil.approve(address(vault), AMOUNT);
        vault.open(session, Q, AMOUNT, 0, noPermit());
        vm.stopPrank();
        registry.set(TITLE, address(evil), 1000);
        IPieceworkVault.Voucher memory v = voucherTo(payee, 1, 1);
        v.content = TITLE;
        redeemAs(payee, one(claimAt(v, 100)), PURSE);
        bytes memory call = abi.encodeCall(IPieceworkVault.claimCredit, (address(evil)));
        evil.arm(address(vault), call);
        evil.act(address(vault), call);
        vm.assertTrue(evil.called());
        vm.assertFalse(evil.succeeded());
        vm.assertEq(evil.balanceOf(address(evil)), 390, "once");
    }
}
