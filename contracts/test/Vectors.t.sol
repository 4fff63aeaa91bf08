// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC5267} from "@openzeppelin/contracts/interfaces/IERC5267.sol";
import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";
import {VoucherLib} from "../libraries/VoucherLib.sol";
import {VaultTest} from "./util/VaultTest.sol";

/// The vectors that Rust, TypeScript and this contract share. The vault's code is put at the address each one names.
contract VectorsTest is VaultTest {
    string private json;

    struct Vector {
        IPieceworkVault.Voucher voucher;
        IPieceworkVault.Claim claim;
        address sessionAddress;
        uint256 sessionKey;
        uint96 tranche;
        bytes32 tip;
        bytes32 accountId;
        uint256 due;
    }

    function setUp() public override {
        super.setUp();
        json = vm.readFile("../tests/vectors/vouchers.json");
        vm.assertGe(count(), 7, "vectors were read");
    }

    function test_TypeHashes() public view {
        for (uint256 i; i < count(); ++i) {
            vm.assertEq(b32(i, ".type_hash"), VoucherLib.VOUCHER_TYPEHASH, name(i));
        }
        vm.assertEq(vm.parseJsonBytes32(json, ".redeem.type_hash"), VoucherLib.REDEEM_TYPEHASH);
    }

    function test_DomainSeparators() public {
        for (uint256 i; i < count(); ++i) {
            place(at(i, ".chain_id"), at(i, ".vault"));
            (bytes1 fields, string memory name_, string memory version, uint256 chainId, address verifier,,) =
                IERC5267(address(vault)).eip712Domain();
            vm.assertEq(uint256(uint8(fields)), 0x0f);
            bytes32 separator = keccak256(
                abi.encode(
                    keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                    keccak256(bytes(name_)),
                    keccak256(bytes(version)),
                    chainId,
                    verifier
                )
            );
            vm.assertEq(separator, b32(i, ".domain_separator"), name(i));
        }
    }

    function test_StructHashesDigestsAndSigners() public {
        for (uint256 i; i < count(); ++i) {
            place(at(i, ".chain_id"), at(i, ".vault"));
            Vector memory x = read(i);
            vm.assertEq(VoucherLib.structHash(x.voucher), b32(i, ".struct_hash"), name(i));
            vm.assertEq(voucherDigest(x.voucher), b32(i, ".digest"), name(i));
            (bytes32 r, bytes32 vs) = signVoucher(x.sessionKey, x.voucher);
            vm.assertEq(r, x.claim.r, name(i));
            vm.assertEq(vs, x.claim.vs, name(i));
            vm.assertEq(vm.addr(x.sessionKey), x.sessionAddress, name(i));
        }
    }

    function test_Chains() public view {
        for (uint256 i; i < count(); ++i) {
            Vector memory x = read(i);
            vm.assertEq(VoucherLib.walk(x.claim.w, x.claim.k), x.voucher.root, name(i));
            vm.assertEq(VoucherLib.walk(x.tip, x.voucher.steps), x.voucher.root, name(i));
            vm.assertEq(chain(x.tip, x.voucher.steps - x.claim.k), x.claim.w, name(i));
        }
    }

    function test_AccountIds() public view {
        for (uint256 i; i < count(); ++i) {
            Vector memory x = read(i);
            vm.assertEq(accountId(x.voucher.owner, x.sessionAddress), x.accountId, name(i));
        }
    }

    /// Each voucher redeemed for real, with the signature in the file.
    function test_TheVaultPaysWhatIsDue() public {
        for (uint256 i; i < count(); ++i) {
            uint256 before = vm.snapshotState();
            place(at(i, ".chain_id"), at(i, ".vault"));
            Vector memory x = read(i);
            uint112 amount = uint112((uint256(x.voucher.first) + x.voucher.count - 1) * x.tranche);
            bytes32 id = openAccount(x.voucher.owner, x.sessionAddress, x.tranche, amount, 0);
            vm.assertEq(id, x.accountId, name(i));
            vm.prank(x.voucher.payee);
            if (x.due == 0) {
                vm.expectRevert(IPieceworkVault.NothingDue.selector);
                vault.redeem(one(x.claim), PURSE);
            } else {
                vm.assertEq(vault.redeem(one(x.claim), PURSE), x.due, name(i));
                vm.assertEq(token.balanceOf(PURSE), x.due, name(i));
            }
            vm.revertToState(before);
        }
    }

    function test_ClaimsEncodingAndHash() public view {
        IPieceworkVault.Claim[] memory cs = claims();
        vm.assertEq(cs.length, 2);
        vm.assertEq(abi.encode(cs), vm.parseJsonBytes(json, ".redeem.claims_abi_encoded"), "encoding");
        vm.assertEq(keccak256(abi.encode(cs)), vm.parseJsonBytes32(json, ".redeem.claims_hash"), "hash");
        vm.assertEq(abi.encode(cs[0]), abi.encode(read(0).claim), "vector 1");
        vm.assertEq(abi.encode(cs[1]), abi.encode(read(2).claim), "vector 3");
    }

    /// The signature in the file opens `redeemFor`; these claims were made out to another payee, so then none pays.
    function test_RedeemDigestAndSignature() public {
        place(".redeem.chain_id", ".redeem.vault");
        IPieceworkVault.Claim[] memory cs = claims();
        address to = vm.parseJsonAddress(json, ".redeem.to");
        address relayer = vm.parseJsonAddress(json, ".redeem.relayer");
        uint256 fee = vm.parseJsonUint(json, ".redeem.fee");
        uint256 deadline = vm.parseJsonUint(json, ".redeem.deadline");
        address payee_ = vm.parseJsonAddress(json, ".redeem.payee_address");
        bytes32 r = vm.parseJsonBytes32(json, ".redeem.signature.r");
        bytes32 vs = vm.parseJsonBytes32(json, ".redeem.signature.vs");
        bytes32 digest = redeemDigest(cs, to, relayer, fee, deadline);
        vm.assertEq(digest, vm.parseJsonBytes32(json, ".redeem.digest"), "digest");
        (bytes32 ownR, bytes32 ownVs) = vm.signCompact(vm.parseJsonUint(json, ".redeem.payee_key"), digest);
        vm.assertEq(ownR, r, "r");
        vm.assertEq(ownVs, vs, "vs");

        vm.startPrank(relayer);
        vm.expectRevert(IPieceworkVault.NothingDue.selector);
        vault.redeemFor(payee_, cs, to, fee, deadline, r, vs);
        vm.expectRevert(IPieceworkVault.BadSignature.selector);
        vault.redeemFor(payee_, cs, to, fee + 1, deadline, r, vs);
        vm.stopPrank();
    }

    // ------------------------------------------------------------------------------------------------- reading

    function place(string memory chainPath, string memory vaultPath) private {
        vm.chainId(vm.parseJsonUint(json, chainPath));
        address where = vm.parseJsonAddress(json, vaultPath);
        vm.etch(where, address(vault).code);
        vault = IPieceworkVault(where);
    }

    function count() private view returns (uint256 n) {
        while (vm.keyExistsJson(json, at(n, ""))) ++n;
    }

    function at(uint256 i, string memory path) private pure returns (string memory) {
        return string.concat(".vectors[", vm.toString(i), "]", path);
    }

    function name(uint256 i) private view returns (string memory) {
        return vm.parseJsonString(json, at(i, ".name"));
    }

    function b32(uint256 i, string memory path) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, at(i, path));
    }

    function num(uint256 i, string memory path) private view returns (uint256) {
        return vm.parseJsonUint(json, at(i, path));
    }

    function claims() private view returns (IPieceworkVault.Claim[] memory) {
        return abi.decode(vm.parseJsonBytes(json, ".redeem.claims_abi_encoded"), (IPieceworkVault.Claim[]));
    }

    function read(uint256 i) private view returns (Vector memory x) {
        IPieceworkVault.Voucher memory v = x.voucher;
        v.owner = vm.parseJsonAddress(json, at(i, ".voucher.owner"));
        v.payee = vm.parseJsonAddress(json, at(i, ".voucher.payee"));
        v.first = uint32(num(i, ".voucher.first"));
        v.count = uint16(num(i, ".voucher.count"));
        v.content = b32(i, ".voucher.content");
        v.base = uint96(num(i, ".voucher.base"));
        v.unit = uint96(num(i, ".voucher.unit"));
        v.steps = uint16(num(i, ".voucher.steps"));
        v.root = b32(i, ".voucher.root");
        v.luck = b32(i, ".voucher.luck");
        IPieceworkVault.Claim memory c = x.claim;
        (c.owner, c.first, c.count, c.content) = (v.owner, v.first, v.count, v.content);
        (c.base, c.unit, c.steps) = (v.base, v.unit, v.steps);
        c.k = uint16(num(i, ".preimage_at.k"));
        c.w = b32(i, ".preimage_at.w");
        c.r = b32(i, ".signature.r");
        c.vs = b32(i, ".signature.vs");
        x.sessionAddress = vm.parseJsonAddress(json, at(i, ".session_address"));
        x.sessionKey = num(i, ".session_key");
        x.tranche = uint96(num(i, ".tranche"));
        x.tip = b32(i, ".chain_tip");
        x.accountId = b32(i, ".account_id");
        x.due = num(i, ".due_token_units");
    }
}
