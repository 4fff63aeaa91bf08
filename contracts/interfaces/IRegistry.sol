// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title The creators of titles, and their shares of the sales
/// @notice All that a vault asks of a registry of titles.
interface IRegistry {
    /// @notice The creator of a title and its share of every redemption for that title.
    /// @dev Called with a fixed gas allowance (`REGISTRY_GAS` of the vault). Running out of it, reverting, answering
    /// fewer than 64 bytes, a dirty or zero `creator`, or `bps` over 10,000 all mean: no royalty. Never a failure.
    /// @param content The registry's id of the title; never zero.
    /// @return creator The address whose pull credit grows.
    /// @return bps Its share in hundredths of a percent, 0 to 10,000.
    function share(bytes32 content) external view returns (address creator, uint16 bps);
}
