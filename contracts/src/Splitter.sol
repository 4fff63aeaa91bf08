// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";

/// @title Divides what it receives between several, by fixed shares
/// @notice It stands as the creator of a title: several creators, a curator, a charity. Each takes its own part when it
/// likes, and no one waits for another. Shares never change, and nobody owns it.
///
/// WARNING: it divides by the balances that a token reports. A token that moves balances by itself (rebasing down) or
/// takes a fee of its sender pays those who come first. Other tokens are not touched by that.
/// @dev Invariant, of each token that keeps its word: no one is paid more than its share of all that ever came, and
/// what is left is owed to somebody, but for less than one unit a recipient.
contract Splitter {
    using SafeERC20 for IERC20;

    /// @notice Recipients at most.
    uint256 public constant MAX_RECIPIENTS = 64;

    error BadRecipients();
    error NotARecipient(address account);
    error NothingDue();

    /// @notice A part was paid out.
    event Released(IERC20 indexed token, address indexed to, uint256 amount);

    /// @notice The sum of all shares.
    uint256 public immutable totalShares;
    /// @notice The share of each recipient; zero for everybody else.
    mapping(address account => uint256) public shareOf;
    /// @notice What was paid out of a token.
    mapping(IERC20 token => uint256) public released;
    /// @notice What was paid to each.
    mapping(IERC20 token => mapping(address account => uint256)) public releasedTo;
    address[] private _recipients;

    /// @param recipients_ 1 to 64 different addresses.
    /// @param shares One for each, above zero.
    constructor(address[] memory recipients_, uint32[] memory shares) {
        uint256 count = recipients_.length;
        if (count == 0 || count > MAX_RECIPIENTS || count != shares.length) revert BadRecipients();
        uint256 total = 0;
        for (uint256 i; i < count; ++i) {
            (address one, uint32 part) = (recipients_[i], shares[i]);
            if (one == address(0) || one == address(this) || part == 0 || shareOf[one] != 0) revert BadRecipients();
            shareOf[one] = part;
            total += part;
        }
        (totalShares, _recipients) = (total, recipients_);
    }

    /// @notice Takes this splitter's credit out of a vault. Anybody may call it.
    function collect(IPieceworkVault vault) external returns (uint256 amount) {
        return vault.claimCredit(address(this));
    }

    /// @notice Pays a recipient what is due to it. Anybody may call it.
    function release(IERC20 token, address to) external returns (uint256 amount) {
        amount = due(token, to);
        // Nothing is paid where nothing is due, and nothing else depends on it.
        // slither-disable-next-line incorrect-equality
        if (amount == 0) revert NothingDue();
        released[token] += amount;
        releasedTo[token][to] += amount;
        emit Released(token, to, amount);
        token.safeTransfer(to, amount);
    }

    /// @notice What a recipient can take now.
    function due(IERC20 token, address to) public view returns (uint256) {
        uint256 part = shareOf[to];
        if (part == 0) revert NotARecipient(to);
        uint256 all = token.balanceOf(address(this)) + released[token];
        uint256 its = all * part / totalShares;
        uint256 paid = releasedTo[token][to];
        return its > paid ? its - paid : 0;
    }

    /// @notice Who receives, in the order of the deployment.
    function recipients() external view returns (address[] memory) {
        return _recipients;
    }
}
