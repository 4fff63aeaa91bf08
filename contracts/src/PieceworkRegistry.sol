// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {IPieceworkRegistry} from "../interfaces/IPieceworkRegistry.sol";
import {IRegistry} from "../interfaces/IRegistry.sol";

/// @title The registry of titles
/// @dev Invariants: an id is registered once and stays; `bps` of a record never rises; a content's list only grows.
contract PieceworkRegistry is IPieceworkRegistry, EIP712 {
    /// @notice A whole, in hundredths of a percent.
    uint16 public constant BPS = 10_000;
    /// @notice Bytes of a title's name, and of its licence.
    uint256 public constant MAX_TEXT = 256;
    /// @notice Bytes of a contact record.
    uint256 public constant MAX_CONTACT = 2_048;

    // forgefmt: disable-next-item
    bytes32 private constant TITLE_TYPEHASH = keccak256(
        "Title(string name,bytes20 infoHash,bytes32 infoHashV2,uint64 length,address publisher,address creator,uint16 bps,string licence,bytes32 keyHash,bytes32 previous,bytes32 salt,uint64 created)"
    );

    mapping(bytes32 id => Record) private _records;
    mapping(bytes32 id => string) private _contacts;
    mapping(bytes20 infoHash => bytes32[]) private _titles;

    constructor() EIP712("PieceworkRegistry", "1") {}

    /// @inheritdoc IPieceworkRegistry
    function register(Title calldata title) external returns (bytes32 id) {
        if (title.publisher != msg.sender) revert NotThePublisher(title.publisher, msg.sender);
        return _register(title, _structHash(title));
    }

    /// @inheritdoc IPieceworkRegistry
    function registerFor(Title calldata title, bytes32 r, bytes32 vs) external returns (bytes32 id) {
        bytes32 hash = _structHash(title);
        // Why it is no signature is nobody's business.
        // slither-disable-next-line unused-return
        (address signer, ECDSA.RecoverError fault,) = ECDSA.tryRecover(_hashTypedDataV4(hash), r, vs);
        if (fault != ECDSA.RecoverError.NoError || signer != title.publisher) revert BadSignature();
        return _register(title, hash);
    }

    /// @inheritdoc IPieceworkRegistry
    function lowerShare(bytes32 id, uint16 bps) external {
        Record storage one = _own(id);
        if (bps >= one.bps) revert BadShare(bps, one.bps);
        one.bps = bps;
        emit ShareLowered(id, bps);
    }

    /// @inheritdoc IPieceworkRegistry
    function setCreator(bytes32 id, address creator) external {
        Record storage one = _own(id);
        if (creator == address(0)) revert BadCreator();
        one.creator = creator;
        emit CreatorChanged(id, creator);
    }

    /// @inheritdoc IPieceworkRegistry
    function setContact(bytes32 id, string calldata contact) external {
        _own(id);
        _checkLength(contact, MAX_CONTACT);
        _contacts[id] = contact;
        emit ContactChanged(id, contact);
    }

    // ---------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IRegistry
    function share(bytes32 content) external view returns (address creator, uint16 bps) {
        Record storage one = _records[content];
        return (one.creator, one.bps);
    }

    /// @inheritdoc IPieceworkRegistry
    function idOf(address publisher, bytes20 infoHash, bytes32 salt) public pure returns (bytes32) {
        return keccak256(abi.encode(publisher, infoHash, salt));
    }

    /// @inheritdoc IPieceworkRegistry
    function titleDigest(Title calldata title) external view returns (bytes32) {
        return _hashTypedDataV4(_structHash(title));
    }

    /// @inheritdoc IPieceworkRegistry
    function record(bytes32 id) external view returns (Record memory) {
        return _records[id];
    }

    /// @inheritdoc IPieceworkRegistry
    function contactOf(bytes32 id) external view returns (string memory) {
        return _contacts[id];
    }

    /// @inheritdoc IPieceworkRegistry
    function countOf(bytes20 infoHash) external view returns (uint256) {
        return _titles[infoHash].length;
    }

    /// @inheritdoc IPieceworkRegistry
    function titlesOf(bytes20 infoHash, uint256 first, uint256 count)
        external
        view
        returns (bytes32[] memory ids, Record[] memory records)
    {
        bytes32[] storage all = _titles[infoHash];
        uint256 rest = first < all.length ? all.length - first : 0;
        if (count > rest) count = rest;
        (ids, records) = (new bytes32[](count), new Record[](count));
        for (uint256 i; i < count; ++i) {
            ids[i] = all[first + i];
            records[i] = _records[ids[i]];
        }
    }

    // --------------------------------------------------------------------------------------------------- inside

    function _register(Title calldata title, bytes32 hash) private returns (bytes32 id) {
        if (title.infoHash == 0) revert BadInfoHash();
        if (title.creator == address(0)) revert BadCreator();
        if (title.bps > BPS) revert BadShare(title.bps, BPS);
        _checkLength(title.name, MAX_TEXT);
        _checkLength(title.licence, MAX_TEXT);
        if (title.previous != 0 && _records[title.previous].publisher != title.publisher) {
            revert NotAnEdition(title.previous);
        }
        id = idOf(title.publisher, title.infoHash, title.salt);
        if (_records[id].registeredAt != 0) revert AlreadyRegistered(id);
        _records[id] = Record({
            creator: title.creator,
            bps: title.bps,
            registeredAt: uint48(block.timestamp),
            publisher: title.publisher,
            titleHash: hash
        });
        _titles[title.infoHash].push(id);
        emit Registered(id, title.infoHash, title.publisher, title);
    }

    /// @dev The caller's own registration.
    function _own(bytes32 id) private view returns (Record storage one) {
        one = _records[id];
        if (one.registeredAt == 0) revert NoSuchTitle(id);
        if (one.publisher != msg.sender) revert NotThePublisher(one.publisher, msg.sender);
    }

    function _checkLength(string calldata text, uint256 most) private pure {
        uint256 length = bytes(text).length;
        if (length > most) revert TooLong(length, most);
    }

    /// @dev In two parts, which are one encoding: all fields are words.
    function _structHash(Title calldata t) private pure returns (bytes32) {
        bytes memory head = abi.encode(
            TITLE_TYPEHASH, keccak256(bytes(t.name)), t.infoHash, t.infoHashV2, t.length, t.publisher, t.creator, t.bps
        );
        bytes memory rest = abi.encode(keccak256(bytes(t.licence)), t.keyHash, t.previous, t.salt, t.created);
        return keccak256(bytes.concat(head, rest));
    }
}
