// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {Skip} from "../libraries/Skip.sol";
import {VaultTest} from "./util/VaultTest.sol";

contract RedeemForTest is VaultTest {
    uint256 private constant FEE = 100;
    uint256 private deadline;

    function setUp() public override {
        super.setUp();
        openUsual();
        deadline = nowSeconds() + 1 hours;
    }

    function test_PaysThePayeesAddressAndCreditsTheRelayer() public {
        vm.assertEq(send(one(goodClaim(1, 1, 100)), FEE), 3800, "net");
        vm.assertEq(token.balanceOf(PURSE), 3800);
        vm.assertEq(vault.credit(RELAYER), FEE, "a pull credit");
        vm.assertEq(token.balanceOf(RELAYER), 0);
    }

    function test_WithoutAFeeNobodyIsCredited() public {
        vm.assertEq(send(one(goodClaim(1, 1, 100)), 0), 3900);
        vm.assertEq(vault.credit(RELAYER), 0);
    }

    function test_SkipsAsRedeemDoes() public {
        vm.recordLogs();
        vm.assertEq(send(two(goodClaim(1, 1, 0), goodClaim(2, 1, 100)), FEE), 3800);
        (uint256 skips, uint256 index, uint256 reason) = lastSkip();
        vm.assertEq(skips, 1);
        vm.assertEq(index, 0);
        vm.assertEq(reason, Skip.NOTHING_DUE);
    }

    /// Rule 1.
    function test_Rule1_OnlyWithThePayeesSignature() public {
        IPieceworkVault.Claim[] memory cs = one(goodClaim(1, 1, 100));
        (bytes32 r, bytes32 vs) = vm.signCompact(OTHER_PAYEE_KEY, redeemDigest(cs, PURSE, RELAYER, FEE, deadline));
        expectBad(payee, cs, PURSE, FEE, deadline, r, vs);
        (r, vs) = vm.signCompact(SESSION_KEY, redeemDigest(cs, PURSE, RELAYER, FEE, deadline));
        expectBad(payee, cs, PURSE, FEE, deadline, r, vs);
    }

    /// Rule 1: signing for oneself does not open another payee's vouchers.
    function test_Rule1_AnotherPayeesSignatureFindsNoAccount() public {
        IPieceworkVault.Claim[] memory cs = one(goodClaim(1, 1, 100));
        (bytes32 r, bytes32 vs) = vm.signCompact(OTHER_PAYEE_KEY, redeemDigest(cs, PURSE, RELAYER, FEE, deadline));
        vm.prank(RELAYER);
        vm.expectRevert(IPieceworkVault.NothingDue.selector);
        vault.redeemFor(otherPayee, cs, PURSE, FEE, deadline, r, vs);
    }

    function test_ASignatureThatRecoversZeroIsNobodys() public {
        expectBad(address(0), one(goodClaim(1, 1, 100)), PURSE, FEE, deadline, 0, 0);
    }

    function test_TheRelayerCanChangeNothing() public {
        IPieceworkVault.Claim[] memory cs = two(goodClaim(1, 1, 100), goodClaim(2, 1, 100));
        (bytes32 r, bytes32 vs) = vm.signCompact(PAYEE_KEY, redeemDigest(cs, PURSE, RELAYER, FEE, deadline));
        expectBad(payee, cs, RELAYER, FEE, deadline, r, vs);
        expectBad(payee, cs, PURSE, FEE + 1, deadline, r, vs);
        expectBad(payee, cs, PURSE, FEE, deadline + 1, r, vs);
        expectBad(payee, one(cs[0]), PURSE, FEE, deadline, r, vs);
        expectBad(payee, two(cs[1], cs[0]), PURSE, FEE, deadline, r, vs);
        cs[0].k = 99; // a lower step than the payee signed for
        cs[0].w = chain(TIP, 157);
        expectBad(payee, cs, PURSE, FEE, deadline, r, vs);
    }

    function test_NobodyElseCanRelay() public {
        IPieceworkVault.Claim[] memory cs = one(goodClaim(1, 1, 100));
        (bytes32 r, bytes32 vs) = vm.signCompact(PAYEE_KEY, redeemDigest(cs, PURSE, RELAYER, FEE, deadline));
        vm.prank(STRANGER);
        vm.expectRevert(IPieceworkVault.BadSignature.selector);
        vault.redeemFor(payee, cs, PURSE, FEE, deadline, r, vs);
    }

    function test_NotOnAnotherChainOrVault() public {
        IPieceworkVault.Claim[] memory cs = one(goodClaim(1, 1, 100));
        (bytes32 r, bytes32 vs) = vm.signCompact(PAYEE_KEY, redeemDigest(cs, PURSE, RELAYER, FEE, deadline));
        vm.chainId(8453);
        expectBad(payee, cs, PURSE, FEE, deadline, r, vs);
        vm.chainId(31337);
        vault = deployVault(address(token), address(0), SINK, EXIT_DELAY);
        expectBad(payee, cs, PURSE, FEE, deadline, r, vs);
    }

    function test_TheDeadlineIsTheLastSecond() public {
        IPieceworkVault.Claim[] memory cs = one(goodClaim(1, 1, 100));
        (bytes32 r, bytes32 vs) = vm.signCompact(PAYEE_KEY, redeemDigest(cs, PURSE, RELAYER, FEE, deadline));
        vm.warp(deadline + 1);
        vm.prank(RELAYER);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.Expired.selector, deadline));
        vault.redeemFor(payee, cs, PURSE, FEE, deadline, r, vs);
        vm.warp(deadline);
        vm.prank(RELAYER);
        vm.assertEq(vault.redeemFor(payee, cs, PURSE, FEE, deadline, r, vs), 3800);
    }

    function test_AFeeOverThePayoutIsRefused() public {
        IPieceworkVault.Claim[] memory cs = one(goodClaim(1, 1, 1));
        (bytes32 r, bytes32 vs) = vm.signCompact(PAYEE_KEY, redeemDigest(cs, PURSE, RELAYER, 40, deadline));
        vm.prank(RELAYER);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.FeeTooHigh.selector, 40, 39));
        vault.redeemFor(payee, cs, PURSE, 40, deadline, r, vs);
        vm.assertEq(send(cs, 39), 0, "the whole payout is the highest fee");
    }

    function test_ASecondSendingPaysNothing() public {
        IPieceworkVault.Claim[] memory cs = one(goodClaim(1, 1, 100));
        (bytes32 r, bytes32 vs) = vm.signCompact(PAYEE_KEY, redeemDigest(cs, PURSE, RELAYER, FEE, deadline));
        vm.startPrank(RELAYER);
        vault.redeemFor(payee, cs, PURSE, FEE, deadline, r, vs);
        vm.expectRevert(IPieceworkVault.NothingDue.selector);
        vault.redeemFor(payee, cs, PURSE, FEE, deadline, r, vs);
        vm.stopPrank();
    }

    function test_RoyaltyFirstThenFee() public {
        registry.set(keccak256("title"), STRANGER, 5000);
        IPieceworkVault.Voucher memory v = voucherTo(payee, 1, 1);
        v.content = keccak256("title");
        vm.assertEq(send(one(claimAt(v, 100)), FEE), 1950 - FEE);
        vm.assertEq(vault.credit(STRANGER), 1950);
        vm.assertEq(vault.credit(RELAYER), FEE);
    }

    function test_ABatchIsAtMost128() public {
        IPieceworkVault.Claim[] memory cs = new IPieceworkVault.Claim[](129);
        (bytes32 r, bytes32 vs) = vm.signCompact(PAYEE_KEY, redeemDigest(cs, PURSE, RELAYER, FEE, deadline));
        vm.prank(RELAYER);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.TooManyClaims.selector, 129));
        vault.redeemFor(payee, cs, PURSE, FEE, deadline, r, vs);
    }

    /// The calldata hash is the hash of the ABI encoding, for any claims.
    function testFuzz_ClaimsAreHashedAsAbiEncode(IPieceworkVault.Claim[] memory cs) public {
        vm.assume(cs.length < 100);
        IPieceworkVault.Claim[] memory all = new IPieceworkVault.Claim[](cs.length + 1);
        for (uint256 i; i < cs.length; ++i) {
            all[i] = cs[i];
        }
        all[cs.length] = goodClaim(1, 1, 100);
        vm.assertEq(send(all, FEE), 3800);
    }

    function send(IPieceworkVault.Claim[] memory cs, uint256 fee) private returns (uint256) {
        (bytes32 r, bytes32 vs) = vm.signCompact(PAYEE_KEY, redeemDigest(cs, PURSE, RELAYER, fee, deadline));
        vm.prank(RELAYER);
        return vault.redeemFor(payee, cs, PURSE, fee, deadline, r, vs);
    }

    function expectBad(
        address payee_,
        IPieceworkVault.Claim[] memory cs,
        address to,
        uint256 fee,
        uint256 deadline_,
        bytes32 r,
        bytes32 vs
    ) private {
        vm.prank(RELAYER);
        vm.expectRevert(IPieceworkVault.BadSignature.selector);
        vault.redeemFor(payee_, cs, to, fee, deadline_, r, vs);
    }
}
