// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {RoyaltyLib} from "../libraries/RoyaltyLib.sol";
import {Skip} from "../libraries/Skip.sol";
import {VoucherLib} from "../libraries/VoucherLib.sol";

/// @title The Piecework vault
/// @dev Invariant: the token balance is at least the sum of all balances, bonds and credits. All serials below `bound`
/// that are not spent number exactly `balance / tranche`, so every covered claim with clear bits can be paid in full.
/// Effects come before calls of the token; every state change is under the one lock.
contract PieceworkVault is IPieceworkVault, EIP712, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice Claims in one batch.
    uint256 public constant MAX_CLAIMS = 128;
    uint256 private constant BOUNTY_SHARE = 10; // one part in ten

    /// @inheritdoc IPieceworkVault
    IERC20 public immutable token;
    /// @inheritdoc IPieceworkVault
    address public immutable registry;
    /// @inheritdoc IPieceworkVault
    address public immutable sink;
    /// @inheritdoc IPieceworkVault
    uint256 public immutable exitDelay;

    /// @inheritdoc IPieceworkVault
    mapping(address account => uint256) public credit;
    mapping(bytes32 id => Account) private _accounts;
    mapping(bytes32 id => mapping(uint256 word => uint256)) private _spent;

    /// @param token_ The one token of this vault.
    /// @param registry_ An IRegistry, or zero for no royalties.
    /// @param sink_ Credited the burned part of bonds; an address whose key nobody holds burns it.
    /// @param exitDelay_ Seconds that payees have to redeem after an exit starts: one hour to thirty days.
    // Zero is a valid registry: none.
    // slither-disable-next-line missing-zero-check
    constructor(IERC20 token_, address registry_, address sink_, uint256 exitDelay_) EIP712("PieceworkVault", "1") {
        if (address(token_).code.length == 0) revert NotAToken(address(token_));
        if (sink_ == address(0)) revert BadRecipient(sink_);
        if (exitDelay_ < 1 hours || exitDelay_ > 30 days) revert BadExitDelay(exitDelay_);
        (token, registry, sink, exitDelay) = (token_, registry_, sink_, exitDelay_);
    }

    // ------------------------------------------------------------------------------------- deposits of an owner

    /// @inheritdoc IPieceworkVault
    function open(address key, uint96 tranche, uint112 amount, uint112 bond, Permit calldata permit)
        external
        nonReentrant
        returns (bytes32 id)
    {
        id = _open(msg.sender, key, tranche, amount, bond);
        _pull(uint256(amount) + bond, permit);
    }

    /// @inheritdoc IPieceworkVault
    function openWithAuthorization(
        address owner,
        address key,
        uint96 tranche,
        uint112 amount,
        uint112 bond,
        uint256 validBefore,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant returns (bytes32 id) {
        id = _open(owner, key, tranche, amount, bond);
        bytes32 nonce = keccak256(abi.encode(key, tranche, amount, bond));
        uint256 total = uint256(amount) + bond;
        uint256 before = _holdings(total);
        IERC3009(address(token)).receiveWithAuthorization(owner, address(this), total, 0, validBefore, nonce, v, r, s);
        _checkReceived(before, total);
    }

    /// @inheritdoc IPieceworkVault
    function topUp(address key, uint112 amount, uint112 bond, Permit calldata permit) external nonReentrant {
        (bytes32 id, Account storage a) = _ownAccount(key);
        if (a.exitAt != 0) revert AlreadyExiting(id, a.exitAt);
        a.balance += amount;
        a.bond += bond;
        emit ToppedUp(id, amount, bond);
        _pull(uint256(amount) + bond, permit);
    }

    /// @inheritdoc IPieceworkVault
    function exit(address key) external nonReentrant {
        (bytes32 id, Account storage a) = _ownAccount(key);
        if (a.exitAt != 0) revert AlreadyExiting(id, a.exitAt);
        uint48 at = uint48(block.timestamp + exitDelay);
        a.exitAt = at;
        emit Exiting(id, at);
    }

    /// @inheritdoc IPieceworkVault
    function withdraw(address key, address to) external nonReentrant {
        (bytes32 id, Account storage a) = _ownAccount(key);
        if (a.exitAt == 0) revert NotExiting(id);
        if (block.timestamp < a.exitAt) revert TooEarly(a.exitAt);
        uint256 amount = uint256(a.balance) + a.bond;
        (a.balance, a.tranche, a.bond) = (0, 0, 0); // tranche 0: nothing is covered any more
        emit Withdrawn(id, amount);
        _send(to, amount);
    }

    // --------------------------------------------------------------------------------------- payouts to a payee

    /// @inheritdoc IPieceworkVault
    function redeem(Claim[] calldata claims, address to) external nonReentrant returns (uint256 net) {
        net = _redeem(msg.sender, claims);
        _send(to, net);
    }

    /// @inheritdoc IPieceworkVault
    function redeemFor(
        address payee,
        Claim[] calldata claims,
        address to,
        uint256 fee,
        uint256 deadline,
        bytes32 r,
        bytes32 vs
    ) external nonReentrant returns (uint256 net) {
        if (block.timestamp > deadline) revert Expired(deadline);
        bytes32 hash = VoucherLib.hashClaims(claims);
        address signer = _signer(
            _hashTypedDataV4(keccak256(abi.encode(VoucherLib.REDEEM_TYPEHASH, hash, to, msg.sender, fee, deadline))),
            r,
            vs
        );
        if (signer == address(0) || signer != payee) revert BadSignature();
        net = _redeem(payee, claims);
        if (fee > net) revert FeeTooHigh(fee, net);
        net -= fee;
        if (fee != 0) credit[msg.sender] += fee;
        _send(to, net);
    }

    /// @inheritdoc IPieceworkVault
    function claimCredit(address to) external nonReentrant returns (uint256 amount) {
        amount = credit[msg.sender];
        if (amount == 0) revert NothingDue();
        credit[msg.sender] = 0;
        _send(to, amount);
    }

    // ------------------------------------------------------------------------------------------ double promises

    /// @inheritdoc IPieceworkVault
    function slash(Voucher calldata x, bytes32 rx, bytes32 vx, Voucher calldata y, bytes32 ry, bytes32 vy)
        external
        nonReentrant
    {
        if (
            x.owner != y.owner || x.payee == y.payee || !VoucherLib.isRange(x.first, x.count)
                || !VoucherLib.isRange(y.first, y.count) || !VoucherLib.overlap(x.first, x.count, y.first, y.count)
        ) revert NotConflicting();
        address key = _signer(_hashTypedDataV4(VoucherLib.structHash(x)), rx, vx);
        if (key == address(0) || key != _signer(_hashTypedDataV4(VoucherLib.structHash(y)), ry, vy)) {
            revert NotConflicting();
        }
        bytes32 id = _id(x.owner, key);
        Account storage a = _accounts[id];
        uint256 bond = a.bond;
        if (bond == 0) revert NoBond(id);
        a.bond = 0;
        uint256 bounty = bond / BOUNTY_SHARE;
        if (bounty != 0) credit[msg.sender] += bounty;
        credit[sink] += bond - bounty;
        emit Slashed(id, msg.sender, bond - bounty, bounty);
    }

    // ---------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IPieceworkVault
    function state(bytes32 id, uint256 word)
        external
        view
        returns (
            uint112 balance,
            uint96 tranche,
            uint40 consumed,
            bool known,
            uint112 bond,
            uint48 exitAt,
            uint256 spentWord,
            uint256 chainId,
            uint256 blockNumber,
            uint256 timestamp
        )
    {
        Account storage a = _accounts[id];
        (balance, tranche, consumed, known) = (a.balance, a.tranche, a.consumed, a.known);
        (bond, exitAt, spentWord) = (a.bond, a.exitAt, _spent[id][word]);
        (chainId, blockNumber, timestamp) = (block.chainid, block.number, block.timestamp);
    }

    // --------------------------------------------------------------------------------------------------- inside

    function _id(address owner, address key) private pure returns (bytes32) {
        return keccak256(abi.encode(owner, key));
    }

    /// @dev The caller's account, opened and not withdrawn.
    function _ownAccount(address key) private view returns (bytes32 id, Account storage a) {
        id = _id(msg.sender, key);
        a = _accounts[id];
        if (a.tranche == 0) revert NoSuchAccount(id);
    }

    /// @dev Serial 0 is consumed here, so that the payer and not its first payee pays for the bitmap's slot.
    function _open(address owner, address key, uint96 tranche, uint112 amount, uint112 bond)
        private
        returns (bytes32 id)
    {
        if (key == address(0)) revert BadKey();
        if (tranche == 0) revert BadTranche();
        id = _id(owner, key);
        if (_accounts[id].known) revert AccountExists(id);
        _accounts[id] = Account({balance: amount, tranche: tranche, consumed: 1, known: true, bond: bond, exitAt: 0});
        _spent[id][0] = 1;
        emit Opened(id, owner, key, tranche, amount, bond);
    }

    /// @dev Pays or skips each claim; no content of a claim makes it revert.
    function _redeem(address payee, Claim[] calldata claims) private returns (uint256 net) {
        if (claims.length > MAX_CLAIMS) revert TooManyClaims(claims.length);
        bool paid = false;
        for (uint256 i; i < claims.length; ++i) {
            (uint8 reason, uint256 gross, uint256 cut) = _redeemOne(payee, claims[i]);
            if (reason == Skip.PAID) {
                paid = true;
                net += gross - cut;
            } else {
                emit Skipped(i, reason);
            }
        }
        if (!paid) revert NothingDue();
    }

    function _redeemOne(address payee, Claim calldata c) private returns (uint8 reason, uint256 gross, uint256 cut) {
        if (!VoucherLib.isRange(c.first, c.count)) return (Skip.RANGE, 0, 0);
        if (c.k > c.steps || c.steps > VoucherLib.MAX_STEPS) return (Skip.STEP, 0, 0);
        Voucher memory v = Voucher({
            owner: c.owner,
            payee: payee,
            first: c.first,
            count: c.count,
            content: c.content,
            base: c.base,
            unit: c.unit,
            steps: c.steps,
            root: VoucherLib.walk(c.w, c.k),
            luck: VoucherLib.luckOf(c.salt)
        });
        address key = _signer(_hashTypedDataV4(VoucherLib.structHash(v)), c.r, c.vs);
        if (key == address(0)) return (Skip.SIGNATURE, 0, 0);
        bytes32 id = _id(v.owner, key);
        (reason, gross) = _spend(id, v, c);
        if (reason != Skip.PAID) return (reason, 0, 0);
        address creator;
        (creator, cut) = RoyaltyLib.cutOf(registry, v.content, gross);
        if (cut != 0) credit[creator] += cut;
        _emitRedeemed(id, v, c, gross, cut);
    }

    /// @dev Takes the range's serials and their worth out of the account.
    function _spend(bytes32 id, Voucher memory v, Claim calldata c) private returns (uint8 reason, uint256 gross) {
        Account storage a = _accounts[id];
        (uint256 balance, uint256 tranche, uint256 consumed, bool known) = (a.balance, a.tranche, a.consumed, a.known);
        if (!known) return (Skip.NO_ACCOUNT, 0);
        if (tranche == 0 || uint256(v.first) + v.count > consumed + balance / tranche) return (Skip.NOT_COVERED, 0);
        uint256 bits = VoucherLib.mask(v.first, v.count);
        uint256 spent = _spent[id][v.first >> 8];
        if (spent & bits != 0) return (Skip.CONSUMED, 0);
        uint256 cap = tranche * v.count;
        if (v.luck == 0) {
            gross = VoucherLib.due(v.base, v.unit, c.k, cap);
        } else if (c.k != 0) {
            if (!VoucherLib.wins(c.w, c.salt, v.unit, cap)) return (Skip.LOTTERY_LOST, 0);
            gross = cap;
        }
        if (gross == 0) return (Skip.NOTHING_DUE, 0);
        _spent[id][v.first >> 8] = spent | bits;
        // gross <= cap <= balance, because the range is covered and its bits are clear.
        (a.balance, a.consumed) = (uint112(balance - gross), uint40(consumed + v.count));
    }

    function _emitRedeemed(bytes32 id, Voucher memory v, Claim calldata c, uint256 gross, uint256 cut) private {
        uint256 packed = (uint256(v.first) << 224) | (uint256(v.count) << 208) | (uint256(v.steps) << 192)
            | (uint256(v.base) << 96) | v.unit;
        emit Redeemed(id, v.payee, v.owner, packed, v.content, v.root, v.luck, c.r, c.vs, gross, cut);
    }

    /// @dev Zero for any signature that is not a canonical one.
    function _signer(bytes32 digest, bytes32 r, bytes32 vs) private pure returns (address signer) {
        // Why it is no signature is nobody's business: the signer is zero then.
        // slither-disable-next-line unused-return
        (signer,,) = ECDSA.tryRecover(digest, r, vs);
    }

    /// @dev Takes `total` from the caller, after its permit if it gave one.
    function _pull(uint256 total, Permit calldata p) private {
        uint256 before = _holdings(total);
        if (p.deadline != 0) {
            // Anybody may have submitted the same permit first: the transfer counts.
            try IERC20Permit(address(token)).permit(msg.sender, address(this), total, p.deadline, p.v, p.r, p.s) {}
                catch {}
        }
        token.safeTransferFrom(msg.sender, address(this), total);
        _checkReceived(before, total);
    }

    function _holdings(uint256 total) private view returns (uint256) {
        if (total == 0) revert NothingDeposited();
        return token.balanceOf(address(this));
    }

    /// @dev Compares balances, so that neither a fee nor a call that did nothing counts as a deposit.
    function _checkReceived(uint256 before, uint256 total) private view {
        uint256 received = token.balanceOf(address(this)) - before;
        if (received != total) revert WrongDeposit(total, received);
    }

    function _send(address to, uint256 amount) private {
        if (to == address(0) || to == address(this)) revert BadRecipient(to);
        if (amount != 0) token.safeTransfer(to, amount);
    }
}
