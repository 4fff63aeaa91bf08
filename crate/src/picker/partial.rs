//! A piece that was begun: the state of each of its blocks, and who may be asked for them.
//!
//! Invariant: a piece with a paid source is asked of that source alone (docs/protocol.md, "Advances in v1 torrents"),
//! so no block is ever out to two paid peers.

use super::MAX_COPIES;
use crate::time::Timestamp;
use crate::types::ConnectionId;

/// Who may be asked for the blocks of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PieceOwner {
    /// Free peers, any number at once.
    Shared,
    /// This peer alone.
    Sole(ConnectionId),
    /// Nobody: the one who brought it alone does not any more. A seller that is asked for it brings it alone, free peers share it.
    Vacant,
}

#[derive(Clone, Debug)]
pub(super) enum Block {
    Missing,
    /// Out to these peers, oldest request first.
    Requested(Vec<(ConnectionId, Timestamp)>),
    /// Here, from this peer (`None`: restored from storage).
    Received(Option<ConnectionId>),
}

#[derive(Debug)]
pub(super) struct Partial {
    pub(super) owner: PieceOwner,
    /// It comes from one source as a whole: a fetch from several failed its hash.
    pub(super) whole: bool,
    pub(super) blocks: Vec<Block>,
    pub(super) missing: u32,
    pub(super) requested: u32,
    /// When a block that was asked for came last, or its owner was first asked. What comes late keeps no piece from others.
    pub(super) touched: Timestamp,
    /// When it was begun.
    pub(super) begun: Timestamp,
    /// If it is to come whole: so many blocks its owner had brought of it as its turn began, owed of others, and had sent in all.
    pub(super) brought: u32,
    pub(super) ahead: u64,
    pub(super) received_before: u64,
    /// It went back to this seller, which has sent none of it since; and when.
    pub(super) returned: Option<ConnectionId>,
    pub(super) returned_at: Timestamp,
    /// No block before this is missing.
    first_missing: usize,
}

/// What a block that arrived is to its piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was missing; these peers are asked for it too.
    Wanted(Vec<ConnectionId>),
    /// It is here already, or must not be mixed into this piece.
    Duplicate,
}

impl Partial {
    pub(super) fn new(blocks: u32, whole: bool, now: Timestamp) -> Partial {
        Partial {
            owner: if whole {
                PieceOwner::Vacant
            } else {
                PieceOwner::Shared
            },
            whole,
            blocks: vec![Block::Missing; blocks as usize],
            missing: blocks,
            requested: 0,
            touched: now,
            begun: now,
            brought: 0,
            ahead: 0,
            received_before: 0,
            returned: None,
            returned_at: Timestamp::ZERO,
            first_missing: 0,
        }
    }

    pub(super) fn received(&self) -> u32 {
        self.blocks.len() as u32 - self.missing - self.requested
    }

    /// A block of it that is here came from `conn`.
    pub(super) fn has_of(&self, conn: ConnectionId) -> bool {
        let of_it = |block: &Block| matches!(block, Block::Received(from) if *from == Some(conn));
        self.blocks.iter().any(of_it)
    }

    pub(super) fn complete(&self) -> bool {
        self.missing == 0 && self.requested == 0
    }

    /// Whether `conn` may be asked for a missing block of this piece.
    pub(super) fn admits(&self, conn: ConnectionId, free: bool, now: Timestamp) -> bool {
        let idle = self.requested == 0;
        match self.owner {
            PieceOwner::Shared => free || idle,
            PieceOwner::Sole(owner) if owner == conn => true,
            PieceOwner::Sole(_) => {
                idle && !self.whole && now.since(self.touched) >= super::PATIENCE
            }
            PieceOwner::Vacant => idle,
        }
    }

    /// It is one peer's turn to bring it whole.
    pub(super) fn has_turn(&self) -> bool {
        self.whole && matches!(self.owner, PieceOwner::Sole(_))
    }

    /// To come whole from one peer, and that one does nothing any more.
    pub(super) fn abandoned_whole(&self, conn: ConnectionId, now: Timestamp) -> bool {
        self.whole
            && self.requested == 0
            && self.missing > 0
            && matches!(self.owner, PieceOwner::Sole(owner) if owner != conn)
            && now.since(self.touched) >= super::PATIENCE
    }

    /// Asks `conn` for the first missing block. The caller checked [`Self::admits`].
    pub(super) fn request_next(
        &mut self,
        conn: ConnectionId,
        free: bool,
        now: Timestamp,
    ) -> Option<u32> {
        if self.missing == 0 {
            return None;
        }
        let from = self.first_missing.min(self.blocks.len());
        let offset = self.blocks[from..]
            .iter()
            .position(|b| matches!(b, Block::Missing))?;
        let index = from + offset;
        self.blocks[index] = Block::Requested(vec![(conn, now)]);
        self.first_missing = index + 1;
        self.missing -= 1;
        self.requested += 1;
        let owner = match free && !self.whole {
            true => PieceOwner::Shared,
            false => PieceOwner::Sole(conn),
        };
        if self.owner != owner {
            self.owner = owner;
            self.touched = now;
        }
        Some(index as u32)
    }

