// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";

/// @title Play money for local chains and tests
/// @notice Six decimals, EIP-2612 `permit` and EIP-3009 authorizations, like the dollar tokens that a vault is made
/// for. EIP-712 domain: name "Piecework Demo Dollar", version "1".
/// @dev WARNING: ANYBODY CAN MINT. Worth nothing; never deploy it where somebody could take it for money.
contract DemoToken is ERC20, ERC20Permit, ERC3009 {
    constructor() ERC20("Piecework Demo Dollar", "pwUSD") ERC20Permit("Piecework Demo Dollar") {}

    /// @notice Makes `amount` token units out of nothing. For local chains only.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// @inheritdoc ERC20
    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
