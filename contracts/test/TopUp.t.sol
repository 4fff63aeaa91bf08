// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {FeeToken} from "./util/Doubles.sol";
import {VaultTest} from "./util/VaultTest.sol";

contract TopUpTest is VaultTest {
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        id = openUsual();
        token.mint(owner, 10 * uint256(AMOUNT));
        vm.prank(owner);
        token.approve(address(vault), type(uint256).max);
    }

    function test_AddsToBalanceAndBond() public {
        uint256 before = token.balanceOf(address(vault));
        vm.expectEmit(address(vault));
        emit IPieceworkVault.ToppedUp(id, 3 * Q, 7);
        vm.prank(owner);
        vault.topUp(session, 3 * Q, 7, noPermit());
        vm.assertEq(account(id).balance, AMOUNT + 3 * Q, "balance");
        vm.assertEq(account(id).bond, BOND + 7, "bond");
        vm.assertEq(token.balanceOf(address(vault)), before + 3 * Q + 7, "tokens");
    }

    function test_RaisesTheBoundAndConsumesNothing() public {
        uint256 before = boundOf(id);
        vm.prank(owner);
        vault.topUp(session, 3 * Q, 0, noPermit());
        vm.assertEq(boundOf(id), before + 3);
        vm.assertEq(account(id).consumed, 1);
    }

    function test_TakesAPermit() public {
        vm.prank(owner);
        token.approve(address(vault), 0);
        IPieceworkVault.Permit memory p = signPermit(OWNER_KEY, Q, 0, nowSeconds());
        vm.prank(owner);
        vault.topUp(session, Q, 0, p);
        vm.assertEq(account(id).balance, AMOUNT + Q);
    }

    /// A stranger with a lot of balance could push an account below a payee's bond ratio.
    function test_OnlyTheCallersOwnAccount() public {
        token.mint(STRANGER, AMOUNT);
        vm.startPrank(STRANGER);
        token.approve(address(vault), AMOUNT);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.NoSuchAccount.selector, accountId(STRANGER, session)));
        vault.topUp(session, AMOUNT, 0, noPermit());
        vm.stopPrank();
    }

    function test_NotWhileExiting() public {
        vm.startPrank(owner);
        vault.exit(session);
        vm.expectRevert(
            abi.encodeWithSelector(IPieceworkVault.AlreadyExiting.selector, id, uint48(nowSeconds() + EXIT_DELAY))
        );
        vault.topUp(session, Q, 0, noPermit());
        vm.stopPrank();
    }

    /// Rule 6.
    function test_NotAfterWithdraw() public {
        exitUsual();
        vm.startPrank(owner);
        vault.withdraw(session, owner);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.NoSuchAccount.selector, id));
        vault.topUp(session, Q, 0, noPermit());
        vm.stopPrank();
    }

    function test_RefusesNothing() public {
        vm.prank(owner);
        vm.expectRevert(IPieceworkVault.NothingDeposited.selector);
        vault.topUp(session, 0, 0, noPermit());
    }

    function test_RefusesMoreThanTheAccountCanCount() public {
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        vault.topUp(session, type(uint112).max, 0, noPermit());
    }

    /// Rule 7.
    function test_RefusesATokenThatKeepsAFee() public {
        FeeToken fee = new FeeToken();
        vault = deployVault(address(fee), address(0), SINK, EXIT_DELAY);
        fee.mint(owner, AMOUNT);
        vm.startPrank(owner);
        fee.approve(address(vault), AMOUNT);
        fee.setFee(0);
        vault.open(session, Q, Q, 0, noPermit());
        fee.setFee(1);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.WrongDeposit.selector, Q, Q - 1));
        vault.topUp(session, Q, 0, noPermit());
        vm.stopPrank();
    }
}
