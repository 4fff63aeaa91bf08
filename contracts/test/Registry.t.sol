// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPieceworkRegistry} from "../interfaces/IPieceworkRegistry.sol";
import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {RegistryTest} from "./util/RegistryTest.sol";

/// Who may register what, what changes afterwards, and what a vault is told.
contract RegistryOfTitlesTest is RegistryTest {
    function test_APublisherRegistersItsTitle() public {
        IPieceworkRegistry.Title memory t = title();
        vm.expectEmit(address(titles));
        emit IPieceworkRegistry.Registered(titles.idOf(publisher, INFO_HASH, 0), INFO_HASH, publisher, t);
        bytes32 id = registerAs(publisher, t);
        vm.assertEq(id, keccak256(abi.encode(publisher, INFO_HASH, bytes32(0))));
        IPieceworkRegistry.Record memory r = titles.record(id);
        vm.assertEq(r.creator, CREATOR);
        vm.assertEq(r.bps, 1234);
        vm.assertEq(r.registeredAt, nowSeconds());
        vm.assertEq(r.publisher, publisher);
        vm.assertEq(r.titleHash, titleHash(t));
    }

    function test_NobodyRegistersInTheNameOfAnother() public {
        IPieceworkRegistry.Title memory t = title();
        vm.expectRevert(abi.encodeWithSelector(IPieceworkRegistry.NotThePublisher.selector, publisher, STRANGER));
        registerAs(STRANGER, t);
    }

    function test_AnybodySendsWhatThePublisherSigned() public {
        IPieceworkRegistry.Title memory t = title();
        (bytes32 r, bytes32 vs) = signTitle(PUBLISHER_KEY, t);
        vm.prank(RELAYER);
        bytes32 id = titles.registerFor(t, r, vs);
        vm.assertEq(titles.record(id).publisher, publisher);
        vm.assertEq(titles.record(id).creator, CREATOR);
        // A second time it is there already.
        vm.expectRevert(abi.encodeWithSelector(IPieceworkRegistry.AlreadyRegistered.selector, id));
        titles.registerFor(t, r, vs);
    }

    function test_ASignatureFitsOneTitleOneRegistryOneChain() public {
        IPieceworkRegistry.Title memory t = title();
        (bytes32 r, bytes32 vs) = signTitle(PUBLISHER_KEY, t);
        (bytes32 otherR, bytes32 otherVs) = signTitle(OWNER_KEY, t);
        expectBadSignature(t, otherR, otherVs);
        // The other root of the same point, which ECDSA knows too.
        expectBadSignature(t, r, vs ^ bytes32(uint256(1) << 255));
        expectBadSignature(t, 0, vs);
        vm.chainId(block.chainid + 1);
        expectBadSignature(t, r, vs);
        vm.chainId(31337);
        IPieceworkRegistry.Title[12] memory changed;
        for (uint256 i; i < 12; ++i) {
            changed[i] = title();
        }
        changed[0].name = "Evening over the Bay";
        changed[1].infoHash = bytes20(uint160(INFO_HASH) + 1);
        changed[2].infoHashV2 = bytes32(uint256(1));
        changed[3].length++;
        changed[4].publisher = STRANGER;
        changed[5].creator = STRANGER;
        changed[6].bps++;
        changed[7].licence = "";
        changed[8].keyHash = bytes32(uint256(1));
        changed[9].previous = bytes32(uint256(1));
        changed[10].salt = bytes32(uint256(1));
        changed[11].created++;
        for (uint256 i; i < 12; ++i) {
            expectBadSignature(changed[i], r, vs);
        }
        titles.registerFor(t, r, vs);
    }

    function test_TheDigestIsTheOneThatIsSigned() public view {
        vm.assertEq(titles.titleDigest(title()), digestOf("PieceworkRegistry", address(titles), titleHash(title())));
    }

    function test_AnEarlierRegistrationStandsBeforeALaterOne() public {
        IPieceworkRegistry.Title memory thief = title();
        thief.publisher = STRANGER;
        thief.creator = STRANGER;
        bytes32 first = registerAs(publisher, title());
        vm.warp(nowSeconds() + 1 days);
        bytes32 second = registerAs(STRANGER, thief);
        IPieceworkRegistry.Title memory again = title();
        again.salt = bytes32(uint256(7));
        bytes32 third = registerAs(publisher, again);
        vm.assertEq(titles.countOf(INFO_HASH), 3);
        (bytes32[] memory ids, IPieceworkRegistry.Record[] memory records) = titles.titlesOf(INFO_HASH, 0, 10);
        vm.assertEq(ids.length, 3);
        vm.assertEq(ids[0], first);
        vm.assertEq(ids[1], second);
        vm.assertEq(ids[2], third);
        vm.assertEq(records[0].publisher, publisher);
        vm.assertEq(records[1].registeredAt, records[0].registeredAt + 1 days);
    }

    function test_AListIsReadInPages() public {
        IPieceworkRegistry.Title memory t = title();
        for (uint256 i; i < 5; ++i) {
            t.salt = bytes32(i);
            registerAs(publisher, t);
        }
        (bytes32[] memory ids,) = titles.titlesOf(INFO_HASH, 3, 1);
        vm.assertEq(ids.length, 1);
        vm.assertEq(ids[0], titles.idOf(publisher, INFO_HASH, bytes32(uint256(3))));
        (ids,) = titles.titlesOf(INFO_HASH, 4, type(uint256).max);
        vm.assertEq(ids.length, 1);
        (ids,) = titles.titlesOf(INFO_HASH, 5, 1);
        vm.assertEq(ids.length, 0);
        (ids,) = titles.titlesOf(INFO_HASH, type(uint256).max, type(uint256).max);
        vm.assertEq(ids.length, 0);
        (ids,) = titles.titlesOf(bytes20(uint160(1)), 0, 1);
        vm.assertEq(ids.length, 0);
    }

    function test_RefusesWhatIsNoTitle() public {
        IPieceworkRegistry.Title memory t = title();
        t.infoHash = 0;
        vm.expectRevert(IPieceworkRegistry.BadInfoHash.selector);
        registerAs(publisher, t);
        t = title();
        t.creator = address(0);
        vm.expectRevert(IPieceworkRegistry.BadCreator.selector);
        registerAs(publisher, t);
        t = title();
        t.bps = 10_001;
        vm.expectRevert(abi.encodeWithSelector(IPieceworkRegistry.BadShare.selector, 10_001, 10_000));
        registerAs(publisher, t);
        t = title();
        t.name = string(new bytes(257));
        vm.expectRevert(abi.encodeWithSelector(IPieceworkRegistry.TooLong.selector, 257, 256));
        registerAs(publisher, t);
        t.name = string(new bytes(256));
        t.licence = string(new bytes(257));
        vm.expectRevert(abi.encodeWithSelector(IPieceworkRegistry.TooLong.selector, 257, 256));
        registerAs(publisher, t);
        t.licence = string(new bytes(256));
        t.bps = 10_000;
        registerAs(publisher, t);
    }

    function test_AnEditionFollowsOneOfTheSamePublisher() public {
        bytes32 first = registerAs(publisher, title());
        IPieceworkRegistry.Title memory t = title();
        (t.infoHash, t.previous) = (bytes20(uint160(5)), first);
        registerAs(publisher, t);
        t.publisher = STRANGER;
        vm.expectRevert(abi.encodeWithSelector(IPieceworkRegistry.NotAnEdition.selector, first));
        registerAs(STRANGER, t);
        t = title();
        (t.salt, t.previous) = (bytes32(uint256(1)), bytes32(uint256(9)));
        vm.expectRevert(abi.encodeWithSelector(IPieceworkRegistry.NotAnEdition.selector, t.previous));
        registerAs(publisher, t);
    }

    function test_AShareFallsAndNeverRises(uint16 from, uint16 to) public {
        IPieceworkRegistry.Title memory t = title();
        t.bps = uint16(bound(from, 0, 10_000));
        bytes32 id = registerAs(publisher, t);
        bool falls = to < t.bps;
        if (!falls) vm.expectRevert(abi.encodeWithSelector(IPieceworkRegistry.BadShare.selector, to, t.bps));
        vm.prank(publisher);
        titles.lowerShare(id, to);
        vm.assertEq(titles.record(id).bps, falls ? to : t.bps);
    }

    function test_ThePublisherChangesCreatorAndContact() public {
        bytes32 id = registerAs(publisher, title());
        vm.expectEmit(address(titles));
        emit IPieceworkRegistry.CreatorChanged(id, PURSE);
        vm.prank(publisher);
        titles.setCreator(id, PURSE);
        (address creator, uint16 bps) = titles.share(id);
        vm.assertEq(creator, PURSE);
        vm.assertEq(bps, 1234);
        vm.assertEq(titles.contactOf(id), "");
        vm.expectEmit(address(titles));
        emit IPieceworkRegistry.ContactChanged(id, "wss://tracker.example");
        vm.prank(publisher);
        titles.setContact(id, "wss://tracker.example");
        vm.assertEq(titles.contactOf(id), "wss://tracker.example");
        vm.prank(publisher);
        vm.expectRevert(IPieceworkRegistry.BadCreator.selector);
        titles.setCreator(id, address(0));
        vm.prank(publisher);
        vm.expectRevert(abi.encodeWithSelector(IPieceworkRegistry.TooLong.selector, 2049, 2048));
        titles.setContact(id, string(new bytes(2049)));
        vm.prank(publisher);
        titles.setContact(id, string(new bytes(2048)));
        // What was registered stays to be compared with.
        vm.assertEq(titles.record(id).titleHash, titleHash(title()));
    }

    function test_NobodyElseChangesAnything() public {
        bytes32 id = registerAs(publisher, title());
        // The creator neither: it is credited, and decides nothing.
        address[2] memory others = [STRANGER, CREATOR];
        for (uint256 i; i < 2; ++i) {
            bytes memory no = abi.encodeWithSelector(IPieceworkRegistry.NotThePublisher.selector, publisher, others[i]);
            vm.startPrank(others[i]);
            vm.expectRevert(no);
            titles.lowerShare(id, 0);
            vm.expectRevert(no);
            titles.setCreator(id, STRANGER);
            vm.expectRevert(no);
            titles.setContact(id, "");
            vm.stopPrank();
        }
        bytes32 unknown = bytes32(uint256(3));
        bytes memory none = abi.encodeWithSelector(IPieceworkRegistry.NoSuchTitle.selector, unknown);
        vm.startPrank(publisher);
        vm.expectRevert(none);
        titles.lowerShare(unknown, 0);
        vm.expectRevert(none);
        titles.setCreator(unknown, STRANGER);
        vm.expectRevert(none);
        titles.setContact(unknown, "");
        vm.stopPrank();
    }

    // ------------------------------------------------------------------------------------------------ the vault

    function test_ASaleCreditsTheRegisteredCreator(uint16 bps, uint16 lower) public {
        IPieceworkRegistry.Title memory t = title();
        t.bps = uint16(bound(bps, 1, 10_000));
        bytes32 id = registerAs(publisher, t);
        openUsual();
        uint256 cut = uint256(3900) * t.bps / 10_000;
        vm.assertEq(redeemAs(payee, one(titled(id, 1)), PURSE), 3900 - cut);
        vm.assertEq(vault.credit(CREATOR), cut);
        lower = uint16(bound(lower, 0, t.bps - 1));
        vm.startPrank(publisher);
        titles.lowerShare(id, lower);
        titles.setCreator(id, STRANGER);
        vm.stopPrank();
        uint256 later = uint256(3900) * lower / 10_000;
        vm.assertEq(redeemAs(payee, one(titled(id, 2)), PURSE), 3900 - later);
        vm.assertEq(vault.credit(CREATOR), cut, "what is credited stays");
        vm.assertEq(vault.credit(STRANGER), later);
    }

    function test_AnIdThatNobodyRegisteredPaysNoRoyalty() public {
        openUsual();
        vm.assertEq(redeemAs(payee, one(titled(titles.idOf(publisher, INFO_HASH, 0), 1)), PURSE), 3900);
    }

    function test_AnAnswerCostsFarLessThanTheVaultAllows() public {
        bytes32 id = registerAs(publisher, title());
        uint256 before = gasleft();
        titles.share(id);
        vm.assertLe(before - gasleft(), 10_000, "REGISTRY_GAS is 50,000");
    }

    // ------------------------------------------------------------------------------------------------- helpers

    function expectBadSignature(IPieceworkRegistry.Title memory t, bytes32 r, bytes32 vs) private {
        vm.expectRevert(IPieceworkRegistry.BadSignature.selector);
        titles.registerFor(t, r, vs);
    }

    function titled(bytes32 id, uint32 first) private view returns (IPieceworkVault.Claim memory) {
        IPieceworkVault.Voucher memory v = voucherTo(payee, first, 1);
        v.content = id;
        return claimAt(v, 100);
    }
}
