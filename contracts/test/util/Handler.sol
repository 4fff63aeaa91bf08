// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {DemoToken} from "../../src/DemoToken.sol";
import {IPieceworkVault} from "../../interfaces/IPieceworkVault.sol";
import {PlainRegistry} from "./Doubles.sol";
import {VaultTest} from "./VaultTest.sol";
import {Vm} from "./Vm.sol";

/// @dev Drives a vault at random, next to a model of it that is written for plainness: a flag per serial, no bitmap,
/// no packing. Every answer of the vault is compared with the model's. Six accounts (two owners, three session keys),
/// three payees, tranches small enough that ranges of several words are covered.
contract Handler is VaultTest {
    struct Model {
        bool known;
        bool live;
        uint256 balance;
        uint256 bond;
        uint256 tranche;
        uint256 consumed;
        uint256 exitAt;
    }

    uint256 public constant ACCOUNTS = 6;
    uint256 public constant WORDS = 12; // no range reaches past these
    uint256 private constant PAYEES = 3;
    bytes32 private constant TITLE = keccak256("titled");
    address public constant CREATOR = address(0xc4ea);
    address[3] public purses = [address(0x9000), address(0x9001), address(0x9002)];

    Model[6] private _models;
    mapping(uint256 account => mapping(uint256 serial => bool)) private _spentSerial;
    mapping(bytes32 id => mapping(uint256 serial => bool)) private _paidSerial;
    uint256[6] private _highestBound;
    // Made once: an address from a key is the slowest thing here.
    address[6] private _owners;
    address[6] private _sessions;
    address[3] private _payees;
    mapping(address => uint256) private _credit;
    uint256 public donated;
    uint256 private _random;

    // Counts of the events, so that a run without any is noticed.
    uint256 public paidClaims;
    uint256 public skippedClaims;
    uint256 public slashes;
    uint256 public withdrawals;

    constructor(DemoToken token_, PlainRegistry registry_, IPieceworkVault vault_) {
        (token, registry, vault) = (token_, registry_, vault_);
        registry.set(TITLE, CREATOR, 777);
        for (uint256 i; i < ACCOUNTS; ++i) {
            (_owners[i], _sessions[i]) = (vm.addr(0x0a11ce + i / 3), vm.addr(sessionKey(i)));
        }
        for (uint256 p; p < PAYEES; ++p) {
            _payees[p] = vm.addr(payeeKey(p));
        }
    }

    // ------------------------------------------------------------------------------------------------- actions

    function open(uint256 seed) external checked(seed) {
        uint256 i = draw(ACCOUNTS);
        uint96 tranche = uint96(50 + draw(200));
        uint112 amount = uint112(draw(600 * uint256(tranche)));
        uint112 bond = uint112(1 + draw(1000));
        address owner_ = _owners[i];
        token.mint(owner_, uint256(amount) + bond);
        vm.prank(owner_);
        token.approve(address(vault), uint256(amount) + bond);
        vm.prank(owner_);
        if (_models[i].known) {
            vm.expectRevert(abi.encodeWithSelector(IPieceworkVault.AccountExists.selector, idOf(i)));
            vault.open(_sessions[i], tranche, amount, bond, noPermit());
        } else {
            vault.open(_sessions[i], tranche, amount, bond, noPermit());
            _models[i] = Model(true, true, amount, bond, tranche, 1, 0);
            _spentSerial[i][0] = true;
        }
    }

    function topUp(uint256 seed) external checked(seed) {
        uint256 i = draw(ACCOUNTS);
        Model storage m = _models[i];
        if (!m.live) return;
        uint112 amount = uint112(draw(20 * m.tranche));
        uint112 bond = uint112(1 + draw(100));
        address owner_ = _owners[i];
        token.mint(owner_, uint256(amount) + bond);
        vm.prank(owner_);
        token.approve(address(vault), uint256(amount) + bond);
        vm.prank(owner_);
        if (m.exitAt != 0) {
            vm.expectPartialRevert(IPieceworkVault.AlreadyExiting.selector);
            vault.topUp(_sessions[i], amount, bond, noPermit());
        } else {
            vault.topUp(_sessions[i], amount, bond, noPermit());
            m.balance += amount;
            m.bond += bond;
        }
    }

    function exit(uint256 seed) external checked(seed) {
        uint256 i = draw(ACCOUNTS);
        Model storage m = _models[i];
        // Rare, because every exit ends an account's life.
        if (!m.live || m.exitAt != 0 || draw(4) != 0) return;
        vm.prank(_owners[i]);
        vault.exit(_sessions[i]);
        m.exitAt = nowSeconds() + vault.exitDelay();
    }

    function withdraw(uint256 seed) external checked(seed) {
        uint256 i = draw(ACCOUNTS);
        Model storage m = _models[i];
        if (!m.live || m.exitAt == 0) return;
        address owner_ = _owners[i];
        uint256 before = token.balanceOf(owner_);
        vm.prank(owner_);
        if (nowSeconds() < m.exitAt) {
            vm.expectPartialRevert(IPieceworkVault.TooEarly.selector);
            vault.withdraw(_sessions[i], owner_);
            return;
        }
        vault.withdraw(_sessions[i], owner_);
        vm.assertEq(token.balanceOf(owner_) - before, m.balance + m.bond, "withdrawn");
        (m.live, m.balance, m.bond, m.tranche) = (false, 0, 0, 0);
        ++withdrawals;
    }

    function pass(uint256 seed) external checked(seed) {
        vm.warp(nowSeconds() + draw(30 hours));
    }

    function donate(uint256 seed) external checked(seed) {
        uint256 amount = draw(1000);
        token.mint(address(vault), amount);
        donated += amount;
    }

    function redeem(uint256 seed) external checked(seed) {
        settle(false);
    }

    function redeemFor(uint256 seed) external checked(seed) {
        settle(true);
    }

    function slash(uint256 seed) external checked(seed) {
        uint256 i = draw(ACCOUNTS);
        Model storage m = _models[i];
        IPieceworkVault.Voucher memory x = randomVoucher(i, draw(PAYEES));
        IPieceworkVault.Voucher memory y = randomVoucher(i, draw(PAYEES));
        bool conflict =
            x.payee != y.payee && x.first < uint256(y.first) + y.count && y.first < uint256(x.first) + x.count;
        (bytes32 rx, bytes32 vx) = signVoucher(sessionKey(i), x);
        (bytes32 ry, bytes32 vy) = signVoucher(sessionKey(i), y);
        vm.prank(STRANGER);
        if (!conflict || m.bond == 0) {
            if (conflict) vm.expectPartialRevert(IPieceworkVault.NoBond.selector);
            else vm.expectRevert(IPieceworkVault.NotConflicting.selector);
            vault.slash(x, rx, vx, y, ry, vy);
            return;
        }
        vault.slash(x, rx, vx, y, ry, vy);
        _credit[STRANGER] += m.bond / 10;
        _credit[SINK] += m.bond - m.bond / 10;
        m.bond = 0;
        ++slashes;
    }

    function claimCredit(uint256 seed) external checked(seed) {
        address who = creditor(draw(4));
        uint256 before = token.balanceOf(who);
        vm.prank(who);
        if (_credit[who] == 0) {
            vm.expectRevert(IPieceworkVault.NothingDue.selector);
            vault.claimCredit(who);
            return;
        }
        vault.claimCredit(who);
        vm.assertEq(token.balanceOf(who) - before, _credit[who], "credit paid");
        _credit[who] = 0;
    }

    /// Somebody with neither an owner's key nor a session key nor a payee's tries everything.
    function intrude(uint256 seed) external checked(seed) {
        uint256 i = draw(ACCOUNTS);
        address key = _sessions[i];
        uint256 thief = 0x7417f;
        vm.startPrank(vm.addr(thief));
        vm.expectPartialRevert(IPieceworkVault.NoSuchAccount.selector);
        vault.topUp(key, 1, 1, noPermit());
        vm.expectPartialRevert(IPieceworkVault.NoSuchAccount.selector);
        vault.exit(key);
        vm.expectPartialRevert(IPieceworkVault.NoSuchAccount.selector);
        vault.withdraw(key, vm.addr(thief));
        vm.expectRevert(IPieceworkVault.NothingDue.selector);
        vault.claimCredit(vm.addr(thief));
        // A voucher that is really signed, for a payee; and one to the thief that it signed itself.
        IPieceworkVault.Voucher memory v = randomVoucher(i, draw(PAYEES));
        address robbed = v.payee;
        IPieceworkVault.Claim memory stolen = claimOf(v, 1, chain(TIP, v.steps - 1), 0, sessionKey(i));
        v.payee = vm.addr(thief);
        IPieceworkVault.Claim[] memory cs = two(stolen, claimOf(v, 1, chain(TIP, v.steps - 1), 0, thief));
        vm.expectRevert(IPieceworkVault.NothingDue.selector);
        vault.redeem(cs, vm.addr(thief));
        uint256 deadline = nowSeconds();
        (bytes32 r, bytes32 vs) = vm.signCompact(thief, redeemDigest(cs, vm.addr(thief), vm.addr(thief), 0, deadline));
        vm.expectRevert(IPieceworkVault.BadSignature.selector);
        vault.redeemFor(robbed, cs, vm.addr(thief), 0, deadline, r, vs);
        vm.stopPrank();
        vm.assertEq(token.balanceOf(vm.addr(thief)), 0, "a thief has nothing");
    }

    // ---------------------------------------------------------------------------------------------- redemption

    /// A batch of good, bad and doubtful claims of one payee, redeemed by itself or by a relayer.
    function settle(bool relayed) private {
        uint256 p = draw(PAYEES);
        IPieceworkVault.Claim[] memory cs = new IPieceworkVault.Claim[](1 + draw(6));
        uint256 net;
        uint256 gross;
        uint256 good;
        for (uint256 n; n < cs.length; ++n) {
            uint256 pays;
            (cs[n], pays) = randomClaim(p);
            if (pays == 0) continue;
            uint256 cut = cs[n].content == TITLE ? pays * 777 / 10_000 : 0;
            _credit[CREATOR] += cut;
            gross += pays;
            net += pays - cut;
            ++good;
        }
        skippedClaims += cs.length - good;
        paidClaims += good;
        uint256 fee = relayed && good != 0 ? draw(net + 1) : 0;
        uint256 before = token.balanceOf(purses[p]);
        vm.recordLogs();
        if (relayed) sendRelayed(p, cs, fee, good == 0);
        else sendOwn(p, cs, good == 0);
        vm.assertEq(token.balanceOf(purses[p]) - before, net - fee, "exactly the good items");
        vm.assertEq(checkRedeemed(), gross, "events say what was paid");
    }

    function sendOwn(uint256 p, IPieceworkVault.Claim[] memory cs, bool fails) private {
        vm.prank(_payees[p]);
        if (fails) vm.expectRevert(IPieceworkVault.NothingDue.selector);
        vault.redeem(cs, purses[p]);
    }

    function sendRelayed(uint256 p, IPieceworkVault.Claim[] memory cs, uint256 fee, bool fails) private {
        address to = purses[p];
        uint256 deadline = nowSeconds();
        (bytes32 r, bytes32 vs) = vm.signCompact(payeeKey(p), redeemDigest(cs, to, RELAYER, fee, deadline));
        address payee_ = _payees[p];
        vm.prank(RELAYER);
        if (fails) vm.expectRevert(IPieceworkVault.NothingDue.selector);
        vault.redeemFor(payee_, cs, to, fee, deadline, r, vs);
        _credit[RELAYER] += fee;
    }

    /// Every serial is paid once, and no payout passes count * tranche: from the vault's own events.
    function checkRedeemed() private returns (uint256 total) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 n; n < logs.length; ++n) {
            if (logs[n].topics[0] != IPieceworkVault.Redeemed.selector || logs[n].emitter != address(vault)) continue;
            bytes32 id = logs[n].topics[1];
            (uint256 packed,,,,,, uint256 gross,) =
                abi.decode(logs[n].data, (uint256, bytes32, bytes32, bytes32, bytes32, bytes32, uint256, uint256));
            uint256 first = packed >> 224;
            uint256 count = (packed >> 208) & 0xffff;
            vm.assertLe(gross, count * account(id).tranche, "a payout never passes count * q");
            for (uint256 s = first; s < first + count; ++s) {
                vm.assertFalse(_paidSerial[id][s], "each serial is paid once");
                _paidSerial[id][s] = true;
            }
            total += gross;
        }
    }

    /// A claim of payee `p`, and the sum that it pays by the model (the model's account is charged).
    function randomClaim(uint256 p) private returns (IPieceworkVault.Claim memory c, uint256 pays) {
        uint256 i = draw(ACCOUNTS);
        IPieceworkVault.Voucher memory v = randomVoucher(i, p);
        uint16 k = uint16(draw(uint256(v.steps) + 1));
        bytes32 w = chain(TIP, v.steps - k);
        bytes32 salt;
        if (draw(4) == 0) {
            salt = bytes32(1 + draw(1 << 128));
            v.luck = keccak256(abi.encode(salt));
        }
        c = claimOf(v, k, w, salt, sessionKey(i));
        uint256 spoil = draw(12);
        if (spoil == 0) c.owner = STRANGER;
        else if (spoil == 1) c.w = keccak256(abi.encode(w, "guess"));
        else if (spoil == 2) c.k = v.steps + 1;
        else if (spoil == 3) c.count = 0;
        else if (spoil == 4) c.r = bytes32(uint256(c.r) ^ 2);
        else pays = payByModel(i, v, k, w, salt);
    }

    function payByModel(uint256 i, IPieceworkVault.Voucher memory v, uint256 k, bytes32 w, bytes32 salt)
        private
        returns (uint256 pays)
    {
        Model storage m = _models[i];
        if (!m.live) return 0;
        if (uint256(v.first) + v.count > m.consumed + m.balance / m.tranche) return 0;
        for (uint256 s = v.first; s < uint256(v.first) + v.count; ++s) {
            if (_spentSerial[i][s]) return 0;
        }
        uint256 cap = m.tranche * v.count;
        pays = (uint256(v.base) + uint256(v.unit) * k) / (1 << 24);
        if (pays > cap) pays = cap;
        if (salt != 0) {
            bool won = k != 0 && uint256(keccak256(abi.encode(w, salt))) % (cap * (1 << 24)) < v.unit;
            pays = won ? cap : 0;
        }
        if (pays == 0) return 0;
        vm.assertLe(pays, m.balance, "a covered voucher with clear bits is payable in full");
        m.balance -= pays;
        m.consumed += v.count;
        for (uint256 s = v.first; s < uint256(v.first) + v.count; ++s) {
            _spentSerial[i][s] = true;
        }
    }

    function randomVoucher(uint256 i, uint256 p) private returns (IPieceworkVault.Voucher memory v) {
        Model storage m = _models[i];
        uint256 edge = m.tranche == 0 ? 300 : m.consumed + m.balance / m.tranche;
        uint256 first = draw(edge + 3);
        if (first >= WORDS * 256) first = draw(WORDS * 256);
        uint256 room = 256 - (first & 255);
        // Mostly short; at times all that is left of the word.
        uint256 count = draw(8) == 0 ? room : 1 + draw(room < 12 ? room : 12);
        v.owner = _owners[i];
        v.payee = _payees[p];
        v.first = uint32(first);
        v.count = uint16(count);
        v.content = draw(3) == 0 ? TITLE : bytes32(0);
        v.base = draw(3) == 0 ? uint96(draw(300 << 24)) : 0;
        v.unit = uint96(draw(60 << 24));
        v.steps = uint16(1 + draw(24));
        v.root = chain(TIP, v.steps);
    }

    // ------------------------------------------------------------------------------------------------ checking

    modifier checked(uint256 seed) {
        _random = uint256(keccak256(abi.encode(_random, seed)));
        _;
        for (uint256 i; i < ACCOUNTS; ++i) {
            uint256 edge = boundOf(idOf(i));
            if (_models[i].live) vm.assertGe(edge, _highestBound[i], "the bound never falls before withdraw");
            _highestBound[i] = edge;
        }
    }

    function model(uint256 i) external view returns (Model memory) {
        return _models[i];
    }

    function modelCredit(address who) external view returns (uint256) {
        return _credit[who];
    }

    /// @dev STRANGER reports, RELAYER relays.
    function creditor(uint256 n) public pure returns (address) {
        return n == 0 ? CREATOR : n == 1 ? SINK : n == 2 ? STRANGER : RELAYER;
    }

    function idOf(uint256 i) public view returns (bytes32) {
        return accountId(_owners[i], _sessions[i]);
    }

    function sessionKey(uint256 i) private pure returns (uint256) {
        return 0x5e5500 + i % 3;
    }

    function payeeKey(uint256 p) private pure returns (uint256) {
        return 0x9a1e00 + p;
    }

    /// @dev A number below `below` (0 for 0).
    function draw(uint256 below) private returns (uint256) {
        _random = uint256(keccak256(abi.encode(_random)));
        return below == 0 ? 0 : _random % below;
    }
}
