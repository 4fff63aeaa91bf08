// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {HostileRegistry} from "./util/Doubles.sol";
import {VaultTest} from "./util/VaultTest.sol";

/// Rule 7, the registry's part: its answer moves a share to a pull credit, and no other act of it has an effect.
contract RedeemRoyaltyTest is VaultTest {
    address private constant CREATOR = address(0xc4ea);
    bytes32 private constant TITLE = keccak256("a title");
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        id = openUsual();
    }

    function test_CreditsTheCreatorsShare() public {
        registry.set(TITLE, CREATOR, 1234);
        vm.assertEq(redeemAs(payee, one(titled(1)), PURSE), 3900 - 481, "net");
        vm.assertEq(vault.credit(CREATOR), 481, "3900 * 12.34 %, floored");
        vm.assertEq(token.balanceOf(PURSE), 3900 - 481);
        vm.assertEq(account(id).balance, AMOUNT - 3900, "the payer pays the same");
    }

    function test_SaysTheCut() public {
        registry.set(TITLE, CREATOR, 1000);
        IPieceworkVault.Claim memory c = titled(1);
        uint256 packed = (uint256(1) << 224) | (uint256(1) << 208) | (uint256(256) << 192) | UNIT;
        vm.expectEmit(address(vault));
        emit IPieceworkVault.Redeemed(
            id, payee, owner, packed, TITLE, voucherTo(payee, 1, 1).root, 0, c.r, c.vs, 3900, 390
        );
        redeemAs(payee, one(c), PURSE);
    }

    function test_NoContentNoCall() public {
        vm.expectCall(address(registry), "", 0);
        vm.assertEq(redeemAs(payee, one(goodClaim(1, 1, 100)), PURSE), 3900);
    }

    function test_NoRegistryNoCut() public {
        vault = deployVault(address(token), address(0), SINK, EXIT_DELAY);
        openUsual();
        vm.assertEq(redeemAs(payee, one(titled(1)), PURSE), 3900);
    }

    function test_ATitleNobodyRegisteredPaysNoCut() public {
        vm.assertEq(redeemAs(payee, one(titled(1)), PURSE), 3900);
    }

    function test_AShareOfAllLeavesNothingAndStillSpends() public {
        registry.set(TITLE, CREATOR, 10_000);
        vm.assertEq(redeemAs(payee, one(titled(1)), PURSE), 0);
        vm.assertEq(vault.credit(CREATOR), 3900);
        vm.assertEq(account(id).consumed, 2);
    }

    function test_ARegistryWithoutCodePaysNoCut() public {
        vault = deployVault(address(token), STRANGER, SINK, EXIT_DELAY);
        openUsual();
        vm.assertEq(redeemAs(payee, one(titled(1)), PURSE), 3900);
    }

    function test_ARegistryThatFailsOrAnswersRubbishPaysNoCut() public {
        HostileRegistry evil = hostile();
        HostileRegistry.Mode[9] memory modes = [
            HostileRegistry.Mode.Revert,
            HostileRegistry.Mode.RevertBomb,
            HostileRegistry.Mode.Burn,
            HostileRegistry.Mode.Short,
            HostileRegistry.Mode.Empty,
            HostileRegistry.Mode.DirtyCreator,
            HostileRegistry.Mode.ZeroCreator,
            HostileRegistry.Mode.TooMuch,
            HostileRegistry.Mode.DirtyShare
        ];
        for (uint32 i; i < modes.length; ++i) {
            evil.set(modes[i], address(vault));
            vm.assertEq(redeemAs(payee, one(titled(i + 1)), PURSE), 3900, vm.toString(i));
        }
        vm.assertEq(vault.credit(address(0xc0ffee)), 0);
        vm.assertEq(vault.credit(address(0)), 0);
    }

    function test_ARegistryCannotWrite() public {
        HostileRegistry evil = hostile();
        evil.set(HostileRegistry.Mode.Write, address(vault));
        vm.assertEq(redeemAs(payee, one(titled(1)), PURSE), 3900);
    }

    function test_ARegistryCannotReenter() public {
        HostileRegistry evil = hostile();
        evil.set(HostileRegistry.Mode.Reenter, address(vault));
        vm.assertEq(redeemAs(payee, one(titled(1)), PURSE), 3510, "it failed inside, and then answered");
        vm.assertEq(vault.credit(address(0xc0ffee)), 390);
    }

    function test_ALongAnswerIsNotCopied() public {
        HostileRegistry evil = hostile();
        evil.set(HostileRegistry.Mode.ReturnBomb, address(vault));
        IPieceworkVault.Claim[] memory cs = one(titled(1));
        vm.prank(payee);
        vm.assertEq(vault.redeem{gas: 230_000}(cs, PURSE), 3510);
    }

    function test_ARegistryCostsAtMostItsAllowance() public {
        HostileRegistry evil = hostile();
        evil.set(HostileRegistry.Mode.Burn, address(vault));
        IPieceworkVault.Claim[] memory cs = new IPieceworkVault.Claim[](128);
        for (uint32 i; i < 128; ++i) {
            cs[i] = titled(i + 1);
        }
        vm.prank(payee);
        uint256 before = gasleft();
        vault.redeem(cs, PURSE);
        vm.assertLt(before - gasleft(), 128 * 50_000 + 128 * 40_000, "gas of a full batch");
        vm.assertEq(token.balanceOf(PURSE), 128 * 3900);
    }

    /// A caller picks the gas. With any amount, either the creator is credited or the call fails.
    function test_ACallerCannotStarveTheRegistry() public {
        registry.set(TITLE, CREATOR, 1000);
        IPieceworkVault.Claim[] memory cs = one(titled(1));
        uint256 failures;
        for (uint256 g = 20_000; g < 200_000; g += 97) {
            vm.prank(payee);
            try vault.redeem{gas: g}(cs, PURSE) {
                vm.assertEq(vault.credit(CREATOR), 390, vm.toString(g));
                vm.assertTrue(failures > 100, "some were too little");
                return;
            } catch {
                ++failures;
            }
        }
        revert("never enough gas");
    }

    function testFuzz_NetAndCutAreAlwaysTheGross(uint16 bps, uint16 k) public {
        k = uint16(bound(k, 1, 256));
        registry.set(TITLE, CREATOR, bps);
        IPieceworkVault.Voucher memory v = voucherTo(payee, 1, 1);
        v.content = TITLE;
        uint256 net = redeemAs(payee, one(claimAt(v, k)), PURSE);
        uint256 gross = uint256(k) * 39;
        vm.assertEq(net + vault.credit(CREATOR), gross);
        vm.assertEq(vault.credit(CREATOR), bps > 10_000 ? 0 : gross * bps / 10_000);
    }

    function titled(uint32 first) private view returns (IPieceworkVault.Claim memory) {
        IPieceworkVault.Voucher memory v = voucherTo(payee, first, 1);
        v.content = TITLE;
        return claimAt(v, 100);
    }

    /// A vault whose registry is hostile, with the usual account open.
    function hostile() private returns (HostileRegistry evil) {
        evil = new HostileRegistry();
        vault = deployVault(address(token), address(evil), SINK, EXIT_DELAY);
        openUsual();
    }
}
