// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPieceworkRegistry} from "../../interfaces/IPieceworkRegistry.sol";
import {PieceworkRegistry} from "../../src/PieceworkRegistry.sol";
import {VaultTest} from "./VaultTest.sol";

/// @dev A vault that asks a registry of titles, and a publisher. The digest is written out here again.
abstract contract RegistryTest is VaultTest {
    uint256 internal constant PUBLISHER_KEY = 0x9b11;
    address internal constant CREATOR = address(0xc4ea);
    bytes20 internal constant INFO_HASH = bytes20(keccak256("an info dictionary"));

    PieceworkRegistry internal titles;
    address internal publisher = vm.addr(PUBLISHER_KEY);

    function setUp() public virtual override {
        super.setUp();
        titles = new PieceworkRegistry();
        vault = deployVault(address(token), address(titles), SINK, EXIT_DELAY);
    }

    function title() internal view returns (IPieceworkRegistry.Title memory) {
        return IPieceworkRegistry.Title({
            name: "Evening over the bay",
            infoHash: INFO_HASH,
            infoHashV2: 0,
            length: 25_731_571,
            publisher: publisher,
            creator: CREATOR,
            bps: 1234,
            licence: "CC-BY-4.0",
            keyHash: 0,
            previous: 0,
            salt: 0,
            created: 1_799_999_000
        });
    }

    function titleHash(IPieceworkRegistry.Title memory t) internal pure returns (bytes32) {
        bytes memory head = abi.encode(
            keccak256(
                "Title(string name,bytes20 infoHash,bytes32 infoHashV2,uint64 length,address publisher,address creator,uint16 bps,string licence,bytes32 keyHash,bytes32 previous,bytes32 salt,uint64 created)"
            ),
            keccak256(bytes(t.name)),
            t.infoHash,
            t.infoHashV2,
            t.length,
            t.publisher
        );
        bytes memory rest =
            abi.encode(t.creator, t.bps, keccak256(bytes(t.licence)), t.keyHash, t.previous, t.salt, t.created);
        return keccak256(bytes.concat(head, rest));
    }

    function signTitle(uint256 key, IPieceworkRegistry.Title memory t) internal view returns (bytes32 r, bytes32 vs) {
        return vm.signCompact(key, digestOf("PieceworkRegistry", address(titles), titleHash(t)));
    }

    function registerAs(address who, IPieceworkRegistry.Title memory t) internal returns (bytes32) {
        vm.prank(who);
        return titles.register(t);
    }
}
