//! Effects: work that the edge does for the core, and how each ended.

use alloy_primitives::{B256, U256};
use bytes::Bytes;

use crate::metainfo::FileSpan;
pub use crate::payment::ChainState as AccountState;
pub use crate::payment::voucher::Signature;
use crate::time::Duration;
use crate::types::{Durability, InfoHash};

/// Work for the edge. Effects may end in any order, but are carried out in the order in which they were
/// emitted as far as they touch the same thing: the storage of one torrent, or the records.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Work on the files of one torrent, in the order in which it is given.
    Storage {
        /// The torrent.
        info_hash: InfoHash,
        /// The work.
        op: StorageOp,
    },
    /// Answer with the SHA-1 of these bytes.
    Hash {
        /// To be read as one run of bytes.
        chunks: Vec<Bytes>,
    },
    /// Put (`Some`) or delete (`None`) small records, all or none. Ends when they are as durable as `durability` says.
    /// They outlive a loss of power within [`RECORDS_GATHER`] and a transaction in any case. A failed batch may still
    /// be stored later.
    PutRecords {
        /// Key and value.
        records: Vec<(String, Option<Bytes>)>,
        /// An edge may always do as if it were [`Durability::PowerLoss`].
        durability: Durability,
    },
    /// Sign this digest with the session key (EIP-2098, low s).
    Sign {
        /// EIP-712 digest.
        digest: B256,
    },
    /// Call the vault's `state(id, word)` at the latest block.
    ReadAccount {
        /// Account id.
        account: B256,
        /// 256-serial word.
        word: U256,
    },
}

/// Work on the files and the scratch file of one torrent.
#[derive(Clone, Debug)]
pub enum StorageOp {
    /// Open (creating what lacks) a torrent's files. Comes before any other operation on it.
    Open {
        /// Name of the torrent, safe as one path component.
        name: String,
        /// Every file: components of its safe relative path, and its length. A pad file (BEP 47) has an empty
        /// path and is never stored: reads of its spans give zeros, writes skip them.
        files: Vec<(Vec<String>, u64)>,
    },
    /// Write verified bytes into files. The spans' lengths add up to the chunks' lengths.
    Write {
        /// Where; pad spans are skipped.
        spans: Vec<FileSpan>,
        /// The bytes, to be read as one run.
        chunks: Vec<Bytes>,
    },
    /// Read bytes of files.
    Read {
        /// The parts of files to read; pad spans read as zeros.
        spans: Vec<FileSpan>,
    },
    /// Read bytes of files and answer with their SHA-1.
    Hash {
        /// Where, in order; pad spans are hashed as zeros.
        spans: Vec<FileSpan>,
    },
    /// Write unverified bytes into the torrent's scratch file, which nothing but the core reads.
    WriteScratch {
        /// Byte in the scratch file.
        offset: u64,
        /// The bytes, to be written as one run.
        chunks: Vec<Bytes>,
    },
    /// Read bytes of the scratch file.
    ReadScratch {
        /// Byte in the scratch file.
        offset: u64,
        /// Bytes to read from `offset` on.
        length: u64,
    },
    /// Make everything written so far to this torrent's files and scratch durable: it outlives the machine's power.
    /// That includes what an earlier process wrote to the files that [`StorageOp::Hash`] read. Everything else
    /// outlives the process without it.
    Flush,
    /// Close a torrent's files, and delete them if asked.
    Close {
        /// Delete the data and the scratch file.
        delete: bool,
    },
}

/// How an effect ended.
#[derive(Clone, Debug)]
pub enum EffectResult {
    /// Of [`StorageOp::Open`]: bytes present of each file, and of the scratch file.
    Opened {
        /// Per file of the operation.
        file_lengths: Vec<u64>,
        /// Of the scratch file.
        scratch_length: u64,
        /// Files, by their place in the operation, that somebody changed since storage was closed: the core does not
        /// believe the records of them.
        changed: Vec<u32>,
    },
    /// Of the reads.
    Read(Bytes),
    /// Of the hashes: SHA-1.
    Hashed([u8; 20]),
    /// Of [`Effect::Sign`].
    Signed(Signature),
    /// Of [`Effect::ReadAccount`].
    Account(AccountState),
    /// Of everything else.
    Done,
}

/// Records that need not last at once gather for this long. Then they are made to outlive the machine's power,
/// together.
pub const RECORDS_GATHER: Duration = Duration::from_secs(1);

/// The reason why an effect failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EffectError {
    /// Storage is full: free space or raise the quota.
    #[error("storage is full: {0}")]
    QuotaExceeded(String),
    /// Data that should be there is not.
    #[error("data is missing: {0}")]
    Missing(String),
    /// Storage refused.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The key is not there.
    #[error("signing failed: {0}")]
    Signing(String),
    /// The chain could not be read, or answered nonsense.
    #[error("the chain could not be read: {0}")]
    Chain(String),
}

impl EffectError {
    /// The data to read is not there; otherwise it may be there, and storage did not let it be read.
    pub fn says_gone(&self) -> bool {
        matches!(self, EffectError::Missing(_))
    }
}
