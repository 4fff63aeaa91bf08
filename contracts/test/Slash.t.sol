// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {VaultTest} from "./util/VaultTest.sol";

/// Rule 5 is this file.
contract SlashTest is VaultTest {
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        id = openUsual();
    }

    function test_BurnsTheBondATenthToTheReporterTheRestToTheSink() public {
        vm.expectEmit(address(vault));
        emit IPieceworkVault.Slashed(id, STRANGER, uint256(BOND) - BOND / 10, BOND / 10);
        slashAs(STRANGER, voucherTo(payee, 5, 3), voucherTo(otherPayee, 7, 2));
        vm.assertEq(account(id).bond, 0, "bond");
        vm.assertEq(vault.credit(STRANGER), BOND / 10, "bounty");
        vm.assertEq(vault.credit(SINK), BOND - BOND / 10, "burned");
    }

    function test_APayerThatSlashesItselfKeepsATenthOnly() public {
        slashAs(owner, voucherTo(payee, 5, 3), voucherTo(otherPayee, 7, 2));
        vm.startPrank(owner);
        vault.claimCredit(owner);
        vm.stopPrank();
        exitUsual();
        vm.prank(owner);
        vault.withdraw(session, owner);
        vm.assertEq(token.balanceOf(owner), AMOUNT + BOND / 10);
    }

    function test_LeavesTheBalanceToHonestPayees() public {
        slashAs(STRANGER, voucherTo(payee, 5, 3), voucherTo(otherPayee, 7, 2));
        vm.assertEq(account(id).balance, AMOUNT);
        vm.assertEq(redeemAs(payee, one(goodClaim(1, 1, 100)), PURSE), 3900);
    }

    function test_WorksOnRedeemedSerialsAndDuringExit() public {
        redeemAs(payee, one(goodClaim(5, 3, 100)), PURSE);
        exitUsual();
        slashAs(STRANGER, voucherTo(payee, 5, 3), voucherTo(otherPayee, 7, 2));
        vm.assertEq(account(id).bond, 0);
    }

    function test_VouchersToOneselfCountToo() public {
        slashAs(STRANGER, voucherTo(payee, 5, 3), voucherTo(owner, 7, 2));
        vm.assertEq(account(id).bond, 0);
    }

    function test_Once() public {
        slashAs(STRANGER, voucherTo(payee, 5, 3), voucherTo(otherPayee, 7, 2));
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.NoBond.selector, id));
        this.slashAs(STRANGER, voucherTo(payee, 5, 3), voucherTo(otherPayee, 7, 2));
    }

    function test_ANewBondCanBeSlashedAgain() public {
        slashAs(STRANGER, voucherTo(payee, 5, 3), voucherTo(otherPayee, 7, 2));
        token.mint(owner, 100);
        vm.startPrank(owner);
        token.approve(address(vault), 100);
        vault.topUp(session, 0, 100, noPermit());
        vm.stopPrank();
        slashAs(STRANGER, voucherTo(payee, 5, 3), voucherTo(otherPayee, 7, 2));
        vm.assertEq(vault.credit(STRANGER), BOND / 10 + 10);
    }

    function test_NotAfterWithdraw() public {
        exitUsual();
        vm.prank(owner);
        vault.withdraw(session, owner);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.NoBond.selector, id));
        this.slashAs(STRANGER, voucherTo(payee, 5, 3), voucherTo(otherPayee, 7, 2));
    }

    function test_NotForAnUnknownAccount() public {
        IPieceworkVault.Voucher memory x = voucherTo(payee, 5, 3);
        IPieceworkVault.Voucher memory y = voucherTo(otherPayee, 7, 2);
        (x.owner, y.owner) = (STRANGER, STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.NoBond.selector, accountId(STRANGER, session)));
        this.slashAs(STRANGER, x, y);
    }

    function test_AFoldIsNoConflict() public {
        IPieceworkVault.Voucher memory folded = voucherTo(payee, 5, 3);
        folded.base = UNIT * 192;
        expectNoConflict(voucherTo(payee, 5, 3), folded);
    }

    function test_OneVoucherTwiceIsNoConflict() public {
        expectNoConflict(voucherTo(payee, 5, 3), voucherTo(payee, 5, 3));
    }

    function test_NeighbouringRangesAreNoConflict() public {
        expectNoConflictEitherWay(voucherTo(payee, 5, 3), voucherTo(otherPayee, 8, 2));
    }

    function test_TwoOwnersAreNoConflict() public {
        openAccount(STRANGER, session, Q, AMOUNT, BOND);
        IPieceworkVault.Voucher memory y = voucherTo(otherPayee, 7, 2);
        y.owner = STRANGER;
        expectNoConflict(voucherTo(payee, 5, 3), y);
    }

    /// A range that is empty or leaves its word can never be redeemed, so it promises nothing.
    function test_ImpossibleRangesAreNoConflict() public {
        expectNoConflictEitherWay(voucherTo(payee, 5, 0), voucherTo(otherPayee, 3, 5));
        expectNoConflictEitherWay(voucherTo(payee, 250, 10), voucherTo(otherPayee, 251, 2));
        expectNoConflictEitherWay(voucherTo(payee, 0, 257), voucherTo(otherPayee, 251, 2));
    }

    function test_TwoKeysAreNoConflict() public {
        IPieceworkVault.Voucher memory x = voucherTo(payee, 5, 3);
        IPieceworkVault.Voucher memory y = voucherTo(otherPayee, 7, 2);
        (bytes32 rx, bytes32 vx) = signVoucher(SESSION_KEY, x);
        (bytes32 ry, bytes32 vy) = signVoucher(OTHER_SESSION_KEY, y);
        vm.expectRevert(IPieceworkVault.NotConflicting.selector);
        vault.slash(x, rx, vx, y, ry, vy);
    }

    function test_SignaturesThatRecoverNobodyAreNoConflict() public {
        IPieceworkVault.Voucher memory x = voucherTo(payee, 5, 3);
        IPieceworkVault.Voucher memory y = voucherTo(otherPayee, 7, 2);
        vm.expectRevert(IPieceworkVault.NotConflicting.selector);
        vault.slash(x, 0, 0, y, 0, 0);
        (bytes32 rx, bytes32 vx) = signVoucher(SESSION_KEY, x);
        vm.expectRevert(IPieceworkVault.NotConflicting.selector);
        vault.slash(x, rx, vx, y, 0, 0);
    }

    function test_VouchersOfAnotherVaultAreNoConflict() public {
        IPieceworkVault.Voucher memory x = voucherTo(payee, 5, 3);
        IPieceworkVault.Voucher memory y = voucherTo(otherPayee, 7, 2);
        IPieceworkVault here = vault;
        vault = deployVault(address(token), address(0), SINK, EXIT_DELAY);
        (bytes32 rx, bytes32 vx) = signVoucher(SESSION_KEY, x);
        (bytes32 ry, bytes32 vy) = signVoucher(SESSION_KEY, y);
        vm.expectRevert(IPieceworkVault.NotConflicting.selector);
        here.slash(x, rx, vx, y, ry, vy);
    }

    /// Signed by accident or not: two vouchers conflict exactly if a serial is in both ranges.
    function testFuzz_ConflictIsASharedSerial(uint32 a, uint16 aCount, uint32 b, uint16 bCount) public {
        a = uint32(bound(a, 0, 1023));
        b = uint32(bound(b, 0, 1023));
        aCount = uint16(bound(aCount, 1, 256 - (a & 255)));
        bCount = uint16(bound(bCount, 1, 256 - (b & 255)));
        bool shared;
        for (uint256 s = a; s < uint256(a) + aCount; ++s) {
            if (s >= b && s < uint256(b) + bCount) shared = true;
        }
        if (shared) {
            slashAs(STRANGER, voucherTo(payee, a, aCount), voucherTo(otherPayee, b, bCount));
            vm.assertEq(account(id).bond, 0);
        } else {
            expectNoConflict(voucherTo(payee, a, aCount), voucherTo(otherPayee, b, bCount));
        }
    }

    function testFuzz_NoUnitOfABondIsLost(uint112 bond) public {
        bond = uint112(bound(bond, 1, type(uint112).max));
        address key = vm.addr(OTHER_SESSION_KEY);
        openAccount(owner, key, Q, 0, bond);
        IPieceworkVault.Voucher memory x = voucherTo(payee, 5, 3);
        IPieceworkVault.Voucher memory y = voucherTo(otherPayee, 7, 2);
        (bytes32 rx, bytes32 vx) = signVoucher(OTHER_SESSION_KEY, x);
        (bytes32 ry, bytes32 vy) = signVoucher(OTHER_SESSION_KEY, y);
        vm.prank(STRANGER);
        vault.slash(x, rx, vx, y, ry, vy);
        vm.assertEq(vault.credit(STRANGER), bond / 10);
        vm.assertEq(vault.credit(STRANGER) + vault.credit(SINK), bond);
    }

    function expectNoConflictEitherWay(IPieceworkVault.Voucher memory x, IPieceworkVault.Voucher memory y) private {
        expectNoConflict(x, y);
        expectNoConflict(y, x);
    }

    function expectNoConflict(IPieceworkVault.Voucher memory x, IPieceworkVault.Voucher memory y) private {
        vm.expectRevert(IPieceworkVault.NotConflicting.selector);
        this.slashAs(STRANGER, x, y);
        vm.assertEq(account(id).bond, BOND, "the bond stays");
    }

    function slashAs(address reporter, IPieceworkVault.Voucher memory x, IPieceworkVault.Voucher memory y) public {
        (bytes32 rx, bytes32 vx) = signVoucher(SESSION_KEY, x);
        (bytes32 ry, bytes32 vy) = signVoucher(SESSION_KEY, y);
        vm.prank(reporter);
        vault.slash(x, rx, vx, y, ry, vy);
    }
}