    /// Blocks that one more free peer, `conn`, may be asked for: index, and who was asked last and when.
    pub(super) fn copyable(
        &self,
        conn: ConnectionId,
        copies: usize,
    ) -> impl Iterator<Item = (u32, ConnectionId, Timestamp)> + '_ {
        let shared = self.owner == PieceOwner::Shared && self.requested > 0;
        let blocks = if shared { self.blocks.as_slice() } else { &[] };
        blocks.iter().enumerate().filter_map(move |(index, block)| {
            let Block::Requested(by) = block else {
                return None;
            };
            let &(last, at) = by.last()?;
            let room = by.len() < copies.min(MAX_COPIES) && by.iter().all(|&(c, _)| c != conn);
            room.then_some((index as u32, last, at))
        })
    }

    /// Asks `conn` too for a block that [`Self::copyable`] named.
    pub(super) fn request_copy(&mut self, conn: ConnectionId, index: u32, now: Timestamp) {
        if let Some(Block::Requested(by)) = self.blocks.get_mut(index as usize) {
            by.push((conn, now));
        }
    }

    pub(super) fn take(&mut self, conn: ConnectionId, index: u32, now: Timestamp) -> Taken {
        if self.whole && self.owner != PieceOwner::Sole(conn) {
            return Taken::Duplicate;
        }
        let Some(block) = self.blocks.get_mut(index as usize) else {
            return Taken::Duplicate;
        };
        let mut asked = false;
        let others = match block {
            Block::Received(_) => return Taken::Duplicate,
            Block::Missing => {
                self.missing -= 1;
                Vec::new()
            }
            // Another sells it, and may have sent it already: it would be cancelled there, and its copy paid by nobody.
            Block::Requested(_) if matches!(self.owner, PieceOwner::Sole(owner) if owner != conn) =>
            {
                return Taken::Duplicate;
            }
            Block::Requested(by) => {
                self.requested -= 1;
                asked = by.iter().any(|&(c, _)| c == conn);
                by.iter().map(|&(c, _)| c).filter(|&c| c != conn).collect()
            }
        };
        *block = Block::Received(Some(conn));
        if asked {
            self.touched = now;
            self.returned = self.returned.filter(|seller| *seller != conn);
        }
        Taken::Wanted(others)
    }

    /// `conn` will not deliver this block. Answers whether the block is missing again.
    pub(super) fn give_back(&mut self, conn: ConnectionId, index: u32) -> bool {
        let Some(block) = self.blocks.get_mut(index as usize) else {
            return false;
        };
        let Block::Requested(by) = block else {
            return false;
        };
        by.retain(|&(c, _)| c != conn);
        if !by.is_empty() {
            return false;
        }
        *block = Block::Missing;
        self.requested -= 1;
        self.missing += 1;
        self.first_missing = self.first_missing.min(index as usize);
        true
    }

    /// Marks a block as read back from storage.
    pub(super) fn restore(&mut self, index: u32) {
        self.is_here(None, index);
    }

    /// Marks a block as brought by this peer before.
    pub(super) fn bring(&mut self, conn: ConnectionId, index: u32) {
        self.is_here(Some(conn), index);
    }

    /// Of what counts as received only this is here, as the turn of its sender begins.
    pub(super) fn keep_only(&mut self, held: impl Fn(usize) -> bool) {
        for (index, block) in self.blocks.iter_mut().enumerate() {
            if matches!(block, Block::Received(_)) && !held(index) {
                *block = Block::Missing;
                self.missing += 1;
                self.first_missing = self.first_missing.min(index);
            }
        }
        self.brought = self.received();
    }

    fn is_here(&mut self, from: Option<ConnectionId>, index: u32) {
        if let Some(block @ Block::Missing) = self.blocks.get_mut(index as usize) {
            *block = Block::Received(from);
            self.missing -= 1;
        }
    }

    /// Peers that still owe a block of this piece.
    pub(super) fn askers(&self) -> impl Iterator<Item = (ConnectionId, u32)> + '_ {
        self.blocks
            .iter()
            .enumerate()
            .flat_map(|(index, block)| match block {
                Block::Requested(by) => by
                    .iter()
                    .map(|&(conn, _)| (conn, index as u32))
                    .collect::<Vec<_>>(),
                _ => Vec::new(),
            })
    }
}
