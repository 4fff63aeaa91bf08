//! An onlooker's view of a run: requests, blocks, promises. It stops the run when a client sends a forbidden message.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256};
use piecework::time::Duration;
use piecework::types::{FineUnits, InfoHash};
use piecework::wire::pay::{PayMessage, VoucherBody};

use crate::books::Books;
use crate::content::Content;
use crate::digests::Digests;
use crate::disk::Disk;
use crate::frames::Frame;
use crate::node::NodeId;
use crate::tamper::fields;
use crate::vault::{SimVault, account_id};

const REQUEST: u8 = 6;
const PIECE: u8 = 7;
const EXTENDED: u8 = 20;

/// A COMMIT on the wire.
#[derive(Clone, Debug)]
pub struct CommitSeen {
    /// The node that sent it: the buyer.
    pub from: NodeId,
    /// The node at the other end of the connection.
    pub to: NodeId,
    /// The torrent of the connection.
    pub info_hash: InfoHash,
    /// The account, by the signature.
    pub account: B256,
    /// The address that is paid.
    pub payee: Address,
    /// The promise.
    pub voucher: VoucherBody,
}

/// The onlooker of one run, and its notes on every node.
#[derive(Debug, Default)]
pub struct Watch {
    /// Every COMMIT.
    pub commits: Vec<CommitSeen>,
    /// PAY messages sent, per payer.
    pub pays: BTreeMap<NodeId, u64>,
    /// Blocks against links.
    pub books: Books,
    /// Accounts whose key two clients hold that know nothing of each other: they promise serials twice.
    pub clones: BTreeSet<B256>,
    /// How long messages with a PAY took from the client to the other side, per payer.
    pub pay_delays: BTreeMap<NodeId, Vec<Duration>>,
    contents: BTreeMap<InfoHash, Content>,
    /// Of their pieces.
    pub(crate) digests: Digests,
    promised: BTreeMap<(B256, u64), Address>,
    requests: BTreeMap<(NodeId, InfoHash), BTreeMap<(u32, u32), u32>>,
    sent: BTreeMap<(NodeId, NodeId, InfoHash), u64>,
    /// Pieces that a node had on record and in its files when it was stopped: it must not ask for them any more.
    settled: BTreeMap<(NodeId, InfoHash), BTreeSet<u32>>,
}

/// One direction of one connection.
#[derive(Debug, Default)]
pub(crate) struct Direction {
    pub(crate) info_hash: Option<InfoHash>,
    /// Payee per quote that this side made.
    pub(crate) quotes: BTreeMap<u32, Address>,
    /// The payee of its last quote.
    pub(crate) last_quote: Option<Address>,
}

impl Watch {
    /// Lets the onlooker know a torrent's bytes.
    pub(crate) fn know(&mut self, content: &Content) {
        for other in self.contents.values() {
            let same = other.info_hash() == content.info_hash();
            assert!(
                same || other.bytes.is_empty() || other.bytes != content.bytes,
                "two films of the same bytes: take seeds that differ by no multiple of `content::FILMS`"
            );
        }
        let before = (self.contents).insert(content.info_hash(), content.clone());
        if before.is_none() {
            self.digests.know(content);
        }
    }

    pub(crate) fn content(&self, info_hash: InfoHash) -> Option<&Content> {
        self.contents.get(&info_hash)
    }

    /// The pieces that a node had are not on its disk any more.
    pub(crate) fn restored(&mut self, node: NodeId) {
        self.settled.retain(|(of, _), _| *of != node);
    }

    /// The node was stopped and left this. If it asks from now on for a piece that is on record there and in the files,
    /// the run stops.
    pub(crate) fn settle(&mut self, node: NodeId, disk: &Disk) {
        for (info_hash, content) in &self.contents {
            let pieces = disk.recorded(content);
            self.settled.insert((node, *info_hash), pieces);
        }
    }

    /// The node's disk was emptied or spoilt on purpose.
    pub fn unsettle(&mut self, node: NodeId) {
        self.settled.retain(|(n, _), _| *n != node);
    }

    /// Bytes of blocks that `from` sent to `to`, corrupt ones and duplicates too.
    pub fn sent(&self, from: NodeId, to: NodeId, info_hash: InfoHash) -> u64 {
        self.sent.get(&(from, to, info_hash)).copied().unwrap_or(0)
    }

    /// Bytes of blocks sent to `to`.
    pub fn sent_to(&self, to: NodeId, info_hash: InfoHash) -> u64 {
        (self.sent.iter())
            .filter(|((_, t, hash), _)| *t == to && *hash == info_hash)
            .map(|(_, bytes)| bytes)
            .sum()
    }

    /// The number of times that a node asked for each block, by piece and first byte.
    pub fn requests(&self, node: NodeId, info_hash: InfoHash) -> BTreeMap<(u32, u32), u32> {
        let requests = self.requests.get(&(node, info_hash));
        requests.cloned().unwrap_or_default()
    }

