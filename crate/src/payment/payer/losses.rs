//! Blocks that were paid in advance for one v1 title: lost, or at stake until their piece is judged.
//!
//! Invariants: the lost blocks, and each piece at stake, counted whole, never come to more than the title's loss
//! budget. The blocks at stake are on record before the links that pay for them leave, so the budget outlives the run.
//! Blocks of an earlier run stay at stake if they are held again, and are lost if they are neither held nor verified.

use super::{Payer, PayerTask, Seller};
use crate::payment::policy;
use crate::payment::record::{Key, PayerTitleRecord};
use crate::payment::{EndReason, PayEvent, TitleKind};
use crate::sorted::{Map, Set};
use crate::time::Timestamp;
use crate::types::{BlockRef, ConnectionId, InfoHash, PieceIndex};
use crate::verify::AdvanceBlock;
use crate::wire::pay::ByeReason;

/// See the module's documentation. Counts blocks.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Blocks in a piece; 0 while it is not known.
    piece_blocks: u32,
    /// Turned out bad.
    lost: u32,
    /// Advanced and not judged yet.
    at_stake: Map<PieceIndex, u32>,
    /// The number of those that an earlier run advanced, or this one before the torrent was added again: no connection
    /// has them.
    earlier: Map<PieceIndex, u32>,
    /// Pieces at stake that keep no seller from an advance over another: they were wrong and have several senders, or a
    /// connection of their seller is gone and nobody may ask it for the rest.
    loose: Set<PieceIndex>,
}

/// The part in storage of a piece that was paid for in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is verified.
    Good,
    /// Blocks of it are held, to be judged with the piece.
    Held,
    /// Nothing.
    Gone,
}

impl Losses {
    /// As an earlier run left it.
    pub(super) fn from_record(record: PayerTitleRecord) -> Self {
        Losses {
            piece_blocks: 0,
            lost: record.lost,
            earlier: record.at_stake.clone(),
            at_stake: record.at_stake,
            loose: Set::new(),
        }
    }

    /// Nothing more may be lost.
    pub(super) fn used_up() -> Self {
        Losses {
            lost: u32::MAX,
            ..Losses::default()
        }
    }

    fn record(&self) -> PayerTitleRecord {
        PayerTitleRecord {
            lost: self.lost,
            at_stake: self.at_stake.clone(),
        }
    }

    pub(super) fn set_piece_blocks(&mut self, blocks: u32) {
        self.piece_blocks = blocks;
    }

    /// Blocks that may still be lost. A rest that no piece fits into counts as none, once nothing is at stake: no piece
    /// would be begun with it.
    fn left(&self, pieces: u32) -> u32 {
        let left = policy::loss_budget(pieces, self.piece_blocks).saturating_sub(self.lost);
        if left < self.piece_blocks && self.at_stake.is_empty() {
            return 0;
        }
        left
    }

    /// Blocks of this piece that may still be advanced. A piece is begun only if the whole of it fits.
    fn room(&self, pieces: u32, piece: PieceIndex) -> u32 {
        let others = self.at_stake.iter().filter(|(other, _)| **other != piece);
        let reserved = others
            .map(|(_, blocks)| self.piece_blocks.max(*blocks))
            .fold(0, u32::saturating_add);
        let left = self.left(pieces).saturating_sub(reserved);
        match self.at_stake.get(&piece) {
            Some(here) => left.saturating_sub(*here),
            None if left < self.piece_blocks => 0,
            None => left,
        }
    }

    fn stake(&mut self, piece: PieceIndex) {
        let blocks = self.at_stake.entry(piece).or_insert(0);
        *blocks = blocks.saturating_add(1);
    }

    fn unstake(&mut self, piece: PieceIndex, judged: u32) {
        let Some(blocks) = self.at_stake.get_mut(&piece) else {
            return;
        };
        *blocks = blocks.saturating_sub(judged);
        if *blocks == 0 {
            self.at_stake.remove(&piece);
            self.loose.remove(&piece);
        }
    }
}

