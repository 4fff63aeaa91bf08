//! The other end of one connection: what it says to the client, and what must hold for what it hears.

use std::collections::{BTreeMap, VecDeque};

use alloy_primitives::{Address, B256};
use bytes::{Bytes, BytesMut};
use piecework::metainfo::Metainfo;
use piecework::payment::chain::HashChain;
use piecework::payment::voucher::Voucher;
use piecework::types::{BlockRef, FineUnits, InfoHash, PeerId, PieceIndex};
use piecework::wire::extension::MetadataMessage;
use piecework::wire::extension::{
    METADATA_PIECE_LEN, PW_PAY_ID, PW_PAY_NAME, PayHandshake, UT_METADATA_ID, UT_METADATA_NAME,
};
use piecework::wire::pay::{ByeReason, NeedReason, PayMessage, RejectCode, Terms, VoucherBody};
use piecework::wire::{Decoder, ExtendedHandshake, Handshake, Message};

use super::super::choices::Choices;
use super::VAULT;
use super::edge::{Content, address, content, sign};
use super::seller::Promises;

/// What messages towards us carry (BEP 10).
const METADATA_ID: u8 = 3;
const PAY_ID: u8 = 7;
/// Requests of the client that are remembered; older ones are forgotten.
const MAX_ASKED: usize = 512;

/// From this byte on, a payment message is what a hostile seller says, in a row of up to four.
const HOSTILE: u8 = 0xf0;

pub struct Remote {
    info_hash: InfoHash,
    decoder: Decoder,
    greeted: bool,
    asked: VecDeque<BlockRef>,
    metadata_asked: VecDeque<u32>,
    /// Our quotes: who is to be paid, and how much per block. A hostile payee uses an id again for others.
    quotes: BTreeMap<u32, Vec<(Address, FineUnits)>>,
    /// The last promise to us, and its best link.
    promise: Option<(VoucherBody, u16)>,
    /// The client's quote.
    terms: Option<Terms>,
    /// Our own chain for it.
    paying: Option<(Voucher, HashChain, u16)>,
}

impl Remote {
    pub fn new(info_hash: InfoHash) -> Remote {
        Remote {
            info_hash,
            decoder: Decoder::new(),
            greeted: false,
            asked: VecDeque::new(),
            metadata_asked: VecDeque::new(),
            quotes: BTreeMap::new(),
            promise: None,
            terms: None,
            paying: None,
        }
    }

    /// The torrent that the connection is for.
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// The client sent bytes: all of it is protocol, no byte of a block is wrong.
    pub fn hear(&mut self, bytes: Bytes, ceiling: FineUnits, promises: &mut Promises) {
        assert!(self.decoder.push(bytes).is_ok(), "the client floods");
        if !self.greeted {
            match self.decoder.next_handshake() {
                Ok(None) => return,
                Ok(Some(handshake)) => assert_eq!(handshake.info_hash, self.info_hash),
                Err(error) => panic!("the client's handshake: {error}"),
            }
            self.greeted = true;
        }
        loop {
            match self.decoder.next_message() {
                Ok(Some(message)) => self.message(message, ceiling, promises),
                Ok(None) => return,
                Err(error) => panic!("the client's message: {error}"),
            }
        }
    }

