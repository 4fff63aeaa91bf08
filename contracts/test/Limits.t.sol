// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {VaultTest} from "./util/VaultTest.sol";

/// The limits of the vault alone, each with its price. docs/security.md names who guards against them instead. A test
/// that fails here means that a limit has moved: then that text is no longer true.
contract LimitsTest is VaultTest {
    uint256 private constant VICTIMS = 5;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        id = openUsual(); // 2 tokens, and a bond of 2.5
    }

    /// The vault sees no promise before it is redeemed: a buyer can promise one deposit whole to any number of sellers.
    /// Each loses the blocks that it delivered before it redeemed, so the seller itself must bound its unredeemed sum.
    function test_ADepositPromisedToManyCostsGasWhileNobodySlashes() public {
        uint256 served = promiseToAll();
        redeemAs(otherPayee, whole(otherPayee), owner);
        withdrawAll();
        vm.assertEq(served, VICTIMS * uint256(AMOUNT), "10 tokens' worth was promised");
        vm.assertEq(token.balanceOf(owner), uint256(AMOUNT) + BOND, "deposit and bond came back whole");
    }

    /// The bond is 1.25 deposits, and a payer that slashes itself first gets a tenth of it back. So burning it costs
    /// 1.125 deposits, however many payees were promised the same serials.
    function test_ABurnedBondPaysForOneVictim() public {
        uint256 served = promiseToAll();
        redeemAs(otherPayee, whole(otherPayee), owner);
        slashAs(owner, voucherTo(victim(0), 1, 200), voucherTo(victim(1), 1, 200));
        vm.prank(owner);
        vault.claimCredit(owner);
        withdrawAll();
        uint256 lost = uint256(AMOUNT) + BOND - token.balanceOf(owner);
        vm.assertEq(lost, uint256(AMOUNT) * 1125 / 1000, "2.25 tokens");
        vm.assertGe(served, 4 * lost, "for 10 tokens' worth");
    }

    /// Evidence is public once it is sent. The bounty goes to the reporter that is first; the bond burns all the same,
    /// so a double promise costs its payer as much, whoever reports it.
    function test_ABountyGoesToWhoeverSendsTheEvidenceFirst() public {
        IPieceworkVault.Voucher memory x = voucherTo(payee, 5, 3);
        IPieceworkVault.Voucher memory y = voucherTo(otherPayee, 7, 2);
        slashAs(STRANGER, x, y);
        vm.assertEq(vault.credit(STRANGER), BOND / 10);
        vm.assertEq(account(id).bond, 0, "burned all the same");
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.NoBond.selector, id));
        this.slashAs(payee, x, y);
    }

    /// Promises the whole deposit to each seller, which finds it covered. Answers the worth of the blocks that they
    /// delivered for it.
    function promiseToAll() private view returns (uint256 served) {
        for (uint256 n; n < VICTIMS; ++n) {
            IPieceworkVault.Claim memory c = whole(victim(n))[0];
            vm.assertTrue(uint256(c.first) + c.count <= boundOf(id), "covered when the seller looks");
            served += c.base >> 24;
        }
    }

    function victim(uint256 n) private pure returns (address) {
        return vm.addr(0x1000 + n);
    }

    /// A claim of all the deposit's serials.
    function whole(address payee_) private view returns (IPieceworkVault.Claim[] memory) {
        IPieceworkVault.Voucher memory v = voucherTo(payee_, 1, 200);
        v.base = uint96(AMOUNT) << 24;
        return one(claimAt(v, 0));
    }

    function withdrawAll() private {
        exitUsual();
        vm.prank(owner);
        vault.withdraw(session, owner);
    }

    function slashAs(address reporter, IPieceworkVault.Voucher memory x, IPieceworkVault.Voucher memory y) public {
        (bytes32 rx, bytes32 vx) = signVoucher(SESSION_KEY, x);
        (bytes32 ry, bytes32 vy) = signVoucher(SESSION_KEY, y);
        vm.prank(reporter);
        vault.slash(x, rx, vx, y, ry, vy);
    }
}
