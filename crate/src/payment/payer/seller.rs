//! The payer's belief about a seller: a payee as it speaks from one network address.
//!
//! TERMS name a payee and prove nothing: anybody can name an honest seller's. So messages and acts under a payee's name
//! count for and against that payee at that address alone.

use alloy_primitives::Address;

use super::{Conn, Payer};
use crate::payment::record::PayerRangeLife;
use crate::payment::{MAX_CONNECTIONS, PeerPayInfo};
use crate::sorted::{Map, Set};
use crate::time::Timestamp;
use crate::types::{BlockRef, ConnectionId, InfoHash};

/// Sellers that are remembered; with more, some that are not connected are forgotten.
const MAX_SELLERS: usize = 2 * MAX_CONNECTIONS;

/// A payee at one address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seller {
    pub(super) payee: Address,
    address: String,
    /// A peer whose address is unknown is a seller of its own while it is connected.
    conn: Option<ConnectionId>,
}

impl Seller {
    pub(super) fn new(payee: Address, conn: ConnectionId, info: &PeerPayInfo) -> Self {
        Seller {
            payee,
            address: info.address.clone(),
            conn: info.address.is_empty().then_some(conn),
        }
    }

    /// The name under which it is kept when its connection is gone.
    fn former(&self) -> Self {
        Seller {
            conn: None,
            ..self.clone()
        }
    }
}

/// See [`Seller`].
#[derive(Debug, Default)]
pub(super) struct SellerBook {
    /// Blocks held and not paid from connections that are gone.
    pub(super) debt: u32,
    /// Blocks it counts as unpaid that never came.
    pub(super) phantom: u32,
    /// Refused finally, or sold bad data: no further range in this run.
    pub(super) refused: bool,
    /// Half of a range or more was used here in this run.
    pub(super) served: bool,
    /// Ranges that were used up here in this run.
    pub(super) filled: usize,
    /// Ranges that it ended before half of them was used, by first serial, and that the chain does not show consumed.
    /// It gets none of them again.
    pub(super) closed: Set<u32>,
    /// When the chain is asked again whether they are.
    pub(super) look_at: Timestamp,
    /// v1: blocks paid in advance, and how often: all of one piece, but for those of pieces that were wrong and are
    /// fetched again.
    pub(super) advanced: Map<(InfoHash, BlockRef), u32>,
}

impl SellerBook {
    /// Takes one copy of a block from the advances.
    pub(super) fn take_advanced(&mut self, torrent: InfoHash, block: BlockRef) -> bool {
        let Some(copies) = self.advanced.get_mut(&(torrent, block)) else {
            return false;
        };
        *copies = copies.saturating_sub(1);
        if *copies == 0 {
            self.advanced.remove(&(torrent, block));
        }
        true
    }

    fn is_blank(&self) -> bool {
        let owed = self.debt > 0 || !self.advanced.is_empty();
        let blamed = self.refused || !self.closed.is_empty();
        !owed && !blamed && !self.served && self.filled == 0
    }
}

impl Conn {
    /// Its address, if it is known.
    pub(super) fn address(&self) -> Option<String> {
        Some(self.info.address.clone()).filter(|address| !address.is_empty())
    }

    /// The payee of this connection's ranges, once one was promised.
    pub(super) fn payee(&self) -> Option<Address> {
        self.seller.as_ref().map(|s| s.payee)
    }
}

impl Payer {
    /// The belief about the seller on this connection.
    pub(super) fn book(&self, conn: ConnectionId) -> Option<&SellerBook> {
        self.sellers.get(self.conns.get(&conn)?.seller.as_ref()?)
    }

    /// See [`Payer::book`].
    pub(super) fn book_mut(&mut self, conn: ConnectionId) -> Option<&mut SellerBook> {
        self.sellers
            .get_mut(self.conns.get(&conn)?.seller.as_ref()?)
    }

    /// Blocks that count against a seller's credit, over all its connections.
    pub(super) fn outstanding_at(&self, seller: &Seller) -> u64 {
        self.conns
            .values()
            .filter(|c| c.seller.as_ref() == Some(seller))
            .map(|c| u64::from(c.ledger.outstanding()))
            .sum()
    }

