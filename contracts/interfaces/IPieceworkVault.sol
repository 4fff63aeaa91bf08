// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title The Piecework vault
/// @notice Holds deposits of one ERC-20 token. A buyer ("owner") deposits once per session key. The key signs vouchers
/// off-chain, each exclusive to a numbered slice of the deposit. The seller that a voucher names ("payee") redeems it
/// when that is worth the gas. There is no owner of the vault, no upgrade and no pause.
///
/// Words. *Account*: `keccak256(abi.encode(owner, key))`. *Serial*: the balance is cut into tranches of `tranche`
/// token units numbered by serials; those below `bound = consumed + balance / tranche` are covered. *Voucher*: a
/// promise of the range `[first, first + count)` to one payee, `base` owed at once and `unit` more per revealed step
/// of the hash chain whose root it names. `base` and `unit` count 2^-24 token units.
///
/// WARNING: the token must be an ordinary one. A token that moves balances by itself (rebasing), takes a fee on the way
/// out, or can freeze the vault's address breaks payouts; the vault refuses a fee on the way in.
interface IPieceworkVault {
    // ------------------------------------------------------------------------------------------------- structs

    /// @notice One deposit. Two storage slots.
    /// @dev A withdrawn account keeps `known`, `consumed` and `exitAt`, and has `tranche == 0`: nothing is covered.
    struct Account {
        uint112 balance; // token units not yet paid out
        uint96 tranche; // token units per serial; 0: unknown or withdrawn
        uint40 consumed; // serials spent, serial 0 included
        bool known; // ever opened; an id is never reused
        uint112 bond; // token units burned when the key promises a serial to two payees
        uint48 exitAt; // seconds; from here on the owner may withdraw; 0: not exiting
    }

    /// @notice A promise that a session key signs (EIP-712, in this field order).
    struct Voucher {
        address owner;
        address payee;
        uint32 first;
        uint16 count; // 1 to 256, and the range stays inside one word of 256 serials
        bytes32 content; // registry id of the title, or zero
        uint96 base; // owed at step 0, in 2^-24 token units
        uint96 unit; // owed per step, in 2^-24 token units
        uint16 steps; // length of the chain, at most 256
        bytes32 root; // w_0, where w_(i-1) = keccak256(w_i)
        bytes32 luck; // zero, or keccak256 of the payee's secret salt: a lottery voucher
    }

    /// @notice A voucher to redeem, its signature, and the furthest link of its chain.
    /// @dev Neither root nor session key is named: the root is walked back from `w`, the key is recovered. A wrong
    /// value therefore leads to an account that does not exist.
    struct Claim {
        address owner;
        uint32 first;
        uint16 count;
        bytes32 content;
        uint96 base;
        uint96 unit;
        uint16 steps;
        uint16 k; // the step of `w`
        bytes32 w; // w_k; the root itself when k is 0
        bytes32 salt; // zero, or the secret behind `luck`
        bytes32 r;
        bytes32 vs; // EIP-2098, low s
    }

    /// @notice An EIP-2612 signature over the exact deposit. `deadline` 0: none is given.
    struct Permit {
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    // -------------------------------------------------------------------------------------------------- errors

