//! A begun piece: the state of each of its blocks, and the peers that may be asked for them.
//!
//! Invariant: the counts agree with the blocks. Only [`Pieces`](super::Pieces) changes a block.

use bytes::Bytes;

use crate::sorted::Set;
use crate::time::Timestamp;
use crate::types::ConnectionId;

/// The same block is out to at most this many peers.
pub const MAX_COPIES: usize = 3;

/// The peers that may be asked for the blocks of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceOwner {
    /// Free peers, any number at once.
    Shared,
    /// This peer alone.
    Sole(ConnectionId),
    /// No peer: the one that alone brought the piece stopped. A seller that is asked for it brings it alone; free peers
    /// share it.
    Vacant,
}

/// The way in which a piece is brought. The picker decides it
/// (docs/decisions/045-a-failed-piece-comes-whole-by-turns.md).
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// The peers that may be asked.
    pub owner: PieceOwner,
    /// The piece comes whole from one peer, because a copy from several failed its hash.
    pub whole: bool,
    /// The time of the last block that was asked for, or of the owner's first request. Late blocks do not change it, so
    /// they keep the piece from nobody.
    pub touched: Timestamp,
    /// The time at which the piece was begun.
    pub begun: Timestamp,
    /// For a piece that is to come whole: the blocks of it that its owner had brought before its turn began.
    pub brought: u32,
    /// For a piece that is to come whole: the requests that were out to its owner as the turn began.
    pub ahead: u64,
    /// For a piece that is to come whole: all blocks that its owner had sent before the turn began.
    pub received_before: u64,
    /// The seller that the piece went back to, if that seller has sent no block of it since.
    pub returned: Option<ConnectionId>,
    /// The time at which it went back.
    pub returned_at: Timestamp,
}

/// The peers that are asked for one block, oldest request first. Mostly it is one peer, and the list needs no heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Askers {
    conns: [ConnectionId; MAX_COPIES],
    count: u8,
}

impl Askers {
    fn of(conn: ConnectionId) -> Askers {
        Askers {
            conns: [conn; MAX_COPIES],
            count: 1,
        }
    }

    /// All askers.
    pub fn all(&self) -> &[ConnectionId] {
        &self.conns[..usize::from(self.count)]
    }

    /// Answers `false` if the block has enough askers, or has this one.
    fn push(&mut self, conn: ConnectionId) -> bool {
        let free = usize::from(self.count);
        if free == MAX_COPIES || self.all().contains(&conn) {
            return false;
        }
        self.conns[free] = conn;
        self.count += 1;
        true
    }

    /// Takes out one asker. Answers `false` if the peer was not asked.
    fn remove(&mut self, conn: ConnectionId) -> bool {
        let Some(at) = self.all().iter().position(|c| *c == conn) else {
            return false;
        };
        self.conns[at..usize::from(self.count)].rotate_left(1);
        self.count -= 1;
        true
    }
}

/// How far a block in memory is also written down. Each state includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Saved {
    /// It lies in memory alone.
    No,
    /// Its write into the scratch file was asked for.
    Asked,
    /// A record names the block: it outlives the process.
    Recorded,
    /// The block was flushed before such a record: it outlives a loss of power.
    Flushed,
}

/// A block in memory that is not verified.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its bytes.
    pub data: Bytes,
    /// Its sender; `None` if it was restored from the scratch file.
    pub from: Option<ConnectionId>,
    /// The buyer paid for it in advance.
    pub advanced: bool,
    /// How far it is written down.
    pub saved: Saved,
}

/// The place of one block.
#[derive(Clone, Debug)]
pub enum Block {
    /// Nobody is asked for it.
    Missing,
    /// These peers are asked for it.
    Requested(Askers),
    /// It is here.
    Held(Held),
}

/// A begun piece that is not verified.
#[derive(Debug)]
pub struct Partial {
    blocks: Vec<Block>,
    missing: u32,
    requested: u32,
    /// No block before this is missing.
    first_missing: usize,
    /// When its newest block came, counted in blocks of the torrent.
    grew_at: u64,
    /// Its hash is being taken.
    sealed: bool,
    pub(super) delivery: Delivery,
}

/// The use of a block for its piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The block was missing. These peers are asked for it too.
    Wanted(Vec<ConnectionId>),
    /// The block is here already, or must not be mixed into this piece.
    Duplicate,
}

impl Partial {
    pub(super) fn new(blocks: u32, whole: bool, now: Timestamp) -> Partial {
        let owner = match whole {
            true => PieceOwner::Vacant,
            false => PieceOwner::Shared,
        };
        Partial {
            blocks: vec![Block::Missing; blocks as usize],
            missing: blocks,
            requested: 0,
            first_missing: 0,
            grew_at: 0,
            sealed: false,
            delivery: Delivery {
                owner,
                whole,
                touched: now,
                begun: now,
                brought: 0,
                ahead: 0,
                received_before: 0,
                returned: None,
                returned_at: Timestamp::ZERO,
            },
        }
    }

    /// The way in which the piece is brought.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Its blocks in their order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The number of blocks that nobody is asked for.
    pub fn missing(&self) -> u32 {
        self.missing
    }

    /// The number of blocks that are out.
    pub fn requested(&self) -> u32 {
        self.requested
    }

    /// The number of blocks that are here.
    pub fn received(&self) -> u32 {
        self.blocks.len() as u32 - self.missing - self.requested
    }

    /// Whether every block is here.
    pub fn is_complete(&self) -> bool {
        self.missing == 0 && self.requested == 0
    }

    /// Whether its hash is being taken: then no block of it changes any more.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// The time at which its newest block came, counted in blocks of the torrent.
    pub fn grew_at(&self) -> u64 {
        self.grew_at
    }