    fn message(&mut self, message: Message, ceiling: FineUnits, promises: &mut Promises) {
        let known = content(self.info_hash);
        match message {
            Message::Request(block) => {
                if let Some(content) = known {
                    assert!(content.meta.geometry().validate(block), "{block:?}");
                }
                assert!(block.length <= piecework::types::BLOCK_LEN);
                self.asked.push_back(block);
                if self.asked.len() > MAX_ASKED {
                    self.asked.pop_front();
                }
            }
            Message::Cancel(block) => self.asked.retain(|b| *b != block),
            Message::Piece { piece, begin, data } => {
                let Some(content) = known else {
                    panic!("a block of an unknown torrent");
                };
                let block = BlockRef {
                    piece,
                    begin,
                    length: data.len() as u32,
                };
                assert_eq!(data, block_bytes(content, block), "{block:?}");
            }
            Message::Have(piece) => {
                assert!(known.is_none_or(|c| piece.0 < c.meta.piece_count()));
            }
            Message::Extended { id, payload } if id == METADATA_ID => {
                match MetadataMessage::decode(&payload) {
                    Ok(MetadataMessage::Request { piece }) => {
                        self.metadata_asked.push_back(piece);
                        self.metadata_asked.truncate(MAX_ASKED);
                    }
                    Ok(MetadataMessage::Data { piece, data, .. }) => {
                        if let Some(content) = known {
                            assert_eq!(data, metadata_piece(&content.meta, piece));
                        }
                    }
                    Ok(_) => {}
                    Err(error) => panic!("the client's metadata message: {error}"),
                }
            }
            Message::Extended { id, payload } if id == PAY_ID => match PayMessage::decode(&payload)
            {
                Ok(Some(message)) => self.payment(message, ceiling, promises),
                other => panic!("the client's payment message: {other:?}"),
            },
            _ => {}
        }
    }

    fn payment(&mut self, message: PayMessage, ceiling: FineUnits, promises: &mut Promises) {
        match message {
            PayMessage::Terms(terms) => self.terms = Some(terms),
            PayMessage::Commit { quote_id, voucher } => {
                let Some(quotes) = self.quotes.get(&quote_id) else {
                    panic!("a promise for a quote that nobody made");
                };
                promises.commit(voucher, quotes, ceiling);
                self.promise = Some((voucher, 0));
            }
            PayMessage::Pay { first, tag, k, w } => {
                if let Some((voucher, best)) = &mut self.promise
                    && (voucher.first, voucher.tag()) == (first, tag)
                {
                    *best = k;
                }
                promises.pay(first, tag, k, w);
            }
            PayMessage::Reconcile { voucher } => {
                let payees = self.quotes.values().flatten().map(|(payee, _)| *payee);
                promises.reconcile(voucher, payees);
            }
            _ => {}
        }
    }

    /// What an honest peer says at first: handshake, extensions, all pieces or none, unchoke, interested.
    pub fn introduce(&mut self, peer: u8, seed: bool) -> Bytes {
        let mut out = BytesMut::new();
        let handshake = Handshake::ours(self.info_hash, PeerId([peer; 20]));
        out.extend_from_slice(&handshake.encode());
        let size = content(self.info_hash).map(|c| c.meta.info.len() as u32);
        extensions(size, 3).encode(&mut out);
        let have = if seed {
            Message::HaveAll
        } else {
            Message::HaveNone
        };
        have.encode(&mut out);
        Message::Unchoke.encode(&mut out);
        Message::Interested.encode(&mut out);
        out.freeze()
    }