    /// @notice The constructor's token has no code.
    error NotAToken(address token);
    /// @notice The constructor's exit delay is outside one hour to thirty days.
    error BadExitDelay(uint256 exitDelay);
    /// @notice The sink is zero, or tokens would go to zero or to the vault itself.
    error BadRecipient(address to);
    /// @notice The zero address cannot be a session key.
    error BadKey();
    /// @notice A tranche of zero token units cannot be cut.
    error BadTranche();
    /// @notice This owner has used this session key before; make a fresh one.
    error AccountExists(bytes32 id);
    /// @notice The account was never opened, or was withdrawn.
    error NoSuchAccount(bytes32 id);
    /// @notice The account is on its way out; exit is final.
    error AlreadyExiting(bytes32 id, uint48 exitAt);
    /// @notice Call `exit` first.
    error NotExiting(bytes32 id);
    /// @notice The exit delay still runs.
    error TooEarly(uint48 exitAt);
    /// @notice A deposit of nothing.
    error NothingDeposited();
    /// @notice The vault received another sum than was to be deposited: a fee-on-transfer token.
    error WrongDeposit(uint256 expected, uint256 received);
    /// @notice Nothing in this call pays.
    error NothingDue();
    /// @notice A batch takes at most `MAX_CLAIMS` claims.
    error TooManyClaims(uint256 count);
    /// @notice The payee's signature is past its deadline.
    error Expired(uint256 deadline);
    /// @notice The payee has not signed the redemption for this relayer, these claims, this vault and chain.
    error BadSignature();
    /// @notice The fee is more than the sum after royalties.
    error FeeTooHigh(uint256 fee, uint256 available);
    /// @notice The two vouchers do not prove one serial promised to two payees by one account.
    error NotConflicting();
    /// @notice There is no bond to burn.
    error NoBond(bytes32 id);

    // -------------------------------------------------------------------------------------------------- events

    event Opened(
        bytes32 indexed id, address indexed owner, address indexed key, uint96 tranche, uint112 amount, uint112 bond
    );
    event ToppedUp(bytes32 indexed id, uint112 amount, uint112 bond);
    event Exiting(bytes32 indexed id, uint48 at);
    event Withdrawn(bytes32 indexed id, uint256 amount);

    /// @notice One claim was paid: `gross` token units, of which `cut` went to the title's creator.
    /// @dev `packed = first << 224 | count << 208 | steps << 192 | base << 96 | unit`. With the other fields this is
    /// the whole signed voucher, so that a conflicting one can be proven from logs alone.
    event Redeemed(
        bytes32 indexed id,
        address indexed payee,
        address indexed owner,
        uint256 packed,
        bytes32 content,
        bytes32 root,
        bytes32 luck,
        bytes32 r,
        bytes32 vs,
        uint256 gross,
        uint256 cut
    );

    /// @notice Claim `index` of the batch did not pay. Reasons: 1 range, 2 k or steps, 3 signature, 4 no such account
    /// (wrong signer, preimage, payee, salt, chain or vault), 5 not covered, 6 consumed, 7 nothing due, 8 lottery lost.
    event Skipped(uint256 index, uint8 reason);
    event Slashed(bytes32 indexed id, address indexed reporter, uint256 burned, uint256 bounty);

    // ------------------------------------------------------------------------------------- deposits of an owner

    /// @notice Opens the caller's account for a fresh session key. Serial 0 is consumed here.
    /// @dev A permit that fails is ignored and the allowance used: anybody may have submitted the same permit first.
    /// WARNING: `bond` is lost if the key ever signs one serial to two payees, by mistake too (a restored backup, a key
    /// on two devices). WARNING: `key` and `tranche` are fixed for the account's life.
    /// @param key Address of the session key.
    /// @param tranche Token units per serial.
    /// @param amount Token units that vouchers can spend; `amount / tranche` serials.
    /// @param bond Token units of collateral.
    /// @return id The account.
    function open(address key, uint96 tranche, uint112 amount, uint112 bond, Permit calldata permit)
        external
        returns (bytes32 id);

    /// @notice Opens `owner`'s account with its EIP-3009 authorization; anybody may send it.
    /// @dev The owner signs `ReceiveWithAuthorization(from = owner, to = this vault, value = amount + bond,
    /// validAfter = 0, validBefore, nonce = keccak256(abi.encode(key, tranche, amount, bond)))` for the token, so a
    /// relayer can change nothing.
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
    ) external returns (bytes32 id);

    /// @notice Adds to the caller's own account. Not to another's, because a stranger could spoil its bond ratio.
    /// @dev WARNING: after a slash, evidence stays valid; a new bond on the same account can be slashed again.
    function topUp(address key, uint112 amount, uint112 bond, Permit calldata permit) external;