    /// Everything that an account promised: serials and their payees.
    pub fn promised(&self, account: B256) -> BTreeMap<u64, Address> {
        (self.promised.range((account, 0)..=(account, u64::MAX)))
            .map(|((_, serial), payee)| (*serial, *payee))
            .collect()
    }

    /// A frame as `from`'s client made it. `back`: the other direction.
    pub(crate) fn frame(
        &mut self,
        vault: &SimVault,
        (from, to): (NodeId, NodeId),
        frame: &Frame,
        direction: &mut Direction,
        back: &Direction,
    ) {
        if let Frame::Handshake(bytes) = frame {
            let mut hash = [0; 20];
            hash.copy_from_slice(&bytes[28..48]);
            direction.info_hash = Some(InfoHash(hash));
            return;
        }
        let (Some(id), Some(info_hash)) = (frame.id(), direction.info_hash) else {
            return;
        };
        let payload = frame.payload();
        match id {
            REQUEST => self.request(from, info_hash, payload),
            PIECE => self.block((from, to), info_hash, payload),
            EXTENDED if payload.len() > 1 => {
                if let Ok(Some(message)) = PayMessage::decode(&payload[1..]) {
                    self.payment(vault, (from, to), info_hash, message, direction, back);
                }
            }
            _ => {}
        }
    }

    fn request(&mut self, node: NodeId, info_hash: InfoHash, payload: &[u8]) {
        assert_eq!(payload.len(), 12, "a request");
        let (piece, begin) = (be32(payload), be32(&payload[4..]));
        let settled = self.settled.get(&(node, info_hash));
        assert!(
            !settled.is_some_and(|pieces| pieces.contains(&piece)),
            "{node:?} asks for piece {piece}, which its record named and its files held when it was stopped"
        );
        let requests = self.requests.entry((node, info_hash)).or_default();
        *requests.entry((piece, begin)).or_default() += 1;
    }

    /// Whether a piece message carries the content's bytes.
    pub(crate) fn is_content(&self, info_hash: InfoHash, payload: &[u8]) -> bool {
        let (piece, begin) = (be32(payload), be32(&payload[4..]));
        let data = &payload[8..];
        let content = &self.contents[&info_hash];
        let at = u64::from(piece) * u64::from(content.metainfo.piece_length) + u64::from(begin);
        content.bytes.get(at as usize..at as usize + data.len()) == Some(data)
    }

    fn block(&mut self, (from, to): (NodeId, NodeId), info_hash: InfoHash, payload: &[u8]) {
        assert!(
            self.is_content(info_hash, payload),
            "{from:?} serves wrong bytes of piece {} at {}",
            be32(payload),
            be32(&payload[4..])
        );
        let data = &payload[8..];
        *self.sent.entry((from, to, info_hash)).or_default() += data.len() as u64;
    }

    fn payment(
        &mut self,
        vault: &SimVault,
        (from, to): (NodeId, NodeId),
        info_hash: InfoHash,
        message: PayMessage,
        direction: &mut Direction,
        back: &Direction,
    ) {
        match message {
            PayMessage::Terms(terms) => {
                direction.quotes.insert(terms.quote_id, terms.payee);
                direction.last_quote = Some(terms.payee);
            }
            PayMessage::Reject { code, .. } => {
                self.books.rejects.entry((from, to)).or_default().push(code);
            }
            PayMessage::State { .. } => *self.books.states.entry((from, to)).or_default() += 1,
            PayMessage::Pay { .. } => {
                *self.pays.entry(from).or_default() += 1;
                self.books.said(from, None, &message);
            }
            PayMessage::Commit { quote_id, voucher } => {
                let payee = back.quotes.get(&quote_id);
                let payee = *payee.expect("a COMMIT names a quote of this connection");
                self.books.said(from, Some(payee), &message);
                let digest = vault.voucher_digest(&fields(payee, &voucher));
                let key = vault.signer(digest, voucher.r, voucher.vs);
                let account = account_id(voucher.owner, key.expect("a COMMIT is signed"));
                self.promise(account, payee, &voucher);
                self.commits.push(CommitSeen {
                    from,
                    to,
                    info_hash,
                    account,
                    payee,
                    voucher,
                });
            }
            _ => {}
        }
    }

    pub(crate) fn note_pay(&mut self, from: NodeId, took: Duration) {
        self.pay_delays.entry(from).or_default().push(took);
    }

    fn promise(&mut self, account: B256, payee: Address, voucher: &VoucherBody) {
        assert!(voucher.first > 0, "serial 0 is never assigned");
        assert!(voucher.unit > FineUnits(0), "a COMMIT at price 0");
        let first = u64::from(voucher.first);
        for serial in first..first + u64::from(voucher.count) {
            let before = self.promised.insert((account, serial), payee);
            let clones = self.clones.contains(&account);
            assert!(
                clones || before.is_none_or(|before| before == payee),
                "serial {serial} is promised to {payee} and to {before:?}"
            );
        }
    }
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