    /// Something to say, good or bad.
    pub fn say(&mut self, choices: &mut Choices<'_>, promises: &Promises) -> Bytes {
        let mut out = BytesMut::new();
        match choices.below(24) {
            0 => out.extend_from_slice(choices.bytes()),
            1 => {
                let hash = if choices.flag() {
                    self.info_hash
                } else {
                    InfoHash([choices.byte(); 20])
                };
                out.extend_from_slice(
                    &Handshake::ours(hash, PeerId([choices.byte(); 20])).encode(),
                );
            }
            2 => {
                let size = match choices.below(3) {
                    0 => None,
                    1 => Some(choices.u32()),
                    _ => content(self.info_hash).map(|c| c.meta.info.len() as u32),
                };
                extensions(size, choices.byte()).encode(&mut out);
            }
            3 => plain(choices).encode(&mut out),
            4 => Message::Have(PieceIndex(number(choices))).encode(&mut out),
            5 => Message::Bitfield(Bytes::copy_from_slice(choices.bytes())).encode(&mut out),
            6..=9 => {
                // What it asked for, the first of it perhaps wrong.
                let at = choices.below(self.asked.len().max(1));
                let (count, mut how, at_byte) = (choices.below(16), choices.byte(), choices.byte());
                for _ in 0..=count {
                    let last = self.asked.len().saturating_sub(1);
                    if let Some(block) = self.asked.remove(at.min(last)) {
                        self.answer(block, how, at_byte).encode(&mut out);
                        how = 0;
                    }
                }
            }
            10 => {
                let block = block(choices);
                let message = match choices.below(4) {
                    0 => Message::Cancel(block),
                    1 => Message::RejectRequest(block),
                    _ => Message::Request(block),
                };
                for _ in 0..=choices.byte() {
                    message.encode(&mut out);
                }
            }
            11 => {
                let block = block(choices);
                self.answer(block, choices.byte(), choices.byte())
                    .encode(&mut out);
            }
            12 | 13 => {
                let piece = self
                    .metadata_asked
                    .pop_front()
                    .unwrap_or_else(|| number(choices));
                if let Some(content) = content(self.info_hash) {
                    let mut data = metadata_piece(&content.meta, piece).to_vec();
                    let mut total_size = content.meta.info.len() as u32;
                    match choices.below(8) {
                        0 => data.iter_mut().take(1).for_each(|b| *b ^= 1),
                        1 => data.truncate(usize::from(choices.u16())),
                        2 => total_size = choices.u32(),
                        _ => {}
                    }
                    metadata(&MetadataMessage::Data {
                        piece,
                        total_size,
                        data: data.into(),
                    })
                    .encode(&mut out);
                }
            }
            14 => {
                let piece = number(choices);
                let message = match choices.below(2) {
                    0 => MetadataMessage::Request { piece },
                    _ => MetadataMessage::Reject { piece },
                };
                for _ in 0..=choices.below(64) {
                    metadata(&message).encode(&mut out);
                }
            }
            15 => {
                let (id, payload) = (choices.byte() % 4, Bytes::copy_from_slice(choices.bytes()));
                Message::Extended { id, payload }.encode(&mut out);
            }
            _ => match choices.byte() {
                row @ HOSTILE.. => {
                    for _ in 0..=row % 4 {
                        pay(&self.attack(choices, promises)).encode(&mut out);
                    }
                }
                what => pay(&self.pay(what, choices)).encode(&mut out),
            },
        }
        out.freeze()
    }

    /// A block: right, or wrong in one way.
    fn answer(&self, block: BlockRef, how: u8, at: u8) -> Message {
        let mut data = match content(self.info_hash) {
            Some(content) => block_bytes(content, block).to_vec(),
            None => vec![0; block.length.min(20_000) as usize],
        };
        match how {
            250 => return Message::RejectRequest(block),
            251 => data.truncate(usize::from(at) * 64),
            252 => data.push(0),
            253.. => data
                .iter_mut()
                .skip(usize::from(at) * 64)
                .take(1)
                .for_each(|b| *b ^= 1),
            _ => {}
        }
        Message::Piece {
            piece: block.piece,
            begin: block.begin,
            data: data.into(),
        }
    }

    fn attack(&mut self, choices: &mut Choices<'_>, promises: &Promises) -> PayMessage {
        if choices.below(3) > 0 {
            return promises.accuse(choices);
        }
        let terms = promises.terms(choices);
        self.note_quote(&terms);
        PayMessage::Terms(terms)
    }

    fn note_quote(&mut self, terms: &Terms) {
        let (quotes, quote) = (&mut self.quotes, (terms.payee, terms.unit));
        let quotes = quotes.entry(terms.quote_id).or_default();
        if !quotes.contains(&quote) {
            quotes.push(quote);
        }
    }

