// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";
import {Splitter} from "./Splitter.sol";

/// @title Makes splitters, each at an address that follows from its recipients and shares
contract SplitterFactory {
    event Created(Splitter indexed splitter, address[] recipients, uint32[] shares);

    /// @notice The splitter of these recipients and shares, in this order. One that is there already is not made anew.
    function create(address[] calldata recipients, uint32[] calldata shares) external returns (Splitter splitter) {
        splitter = addressOf(recipients, shares);
        if (address(splitter).code.length == 0) {
            splitter = new Splitter{salt: 0}(recipients, shares);
            emit Created(splitter, recipients, shares);
        }
    }

    /// @notice Where it is, or will be.
    function addressOf(address[] calldata recipients, uint32[] calldata shares) public view returns (Splitter) {
        // It takes the creation code for a number.
        // slither-disable-next-line too-many-digits
        bytes32 code = keccak256(bytes.concat(type(Splitter).creationCode, abi.encode(recipients, shares)));
        return Splitter(Create2.computeAddress(0, code));
    }
}