impl Payer {
    /// A torrent was added, and the content of its storage is known. The blocks that earlier runs paid for in advance
    /// are judged, or will be ([`Payer::restored_judged`]), or are lost.
    pub fn restored(
        &mut self,
        now: Timestamp,
        torrent: InfoHash,
        begun: impl Fn(PieceIndex) -> Begun,
    ) {
        let Some(losses) = self.titles.get_mut(&torrent) else {
            return;
        };
        // The payee of these advances is forgotten: nobody knows the sender of blocks that are held again.
        losses.earlier = losses.at_stake.clone();
        for book in self.sellers.values_mut() {
            book.advanced.retain(|(of, _), _| *of != torrent);
        }
        for piece in losses.earlier.keys().copied().collect::<Vec<_>>() {
            match begun(piece) {
                Begun::Good => self.restored_judged(now, torrent, piece, true),
                Begun::Held => {}
                Begun::Gone => self.restored_judged(now, torrent, piece, false),
            }
        }
    }

    /// A piece was hashed that may have blocks of an earlier run. If it is bad, the advances for them are lost. Nobody
    /// is blamed, because blocks from storage may be torn.
    pub fn restored_judged(
        &mut self,
        now: Timestamp,
        torrent: InfoHash,
        piece: PieceIndex,
        good: bool,
    ) {
        self.turn(now);
        let Some(losses) = self.titles.get_mut(&torrent) else {
            return;
        };
        if let Some(blocks) = losses.earlier.remove(&piece) {
            losses.unstake(piece, blocks);
            self.unrecorded.insert(torrent);
            self.book_loss(torrent, if good { 0 } else { blocks });
        }
    }

    /// A block is paid before its piece is judged.
    pub(super) fn stake(&mut self, conn: ConnectionId, torrent: InfoHash, advance: &AdvanceBlock) {
        let block = advance.block();
        if let Some(book) = self.book_mut(conn) {
            let copies = book.advanced.entry((torrent, block)).or_insert(0);
            *copies = copies.saturating_add(1);
        }
        let losses = self.titles.entry(torrent).or_default();
        losses.stake(block.piece);
        if advance.is_suspect() {
            losses.loose.insert(block.piece);
        }
        self.unrecorded.insert(torrent);
    }

    /// A connection of a seller is gone: its advances stay at stake, and it may sell another piece.
    pub(super) fn loosen(&mut self, seller: &Seller, torrent: InfoHash) {
        let (Some(book), Some(losses)) = (self.sellers.get(seller), self.titles.get_mut(&torrent))
        else {
            return;
        };
        let here = book.advanced.keys().filter(|(of, _)| *of == torrent);
        losses.loose.extend(here.map(|(_, block)| block.piece));
    }

    /// The advances for these blocks are not at stake any more.
    pub(super) fn judged(&mut self, torrent: InfoHash, blocks: &[BlockRef]) {
        let Some(losses) = self.titles.get_mut(&torrent) else {
            return;
        };
        for block in blocks {
            losses.unstake(block.piece, 1);
            self.unrecorded.insert(torrent);
        }
        self.end_if_used_up(torrent);
    }

    /// Blocks of this connection are thrown away and will never be judged: the advances for them are lost. Nobody is
    /// blamed.
    pub fn thrown_away(&mut self, now: Timestamp, conn: ConnectionId, blocks: &[BlockRef]) {
        self.turn(now);
        let here = self
            .conns
            .get(&conn)
            .map(|c| (c.seller.clone(), c.info.torrent));
        let gone = || {
            let gone = self.gone.iter().find(|g| g.conn == conn);
            gone.map(|g| (Some(g.seller.clone()), g.torrent))
        };
        let Some((Some(seller), torrent)) = here.or_else(gone) else {
            return;
        };
        let book = self.sellers.entry(seller.clone()).or_default();
        let mut lost = blocks.to_vec();
        lost.retain(|block| book.take_advanced(torrent, *block));
        self.forget_seller(&seller);
        self.judged(torrent, &lost);
        self.book_loss(torrent, lost.len() as u32);
    }

    /// Puts the blocks at stake on record, before links leave for them.
    pub(super) fn store_stakes(&mut self) {
        while let Some(torrent) = self.unrecorded.pop_first() {
            self.store_losses(torrent, PayerTask::Staked);
        }
    }