    /// The blocks that are here, by number.
    pub fn held(&self) -> impl Iterator<Item = (u32, &Held)> {
        (0..)
            .zip(&self.blocks)
            .filter_map(|(number, block)| match block {
                Block::Held(held) => Some((number, held)),
                _ => None,
            })
    }

    /// A block that is here.
    pub fn held_block(&self, number: u32) -> Option<&Held> {
        match self.blocks.get(number as usize) {
            Some(Block::Held(held)) => Some(held),
            _ => None,
        }
    }

    pub(super) fn held_mut(&mut self, number: u32) -> Option<&mut Held> {
        match self.blocks.get_mut(number as usize) {
            Some(Block::Held(held)) => Some(held),
            _ => None,
        }
    }

    /// The bytes that are here.
    pub fn bytes(&self) -> u64 {
        self.held().map(|(_, held)| held.data.len() as u64).sum()
    }

    /// The bytes that lie in memory alone.
    pub fn unsaved(&self) -> u64 {
        let unsaved = self.held().filter(|(_, held)| held.saved == Saved::No);
        unsaved.map(|(_, held)| held.data.len() as u64).sum()
    }

    /// Whether a block that is here came from `conn`.
    pub fn has_of(&self, conn: ConnectionId) -> bool {
        self.held().any(|(_, held)| held.from == Some(conn))
    }

    /// The senders of the blocks that are here; `None` stands for the scratch file.
    pub fn senders(&self) -> Set<Option<ConnectionId>> {
        self.held().map(|(_, held)| held.from).collect()
    }

    /// The bytes of a complete piece, in order.
    pub fn chunks(&self) -> Vec<Bytes> {
        self.held().map(|(_, held)| held.data.clone()).collect()
    }

    /// The peers that still owe a block of this piece, with the number of that block.
    pub fn askers(&self) -> impl Iterator<Item = (ConnectionId, u32)> + '_ {
        (0..).zip(&self.blocks).flat_map(|(number, block)| {
            let askers = match block {
                Block::Requested(by) => by.all(),
                _ => &[],
            };
            askers.iter().map(move |conn| (*conn, number))
        })
    }

    pub(super) fn into_held(self) -> impl Iterator<Item = (u32, Held)> {
        (0..)
            .zip(self.blocks)
            .filter_map(|(number, block)| match block {
                Block::Held(held) => Some((number, held)),
                _ => None,
            })
    }

    pub(super) fn seal(&mut self) {
        self.sealed = true;
    }

    /// Asks `conn` for the first missing block.
    pub(super) fn request_next(&mut self, conn: ConnectionId) -> Option<u32> {
        if self.missing == 0 {
            return None;
        }
        let from = self.first_missing.min(self.blocks.len());
        let offset = (self.blocks[from..].iter()).position(|b| matches!(b, Block::Missing))?;
        let at = from + offset;
        self.blocks[at] = Block::Requested(Askers::of(conn));
        self.first_missing = at + 1;
        self.missing -= 1;
        self.requested += 1;
        Some(at as u32)
    }

    /// Asks `conn` too for a block that is out. Answers `false` if it is not out, or out to enough peers.
    pub(super) fn request_copy(&mut self, conn: ConnectionId, number: u32) -> bool {
        match self.blocks.get_mut(number as usize) {
            Some(Block::Requested(by)) => by.push(conn),
            _ => false,
        }
    }

    pub(super) fn take(
        &mut self,
        now: Timestamp,
        conn: ConnectionId,
        number: u32,
        data: &Bytes,
        grew_at: u64,
    ) -> Taken {
        let delivery = &mut self.delivery;
        if delivery.whole && delivery.owner != PieceOwner::Sole(conn) {
            return Taken::Duplicate;
        }
        let Some(block) = self.blocks.get_mut(number as usize) else {
            return Taken::Duplicate;
        };
        let mut asked = false;
        let others = match block {
            Block::Held(_) => return Taken::Duplicate,
            Block::Missing => {
                self.missing -= 1;
                Vec::new()
            }
            // Another peer sells the block and may have sent it already. A cancel would leave that copy unpaid.
            Block::Requested(_) if matches!(delivery.owner, PieceOwner::Sole(owner) if owner != conn) =>
            {
                return Taken::Duplicate;
            }
            Block::Requested(by) => {
                self.requested -= 1;
                asked = by.all().contains(&conn);
                by.all().iter().copied().filter(|c| *c != conn).collect()
            }
        };
        *block = Block::Held(Held {
            data: data.clone(),
            from: Some(conn),
            advanced: false,
            saved: Saved::No,
        });
        self.grew_at = grew_at;
        if asked {
            delivery.touched = now;
            delivery.returned = delivery.returned.filter(|seller| *seller != conn);
        }
        Taken::Wanted(others)
    }

    /// Takes in a block that nobody is asked for. Answers `false` if it is here already, or out.
    pub(super) fn hold(&mut self, number: u32, held: Held, grew_at: u64) -> bool {
        match self.blocks.get_mut(number as usize) {
            Some(block @ Block::Missing) => *block = Block::Held(held),
            _ => return false,
        }
        self.missing -= 1;
        self.grew_at = grew_at;
        true
    }

    /// `conn` will not deliver this block. Answers `false` if the peer was not asked for it.
    pub(super) fn give_back(&mut self, conn: ConnectionId, number: u32) -> bool {
        let Some(block) = self.blocks.get_mut(number as usize) else {
            return false;
        };
        let Block::Requested(by) = block else {
            return false;
        };
        if !by.remove(conn) {
            return false;
        }
        if by.count == 0 {
            *block = Block::Missing;
            self.requested -= 1;
            self.missing += 1;
            self.first_missing = self.first_missing.min(number as usize);
        }
        true
    }
}
