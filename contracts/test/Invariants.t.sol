// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {Handler} from "./util/Handler.sol";
import {VaultTest} from "./util/VaultTest.sol";

/// The invariants after every step of any sequence of calls. The handler checks at each step that a covered voucher
/// with clear bits is payable in full, each serial is paid once, a payout never passes count * q, the bound never falls
/// before withdraw, a batch with garbage pays exactly the good items, and nothing moves without its key or its owner.
contract InvariantsTest is VaultTest {
    Handler private handler;

    function setUp() public override {
        super.setUp();
        handler = new Handler(token, registry, vault);
        for (uint256 i; i < 4; ++i) {
            handler.open(i);
        }
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory actions = new bytes4[](14);
        actions[0] = Handler.open.selector;
        actions[1] = Handler.topUp.selector;
        actions[2] = Handler.exit.selector;
        actions[3] = Handler.withdraw.selector;
        actions[4] = Handler.pass.selector;
        actions[5] = Handler.donate.selector;
        actions[6] = Handler.slash.selector;
        actions[7] = Handler.claimCredit.selector;
        actions[8] = Handler.intrude.selector;
        // Twice or thrice: this is the vault's purpose.
        actions[9] = Handler.redeem.selector;
        actions[10] = Handler.redeem.selector;
        actions[11] = Handler.redeem.selector;
        actions[12] = Handler.redeemFor.selector;
        actions[13] = Handler.redeemFor.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), actions);
    }

    /// One function, because each invariant is a campaign of its own.
    function invariant_SolventCountedAndAsModelled() public view {
        isSolventToTheUnit();
        consumedIsThePopcountOfSpent();
        theVaultIsWhatTheModelIs();
    }

    /// token balance >= sum(balance + bond) + sum(credit); and nothing is stuck: they are equal, but for gifts.
    function isSolventToTheUnit() private view {
        uint256 owed = handler.donated();
        for (uint256 i; i < handler.ACCOUNTS(); ++i) {
            IPieceworkVault.Account memory a = account(handler.idOf(i));
            owed += uint256(a.balance) + a.bond;
        }
        for (uint256 n; n < 4; ++n) {
            owed += vault.credit(handler.creditor(n));
        }
        vm.assertEq(token.balanceOf(address(vault)), owed);
    }

    function consumedIsThePopcountOfSpent() private view {
        for (uint256 i; i < handler.ACCOUNTS(); ++i) {
            uint256 bits;
            for (uint256 word; word < handler.WORDS(); ++word) {
                bits += popcount(spentWord(handler.idOf(i), word));
            }
            vm.assertEq(account(handler.idOf(i)).consumed, bits);
        }
    }

    function theVaultIsWhatTheModelIs() private view {
        for (uint256 i; i < handler.ACCOUNTS(); ++i) {
            IPieceworkVault.Account memory a = account(handler.idOf(i));
            Handler.Model memory m = handler.model(i);
            vm.assertEq(a.balance, m.balance, "balance");
            vm.assertEq(a.bond, m.bond, "bond");
            vm.assertEq(a.tranche, m.tranche, "tranche");
            vm.assertEq(a.consumed, m.consumed, "consumed");
            vm.assertEq(a.exitAt, m.exitAt, "exitAt");
            vm.assertTrue(a.known == m.known, "known");
        }
        for (uint256 n; n < 4; ++n) {
            vm.assertEq(vault.credit(handler.creditor(n)), handler.modelCredit(handler.creditor(n)), "credit");
        }
    }

    /// The handler does reach its aims: a long fixed run pays, skips, slashes and withdraws.
    function test_TheHandlerReachesEveryOutcome() public {
        for (uint256 i; i < 60; ++i) {
            handler.redeem(i);
            handler.redeemFor(i);
            handler.slash(i);
            handler.exit(i);
            handler.pass(i);
            handler.withdraw(i);
            handler.topUp(i);
            handler.claimCredit(i);
            if (i % 8 == 0) handler.open(i);
        }
        vm.assertGe(handler.paidClaims(), 30, "paid claims");
        vm.assertGe(handler.skippedClaims(), 60, "skipped claims");
        vm.assertGe(handler.slashes(), 1, "slashes");
        vm.assertGe(handler.withdrawals(), 1, "withdrawals");
        invariant_SolventCountedAndAsModelled();
    }
}