    /// @notice Starts the exit of the caller's account. It cannot be cancelled.
    /// @dev WARNING to payees: redeem before the event's `at`; vouchers pay until the withdrawal executes, no longer.
    function exit(address key) external;

    /// @notice After the delay, sends balance and bond to `to`. The account's id is dead for ever.
    function withdraw(address key, address to) external;

    // ------------------------------------------------------------------------------------ payouts to a payee

    /// @notice Redeems vouchers made out to the caller and sends the sum to `to`.
    /// @dev Each claim is paid or skipped on its own; a claim consumes its whole range, once, whatever it pays.
    /// WARNING: redeem a live range last: later steps of it are worth nothing.
    ///
    /// Lottery: a voucher with `luck = keccak256(abi.encode(salt))`, `salt` the payee's secret and never zero, pays
    /// nothing for `base`. Each step k >= 1 is a ticket, and wins the whole range if
    /// `keccak256(abi.encode(w_k, salt)) mod (count * tranche << 24) < unit`, so with probability unit / (count *
    /// tranche). The payee commits to salt before it sees the root; the payer commits to the chain without the salt;
    /// so neither foresees a ticket. A lost ticket is skipped (8) and consumes nothing; claim with the k that won.
    /// WARNING: a salt is 32 random bytes and serves one range: once it is public, a payer can choose losing chains.
    /// @return net Token units sent to `to`.
    function redeem(Claim[] calldata claims, address to) external returns (uint256 net);

    /// @notice As `redeem`, for a payee that signed
    /// `Redeem(bytes32 claims,address to,address relayer,uint256 fee,uint256 deadline)` with
    /// `claims = keccak256(abi.encode(cs))` and `relayer` the caller. The vault credits `fee` to the caller.
    /// @dev WARNING: until the deadline the same relayer may send it again. Claims that were skipped before may pay
    /// then, less the fee again.
    function redeemFor(
        address payee,
        Claim[] calldata claims,
        address to,
        uint256 fee,
        uint256 deadline,
        bytes32 r,
        bytes32 vs
    ) external returns (uint256 net);

    /// @notice Sends the caller's credit (royalties, fees, bounties, the sink's share) to `to`.
    function claimCredit(address to) external returns (uint256 amount);

    // -------------------------------------------------------------------------------------------- double promises

    /// @notice Burns the bond of an account whose key signed one serial to two payees: a tenth is credited to the
    /// caller, the rest to the sink. Works until the withdrawal; the balance stays for honest payees.
    /// @dev WARNING: a sink that the slashed owner controls makes the bond worthless; choose a burn address.
    function slash(Voucher calldata x, bytes32 rx, bytes32 vx, Voucher calldata y, bytes32 ry, bytes32 vy) external;

    // ------------------------------------------------------------------------------------------------------ views

    /// @notice All that a payee checks about a range, in one consistent read.
    /// @dev `tranche` is 0 for an account that is unknown or withdrawn: do not divide by it.
    /// @param id The account.
    /// @param word The group of 256 serials: `serial >> 8`.
    /// @return balance Token units not yet paid out.
    /// @return tranche Token units per serial.
    /// @return consumed Serials spent.
    /// @return known Whether the account was ever opened.
    /// @return bond Token units of collateral.
    /// @return exitAt Seconds, or 0.
    /// @return spentWord Bit `serial & 255` is set when the serial is consumed.
    /// @return chainId The chain this was read from.
    /// @return blockNumber Its block (on some rollups, that of the chain below).
    /// @return timestamp Its time, in seconds.
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
        );

    /// @notice The token of every deposit here.
    function token() external view returns (IERC20);
    /// @notice The registry asked for royalties; zero: none.
    function registry() external view returns (address);
    /// @notice The address that is credited nine tenths of a slashed bond.
    function sink() external view returns (address);
    /// @notice Seconds between `exit` and `withdraw`.
    function exitDelay() external view returns (uint256);
    /// @notice Token units that `account` can claim.
    function credit(address account) external view returns (uint256);
}
