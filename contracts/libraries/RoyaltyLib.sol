// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRegistry} from "../interfaces/IRegistry.sol";

/// @title Asking a registry that nobody vouches for
/// @notice Never reverts, and uses no more than a fixed allowance of gas and 64 bytes of memory.
library RoyaltyLib {
    /// @dev Gas that one call may use. A caller cannot starve the call to save the royalty: the rest, 1/63 of this,
    /// does not pay for the event that follows it.
    uint256 internal constant REGISTRY_GAS = 50_000;
    uint256 internal constant BPS = 10_000;

    /// @notice The creator of `content` and its part of `gross`; zeros when `registry` is none or gives no good answer.
    // Solidity's call would copy all that comes back.
    // slither-disable-next-line assembly
    function cutOf(address registry, bytes32 content, uint256 gross)
        internal
        view
        returns (address creator, uint256 cut)
    {
        if (registry == address(0) || content == 0) return (address(0), 0);
        bytes memory data = abi.encodeCall(IRegistry.share, (content));
        uint256 who;
        uint256 bps;
        assembly ("memory-safe") {
            // At most 64 bytes of the answer are copied, into scratch space.
            let ok := staticcall(REGISTRY_GAS, registry, add(data, 0x20), mload(data), 0, 0x40)
            if and(ok, gt(returndatasize(), 0x3f)) {
                who := mload(0)
                bps := mload(0x20)
            }
        }
        if (who == 0 || who > type(uint160).max || bps > BPS) return (address(0), 0);
        return (address(uint160(who)), gross * bps / BPS);
    }
}
