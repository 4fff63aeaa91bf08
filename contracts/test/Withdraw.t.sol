// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {Skip} from "../libraries/Skip.sol";
import {FalseToken, ReentrantToken, SilentToken} from "./util/Doubles.sol";
import {VaultTest} from "./util/VaultTest.sol";

contract WithdrawTest is VaultTest {
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        id = openUsual();
    }

    function test_PaysBalanceAndBondAfterTheDelay() public {
        exitUsual();
        vm.expectEmit(address(vault));
        emit IPieceworkVault.Withdrawn(id, uint256(AMOUNT) + BOND);
        vm.prank(owner);
        vault.withdraw(session, PURSE);
        vm.assertEq(token.balanceOf(PURSE), uint256(AMOUNT) + BOND);
        vm.assertEq(token.balanceOf(address(vault)), 0);
    }

    function test_PaysWhatRedemptionsLeft() public {
        redeemAs(payee, one(goodClaim(1, 1, 100)), PURSE);
        exitUsual();
        vm.prank(owner);
        vault.withdraw(session, owner);
        vm.assertEq(token.balanceOf(owner), uint256(AMOUNT) + BOND - 3900);
    }

    function test_NotOneSecondTooEarly() public {
        vm.startPrank(owner);
        vault.exit(session);
        uint48 at = account(id).exitAt;
        vm.warp(at - 1);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.TooEarly.selector, at));
        vault.withdraw(session, owner);
        vm.warp(at);
        vault.withdraw(session, owner);
        vm.stopPrank();
        vm.assertEq(token.balanceOf(owner), uint256(AMOUNT) + BOND);
    }

    function test_NotWithoutExit() public {
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.NotExiting.selector, id));
        vault.withdraw(session, owner);
    }

    function test_OnlyTheOwner() public {
        exitUsual();
        vm.prank(session);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.NoSuchAccount.selector, accountId(session, session)));
        vault.withdraw(session, session);
    }

    function test_Once() public {
        openAccount(owner, vm.addr(OTHER_SESSION_KEY), Q, AMOUNT, BOND); // so that the vault is not empty
        exitUsual();
        vm.startPrank(owner);
        vault.withdraw(session, owner);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.NoSuchAccount.selector, id));
        vault.withdraw(session, owner);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.NoSuchAccount.selector, id));
        vault.exit(session);
        vm.stopPrank();
    }

    /// Rule 6: also a range in a gap below the consumed serials, with another account's money in the vault.
    function test_NoVoucherPaysAfterIt() public {
        openAccount(owner, vm.addr(OTHER_SESSION_KEY), Q, AMOUNT, BOND);
        redeemAs(payee, one(goodClaim(20, 10, 256)), PURSE);
        exitUsual();
        vm.prank(owner);
        vault.withdraw(session, owner);
        vm.assertEq(account(id).consumed, 11, "the count stays");
        vm.assertTrue(account(id).known, "the id stays taken");
        IPieceworkVault.Voucher memory v = voucherTo(payee, 2, 1);
        IPieceworkVault.Claim memory good = claimAt(voucherTo(payee, 1, 1), 100);
        (good.r, good.vs) = signVoucher(OTHER_SESSION_KEY, voucherTo(payee, 1, 1));
        vm.recordLogs();
        vm.assertEq(redeemAs(payee, two(claimAt(v, 100), good), PURSE), 3900, "the living account pays");
        (uint256 skips,, uint256 reason) = lastSkip();
        vm.assertEq(skips, 1);
        vm.assertEq(reason, Skip.NOT_COVERED, "the dead one does not");
    }

    /// Rule 2: a full batch of dead claims is no payout of nothing. Its sender learns so before it pays the gas.
    function test_ABatchOfDeadClaimsAloneReverts() public {
        exitUsual();
        vm.prank(owner);
        vault.withdraw(session, owner);
        IPieceworkVault.Claim[] memory dead = new IPieceworkVault.Claim[](128);
        for (uint32 i; i < dead.length; ++i) {
            dead[i] = goodClaim(1 + i, 1, 1);
        }
        vm.prank(payee);
        vm.expectRevert(IPieceworkVault.NothingDue.selector);
        vault.redeem(dead, PURSE);
    }

    function test_NeverToZeroOrToTheVault() public {
        exitUsual();
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.BadRecipient.selector, address(0)));
        vault.withdraw(session, address(0));
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.BadRecipient.selector, address(vault)));
        vault.withdraw(session, address(vault));
        vm.stopPrank();
    }

    /// Rule 7.
    function test_ATokenThatAnswersNothingIsPaidOut() public {
        SilentToken silent = new SilentToken();
        vault = deployVault(address(silent), address(0), SINK, EXIT_DELAY);
        silent.mint(owner, AMOUNT);
        vm.startPrank(owner);
        silent.approve(address(vault), AMOUNT);
        vault.open(session, Q, AMOUNT, 0, noPermit());
        vm.stopPrank();
        exitUsual();
        vm.prank(owner);
        vault.withdraw(session, PURSE);
        vm.assertEq(silent.balanceOf(PURSE), AMOUNT);
    }

    /// Rule 7: a payout that the token refuses with `false` changes nothing, and can be made later.
    function test_ATokenThatAnswersFalseRevertsThePayout() public {
        FalseToken token_ = new FalseToken();
        vault = deployVault(address(token_), address(0), SINK, EXIT_DELAY);
        token_.mint(owner, AMOUNT);
        vm.startPrank(owner);
        token_.approve(address(vault), AMOUNT);
        id = vault.open(session, Q, AMOUNT, 0, noPermit());
        vm.stopPrank();
        exitUsual();
        token_.setRefuse(true);
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token_)));
        vault.withdraw(session, PURSE);
        vm.assertEq(account(id).balance, AMOUNT, "nothing changed");
        token_.setRefuse(false);
        vm.prank(owner);
        vault.withdraw(session, PURSE);
        vm.assertEq(token_.balanceOf(PURSE), AMOUNT);
    }

    /// Rule 7: the token is itself an owner here, and tries to withdraw twice at once.
    function test_IsLockedAgainstReentry() public {
        ReentrantToken evil = new ReentrantToken();
        vault = deployVault(address(evil), address(0), SINK, EXIT_DELAY);
        evil.mint(owner, AMOUNT);
        evil.mint(address(evil), AMOUNT);
        vm.startPrank(owner);
        evil.approve(address(vault), AMOUNT);
        vault.open(session, Q, AMOUNT, 0, noPermit());
        vm.stopPrank();
        vm.startPrank(address(evil));
        evil.approve(address(vault), AMOUNT);
        vault.open(session, Q, AMOUNT, 0, noPermit());
        vault.exit(session);
        vm.warp(nowSeconds() + EXIT_DELAY);
        bytes memory call = abi.encodeCall(IPieceworkVault.withdraw, (session, address(evil)));
        evil.arm(address(vault), call);
        vault.withdraw(session, address(evil));
        vm.stopPrank();
        vm.assertTrue(evil.called());
        vm.assertFalse(evil.succeeded());
        vm.assertEq(evil.balanceOf(address(vault)), AMOUNT, "the other owner's deposit is there");
    }
}