    fn pay(&mut self, what: u8, choices: &mut Choices<'_>) -> PayMessage {
        let first = |choices: &mut Choices<'_>| match choices.below(3) {
            0 => choices.u32(),
            _ => u32::from(choices.byte()),
        };
        match what % 16 {
            0..=2 => {
                let (payee, unit) = (
                    Address::repeat_byte(0x70 + choices.byte() % 4),
                    price(choices),
                );
                let quote_id = u32::from(choices.byte());
                let terms = Terms {
                    version: 1,
                    flags: 0,
                    quote_id,
                    ttl_secs: choices.u16(),
                    payee,
                    content: B256::ZERO,
                    unit,
                    min_range: FineUnits(u128::from(choices.byte())),
                    max_steps: choices.u16() % 300,
                    credit0: choices.u16() % 16,
                    credit_max: 128,
                    ramp: choices.byte(),
                    min_bond_percent: u16::from(choices.byte()),
                    luck: B256::ZERO,
                };
                self.note_quote(&terms);
                PayMessage::Terms(terms)
            }
            3 | 4 => match self.promise {
                Some((voucher, k)) => PayMessage::Ack {
                    first: voucher.first,
                    tag: voucher.tag(),
                    k: k.saturating_add(u16::from(choices.byte() % 2)),
                    owed_blocks: u32::from(choices.byte()),
                    credit_blocks: u16::from(choices.byte()),
                },
                None => PayMessage::Need {
                    reason: NeedReason::from_code(choices.byte()),
                    first: first(choices),
                },
            },
            5 => PayMessage::Reject {
                code: RejectCode::from_code(choices.byte() % 20),
                first: self.promise.map_or(0, |(voucher, _)| voucher.first),
                tag: self.promise.map_or([0; 4], |(voucher, _)| voucher.tag()),
                aux: choices.u32(),
            },
            6 => PayMessage::Need {
                reason: NeedReason::from_code(choices.byte() % 8),
                first: self.promise.map_or(1, |(voucher, _)| voucher.first),
            },
            7 => PayMessage::Bye {
                selling: choices.flag(),
                reason: ByeReason::Done,
            },
            8 => match self.promise {
                Some((voucher, k)) => PayMessage::State {
                    payee: Address::repeat_byte(0x70 + choices.byte() % 4),
                    voucher,
                    k: k.saturating_add(u16::from(choices.byte() % 2)),
                    w: B256::repeat_byte(choices.byte()),
                },
                None => PayMessage::Need {
                    reason: NeedReason::Fold,
                    first: 1,
                },
            },
            9 => {
                let (mut voucher, _) = self.voucher(choices);
                let how = choices.byte();
                let signed = |v: &Voucher| v.to_body(&sign(8 + how % 2, v.digest(&VAULT)));
                if how & 2 == 0 {
                    return PayMessage::Seen {
                        payee: voucher.payee,
                        voucher: signed(&voucher),
                    };
                }
                // A sum, as of a buyer that comes back.
                voucher.steps = u16::from(how & 4);
                voucher.base.0 += voucher.unit.0.saturating_mul(u128::from(how >> 3));
                PayMessage::Reconcile {
                    voucher: signed(&voucher),
                }
            }
            10..=12 => {
                let (voucher, chain) = self.voucher(choices);
                let mut signature = sign(8, voucher.digest(&VAULT));
                if choices.byte() == 255 {
                    signature.r.0[0] ^= 1;
                }
                self.paying = Some((voucher, chain, 0));
                PayMessage::Commit {
                    quote_id: self.terms.map_or(0, |terms| terms.quote_id),
                    voucher: voucher.to_body(&signature),
                }
            }
            _ => match &mut self.paying {
                Some((voucher, chain, k)) => {
                    *k = k.saturating_add(u16::from(choices.byte() % 4));
                    let link = chain.link(*k).unwrap_or_default();
                    PayMessage::Pay {
                        first: voucher.first,
                        tag: voucher.tag(),
                        k: *k,
                        w: link,
                    }
                }
                None => PayMessage::Pay {
                    first: first(choices),
                    tag: choices.array(),
                    k: choices.u16(),
                    w: B256::repeat_byte(choices.byte()),
                },
            },
        }
    }

    /// A promise that fits the client's quote, or nearly.
    fn voucher(&self, choices: &mut Choices<'_>) -> (Voucher, HashChain) {
        let steps = 1 + u16::from(choices.byte() % 32);
        let chain = HashChain::generate(B256::repeat_byte(choices.byte()), steps);
        let terms = self.terms;
        let unit = terms.map_or(FineUnits(1), |terms| terms.unit);
        let fold = self.paying.as_ref().filter(|_| choices.flag());
        let voucher = Voucher {
            owner: address(8),
            payee: terms.map_or(Address::repeat_byte(0x77), |terms| terms.payee),
            first: fold.map_or_else(|| 1 + u32::from(choices.byte()), |(v, ..)| v.first),
            count: fold.map_or_else(|| 1 + u16::from(choices.byte() % 4), |(v, ..)| v.count),
            content: terms.map_or(B256::ZERO, |terms| terms.content),
            base: fold.map_or(FineUnits(u128::from(choices.byte() % 2)), |(v, _, k)| {
                v.owed_at(*k)
            }),
            unit: if choices.byte() == 255 {
                price(choices)
            } else {
                unit
            },
            steps,
            root: chain.root(),
            luck: B256::ZERO,
        };
        (voucher, chain)
    }
}