    /// Takes the debt to a seller from connections that are gone.
    pub(super) fn take_debt(&mut self, seller: &Seller) -> u32 {
        let mut take = |seller: &Seller| {
            let book = self.sellers.get_mut(seller);
            book.map_or(0, |b| core::mem::take(&mut b.debt))
        };
        let here = take(seller);
        let former = if seller.conn.is_some() {
            take(&seller.former())
        } else {
            0
        };
        here.saturating_add(former)
    }

    /// The connection of a seller is gone: keeps its lasting facts, and gives the name that they are kept under. For a
    /// seller at an unknown address these are the debt to it and its advances.
    pub(super) fn keep_book(&mut self, seller: Seller) -> Seller {
        let former = seller.former();
        if former != seller
            && let Some(left) = self.sellers.remove(&seller)
        {
            let book = self.sellers.entry(former.clone()).or_default();
            book.debt = book.debt.saturating_add(left.debt);
            for (block, copies) in left.advanced {
                *book.advanced.entry(block).or_insert(0) += copies;
            }
        }
        former
    }

    /// Forgets a seller that is gone if none of its facts is to be remembered, and another when they are too many.
    pub(super) fn forget_seller(&mut self, seller: &Seller) {
        let conns = &self.conns;
        let gone = |seller: &Seller| !conns.values().any(|c| c.seller.as_ref() == Some(seller));
        let blank = self.sellers.get(seller).is_some_and(SellerBook::is_blank);
        if blank && gone(seller) {
            self.sellers.remove(seller);
        }
        if self.sellers.len() > MAX_SELLERS {
            let other = self.sellers.keys().find(|s| gone(s)).cloned();
            other.map(|other| self.sellers.remove(&other));
        }
    }

    /// A seller ended a range, for good (`closes`) or for this run. A range that it may not end for its payee ends for
    /// it alone.
    pub(super) fn end_range(&mut self, conn: ConnectionId, first: u32, closes: bool) {
        let may_end = self.may_end(conn, first);
        if may_end && closes {
            return self.set_life(first, PayerRangeLife::Closed);
        }
        self.drop_range(first);
        if !may_end && let Some(book) = self.book_mut(conn) {
            book.closed.insert(first);
        }
        if let Some(range) = self.range_mut(first) {
            range.refused |= may_end;
        }
    }

    /// Whether this seller speaks for the payee of a range: it was the first to sell on it in this run, or half of it
    /// is used. Another peer may have come under the payee's name before the payee itself.
    pub(super) fn may_end(&self, conn: ConnectionId, first: u32) -> bool {
        let account = self.account.as_ref();
        self.was_first_to_sell(conn, first) || account.is_some_and(|a| !a.is_early(first))
    }

    /// Whether this seller was the first to sell on a range in this run.
    pub(super) fn was_first_to_sell(&self, conn: ConnectionId, first: u32) -> bool {
        let (Some(range), Some(c)) = (self.range(first), self.conns.get(&conn)) else {
            return false;
        };
        match &range.address {
            Some(address) => range.paid.0 > 0 && *address == c.info.address,
            // Of nobody, or of a peer whose address is unknown.
            None => range.sold_by == Some(conn),
        }
    }

    /// A range has come to its end: the lesson about the seller that ended it, or about all that were blamed for it.
    pub(super) fn note_life(
        &mut self,
        conn: Option<ConnectionId>,
        first: u32,
        life: PayerRangeLife,
    ) {
        match life {
            PayerRangeLife::Usable => {}
            PayerRangeLife::Closed => {
                let early = self.account.as_ref().is_some_and(|a| a.is_early(first));
                if let (true, Some(conn)) = (early, conn)
                    && let Some(book) = self.book_mut(conn)
                {
                    book.closed.insert(first);
                }
            }
            // It was redeemed: closing it was honest.
            PayerRangeLife::Consumed => {
                for book in self.sellers.values_mut() {
                    book.closed.remove(&first);
                }
            }
        }
    }
}
