// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPieceworkRegistry} from "../interfaces/IPieceworkRegistry.sol";
import {PieceworkRegistry} from "../src/PieceworkRegistry.sol";
import {RegistryTest} from "./util/RegistryTest.sol";
import {Vm} from "./util/Vm.sol";

/// @dev Registers, lowers, changes and intrudes at random, and keeps a model of what must come of it.
contract RegistryHandler {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    PieceworkRegistry private immutable titles;

    bytes32[] public ids;
    mapping(bytes32 id => IPieceworkRegistry.Record) private _model;
    mapping(bytes32 id => bytes20) public contentOf;
    mapping(bytes20 content => bytes32[]) private _order;

    constructor(PieceworkRegistry titles_) {
        titles = titles_;
    }

    function register(uint8 who, uint8 content, uint8 salt, uint16 bps) external {
        IPieceworkRegistry.Title memory t;
        (t.name, t.publisher, t.creator) = ("a name", person(who), person(bps));
        (t.infoHash, t.salt) = (bytes20(uint160(content % 3 + 1)), bytes32(uint256(salt % 4)));
        t.bps = bps % 10_001;
        bytes32 id = titles.idOf(t.publisher, t.infoHash, t.salt);
        vm.prank(t.publisher);
        if (_model[id].registeredAt != 0) {
            vm.expectRevert(abi.encodeWithSelector(IPieceworkRegistry.AlreadyRegistered.selector, id));
            titles.register(t);
            return;
        }
        titles.register(t);
        ids.push(id);
        contentOf[id] = t.infoHash;
        _order[t.infoHash].push(id);
        _model[id] = titles.record(id);
    }

    function lower(uint256 at, uint16 bps) external {
        if (ids.length == 0) return;
        bytes32 id = ids[at % ids.length];
        bool rises = bps >= _model[id].bps;
        vm.prank(_model[id].publisher);
        if (rises) vm.expectPartialRevert(IPieceworkRegistry.BadShare.selector);
        titles.lowerShare(id, bps);
        if (!rises) _model[id].bps = bps;
    }

    function credit(uint256 at, uint8 whom) external {
        if (ids.length == 0) return;
        bytes32 id = ids[at % ids.length];
        vm.prank(_model[id].publisher);
        titles.setCreator(id, person(whom));
        _model[id].creator = person(whom);
    }

    function intrude(uint256 at, uint8 who) external {
        if (ids.length == 0) return;
        bytes32 id = ids[at % ids.length];
        if (_model[id].publisher == person(who)) return;
        vm.startPrank(person(who));
        vm.expectPartialRevert(IPieceworkRegistry.NotThePublisher.selector);
        titles.setCreator(id, person(who));
        vm.expectPartialRevert(IPieceworkRegistry.NotThePublisher.selector);
        titles.lowerShare(id, 0);
        vm.stopPrank();
    }

    function pass(uint16 seconds_) external {
        vm.warp(vm.getBlockTimestamp() + seconds_);
    }

    function count() external view returns (uint256) {
        return ids.length;
    }

    function model(bytes32 id) external view returns (IPieceworkRegistry.Record memory) {
        return _model[id];
    }

    function order(bytes20 content) external view returns (bytes32[] memory) {
        return _order[content];
    }

    function person(uint256 at) private pure returns (address) {
        return address(uint160(at % 4 + 0x1000));
    }
}

contract RegistryInvariantsTest is RegistryTest {
    RegistryHandler private handler;

    function setUp() public override {
        super.setUp();
        handler = new RegistryHandler(titles);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// Each record is what its publisher last made of it, and each list has its registrations in their order.
    function invariant_RecordsAndListsAreAsModelled() public view {
        for (uint256 i; i < handler.count(); ++i) {
            bytes32 id = handler.ids(i);
            vm.assertEq(
                keccak256(abi.encode(titles.record(id))), keccak256(abi.encode(handler.model(id))), "the record"
            );
            (address creator, uint16 bps) = titles.share(id);
            vm.assertEq(creator, handler.model(id).creator);
            vm.assertEq(bps, handler.model(id).bps);
        }
        uint256 listed;
        for (uint160 content = 1; content <= 3; ++content) {
            (bytes32[] memory ids, IPieceworkRegistry.Record[] memory records) =
                titles.titlesOf(bytes20(content), 0, 1_000);
            vm.assertEq(keccak256(abi.encode(ids)), keccak256(abi.encode(handler.order(bytes20(content)))), "the list");
            for (uint256 i = 1; i < records.length; ++i) {
                vm.assertLe(records[i - 1].registeredAt, records[i].registeredAt, "the earlier one is first");
            }
            listed += ids.length;
        }
        vm.assertEq(listed, handler.count());
    }
}
