// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPieceworkRegistry} from "../interfaces/IPieceworkRegistry.sol";
import {PieceworkRegistry} from "../src/PieceworkRegistry.sol";
import {RegistryTest} from "./util/RegistryTest.sol";

/// The titles that Rust, ethers and this contract share. The registry's code is put at the address each one names.
contract TitleVectorsTest is RegistryTest {
    string private json;

    function setUp() public override {
        super.setUp();
        json = vm.readFile("../tests/vectors/titles.json");
        vm.assertTrue(vm.keyExistsJson(json, ".vectors[2]"), "vectors were read");
    }

    function test_IdsHashesDigestsAndSignatures() public {
        for (uint256 i; vm.keyExistsJson(json, at(i, "")); ++i) {
            IPieceworkRegistry.Title memory t = read(i);
            address place = vm.parseJsonAddress(json, at(i, ".registry"));
            PieceworkRegistry here = titles;
            if (place != address(0)) {
                vm.etch(place, address(titles).code);
                here = PieceworkRegistry(place);
            }
            vm.chainId(vm.parseJsonUint(json, at(i, ".chain_id")));
            vm.assertEq(here.idOf(t.publisher, t.infoHash, t.salt), vm.parseJsonBytes32(json, at(i, ".id")));
            if (place != address(0)) {
                vm.assertEq(here.titleDigest(t), vm.parseJsonBytes32(json, at(i, ".digest")));
            }
            // An earlier edition is asked for by the registry, and not by the signature.
            if (t.previous != 0) continue;
            bytes32 r = vm.parseJsonBytes32(json, at(i, ".signature.r"));
            bytes32 vs = vm.parseJsonBytes32(json, at(i, ".signature.vs"));
            if (place == address(0)) {
                vm.expectRevert(IPieceworkRegistry.BadSignature.selector);
                here.registerFor(t, r, vs);
                vm.prank(t.publisher);
                here.register(t);
            } else {
                here.registerFor(t, r, vs);
            }
            vm.assertEq(
                here.record(here.idOf(t.publisher, t.infoHash, t.salt)).titleHash,
                vm.parseJsonBytes32(json, at(i, ".struct_hash"))
            );
        }
    }

    function read(uint256 i) private view returns (IPieceworkRegistry.Title memory t) {
        t.name = vm.parseJsonString(json, at(i, ".title.name"));
        t.infoHash = bytes20(vm.parseJsonAddress(json, at(i, ".title.infoHash")));
        t.infoHashV2 = vm.parseJsonBytes32(json, at(i, ".title.infoHashV2"));
        t.length = uint64(vm.parseJsonUint(json, at(i, ".title.length")));
        t.publisher = vm.parseJsonAddress(json, at(i, ".title.publisher"));
        t.creator = vm.parseJsonAddress(json, at(i, ".title.creator"));
        t.bps = uint16(vm.parseJsonUint(json, at(i, ".title.bps")));
        t.licence = vm.parseJsonString(json, at(i, ".title.licence"));
        t.keyHash = vm.parseJsonBytes32(json, at(i, ".title.keyHash"));
        t.previous = vm.parseJsonBytes32(json, at(i, ".title.previous"));
        t.salt = vm.parseJsonBytes32(json, at(i, ".title.salt"));
        t.created = uint64(vm.parseJsonUint(json, at(i, ".title.created")));
    }

    function at(uint256 i, string memory field) private pure returns (string memory) {
        return string.concat(".vectors[", vm.toString(i), "]", field);
    }
}
