// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {Skip} from "../libraries/Skip.sol";
import {VoucherLib} from "../libraries/VoucherLib.sol";
import {VaultTest} from "./util/VaultTest.sol";

contract RedeemLotteryTest is VaultTest {
    bytes32 private constant SALT = keccak256("the payee's secret");
    /// One ticket in sixteen wins a range of two tranches.
    uint96 private constant TICKET = (2 * Q / 16) << 24;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        id = openUsual();
    }

    function test_AWinningStepPaysTheWholeRange() public {
        (uint16 k,) = ticket(true);
        vm.assertEq(redeemAs(payee, one(lottery(1, k, SALT)), PURSE), 2 * uint256(Q));
        vm.assertEq(account(id).consumed, 3);
        vm.assertEq(spentWord(id, 0), 7);
    }

    function test_ALosingStepIsSkippedAndConsumesNothing() public {
        (uint16 loser,) = ticket(false);
        expectSkip(lottery(1, loser, SALT), Skip.LOTTERY_LOST, 9);
        vm.assertEq(spentWord(id, 0), 1 | (1 << 9));
        (uint16 winner,) = ticket(true);
        vm.assertEq(redeemAs(payee, one(lottery(1, winner, SALT)), PURSE), 2 * uint256(Q), "the winner still pays");
    }

    function test_StepZeroIsNoTicket() public {
        IPieceworkVault.Voucher memory v = lotteryVoucher(1);
        v.unit = type(uint96).max; // would win always
        IPieceworkVault.Claim memory c = claimOf(v, 0, v.root, SALT, SESSION_KEY);
        expectSkip(c, Skip.NOTHING_DUE, 9);
        c = claimOf(v, 1, chain(TIP, STEPS - 1), SALT, SESSION_KEY);
        vm.assertEq(redeemAs(payee, one(c), PURSE), 2 * uint256(Q));
    }

    function test_TheBasePaysNothing() public {
        (uint16 loser,) = ticket(false);
        IPieceworkVault.Voucher memory v = lotteryVoucher(1);
        v.base = 5000 << 24;
        expectSkip(claimOf(v, loser, chain(TIP, STEPS - loser), SALT, SESSION_KEY), Skip.LOTTERY_LOST, 9);
    }

    function test_AnotherSaltFindsNoAccount() public {
        (uint16 k,) = ticket(true);
        expectSkip(lottery(1, k, keccak256("a better one")), Skip.NO_ACCOUNT, 9);
    }

    /// Leaving out the salt does not turn a ticket into a plain voucher.
    function test_NoSaltFindsNoAccount() public {
        (uint16 k,) = ticket(true);
        expectSkip(lottery(1, k, 0), Skip.NO_ACCOUNT, 9);
    }

    function test_AWinIsPaidOnce() public {
        (uint16 k,) = ticket(true);
        redeemAs(payee, one(lottery(1, k, SALT)), PURSE);
        expectSkip(lottery(1, k, SALT), Skip.CONSUMED, 9);
    }

    /// The share of winners is unit / (count * q), within six standard deviations.
    function test_TicketsWinAsOftenAsTheySay() public pure {
        uint256 wins;
        for (uint256 i; i < 16_384; ++i) {
            if (VoucherLib.wins(keccak256(abi.encode("w", i)), SALT, TICKET, 2 * Q)) ++wins;
        }
        vm.assertGe(wins, 1024 - 186, "not less than one in sixteen");
        vm.assertLe(wins, 1024 + 186, "nor more");
    }

    /// Neither side decides alone: with one secret fixed, the other still turns winners into losers and back.
    function test_BothSecretsDecide() public pure {
        (uint256 bySalt, uint256 byChain) = (0, 0);
        for (uint256 i; i < 1024; ++i) {
            if (VoucherLib.wins(TIP, keccak256(abi.encode(i)), TICKET, 2 * Q)) ++bySalt;
            if (VoucherLib.wins(keccak256(abi.encode(i)), SALT, TICKET, 2 * Q)) ++byChain;
        }
        vm.assertTrue(bySalt > 20 && bySalt < 110);
        vm.assertTrue(byChain > 20 && byChain < 110);
    }

    function testFuzz_AUnitOfTheWholeRangeAlwaysWins(bytes32 w, bytes32 salt, uint96 tranche, uint16 count)
        public
        pure
    {
        uint256 cap = bound(tranche, 1, type(uint64).max) * bound(count, 1, 256);
        vm.assertTrue(VoucherLib.wins(w, salt, cap << 24, cap));
        vm.assertFalse(VoucherLib.wins(w, salt, 0, cap));
    }

    function lotteryVoucher(uint32 first) private view returns (IPieceworkVault.Voucher memory v) {
        v = voucherTo(payee, first, 2);
        v.unit = TICKET;
        v.luck = keccak256(abi.encode(SALT));
    }

    function lottery(uint32 first, uint16 k, bytes32 salt) private view returns (IPieceworkVault.Claim memory) {
        return claimOf(lotteryVoucher(first), k, chain(TIP, STEPS - k), salt, SESSION_KEY);
    }

    /// The first step of the usual chain that wins, or loses; the odds are written out again here.
    function ticket(bool winner) private pure returns (uint16 k, bytes32 w) {
        for (k = 1; k <= STEPS; ++k) {
            w = chain(TIP, STEPS - k);
            uint256 draw = uint256(keccak256(abi.encode(w, SALT))) % (uint256(2 * Q) << 24);
            if ((draw < TICKET) == winner) return (k, w);
        }
        revert("no such step");
    }
}