fn extensions(metadata_size: Option<u32>, flags: u8) -> Message {
    let mut ours = ExtendedHandshake {
        metadata_size,
        reqq: Some(u32::from(flags)),
        ..ExtendedHandshake::default()
    };
    ours.m.insert(UT_METADATA_NAME.to_owned(), METADATA_ID);
    ours.m.insert(PW_PAY_NAME.to_owned(), PAY_ID);
    ours.pay = (flags < 0x80).then_some(PayHandshake {
        vault: VAULT.address,
        chain_id: VAULT.chain_id ^ u64::from(flags >> 4),
        flags: flags & 3,
        version: 1,
    });
    let payload = ours.encode();
    Message::Extended { id: 0, payload }
}

fn plain(choices: &mut Choices<'_>) -> Message {
    match choices.below(9) {
        0 => Message::Choke,
        1 => Message::Unchoke,
        2 => Message::Interested,
        3 => Message::NotInterested,
        4 => Message::HaveAll,
        5 => Message::HaveNone,
        6 => Message::KeepAlive,
        7 => Message::AllowedFast(PieceIndex(number(choices))),
        _ => Message::SuggestPiece(PieceIndex(number(choices))),
    }
}

fn metadata(message: &MetadataMessage) -> Message {
    let (id, payload) = (UT_METADATA_ID, message.encode());
    Message::Extended { id, payload }
}

fn pay(message: &PayMessage) -> Message {
    let (id, payload) = (PW_PAY_ID, message.encode().into());
    Message::Extended { id, payload }
}

/// Mostly small.
fn number(choices: &mut Choices<'_>) -> u32 {
    match choices.byte() {
        255 => choices.u32(),
        small => u32::from(small % 8),
    }
}

fn block(choices: &mut Choices<'_>) -> BlockRef {
    let piece = PieceIndex(number(choices));
    match choices.byte() {
        255 => BlockRef {
            piece,
            begin: choices.u32(),
            length: choices.u32() % 40_000,
        },
        at => BlockRef {
            piece,
            begin: u32::from(at % 2) * 16_384,
            length: 16_384,
        },
    }
}

fn price(choices: &mut Choices<'_>) -> FineUnits {
    match choices.below(8) {
        0 => FineUnits(0),
        1 => FineUnits(u128::from(choices.u64()) << (choices.byte() % 40)),
        _ => FineUnits(u128::from(choices.u16()) << 16),
    }
}

/// The bytes of a block, as far as there are any.
fn block_bytes(content: &Content, block: BlockRef) -> Bytes {
    let at =
        u64::from(block.piece.0) * u64::from(content.meta.piece_length) + u64::from(block.begin);
    let end = (at + u64::from(block.length)).min(content.bytes.len() as u64);
    let range = at.min(end) as usize..end as usize;
    Bytes::copy_from_slice(&content.bytes[range])
}

fn metadata_piece(meta: &Metainfo, piece: u32) -> Bytes {
    let start = (piece as usize)
        .saturating_mul(METADATA_PIECE_LEN)
        .min(meta.info.len());
    let end = (start + METADATA_PIECE_LEN).min(meta.info.len());
    meta.info.slice(start..end)
}
