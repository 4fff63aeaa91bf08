//! Titles: what a publisher says of a torrent's content, and signs (docs/titles.md).
//!
//! Owns the EIP-712 form that `PieceworkRegistry` has too, the id of a registration, and the check that a title is
//! about this content; format.rs has its bytes. Checked field by field against `tests/vectors/titles.json`. Asks no
//! chain: whether a title is registered, and whether somebody else came first, is read by an edge.

mod format;

use alloy_primitives::{Address, B256, FixedBytes};
use alloy_sol_types::{Eip712Domain, SolStruct, SolValue, eip712_domain};

pub use self::format::FormatError;
use crate::payment::voucher::Signature;
use crate::types::InfoHash;

/// Bytes of a name, and of a licence.
pub const MAX_TEXT: usize = 256;
/// A whole, in hundredths of a percent.
pub const BPS: u16 = 10_000;

/// The registry's own types.
#[allow(missing_docs)]
pub mod abi {
    alloy_sol_types::sol! {
        #[derive(Debug)]
        struct Title {
            string name;
            bytes20 infoHash;
            bytes32 infoHashV2;
            uint64 length;
            address publisher;
            address creator;
            uint16 bps;
            string licence;
            bytes32 keyHash;
            bytes32 previous;
            bytes32 salt;
            uint64 created;
        }
        #[derive(Debug)]
        struct Record {
            address creator;
            uint16 bps;
            uint48 registeredAt;
            address publisher;
            bytes32 titleHash;
        }
        function register(Title title) external returns (bytes32 id);
        function lowerShare(bytes32 id, uint16 bps) external;
        function setCreator(bytes32 id, address creator) external;
        function setContact(bytes32 id, string contact) external;
        function record(bytes32 id) external view returns (Record one);
        function countOf(bytes20 infoHash) external view returns (uint256);
        function titlesOf(bytes20 infoHash, uint256 first, uint256 count) external view
            returns (bytes32[] ids, Record[] records);
        error NotThePublisher(address publisher, address caller);
        error AlreadyRegistered(bytes32 id);
        error NoSuchTitle(bytes32 id);
        error BadInfoHash();
        error BadCreator();
        error BadShare(uint16 bps, uint16 most);
        error TooLong(uint256 bytesGiven, uint256 most);
        error NotAnEdition(bytes32 previous);
    }
}

/// Where a title is registered, or may be: the domain of its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Registry {
    /// The contract; zero: the title is signed only.
    pub address: Address,
    /// EIP-155 id of its chain.
    pub chain_id: u64,
}

impl Registry {
    fn domain(&self) -> Eip712Domain {
        eip712_domain! {
            name: "PieceworkRegistry",
            version: "1",
            chain_id: self.chain_id,
            verifying_contract: self.address,
        }
    }
}

/// What a publisher says of a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title {
    /// For people to read, at most [`MAX_TEXT`] bytes.
    pub name: String,
    /// The torrent.
    pub info_hash: InfoHash,
    /// BEP 52's hash of the same content, or zero.
    pub info_hash_v2: B256,
    /// Bytes of content.
    pub length: u64,
    /// Who signs.
    pub publisher: Address,
    /// Who is credited with the share.
    pub creator: Address,
    /// The share of every sale, in hundredths of a percent, at most [`BPS`].
    pub bps: u16,
    /// An SPDX identifier or a URL, at most [`MAX_TEXT`] bytes; empty: none is granted.
    pub licence: String,
    /// keccak256 of the content's key, or zero: it is not encrypted.
    pub key_hash: B256,
    /// Id of the edition that this one follows, or zero.
    pub previous: B256,
    /// Lets one publisher register one content twice.
    pub salt: B256,
    /// Seconds since 1970, as the publisher says.
    pub created: u64,
}

impl Title {
    /// The id of its registration: `keccak256(abi.encode(publisher, infoHash, salt))`.
    pub fn id(&self) -> B256 {
        alloy_primitives::keccak256((self.publisher, self.hash_word(), self.salt).abi_encode())
    }

    /// The EIP-712 struct hash, which the registry keeps.
    pub fn struct_hash(&self) -> B256 {
        self.to_abi().eip712_hash_struct()
    }

    /// What the publisher's wallet signs.
    pub fn digest(&self, registry: &Registry) -> B256 {
        self.to_abi().eip712_signing_hash(&registry.domain())
    }

    /// The contract's own struct.
    pub fn to_abi(&self) -> abi::Title {
        abi::Title {
            name: self.name.clone(),
            infoHash: self.hash_word(),
            infoHashV2: self.info_hash_v2,
            length: self.length,
            publisher: self.publisher,
            creator: self.creator,
            bps: self.bps,
            licence: self.licence.clone(),
            keyHash: self.key_hash,
            previous: self.previous,
            salt: self.salt,
            created: self.created,
        }
    }

    fn hash_word(&self) -> FixedBytes<20> {
        FixedBytes(self.info_hash.0)
    }
}

/// A title with its publisher's signature, as it travels. It may be anybody's word until [`SignedTitle::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTitle {
    /// What is said.
    pub title: Title,
    /// The domain that it was signed for.
    pub registry: Registry,
    /// The publisher's.
    pub signature: Signature,
}

/// Why a title says nothing of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TitleFault {
    /// Of another torrent.
    #[error("the title is of other content: its info hash is {0}")]
    OtherContent(InfoHash),
    /// The info hash is this one's and the length is not.
    #[error("the title says {says} bytes, and the content has {has}")]
    OtherLength {
        /// By the title.
        says: u64,
        /// By the torrent.
        has: u64,
    },
    /// Nobody, or somebody else, signed these words.
    #[error("the signature is not its publisher's")]
    Signature,
    /// Its publisher is not whom the link names.
    #[error("the link is of {wanted}, and the title was signed by {signed}")]
    OtherPublisher {
        /// `pw.by` of the link.
        wanted: Address,
        /// Of the title.
        signed: Address,
    },
    /// The torrent or its link is sold under another title's id.
    #[error("the torrent is sold under {sold} (pw.content), and its title's id is {id}")]
    OtherId {
        /// `pw.content`.
        sold: B256,
        /// Of the title.
        id: B256,
    },
}

impl SignedTitle {
    /// Whether the publisher signed this about this content; `by`: whom the link names, if it does.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(
        &self,
        info_hash: InfoHash,
        length: u64,
        by: Option<Address>,
    ) -> Result<(), TitleFault> {
        let title = &self.title;
        if title.info_hash != info_hash {
            return Err(TitleFault::OtherContent(title.info_hash));
        }
        if title.length != length {
            return Err(TitleFault::OtherLength {
                says: title.length,
                has: length,
            });
        }
        match self.signature.recover(&title.digest(&self.registry)) {
            Ok(signer) if signer == title.publisher => {}
            _ => return Err(TitleFault::Signature),
        }
        match by.filter(|wanted| *wanted != title.publisher) {
            Some(wanted) => Err(TitleFault::OtherPublisher {
                wanted,
                signed: title.publisher,
            }),
            None => Ok(()),
        }
    }

    /// Whether it is the title under whose id the content is sold (`pw.content`), if it is under any.
    ///
    /// # Errors
    /// It is another one.
    pub fn check_id(&self, sold: Option<B256>) -> Result<(), TitleFault> {
        let id = self.title.id();
        match sold.filter(|sold| *sold != id) {
            Some(sold) => Err(TitleFault::OtherId { sold, id }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
