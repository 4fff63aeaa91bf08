// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title Play money of any decimals, for local chains and tests
/// @notice EIP-2612 `permit`, and no EIP-3009. EIP-712 domain: name "Piecework Demo Coin", version "1".
/// @dev WARNING: ANYBODY CAN MINT. Worth nothing; never deploy it where somebody could take it for money.
contract DemoTokenOf is ERC20, ERC20Permit {
    uint8 private immutable places;

    /// @param decimals_ The decimal places of a whole token.
    constructor(uint8 decimals_) ERC20("Piecework Demo Coin", "pwCOIN") ERC20Permit("Piecework Demo Coin") {
        places = decimals_;
    }

    /// @notice Makes `amount` token units out of nothing. For local chains only.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @inheritdoc ERC20
    function decimals() public view override returns (uint8) {
        return places;
    }
}
