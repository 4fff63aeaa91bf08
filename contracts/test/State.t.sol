// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {VaultTest} from "./util/VaultTest.sol";

contract StateTest is VaultTest {
    struct All {
        uint112 balance;
        uint96 tranche;
        uint40 consumed;
        bool known;
        uint112 bond;
        uint48 exitAt;
        uint256 spentWord;
        uint256 chainId;
        uint256 blockNumber;
        uint256 timestamp;
    }

    function test_AnUnknownAccountIsAllZeros() public view {
        All memory s = read(keccak256("nobody"), 0);
        vm.assertEq(s.balance, 0);
        vm.assertEq(s.tranche, 0);
        vm.assertEq(s.consumed, 0);
        vm.assertFalse(s.known);
        vm.assertEq(s.bond, 0);
        vm.assertEq(s.exitAt, 0);
        vm.assertEq(s.spentWord, 0);
    }

    function test_OneReadGivesAccountWordChainBlockAndTime() public {
        bytes32 id = openAccount(owner, session, Q, 600 * uint112(Q), BOND);
        redeemAs(payee, one(goodClaim(258, 3, 256)), PURSE);
        vm.prank(owner);
        vault.exit(session);
        vm.chainId(8453);
        vm.roll(77);
        vm.warp(1_900_000_000);
        All memory s = read(id, 1);
        vm.assertEq(s.balance, 600 * uint256(Q) - 256 * 39, "balance");
        vm.assertEq(s.tranche, Q, "tranche");
        vm.assertEq(s.consumed, 4, "consumed");
        vm.assertTrue(s.known, "known");
        vm.assertEq(s.bond, BOND, "bond");
        vm.assertEq(s.exitAt, 1_800_000_000 + EXIT_DELAY, "exitAt");
        vm.assertEq(s.spentWord, 7 << 2, "serials 258 to 260 of word 1");
        vm.assertEq(s.chainId, 8453, "chainId");
        vm.assertEq(s.blockNumber, 77, "blockNumber");
        vm.assertEq(s.timestamp, 1_900_000_000, "timestamp");
        vm.assertEq(read(id, 0).spentWord, 1, "word 0");
        vm.assertEq(read(id, type(uint256).max).spentWord, 0, "a word far out");
    }

    function test_AWithdrawnAccountIsKnownWithTrancheZero() public {
        bytes32 id = openUsual();
        exitUsual();
        vm.prank(owner);
        vault.withdraw(session, owner);
        All memory s = read(id, 0);
        vm.assertTrue(s.known);
        vm.assertEq(s.tranche, 0);
        vm.assertEq(s.balance, 0);
        vm.assertEq(s.bond, 0);
        vm.assertTrue(s.exitAt != 0, "closed");
    }

    function test_TheVaultSaysWhatItIsMadeOf() public view {
        vm.assertEq(address(vault.token()), address(token));
        vm.assertEq(vault.registry(), address(registry));
        vm.assertEq(vault.sink(), SINK);
        vm.assertEq(vault.exitDelay(), EXIT_DELAY);
    }

    function read(bytes32 id, uint256 word) private view returns (All memory s) {
        // The answer is static, so the bytes of the tuple are the bytes of the struct.
        (bool ok, bytes memory answer) = address(vault).staticcall(abi.encodeCall(vault.state, (id, word)));
        require(ok, "state failed");
        return abi.decode(answer, (All));
    }
}
