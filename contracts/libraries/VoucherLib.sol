// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPieceworkVault} from "../interfaces/IPieceworkVault.sol";

/// @title The arithmetic of vouchers
/// @notice Pure: hashes, the chain, the range, the due sum. Holds no state and decides nothing about accounts.
library VoucherLib {
    bytes32 internal constant VOUCHER_TYPEHASH = keccak256(
        "Voucher(address owner,address payee,uint32 first,uint16 count,bytes32 content,uint96 base,uint96 unit,uint16 steps,bytes32 root,bytes32 luck)"
    );
    bytes32 internal constant REDEEM_TYPEHASH =
        keccak256("Redeem(bytes32 claims,address to,address relayer,uint256 fee,uint256 deadline)");

    /// @dev Serials in a word of the bitmap, and the longest chain.
    uint256 internal constant WORD = 256;
    uint256 internal constant MAX_STEPS = 256;
    /// @dev `base` and `unit` count 2^-FRACTION_BITS token units.
    uint256 internal constant FRACTION_BITS = 24;

    /// @notice EIP-712 `hashStruct` of a voucher.
    function structHash(IPieceworkVault.Voucher memory v) internal pure returns (bytes32) {
        return keccak256(abi.encode(VOUCHER_TYPEHASH, v));
    }

    /// @notice `keccak256(abi.encode(cs))`, hashed as it lies in the calldata, which is the same bytes.
    /// @dev Calldata with dirty high bits hashes to a value that nobody signed.
    // Solidity would copy each claim by itself: too much gas.
    // slither-disable-next-line assembly
    function hashClaims(IPieceworkVault.Claim[] calldata cs) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let p := mload(0x40)
            let size := mul(cs.length, 0x180) // twelve words per claim
            mstore(p, 0x20)
            mstore(add(p, 0x20), cs.length)
            calldatacopy(add(p, 0x40), cs.offset, size)
            hash := keccak256(p, add(size, 0x40))
        }
    }

    /// @notice Goes back `k` links from `w`. Unrolled: at 256 links the loop itself would cost as much as the hashes.
    // Solidity's loop would allocate for each link.
    // slither-disable-next-line assembly
    function walk(bytes32 w, uint256 k) internal pure returns (bytes32 root) {
        assembly ("memory-safe") {
            mstore(0, w)
            for { let i := shr(4, k) } i { i := sub(i, 1) } {
                mstore(0, keccak256(0, 32))
                mstore(0, keccak256(0, 32))
                mstore(0, keccak256(0, 32))
                mstore(0, keccak256(0, 32))
                mstore(0, keccak256(0, 32))
                mstore(0, keccak256(0, 32))
                mstore(0, keccak256(0, 32))
                mstore(0, keccak256(0, 32))
                mstore(0, keccak256(0, 32))
                mstore(0, keccak256(0, 32))
                mstore(0, keccak256(0, 32))
                mstore(0, keccak256(0, 32))
                mstore(0, keccak256(0, 32))
                mstore(0, keccak256(0, 32))
                mstore(0, keccak256(0, 32))
                mstore(0, keccak256(0, 32))
            }
            for { let i := and(k, 15) } i { i := sub(i, 1) } { mstore(0, keccak256(0, 32)) }
            root := mload(0)
        }
    }

    /// @notice Whether `[first, first + count)` is not empty and inside one word.
    function isRange(uint256 first, uint256 count) internal pure returns (bool) {
        unchecked {
            return count != 0 && count <= WORD && (first & (WORD - 1)) + count <= WORD;
        }
    }

    /// @notice The bits of a valid range in its word.
    function mask(uint256 first, uint256 count) internal pure returns (uint256) {
        unchecked {
            return (type(uint256).max >> (WORD - count)) << (first & (WORD - 1));
        }
    }

    /// @notice Whether two valid ranges share a serial.
    function overlap(uint256 a, uint256 aCount, uint256 b, uint256 bCount) internal pure returns (bool) {
        unchecked {
            return a < b + bCount && b < a + aCount;
        }
    }

    /// @notice Token units owed at step `k`, at most `cap`.
    function due(uint256 base, uint256 unit, uint256 k, uint256 cap) internal pure returns (uint256) {
        unchecked {
            uint256 owed = (base + unit * k) >> FRACTION_BITS; // 96 bits times 16 bits: no overflow
            return owed < cap ? owed : cap;
        }
    }

    /// @notice The commitment of a lottery voucher; zero (no lottery) for a zero salt.
    function luckOf(bytes32 salt) internal pure returns (bytes32) {
        return salt == 0 ? bytes32(0) : keccak256(abi.encode(salt));
    }

    /// @notice Whether the ticket of the step that revealed `w` wins `cap` token units; probability unit / cap.
    /// @dev The bias of the remainder is below 2^-127, because `cap` has at most 104 bits.
    function wins(bytes32 w, bytes32 salt, uint256 unit, uint256 cap) internal pure returns (bool) {
        return uint256(keccak256(abi.encode(w, salt))) % (cap << FRACTION_BITS) < unit;
    }
}
