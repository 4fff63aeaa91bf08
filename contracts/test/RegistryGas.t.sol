// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPieceworkRegistry} from "../interfaces/IPieceworkRegistry.sol";
import {Splitter} from "../src/Splitter.sol";
import {SplitterFactory} from "../src/SplitterFactory.sol";
import {RegistryTest} from "./util/RegistryTest.sol";

/// The cost of each call as a transaction of its own, as in Gas.t.sol.
/// forge-config: default.isolate = true
contract RegistryGasTest is RegistryTest {
    event log_named_uint(string name, uint256 gas);

    function test_Register() public {
        registerAs(publisher, title());
        print("register", 152_000);
        IPieceworkRegistry.Title memory t = title();
        t.publisher = STRANGER;
        registerAs(STRANGER, t);
        print("register, of a content that is listed", 135_000);
    }

    function test_RegisterForAnother() public {
        IPieceworkRegistry.Title memory t = title();
        (bytes32 r, bytes32 vs) = signTitle(PUBLISHER_KEY, t);
        titles.registerFor(t, r, vs);
        print("registerFor", 157_000);
    }

    function test_Changes() public {
        bytes32 id = registerAs(publisher, title());
        vm.prank(publisher);
        titles.lowerShare(id, 1);
        print("lowerShare", 32_000);
        vm.prank(publisher);
        titles.setCreator(id, PURSE);
        print("setCreator", 32_000);
        vm.prank(publisher);
        titles.setContact(id, "wss://tracker.example\nwss://another.example");
        print("setContact of 43 bytes", 98_000);
    }

    function test_Splitter() public {
        SplitterFactory factory = new SplitterFactory();
        (address[] memory who, uint32[] memory shares) = (new address[](2), new uint32[](2));
        (who[0], who[1], shares[0], shares[1]) = (CREATOR, PURSE, 1, 9);
        Splitter made = factory.create(who, shares);
        print("a splitter for two", 605_000);
        token.mint(address(made), 1_000);
        made.release(token, CREATOR);
        print("release, a recipient's first", 107_000);
        token.mint(address(made), 1_000);
        made.release(token, CREATOR);
        print("release", 55_000);
    }

    function print(string memory name, uint256 ceiling) private {
        uint256 used = vm.lastCallGas().gasTotalUsed;
        emit log_named_uint(name, used);
        vm.assertLe(used, ceiling, name);
    }
}
