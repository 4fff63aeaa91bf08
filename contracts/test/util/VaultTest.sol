// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {DemoToken} from "../../src/DemoToken.sol";
import {IPieceworkVault} from "../../interfaces/IPieceworkVault.sol";
import {PlainRegistry} from "./Doubles.sol";
import {Vm} from "./Vm.sol";

/// @dev A vault on a demo token, people with keys, and the signatures of a wallet and a session key. Digests are
/// written out here again, field by field, and not taken from the contract.
abstract contract VaultTest {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 internal constant OWNER_KEY = 0x0a11ce;
    uint256 internal constant SESSION_KEY = 0x5e5510;
    uint256 internal constant OTHER_SESSION_KEY = 0x5e5511;
    uint256 internal constant PAYEE_KEY = 0x9a1ee0;
    uint256 internal constant OTHER_PAYEE_KEY = 0x9a1ee1;
    address internal constant SINK = 0x000000000000000000000000000000000000dEaD;
    address internal constant STRANGER = address(0x5774);
    address internal constant RELAYER = address(0x7e1a);
    address internal constant PURSE = address(0x9045e);

    uint96 internal constant Q = 10_000;
    uint112 internal constant AMOUNT = 200 * uint112(Q);
    uint112 internal constant BOND = 250 * uint112(Q);
    uint256 internal constant EXIT_DELAY = 72 hours;
    /// @dev 39 token units a step: 256 steps fit into one serial.
    uint96 internal constant UNIT = 39 << 24;
    uint16 internal constant STEPS = 256;
    bytes32 internal constant TIP = keccak256("the last link of a chain");
    /// @dev Half the curve's order: the highest s that counts as low.
    uint256 internal constant HALF_N = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    DemoToken internal token;
    PlainRegistry internal registry;
    IPieceworkVault internal vault;
    address internal owner = vm.addr(OWNER_KEY);
    address internal session = vm.addr(SESSION_KEY);
    address internal payee = vm.addr(PAYEE_KEY);
    address internal otherPayee = vm.addr(OTHER_PAYEE_KEY);

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        token = new DemoToken();
        registry = new PlainRegistry();
        vault = deployVault(address(token), address(registry), SINK, EXIT_DELAY);
    }

    // ------------------------------------------------------------------------------------------------- set-up

    /// @dev From the artifact, so that tests need not be compiled through the contract's own pipeline.
    function deployVault(address token_, address registry_, address sink_, uint256 exitDelay_)
        internal
        returns (IPieceworkVault made)
    {
        bytes memory code = bytes.concat(
            vm.getCode("PieceworkVault.sol:PieceworkVault"), abi.encode(token_, registry_, sink_, exitDelay_)
        );
        assembly {
            made := create(0, add(code, 0x20), mload(code))
            if iszero(made) {
                returndatacopy(code, 0, returndatasize())
                revert(code, returndatasize())
            }
        }
    }

    function noPermit() internal pure returns (IPieceworkVault.Permit memory p) {}

    /// @dev The usual account of the usual owner.
    function openUsual() internal returns (bytes32 id) {
        return openAccount(owner, session, Q, AMOUNT, BOND);
    }

    function openAccount(address owner_, address key, uint96 tranche, uint112 amount, uint112 bond)
        internal
        returns (bytes32 id)
    {
        uint256 total = uint256(amount) + bond;
        token.mint(owner_, total);
        vm.startPrank(owner_);
        token.approve(address(vault), total);
        id = vault.open(key, tranche, amount, bond, noPermit());
        vm.stopPrank();
    }

    /// @dev Exits the usual account and lets the delay pass.
    function exitUsual() internal {
        vm.prank(owner);
        vault.exit(session);
        vm.warp(nowSeconds() + EXIT_DELAY);
    }

    // ------------------------------------------------------------------------------------------------ signing

    function chain(bytes32 tip, uint256 links) internal pure returns (bytes32 w) {
        w = tip;
        for (uint256 i; i < links; ++i) {
            w = keccak256(abi.encode(w));
        }
    }

    function domainSeparator(string memory name, address verifier) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256(bytes(name)),
                keccak256("1"),
                block.chainid,
                verifier
            )
        );
    }

    function digestOf(string memory name, address verifier, bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domainSeparator(name, verifier), structHash));
    }

    function voucherDigest(IPieceworkVault.Voucher memory v) internal view returns (bytes32) {
        bytes memory head = abi.encode(
            keccak256(
                "Voucher(address owner,address payee,uint32 first,uint16 count,bytes32 content,uint96 base,uint96 unit,uint16 steps,bytes32 root,bytes32 luck)"
            ),
            v.owner,
            v.payee,
            v.first,
            v.count
        );
        bytes memory rest = abi.encode(v.content, v.base, v.unit, v.steps, v.root, v.luck);
        return digestOf("PieceworkVault", address(vault), keccak256(bytes.concat(head, rest)));
    }

    function signVoucher(uint256 key, IPieceworkVault.Voucher memory v) internal view returns (bytes32 r, bytes32 vs) {
        return vm.signCompact(key, voucherDigest(v));
    }

    /// @dev A voucher of the usual account: UNIT a step, STEPS steps down from TIP.
    function voucherTo(address payee_, uint32 first, uint16 count)
        internal
        view
        returns (IPieceworkVault.Voucher memory)
    {
        return IPieceworkVault.Voucher({
            owner: owner,
            payee: payee_,
            first: first,
            count: count,
            content: 0,
            base: 0,
            unit: UNIT,
            steps: STEPS,
            root: chain(TIP, STEPS),
            luck: 0
        });
    }

    function claimOf(IPieceworkVault.Voucher memory v, uint16 k, bytes32 w, bytes32 salt, uint256 key)
        internal
        view
        returns (IPieceworkVault.Claim memory)
    {
        (bytes32 r, bytes32 vs) = signVoucher(key, v);
        return IPieceworkVault.Claim({
            owner: v.owner,
            first: v.first,
            count: v.count,
            content: v.content,
            base: v.base,
            unit: v.unit,
            steps: v.steps,
            k: k,
            w: w,
            salt: salt,
            r: r,
            vs: vs
        });
    }

    /// @dev The claim of step k on `v`, whose chain ends in TIP, signed by the usual session key.
    function claimAt(IPieceworkVault.Voucher memory v, uint16 k) internal view returns (IPieceworkVault.Claim memory) {
        return claimOf(v, k, chain(TIP, v.steps - k), 0, SESSION_KEY);
    }

    /// @dev A good claim of the usual payee on serials of the usual account.
    function goodClaim(uint32 first, uint16 count, uint16 k) internal view returns (IPieceworkVault.Claim memory) {
        return claimAt(voucherTo(payee, first, count), k);
    }

    function one(IPieceworkVault.Claim memory c) internal pure returns (IPieceworkVault.Claim[] memory cs) {
        cs = new IPieceworkVault.Claim[](1);
        cs[0] = c;
    }

    function two(IPieceworkVault.Claim memory a, IPieceworkVault.Claim memory b)
        internal
        pure
        returns (IPieceworkVault.Claim[] memory cs)
    {
        cs = new IPieceworkVault.Claim[](2);
        (cs[0], cs[1]) = (a, b);
    }

    function redeemDigest(IPieceworkVault.Claim[] memory cs, address to, address relayer, uint256 fee, uint256 deadline)
        internal
        view
        returns (bytes32)
    {
        return digestOf(
            "PieceworkVault",
            address(vault),
            keccak256(
                abi.encode(
                    keccak256("Redeem(bytes32 claims,address to,address relayer,uint256 fee,uint256 deadline)"),
                    keccak256(abi.encode(cs)),
                    to,
                    relayer,
                    fee,
                    deadline
                )
            )
        );
    }

    function signPermit(uint256 key, uint256 value, uint256 nonce, uint256 deadline)
        internal
        view
        returns (IPieceworkVault.Permit memory p)
    {
        p.deadline = deadline;
        (p.v, p.r, p.s) = vm.sign(
            key,
            digestOf(
                "Piecework Demo Dollar",
                address(token),
                keccak256(
                    abi.encode(
                        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                        vm.addr(key),
                        address(vault),
                        value,
                        nonce,
                        deadline
                    )
                )
            )
        );
    }

    // --------------------------------------------------------------------------------------------- redemptions

    function redeemAs(address payee_, IPieceworkVault.Claim[] memory cs, address to) internal returns (uint256 net) {
        vm.prank(payee_);
        return vault.redeem(cs, to);
    }

    /// @dev Redeems `bad` next to a good claim on `goodFirst`, and expects that exactly `bad` is skipped.
    function expectSkip(IPieceworkVault.Claim memory bad, uint8 reason, uint32 goodFirst) internal {
        IPieceworkVault.Claim memory good = goodClaim(goodFirst, 1, 100);
        vm.recordLogs();
        uint256 net = redeemAs(payee, two(bad, good), PURSE);
        (uint256 skips, uint256 index, uint256 why) = lastSkip();
        vm.assertEq(net, 3900, "the good claim pays");
        vm.assertEq(skips, 1, "one claim is skipped");
        vm.assertEq(index, 0, "the first");
        vm.assertEq(why, reason, "reason");
    }

    function lastSkip() internal returns (uint256 skips, uint256 index, uint256 reason) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter == address(vault) && logs[i].topics[0] == IPieceworkVault.Skipped.selector) {
                ++skips;
                (index, reason) = abi.decode(logs[i].data, (uint256, uint256));
            }
        }
    }

    // --------------------------------------------------------------------------------------------------- reads

    /// @dev Not `block.timestamp`: the optimizer may read that once per call, before a warp.
    function nowSeconds() internal view returns (uint256) {
        return vm.getBlockTimestamp();
    }

    function accountId(address owner_, address key) internal pure returns (bytes32) {
        return keccak256(abi.encode(owner_, key));
    }

    function account(bytes32 id) internal view returns (IPieceworkVault.Account memory a) {
        (a.balance, a.tranche, a.consumed, a.known, a.bond, a.exitAt,,,,) = vault.state(id, 0);
    }

    function spentWord(bytes32 id, uint256 word) internal view returns (uint256 spent) {
        (,,,,,, spent,,,) = vault.state(id, word);
    }

    function boundOf(bytes32 id) internal view returns (uint256) {
        IPieceworkVault.Account memory a = account(id);
        return a.tranche == 0 ? 0 : uint256(a.consumed) + a.balance / a.tranche;
    }

    function popcount(uint256 x) internal pure returns (uint256 n) {
        for (; x != 0; x &= x - 1) {
            ++n;
        }
    }

    function bound(uint256 x, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + x % (high - low + 1);
    }
}
