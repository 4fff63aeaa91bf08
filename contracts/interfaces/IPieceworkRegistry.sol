// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IRegistry} from "./IRegistry.sol";

/// @title The registry of titles
/// @notice Says who published a title first, and who is credited when it is sold. A *title* is the content of one
/// torrent, described and signed by its publisher. Anybody may register any content under their own name, and each
/// such registration has an id of its own. `titlesOf` lists them all in their order: the earlier one stands beside a
/// later one. The registry has no owner, no upgrade and no pause. It holds no money.
///
/// WARNING: it says who came first *here*. It cannot know who made the content, nor whether a name is true.
interface IPieceworkRegistry is IRegistry {
    // ------------------------------------------------------------------------------------------------- structs

    /// @notice What a publisher says of a title and signs (EIP-712, in this field order).
    struct Title {
        string name; // at most 256 bytes
        bytes20 infoHash; // BEP 3: SHA-1 of the torrent's info dictionary
        bytes32 infoHashV2; // BEP 52: its SHA-256, or zero
        uint64 length; // bytes of content
        address publisher; // who signs
        address creator; // who is credited with the share
        uint16 bps; // hundredths of a percent of every sale, at most 10,000
        string licence; // an SPDX identifier or a URL, at most 256 bytes; empty: none is granted
        bytes32 keyHash; // keccak256 of the content's key, or zero: it is not encrypted
        bytes32 previous; // id of the edition that this one follows, or zero; of the same publisher
        bytes32 salt; // lets one publisher register one content twice
        uint64 created; // seconds since 1970, as the publisher says
    }

    /// @notice One registration. Three storage slots; a vault reads one.
    struct Record {
        address creator;
        uint16 bps;
        uint48 registeredAt; // seconds; 0: no such id
        address publisher;
        bytes32 titleHash; // the EIP-712 struct hash of the title as it was registered
    }

    // ------------------------------------------------------------------------------------------------- errors

    error NotThePublisher(address publisher, address caller);
    error BadSignature();
    error AlreadyRegistered(bytes32 id);
    error NoSuchTitle(bytes32 id);
    error BadInfoHash();
    error BadCreator();
    /// @notice A share above 10,000, or above the one that stands.
    error BadShare(uint16 bps, uint16 most);
    error TooLong(uint256 bytesGiven, uint256 most);
    /// @notice The earlier edition is not registered, or by somebody else.
    error NotAnEdition(bytes32 previous);

    // ------------------------------------------------------------------------------------------------- events

    /// @notice `title` is whole here and nowhere else on the chain.
    event Registered(bytes32 indexed id, bytes20 indexed infoHash, address indexed publisher, Title title);
    event ShareLowered(bytes32 indexed id, uint16 bps);
    event CreatorChanged(bytes32 indexed id, address creator);
    event ContactChanged(bytes32 indexed id, string contact);

    // -------------------------------------------------------------------------------------------------- calls

    /// @notice Registers a title of the caller's own.
    /// @return id `idOf(publisher, infoHash, salt)`.
    function register(Title calldata title) external returns (bytes32 id);

    /// @notice Registers a title that its publisher signed; anybody may send it, and changes nothing about it.
    /// @dev The signature of an account with code (ERC-1271) is not asked for: such an account calls `register`.
    /// @param r The signature of `titleDigest(title)`.
    /// @param vs Its other half (EIP-2098).
    function registerFor(Title calldata title, bytes32 r, bytes32 vs) external returns (bytes32 id);

    /// @notice Takes a smaller share from now on. A share never rises: who agreed to sell for one is not surprised.
    function lowerShare(bytes32 id, uint16 bps) external;

    /// @notice Credits another address from now on. Credit that is in a vault already stays where it is.
    function setCreator(bytes32 id, address creator) external;

    /// @notice Where peers of the title are found: trackers and direct peers, one URL a line; at most 2,048 bytes.
    function setContact(bytes32 id, string calldata contact) external;

    // -------------------------------------------------------------------------------------------------- views

    /// @notice `keccak256(abi.encode(publisher, infoHash, salt))`.
    function idOf(address publisher, bytes20 infoHash, bytes32 salt) external pure returns (bytes32);

    /// @notice What the publisher's wallet signs.
    function titleDigest(Title calldata title) external view returns (bytes32);

    /// @notice The registration; all zeros where there is none.
    function record(bytes32 id) external view returns (Record memory);

    /// @notice What `setContact` said last; empty at first.
    function contactOf(bytes32 id) external view returns (string memory);

    /// @notice How often this content was registered.
    function countOf(bytes20 infoHash) external view returns (uint256);

    /// @notice The registrations of this content in their order, from `first` on, at most `count` of them.
    /// @dev Anybody may add to the list. A reader asks for the first page: what is earliest stands there for good.
    function titlesOf(bytes20 infoHash, uint256 first, uint256 count)
        external
        view
        returns (bytes32[] memory ids, Record[] memory records);
}
