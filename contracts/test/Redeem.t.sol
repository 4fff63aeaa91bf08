// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {Skip} from "../libraries/Skip.sol";
import {FalseToken, ReentrantToken} from "./util/Doubles.sol";
import {VaultTest} from "./util/VaultTest.sol";

contract RedeemTest is VaultTest {
    bytes32 private id;

    function setUp() public virtual override {
        super.setUp();
        id = openUsual();
    }

    // ------------------------------------------------------------------------------------------- payouts

    function test_PaysTheStepsTakenAndSpendsTheWholeRange() public {
        vm.assertEq(redeemAs(payee, one(goodClaim(1, 2, 100)), PURSE), 3900, "net");
        vm.assertEq(token.balanceOf(PURSE), 3900, "paid where the payee said");
        vm.assertEq(account(id).balance, AMOUNT - 3900, "balance");
        vm.assertEq(account(id).consumed, 3, "consumed");
        vm.assertEq(spentWord(id, 0), 7, "bits");
    }

    function test_SaysTheWholeSignedVoucherInItsEvent() public {
        IPieceworkVault.Voucher memory v = voucherTo(payee, 1, 2);
        v.content = keccak256("title");
        v.base = 12345;
        IPieceworkVault.Claim memory c = claimAt(v, 100);
        uint256 packed =
            (uint256(1) << 224) | (uint256(2) << 208) | (uint256(256) << 192) | (uint256(12345) << 96) | UNIT;
        vm.expectEmit(address(vault));
        emit IPieceworkVault.Redeemed(id, payee, owner, packed, v.content, v.root, 0, c.r, c.vs, 3900, 0);
        redeemAs(payee, one(c), PURSE);
    }

    function test_StepZeroPaysTheBase() public {
        IPieceworkVault.Voucher memory v = voucherTo(payee, 1, 2);
        v.base = 77 << 24;
        vm.assertEq(redeemAs(payee, one(claimAt(v, 0)), PURSE), 77);
    }

    function test_StepZeroOfANewRangeIsSkippedAsNothingDue() public {
        expectSkip(goodClaim(1, 1, 0), Skip.NOTHING_DUE, 2);
        vm.assertEq(spentWord(id, 0), 1 | (1 << 2), "and spends no serial");
    }

    function test_FloorsOncePerRange() public {
        IPieceworkVault.Voucher memory v = voucherTo(payee, 1, 1);
        (v.base, v.unit) = ((1 << 24) - 1, 1);
        vm.assertEq(redeemAs(payee, one(claimAt(v, 1)), PURSE), 1, "rests add up");
        v = voucherTo(payee, 2, 1);
        (v.base, v.unit) = ((2 << 24) - 2, 1);
        vm.assertEq(redeemAs(payee, one(claimAt(v, 1)), PURSE), 1, "and what is left of them is dropped");
    }

    function test_CapsAtTheRangesTranches() public {
        IPieceworkVault.Voucher memory v = voucherTo(payee, 3, 4);
        v.unit = 1000 << 24;
        vm.assertEq(redeemAs(payee, one(claimAt(v, 256)), PURSE), 4 * uint256(Q));
    }

    function test_CapsAlsoAtTheLargestValues() public {
        IPieceworkVault.Voucher memory v = voucherTo(payee, 3, 4);
        (v.base, v.unit) = (type(uint96).max, type(uint96).max);
        vm.assertEq(redeemAs(payee, one(claimAt(v, 256)), PURSE), 4 * uint256(Q));
    }

    function test_AWholeWordOfSerialsCanBeOneRange() public {
        openAccount(STRANGER, session, Q, 600 * uint112(Q), 0);
        IPieceworkVault.Voucher memory v = voucherTo(payee, 256, 256);
        v.owner = STRANGER;
        redeemAs(payee, one(claimAt(v, 256)), PURSE);
        vm.assertEq(spentWord(accountId(STRANGER, session), 1), type(uint256).max);
        vm.assertEq(account(accountId(STRANGER, session)).consumed, 257);
    }

    function test_AFoldedVoucherPaysWhatTheChainsPaidTogether() public {
        IPieceworkVault.Voucher memory v = voucherTo(payee, 1, 1);
        v.base = 200 * UNIT;
        vm.assertEq(redeemAs(payee, one(claimAt(v, 20)), PURSE), 220 * 39);
    }

    function test_TheLastSerialOfAllCanBePaid() public {
        uint112 amount = uint112(type(uint32).max) + 1;
        bytes32 rich = openAccount(STRANGER, session, 1, amount, 0);
        IPieceworkVault.Voucher memory v = voucherTo(payee, type(uint32).max, 1);
        v.owner = STRANGER;
        vm.assertEq(redeemAs(payee, one(claimAt(v, 1)), PURSE), 1);
        vm.assertEq(spentWord(rich, type(uint32).max >> 8), 1 << 255);
    }

    // ------------------------------------------------------------------------------- rule 1: only the payee

    function test_Rule1_ThePayerCannotSpendItsPayeesRange() public {
        IPieceworkVault.Claim memory c = goodClaim(1, 1, 100);
        IPieceworkVault.Claim memory atZero = goodClaim(1, 1, 0);
        vm.prank(owner);
        vm.expectRevert(IPieceworkVault.NothingDue.selector);
        vault.redeem(two(c, atZero), owner);
        vm.prank(session);
        vm.expectRevert(IPieceworkVault.NothingDue.selector);
        vault.redeem(two(c, atZero), session);
        vm.assertEq(redeemAs(payee, one(c), PURSE), 3900, "it is still the payee's");
    }

    function test_Rule1_NorCanAStrangerOrAnotherPayee() public {
        IPieceworkVault.Claim memory c = goodClaim(1, 1, 100);
        vm.prank(otherPayee);
        vm.expectRevert(IPieceworkVault.NothingDue.selector);
        vault.redeem(one(c), otherPayee);
        vm.assertEq(account(id).consumed, 1);
    }

    // --------------------------------------------------------------- rule 2: a batch skips, and never reverts

    function test_Rule2_SkipsARangeOfNone() public {
        expectSkip(goodClaim(1, 0, 100), Skip.RANGE, 1);
    }

    function test_Rule2_SkipsARangeOverAWordsEnd() public {
        expectSkip(goodClaim(255, 2, 100), Skip.RANGE, 1);
    }

    function test_Rule2_SkipsARangeOfMoreThanAWord() public {
        expectSkip(goodClaim(256, 257, 100), Skip.RANGE, 1);
        expectSkip(goodClaim(256, type(uint16).max, 100), Skip.RANGE, 2);
    }

    function test_Rule2_SkipsAStepPastTheChain() public {
        IPieceworkVault.Claim memory c = goodClaim(1, 1, 100);
        c.k = 257;
        expectSkip(c, Skip.STEP, 1);
        c.steps = 99;
        c.k = 100;
        expectSkip(c, Skip.STEP, 2);
    }

    function test_Rule2_SkipsAChainThatIsTooLong() public {
        IPieceworkVault.Voucher memory v = voucherTo(payee, 1, 1);
        v.steps = 257;
        v.root = chain(TIP, 257);
        expectSkip(claimAt(v, 5), Skip.STEP, 1);
    }

    function test_Rule2_SkipsASignatureThatRecoversNobody() public {
        IPieceworkVault.Claim memory c = goodClaim(1, 1, 100);
        c.r = 0;
        expectSkip(c, Skip.SIGNATURE, 1);
    }

    function test_Rule2_SkipsAHighS() public {
        IPieceworkVault.Claim memory c = goodClaim(1, 1, 100);
        uint256 s = uint256(c.vs) & (type(uint256).max >> 1);
        vm.assertLe(s, HALF_N, "it was low");
        // n - s with the other parity is the same signature in mathematics, and another one in bytes.
        uint256 n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        uint256 parity = uint256(c.vs) >> 255;
        c.vs = bytes32((n - s) & (type(uint256).max >> 1) | ((parity ^ 1) << 255));
        expectSkip(c, (n - s) >> 255 == 0 ? Skip.SIGNATURE : Skip.NO_ACCOUNT, 1);
        // Just over the half, which fits in 255 bits and needs no luck.
        c.vs = bytes32(HALF_N + 1);
        expectSkip(c, Skip.SIGNATURE, 2);
    }

    function test_Rule2_SkipsWhatNoSuchAccountSigned() public {
        IPieceworkVault.Voucher memory v = voucherTo(payee, 1, 1);
        expectSkip(claimOf(v, 100, chain(TIP, 156), 0, OTHER_SESSION_KEY), Skip.NO_ACCOUNT, 1);
    }

    function test_Rule2_SkipsWhatIsNotCovered() public {
        uint32 last = uint32(AMOUNT / Q);
        expectSkip(goodClaim(last + 1, 1, 100), Skip.NOT_COVERED, 1);
        expectSkip(goodClaim(last - 1, 3, 100), Skip.NOT_COVERED, 2);
        vm.assertEq(redeemAs(payee, one(goodClaim(last, 1, 100)), PURSE), 3900, "the last one is");
    }

    function test_Rule2_SkipsWhatIsConsumed() public {
        redeemAs(payee, one(goodClaim(5, 3, 100)), PURSE);
        expectSkip(goodClaim(5, 3, 200), Skip.CONSUMED, 1);
        expectSkip(goodClaim(4, 2, 200), Skip.CONSUMED, 2);
        expectSkip(goodClaim(7, 1, 200), Skip.CONSUMED, 3);
        vm.assertEq(redeemAs(payee, one(goodClaim(8, 1, 100)), PURSE), 3900, "the neighbour is free");
    }

    /// Rule 8.
    function test_Rule8_SerialZeroCannotBePaid() public {
        expectSkip(goodClaim(0, 1, 100), Skip.CONSUMED, 1);
    }

    function test_Rule2_TheSameClaimTwiceInABatchPaysOnce() public {
        IPieceworkVault.Claim memory c = goodClaim(1, 1, 100);
        vm.recordLogs();
        vm.assertEq(redeemAs(payee, two(c, c), PURSE), 3900);
        (uint256 skips, uint256 index, uint256 reason) = lastSkip();
        vm.assertEq(skips, 1);
        vm.assertEq(index, 1);
        vm.assertEq(reason, Skip.CONSUMED);
    }

    function test_Rule2_ABatchIsAtMost128() public {
        IPieceworkVault.Claim[] memory cs = new IPieceworkVault.Claim[](129);
        cs[0] = goodClaim(1, 1, 100);
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.TooManyClaims.selector, 129));
        vault.redeem(cs, PURSE);
        IPieceworkVault.Claim[] memory full = new IPieceworkVault.Claim[](128);
        for (uint32 i; i < 128; ++i) {
            full[i] = goodClaim(i + 1, 1, 1);
        }
        vm.assertEq(redeemAs(payee, full, PURSE), 128 * 39, "128 pay");
    }

    function test_ACallInWhichNothingPaysReverts() public {
        vm.prank(payee);
        vm.expectRevert(IPieceworkVault.NothingDue.selector);
        vault.redeem(new IPieceworkVault.Claim[](0), PURSE);
        vm.prank(payee);
        vm.expectRevert(IPieceworkVault.NothingDue.selector);
        vault.redeem(one(goodClaim(1, 1, 0)), PURSE);
    }

    /// Rule 2: exactly the good items of a batch are paid, with any content in the bad ones.
    function testFuzz_Rule2_ABatchWithGarbagePaysExactlyTheGoodItems(uint256 seed) public {
        uint256 n = bound(seed, 1, 12);
        IPieceworkVault.Claim[] memory cs = new IPieceworkVault.Claim[](n + 1);
        uint256 expected;
        for (uint256 i; i < n; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint16 k = uint16(bound(seed >> 8, 1, 256));
            cs[i] = goodClaim(uint32(1 + i), 1, k);
            if (seed % 3 == 0) expected += uint256(k) * 39;
            else corrupt(cs[i], seed);
        }
        cs[n] = goodClaim(uint32(n + 1), 1, 1);
        vm.assertEq(redeemAs(payee, cs, PURSE), expected + 39);
        vm.assertEq(token.balanceOf(PURSE), expected + 39);
        vm.assertEq(account(id).consumed, popcount(spentWord(id, 0)));
    }

    /// Rule 2, without a base to compare with: any bits in every field.
    function testFuzz_Rule2_AnyClaimAtAllIsSkippedNotReverted(IPieceworkVault.Claim memory c) public {
        vm.recordLogs();
        vm.assertEq(redeemAs(payee, two(c, goodClaim(1, 1, 100)), PURSE), 3900);
        (uint256 skips, uint256 index,) = lastSkip();
        vm.assertEq(skips, 1);
        vm.assertEq(index, 0);
    }

    // ---------------------------------------------------------------- rule 3: a wrong value finds no account

    function test_Rule3_AWrongOwner() public {
        IPieceworkVault.Claim memory c = goodClaim(1, 1, 100);
        c.owner = STRANGER;
        expectSkip(c, Skip.NO_ACCOUNT, 1);
    }

    function test_Rule3_AWrongPreimage() public {
        IPieceworkVault.Claim memory c = goodClaim(1, 1, 100);
        c.w = keccak256("guessed");
        expectSkip(c, Skip.NO_ACCOUNT, 1);
    }

    function test_Rule3_ARealPreimageAtAHigherStep() public {
        IPieceworkVault.Claim memory c = goodClaim(1, 1, 100);
        c.k = 101;
        expectSkip(c, Skip.NO_ACCOUNT, 1);
    }

    function test_Rule3_AHigherUnitBaseOrCountOrLongerChain() public {
        IPieceworkVault.Claim memory c = goodClaim(1, 1, 100);
        c.unit += 1;
        expectSkip(c, Skip.NO_ACCOUNT, 1);
        c = goodClaim(1, 1, 100);
        c.base += 1;
        expectSkip(c, Skip.NO_ACCOUNT, 2);
        c = goodClaim(1, 1, 100);
        c.count += 1;
        expectSkip(c, Skip.NO_ACCOUNT, 3);
        c = goodClaim(1, 1, 100);
        c.steps -= 1;
        expectSkip(c, Skip.NO_ACCOUNT, 4);
        c = goodClaim(1, 1, 100);
        c.first += 1;
        expectSkip(c, Skip.NO_ACCOUNT, 5);
        c = goodClaim(1, 1, 100);
        c.content = keccak256("another title");
        expectSkip(c, Skip.NO_ACCOUNT, 6);
        c = goodClaim(1, 1, 100);
        c.salt = keccak256("luck");
        expectSkip(c, Skip.NO_ACCOUNT, 7);
    }

    function test_Rule3_AnotherChainsVoucher() public {
        IPieceworkVault.Claim memory c = goodClaim(1, 1, 100);
        vm.chainId(8453);
        expectSkip(c, Skip.NO_ACCOUNT, 1);
    }

    function test_Rule3_AnotherVaultsVoucher() public {
        IPieceworkVault.Claim memory c = goodClaim(1, 1, 100);
        vault = deployVault(address(token), address(0), SINK, EXIT_DELAY);
        openUsual();
        expectSkip(c, Skip.NO_ACCOUNT, 1);
    }

    function test_Rule3_ASignatureThatRecoversZeroMatchesNoAccount() public {
        IPieceworkVault.Claim memory c = goodClaim(1, 1, 100);
        (c.r, c.vs) = (bytes32(type(uint256).max), bytes32(uint256(1)));
        expectSkip(c, Skip.SIGNATURE, 1);
    }

    /// The unrolled walk against a plain loop.
    function testFuzz_Rule8_EveryStepOfTheChainWalksToTheRoot(uint16 k) public {
        k = uint16(bound(k, 1, 256));
        vm.assertEq(redeemAs(payee, one(goodClaim(1, 1, k)), PURSE), uint256(k) * 39);
    }

    // ------------------------------------------------------------------------------------------ rule 4: one item

    function test_Rule4_TheBoundNeverFalls() public {
        uint256 before = boundOf(id);
        redeemAs(payee, one(goodClaim(1, 1, 256)), PURSE);
        vm.assertGe(boundOf(id), before, "an almost full range");
        redeemAs(payee, one(goodClaim(2, 100, 1)), PURSE);
        vm.assertGe(boundOf(id), before + 99, "an almost empty one frees serials behind the bound");
    }

    /// Every range of an account is covered by its own serials, in whatever order they are redeemed.
    function testFuzz_Rule4_EveryCoveredRangeIsPaidInFullInAnyOrder(uint256 seed) public {
        uint256 serials = AMOUNT / Q;
        uint32[] memory order = new uint32[](serials / 8);
        for (uint32 i; i < order.length; ++i) {
            uint256 j = uint256(keccak256(abi.encode(seed, i))) % (i + 1);
            order[i] = order[j];
            order[j] = 1 + i * 8;
        }
        uint256 total;
        for (uint256 i; i < order.length; ++i) {
            uint16 k = uint16(1 + uint256(keccak256(abi.encode(seed, "k", i))) % 256);
            IPieceworkVault.Voucher memory v = voucherTo(payee, order[i], 8);
            v.unit = 8 * UNIT;
            total += redeemAs(payee, one(claimAt(v, k)), PURSE);
            vm.assertEq(token.balanceOf(PURSE), total);
            vm.assertEq(account(id).balance, AMOUNT - total);
        }
        vm.assertEq(account(id).consumed, 201);
    }

    // ---------------------------------------------------------------------------------------- rule 7: the token

    function test_Rule7_ARefusedPayoutSpendsNothing() public {
        FalseToken token_ = new FalseToken();
        vault = deployVault(address(token_), address(0), SINK, EXIT_DELAY);
        token_.mint(owner, AMOUNT);
        vm.startPrank(owner);
        token_.approve(address(vault), AMOUNT);
        vault.open(session, Q, AMOUNT, 0, noPermit());
        vm.stopPrank();
        IPieceworkVault.Claim memory c = goodClaim(1, 1, 100);
        token_.setRefuse(true);
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token_)));
        vault.redeem(one(c), PURSE);
        token_.setRefuse(false);
        vm.assertEq(redeemAs(payee, one(c), PURSE), 3900);
    }

    function test_Rule7_NeverToZeroOrToTheVault() public {
        IPieceworkVault.Claim[] memory cs = one(goodClaim(1, 1, 100));
        vm.startPrank(payee);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.BadRecipient.selector, address(0)));
        vault.redeem(cs, address(0));
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.BadRecipient.selector, address(vault)));
        vault.redeem(cs, address(vault));
        vm.stopPrank();
    }

    /// The token is the payee here, and tries to redeem another claim while it is being paid.
    function test_Rule7_IsLockedAgainstReentry() public {
        ReentrantToken evil = new ReentrantToken();
        vault = deployVault(address(evil), address(0), SINK, EXIT_DELAY);
        evil.mint(owner, AMOUNT);
        vm.startPrank(owner);
        evil.approve(address(vault), AMOUNT);
        vault.open(session, Q, AMOUNT, 0, noPermit());
        vm.stopPrank();
        IPieceworkVault.Claim memory a = claimAt(voucherTo(address(evil), 1, 1), 100);
        IPieceworkVault.Claim memory b = claimAt(voucherTo(address(evil), 2, 1), 100);
        evil.arm(address(vault), abi.encodeCall(IPieceworkVault.redeem, (one(b), PURSE)));
        evil.act(address(vault), abi.encodeCall(IPieceworkVault.redeem, (one(a), PURSE)));
        vm.assertTrue(evil.called());
        vm.assertFalse(evil.succeeded());
        vm.assertEq(evil.balanceOf(PURSE), 3900);
    }

    /// Breaks one thing in a claim, never into something that pays.
    function corrupt(IPieceworkVault.Claim memory c, uint256 seed) private pure {
        uint256 how = (seed >> 64) % 12;
        if (how == 0) c.owner = address(uint160(seed));
        else if (how == 1) c.first = uint32(c.first + 1);
        else if (how == 2) c.count = uint16(bound(seed >> 100, 2, 65535));
        else if (how == 3) c.content = bytes32(seed | 1);
        else if (how == 4) c.base += 1 << 24;
        else if (how == 5) c.unit -= 1;
        else if (how == 6) c.steps = uint16((seed >> 100) | 257);
        else if (how == 7) c.k = uint16(c.k + 1);
        else if (how == 8) c.w = bytes32(seed);
        else if (how == 9) c.salt = bytes32(seed | 1);
        else if (how == 10) c.r = bytes32(uint256(c.r) ^ 1);
        else c.vs = bytes32(uint256(c.vs) ^ (1 << 255));
    }
}
