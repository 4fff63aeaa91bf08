// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {VaultTest} from "./util/VaultTest.sol";

contract ExitTest is VaultTest {
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        id = openUsual();
    }

    function test_StartsTheDelay() public {
        uint48 at = uint48(nowSeconds() + EXIT_DELAY);
        vm.expectEmit(address(vault));
        emit IPieceworkVault.Exiting(id, at);
        vm.prank(owner);
        vault.exit(session);
        vm.assertEq(account(id).exitAt, at);
        vm.assertEq(account(id).balance, AMOUNT, "nothing moves yet");
    }

    function test_CannotBeCancelledOrRepeated() public {
        vm.startPrank(owner);
        vault.exit(session);
        uint48 at = account(id).exitAt;
        vm.warp(nowSeconds() + 1 hours);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.AlreadyExiting.selector, id, at));
        vault.exit(session);
        vm.stopPrank();
        vm.assertEq(account(id).exitAt, at, "the date stands");
    }

    function test_OnlyTheOwner() public {
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.NoSuchAccount.selector, accountId(STRANGER, session)));
        vault.exit(session);
        vm.prank(session);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.NoSuchAccount.selector, accountId(session, session)));
        vault.exit(session);
    }

    function test_NotOfAnUnknownKey() public {
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.NoSuchAccount.selector, accountId(owner, STRANGER)));
        vault.exit(STRANGER);
    }

    /// Rule 6.
    function test_VouchersStayRedeemableDuringTheDelayAndAfterIt() public {
        vm.prank(owner);
        vault.exit(session);
        vm.assertEq(redeemAs(payee, one(goodClaim(1, 1, 100)), PURSE), 3900, "during");
        vm.warp(nowSeconds() + 10 * EXIT_DELAY);
        vm.assertEq(redeemAs(payee, one(goodClaim(2, 1, 100)), PURSE), 3900, "until the withdrawal executes");
    }

    function test_DoesNotLowerTheBound() public {
        uint256 before = boundOf(id);
        exitUsual();
        vm.assertEq(boundOf(id), before);
    }
}
