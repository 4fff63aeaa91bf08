//! A piece that was begun: the state of each of its blocks, and who may be asked for them.
//!
//! Invariant: the counts say what the blocks are. Only [`Pieces`](super::Pieces) changes a block.

use bytes::Bytes;

use crate::sorted::Set;
use crate::time::Timestamp;
use crate::types::ConnectionId;

/// The same block is out to at most this many peers.
pub const MAX_COPIES: usize = 3;

/// Who may be asked for the blocks of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceOwner {
    /// Free peers, any number at once.
    Shared,
    /// This peer alone.
    Sole(ConnectionId),
    /// Nobody: the peer that alone brought it stopped. A seller that is asked for it brings it alone, free peers share it.
    Vacant,
}

/// How a piece is brought. The picker decides it (docs/decisions/045-a-failed-piece-comes-whole-by-turns.md).
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// Who may be asked.
    pub owner: PieceOwner,
    /// It comes from one source as a whole: a fetch from several failed its hash.
    pub whole: bool,
    /// When a block that was asked for came last, or its owner was first asked. What comes late keeps no piece from others.
    pub touched: Timestamp,
    /// When it was begun.
    pub begun: Timestamp,
    /// If it is to come whole: so many blocks its owner had brought of it as its turn began,
    pub brought: u32,
    /// owed of other pieces,
    pub ahead: u64,
    /// and had sent in all.
    pub received_before: u64,
    /// It went back to this seller, which has sent none of it since.
    pub returned: Option<ConnectionId>,
    /// When it went back.
    pub returned_at: Timestamp,
}

/// The peers that are asked for one block, oldest request first. Most are one, and none is kept on the heap.
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

    /// All of them.
    pub fn all(&self) -> &[ConnectionId] {
        &self.conns[..usize::from(self.count)]
    }

    /// `false`: so many are asked already, or this one is.
    fn push(&mut self, conn: ConnectionId) -> bool {
        let free = usize::from(self.count);
        if free == MAX_COPIES || self.all().contains(&conn) {
            return false;
        }
        self.conns[free] = conn;
        self.count += 1;
        true
    }

    /// Takes one out. `false`: it was not asked.
    fn remove(&mut self, conn: ConnectionId) -> bool {
        let Some(at) = self.all().iter().position(|c| *c == conn) else {
            return false;
        };
        self.conns[at..usize::from(self.count)].rotate_left(1);
        self.count -= 1;
        true
    }
}

/// How far a block in memory is written down besides. Each state includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Saved {
    /// It lies in memory alone.
    No,
    /// Its write into the scratch file was asked for.
    Asked,
    /// A record names it: it outlives the process.
    Recorded,
    /// It was flushed before that: it outlives a loss of power.
    Flushed,
}

/// A block in memory, not verified.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its bytes.
    pub data: Bytes,
    /// Its sender; `None` if it was restored from the scratch file.
    pub from: Option<ConnectionId>,
    /// It was paid for in advance.
    pub advanced: bool,
    /// See [`Saved`].
    pub saved: Saved,
}

/// Where one block stands.
#[derive(Clone, Debug)]
pub enum Block {
    /// Nobody is asked for it.
    Missing,
    /// These are asked for it.
    Requested(Askers),
    /// It is here.
    Held(Held),
}

/// A piece that was begun and is not verified.
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
    /// How it is brought.
    pub(super) delivery: Delivery,
}

/// What a block that arrived is to its piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was missing; these peers are asked for it too.
    Wanted(Vec<ConnectionId>),
    /// It is here already, or must not be mixed into this piece.
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

    /// How it is brought.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Its blocks in their order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Blocks that nobody is asked for.
    pub fn missing(&self) -> u32 {
        self.missing
    }

    /// Blocks that are out.
    pub fn requested(&self) -> u32 {
        self.requested
    }

    /// Blocks that are here.
    pub fn received(&self) -> u32 {
        self.blocks.len() as u32 - self.missing - self.requested
    }

    /// Every block is here.
    pub fn is_complete(&self) -> bool {
        self.missing == 0 && self.requested == 0
    }

    /// Its hash is being taken: no block of it changes any more.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// When its newest block came, counted in blocks of the torrent.
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

    /// Bytes that are here.
    pub fn bytes(&self) -> u64 {
        self.held().map(|(_, held)| held.data.len() as u64).sum()
    }

    /// Bytes that lie in memory alone.
    pub fn unsaved(&self) -> u64 {
        let unsaved = self.held().filter(|(_, held)| held.saved == Saved::No);
        unsaved.map(|(_, held)| held.data.len() as u64).sum()
    }

    /// A block of it that is here came from `conn`.
    pub fn has_of(&self, conn: ConnectionId) -> bool {
        self.held().any(|(_, held)| held.from == Some(conn))
    }

    /// The senders of what is here; `None` stands for the scratch file.
    pub fn senders(&self) -> Set<Option<ConnectionId>> {
        self.held().map(|(_, held)| held.from).collect()
    }

    /// Its bytes in order. Only for a complete piece.
    pub fn chunks(&self) -> Vec<Bytes> {
        self.held().map(|(_, held)| held.data.clone()).collect()
    }

    /// Peers that still owe a block of this piece.
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

    /// Asks `conn` too for a block that is out. `false`: it is not out, or to enough peers.
    pub(super) fn request_copy(&mut self, conn: ConnectionId, number: u32) -> bool {
        match self.blocks.get_mut(number as usize) {
            Some(Block::Requested(by)) => by.push(conn),
            _ => false,
        }
    }

    /// A block came.
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
            // Another sells it, and may have sent it already: it would be cancelled there, and its copy paid by nobody.
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

    /// A block is here that nobody is asked for. `false`: it is here already, or out.
    pub(super) fn hold(&mut self, number: u32, held: Held, grew_at: u64) -> bool {
        match self.blocks.get_mut(number as usize) {
            Some(block @ Block::Missing) => *block = Block::Held(held),
            _ => return false,
        }
        self.missing -= 1;
        self.grew_at = grew_at;
        true
    }

    /// `conn` will not deliver this block. `false`: it was not asked for it.
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