    fn store_losses(&mut self, torrent: InfoHash, work: PayerTask) {
        if let Some(losses) = self.titles.get(&torrent) {
            let record = losses.record().encode();
            self.put(Key::PayerTitle(torrent), record, work);
        }
    }

    pub(super) fn book_loss(&mut self, torrent: InfoHash, blocks: u32) {
        if blocks == 0 {
            return;
        }
        let losses = self.titles.entry(torrent).or_default();
        losses.lost = losses.lost.saturating_add(blocks);
        self.unrecorded.remove(&torrent);
        self.store_losses(torrent, PayerTask::Background);
        let left = self.losses_left(torrent);
        self.event(PayEvent::LossDebited {
            torrent,
            blocks,
            left,
        });
        self.end_if_used_up(torrent);
    }

    /// Ends paid buying of a title of which nothing more may be lost.
    fn end_if_used_up(&mut self, torrent: InfoHash) {
        if self.losses_left(torrent) > 0 {
            return;
        }
        let paid_v1 = self
            .conns
            .iter()
            .filter(|(_, c)| c.info.torrent == torrent && matches!(c.title, TitleKind::V1 { .. }));
        let conns: Vec<_> = paid_v1.map(|(id, _)| *id).collect();
        for conn in conns {
            self.settle(conn);
            self.bye(conn, ByeReason::Policy);
            self.end(conn, EndReason::Closed);
        }
    }

    /// Blocks of a title that may still be lost.
    pub(super) fn losses_left(&self, torrent: InfoHash) -> u32 {
        let losses = self.titles.get(&torrent);
        losses.map_or(0, |l| l.left(self.config.loss_budget_pieces))
    }

    /// Pieces of a title that are paid for in part and not judged yet, and whether no other can be begun before.
    pub fn staked(&self, torrent: InfoHash) -> (Set<u32>, bool) {
        let Some(losses) = self.titles.get(&torrent) else {
            return (Set::new(), false);
        };
        let full = losses.room(self.config.loss_budget_pieces, NO_PIECE) == 0;
        (losses.at_stake.keys().map(|piece| piece.0).collect(), full)
    }

    /// The piece that the seller on this connection is advanced over.
    fn open_piece(&self, conn: ConnectionId) -> Option<(InfoHash, PieceIndex)> {
        let advanced = self.book(conn)?.advanced.keys();
        let mut pieces = advanced.map(|(torrent, block)| (*torrent, block.piece));
        pieces.find(|(torrent, piece)| {
            let losses = self.titles.get(torrent);
            losses.is_none_or(|l| !l.loose.contains(piece))
        })
    }

    /// Whether a block may be paid before its piece is judged: it fits into the loss budget, and its seller is not
    /// advanced over another piece.
    pub(super) fn may_advance(&self, conn: ConnectionId, advance: &AdvanceBlock) -> bool {
        let torrent = self.conns.get(&conn).map(|c| c.info.torrent);
        let Some((torrent, _)) = torrent.zip(self.book(conn)) else {
            return false;
        };
        let piece = advance.block().piece;
        let other = |open| open != (torrent, piece);
        let other_piece = !advance.is_suspect() && self.open_piece(conn).is_some_and(other);
        let losses = self.titles.get(&torrent);
        let pieces = self.config.loss_budget_pieces;
        !other_piece && losses.is_some_and(|l| l.room(pieces, piece) > 0)
    }

    /// Blocks that may be advanced on this connection, whichever piece they are of.
    pub(super) fn advances_left(&self, conn: ConnectionId) -> u32 {
        let torrent = self.conns.get(&conn).map(|c| c.info.torrent);
        let Some(losses) = torrent.and_then(|torrent| self.titles.get(&torrent)) else {
            return 0;
        };
        let room = |piece| losses.room(self.config.loss_budget_pieces, piece);
        let begun = losses.at_stake.keys().copied();
        let most = begun.chain([NO_PIECE]).map(room).max();
        most.unwrap_or(0)
    }
}

/// A piece that no torrent has: nothing of it is at stake.
const NO_PIECE: PieceIndex = PieceIndex(u32::MAX);
