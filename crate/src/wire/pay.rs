//! `pw_pay`: the messages of the payment extension (docs/protocol.md, "Messages"; carried by BEP 10).
//!
//! Owns their layout: fixed sizes, big-endian, first byte the type. Decoding is total: an unknown type is `Ok(None)`
//! and ignored, a wrong size is an error that closes the connection. Never judges a message's content; `payment` does.

use alloy_primitives::{Address, B256};

pub use super::extension::PayHandshake;
use crate::types::FineUnits;

/// Version in TERMS and in the handshake's `pay` dictionary.
pub const VERSION: u8 = 1;
/// The longest message there is (STATE and HELD): a decoder never needs to read more.
pub const MAX_LEN: usize = 267;

/// The reason of a payee's refusal (REJECT's code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectCode {
    /// 1: version.
    Version,
    /// 2: chain or vault.
    ChainOrVault,
    /// 3: signature.
    Signature,
    /// 4: not covered (aux: bound).
    NotCovered,
    /// 5: consumed or closed (aux: serial).
    ConsumedOrClosed,
    /// 6: conflict (aux: serial); SEEN with the evidence goes before it.
    Conflict,
    /// 7: the account is exiting.
    Exiting,
    /// 8: bond too low.
    BondTooLow,
    /// 9: price or quote; a new TERMS follows.
    PriceOrQuote,
    /// 10: content.
    Content,
    /// 11: bad preimage.
    BadPreimage,
    /// 12: over credit (aux: unpaid blocks).
    OverCredit,
    /// 13: chain pending or unreadable.
    ChainPending,
    /// 14: rate (aux: milliseconds to wait).
    Rate,
    /// 15: shutting down.
    ShuttingDown,
    /// 16: range too small (aux: needed count).
    RangeTooSmall,
    /// A code this version does not know.
    Other(u8),
}

impl RejectCode {
    /// The byte on the wire.
    pub fn code(self) -> u8 {
        match self {
            RejectCode::Version => 1,
            RejectCode::ChainOrVault => 2,
            RejectCode::Signature => 3,
            RejectCode::NotCovered => 4,
            RejectCode::ConsumedOrClosed => 5,
            RejectCode::Conflict => 6,
            RejectCode::Exiting => 7,
            RejectCode::BondTooLow => 8,
            RejectCode::PriceOrQuote => 9,
            RejectCode::Content => 10,
            RejectCode::BadPreimage => 11,
            RejectCode::OverCredit => 12,
            RejectCode::ChainPending => 13,
            RejectCode::Rate => 14,
            RejectCode::ShuttingDown => 15,
            RejectCode::RangeTooSmall => 16,
            RejectCode::Other(code) => code,
        }
    }

    /// From the byte on the wire.
    pub fn from_code(code: u8) -> Self {
        match code {
            1 => RejectCode::Version,
            2 => RejectCode::ChainOrVault,
            3 => RejectCode::Signature,
            4 => RejectCode::NotCovered,
            5 => RejectCode::ConsumedOrClosed,
            6 => RejectCode::Conflict,
            7 => RejectCode::Exiting,
            8 => RejectCode::BondTooLow,
            9 => RejectCode::PriceOrQuote,
            10 => RejectCode::Content,
            11 => RejectCode::BadPreimage,
            12 => RejectCode::OverCredit,
            13 => RejectCode::ChainPending,
            14 => RejectCode::Rate,
            15 => RejectCode::ShuttingDown,
            16 => RejectCode::RangeTooSmall,
            other => RejectCode::Other(other),
        }
    }
}

/// A payee's wish (NEED's reason).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NeedReason {
    /// 1: fold the range.
    Fold,
    /// 2: commit the next range.
    NextRange,
    /// 3: a lottery voucher won (unused while `luck` is zero).
    LotteryWin,
    /// 4: the price changed; a new TERMS was sent.
    PriceChanged,
    /// 5: the range is closed, because it is about to be redeemed.
    RangeClosed,
    /// A reason this version does not know.
    Other(u8),
}

impl NeedReason {
    /// The byte on the wire.
    pub fn code(self) -> u8 {
        match self {
            NeedReason::Fold => 1,
            NeedReason::NextRange => 2,
            NeedReason::LotteryWin => 3,
            NeedReason::PriceChanged => 4,
            NeedReason::RangeClosed => 5,
            NeedReason::Other(code) => code,
        }
    }

    /// From the byte on the wire.
    pub fn from_code(code: u8) -> Self {
        match code {
            1 => NeedReason::Fold,
            2 => NeedReason::NextRange,
            3 => NeedReason::LotteryWin,
            4 => NeedReason::PriceChanged,
            5 => NeedReason::RangeClosed,
            other => NeedReason::Other(other),
        }
    }
}

/// The reason why a side stops (low bits of BYE's reason).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ByeReason {
    /// 0: nothing more to buy or sell.
    Done,
    /// 1: shutting down.
    Shutdown,
    /// 2: the budget is used up.
    Budget,
    /// 3: policy.
    Policy,
    /// 4: the other side broke the protocol.
    ProtocolError,
    /// A reason this version does not know (7 bits).
    Other(u8),
}

impl ByeReason {
    fn code(self) -> u8 {
        match self {
            ByeReason::Done => 0,
            ByeReason::Shutdown => 1,
            ByeReason::Budget => 2,
            ByeReason::Policy => 3,
            ByeReason::ProtocolError => 4,
            ByeReason::Other(code) => code & 0x7f,
        }
    }

    fn from_code(code: u8) -> Self {
        match code {
            0 => ByeReason::Done,
            1 => ByeReason::Shutdown,
            2 => ByeReason::Budget,
            3 => ByeReason::Policy,
            4 => ByeReason::ProtocolError,
            other => ByeReason::Other(other & 0x7f),
        }
    }
}

/// A quote (TERMS, type 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// [`VERSION`].
    pub version: u8,
    /// 0.
    pub flags: u8,
    /// Random per connection.
    pub quote_id: u32,
    /// Seconds from sending in which the first COMMIT of a range may name this quote.
    pub ttl_secs: u16,
    /// The address that is paid.
    pub payee: Address,
    /// Registry id of the title, or zero.
    pub content: B256,
    /// Price per block (96 bits on the wire).
    pub unit: FineUnits,
    /// Least worth of a range (96 bits on the wire).
    pub min_range: FineUnits,
    /// Longest chain the payee walks.
    pub max_steps: u16,
    /// Blocks sent on credit at first.
    pub credit0: u16,
    /// Most blocks sent on credit.
    pub credit_max: u16,
    /// Paid blocks per further block of credit; 0: no growth.
    pub ramp: u8,
    /// Least bond, in percent of the balance.
    pub min_bond_percent: u16,
    /// Zero: deterministic vouchers.
    pub luck: B256,
}

/// A signed voucher without its payee: 212 bytes, from `owner` to `vs`, as in COMMIT, SEEN, STATE, HELD, RECONCILE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoucherBody {
    /// The wallet that deposited.
    pub owner: Address,
    /// First serial.
    pub first: u32,
    /// Serials in the range, `first` among them.
    pub count: u16,
    /// Registry id of the title, or zero.
    pub content: B256,
    /// Owed at step 0 (96 bits on the wire).
    pub base: FineUnits,
    /// Owed per step (96 bits on the wire).
    pub unit: FineUnits,
    /// Length of the chain.
    pub steps: u16,
    /// `w_0`.
    pub root: B256,
    /// Zero: deterministic voucher.
    pub luck: B256,
    /// EIP-2098 signature, first half.
    pub r: B256,
    /// EIP-2098 signature, second half with the parity bit.
    pub vs: B256,
}

#[cfg(any(test, feature = "_test"))]
impl VoucherBody {
    /// The voucher's name on the wire.
    pub fn tag(&self) -> [u8; 4] {
        tag(&self.root)
    }
}

/// A voucher's name on the wire: the first four bytes of its root.
pub fn tag(root: &B256) -> [u8; 4] {
    [root[0], root[1], root[2], root[3]]
}

/// One message of the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayMessage {
    /// 1: a quote.
    Terms(Terms),
    /// 2: a voucher for a new range, or a fold.
    Commit {
        /// The quote it answers.
        quote_id: u32,
        /// The voucher.
        voucher: VoucherBody,
    },
    /// 3: reveals step `k`; cumulative.
    Pay {
        /// First serial of the range.
        first: u32,
        /// The voucher's tag.
        tag: [u8; 4],
        /// The step.
        k: u16,
        /// `w_k`.
        w: B256,
    },
    /// 4: a COMMIT or PAY was taken.
    Ack {
        /// First serial of the range.
        first: u32,
        /// The voucher's tag.
        tag: [u8; 4],
        /// Best step known.
        k: u16,
        /// Blocks of this account that are unpaid.
        owed_blocks: u32,
        /// Credit, in blocks.
        credit_blocks: u16,
    },
    /// 5: refused.
    Reject {
        /// The payee's reason, one byte on the wire.
        code: RejectCode,
        /// First serial of the range, or 0 when it is about the connection.
        first: u32,
        /// The voucher's tag, or zeros.
        tag: [u8; 4],
        /// The number that goes with the code, such as a serial or a wait in milliseconds.
        aux: u32,
    },
    /// 6: the payee asks for something.
    Need {
        /// The payee's wish, one byte on the wire.
        reason: NeedReason,
        /// First serial of the range.
        first: u32,
    },
    /// 7: evidence, a voucher somebody signed.
    Seen {
        /// Its payee.
        payee: Address,
        /// The voucher.
        voucher: VoucherBody,
    },
    /// 8: the payee holds more than the payer said.
    State {
        /// The payee.
        payee: Address,
        /// The best voucher it holds for the range.
        voucher: VoucherBody,
        /// Best step of it.
        k: u16,
        /// `w_k`.
        w: B256,
    },
    /// 9: the sender stops.
    Bye {
        /// True: stops selling; false: stops buying.
        selling: bool,
        /// The sender's reason, seven bits on the wire.
        reason: ByeReason,
    },
    /// 10: the payee's best voucher and link of a range that was paid earlier.
    Held {
        /// The payee.
        payee: Address,
        /// The best voucher it holds for the range.
        voucher: VoucherBody,
        /// Best step of it.
        k: u16,
        /// `w_k`.
        w: B256,
    },
    /// 11: the payer's sum of a range that it pays nothing on now.
    Reconcile {
        /// A voucher without steps: its base is the sum.
        voucher: VoucherBody,
    },
}

/// The one of the two local machines that a received message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// `payment::payer`: the remote speaks as payee.
    Payer,
    /// `payment::payee`: the remote speaks as payer.
    Payee,
    /// Both (SEEN).
    Both,
}

/// A payment message that cannot be read; the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayMessageError {
    /// No type byte.
    #[error("a payment message is empty; close the connection")]
    Empty,
    /// The size is not the one of its type.
    #[error("payment message {kind} has {got} bytes instead of {want}; close the connection")]
    WrongSize {
        /// The type byte.
        kind: u8,
        /// Bytes received.
        got: usize,
        /// Bytes it must have.
        want: usize,
    },
}

impl PayMessage {
    /// Size of messages of type `kind`, the type byte included; `None` for an unknown type.
    pub fn len_of(kind: u8) -> Option<usize> {
        Some(match kind {
            1 => 126,
            2 => 217,
            3 => 43,
            4 => 17,
            5 => 14,
            6 => 6,
            7 => 233,
            8 => 267,
            9 => 2,
            10 => 267,
            11 => 213,
            _ => return None,
        })
    }

    /// The type byte.
    pub fn kind(&self) -> u8 {
        match self {
            PayMessage::Terms(_) => 1,
            PayMessage::Commit { .. } => 2,
            PayMessage::Pay { .. } => 3,
            PayMessage::Ack { .. } => 4,
            PayMessage::Reject { .. } => 5,
            PayMessage::Need { .. } => 6,
            PayMessage::Seen { .. } => 7,
            PayMessage::State { .. } => 8,
            PayMessage::Bye { .. } => 9,
            PayMessage::Held { .. } => 10,
            PayMessage::Reconcile { .. } => 11,
        }
    }

    /// The machine that it is for: the direction gives the role.
    pub fn recipient(&self) -> Recipient {
        match self {
            PayMessage::Terms(_)
            | PayMessage::Ack { .. }
            | PayMessage::Reject { .. }
            | PayMessage::Need { .. }
            | PayMessage::State { .. }
            | PayMessage::Held { .. } => Recipient::Payer,
            PayMessage::Commit { .. } | PayMessage::Pay { .. } | PayMessage::Reconcile { .. } => {
                Recipient::Payee
            }
            PayMessage::Seen { .. } => Recipient::Both,
            PayMessage::Bye { selling: true, .. } => Recipient::Payer,
            PayMessage::Bye { selling: false, .. } => Recipient::Payee,
        }
    }

    /// Reads one whole message (the payload of a BEP 10 extended message). `Ok(None)`: a type this
    /// version does not know, to be ignored.
    ///
    /// # Errors
    /// When it is empty or has not the size of its type.
    pub fn decode(bytes: &[u8]) -> Result<Option<PayMessage>, PayMessageError> {
        let Some((&kind, body)) = bytes.split_first() else {
            return Err(PayMessageError::Empty);
        };
        let Some(want) = PayMessage::len_of(kind) else {
            return Ok(None);
        };
        let wrong = PayMessageError::WrongSize {
            kind,
            got: bytes.len(),
            want,
        };
        if bytes.len() != want {
            return Err(wrong);
        }
        let mut reader = Reader(body);
        read_body(kind, &mut reader).ok_or(wrong).map(Some)
    }

    /// The bytes on the wire, type byte first.
    pub fn encode(&self) -> Vec<u8> {
        let kind = self.kind();
        let mut out = Vec::with_capacity(MAX_LEN);
        out.push(kind);
        match self {
            PayMessage::Terms(t) => {
                out.push(t.version);
                out.push(t.flags);
                out.extend_from_slice(&t.quote_id.to_be_bytes());
                out.extend_from_slice(&t.ttl_secs.to_be_bytes());
                out.extend_from_slice(t.payee.as_slice());
                out.extend_from_slice(t.content.as_slice());
                put_u96(&mut out, t.unit);
                put_u96(&mut out, t.min_range);
                out.extend_from_slice(&t.max_steps.to_be_bytes());
                out.extend_from_slice(&t.credit0.to_be_bytes());
                out.extend_from_slice(&t.credit_max.to_be_bytes());
                out.push(t.ramp);
                out.extend_from_slice(&t.min_bond_percent.to_be_bytes());
                out.extend_from_slice(t.luck.as_slice());
            }
            PayMessage::Commit { quote_id, voucher } => {
                out.extend_from_slice(&quote_id.to_be_bytes());
                put_voucher(&mut out, voucher);
            }
            PayMessage::Pay { first, tag, k, w } => {
                out.extend_from_slice(&first.to_be_bytes());
                out.extend_from_slice(tag);
                out.extend_from_slice(&k.to_be_bytes());
                out.extend_from_slice(w.as_slice());
            }
            PayMessage::Ack {
                first,
                tag,
                k,
                owed_blocks,
                credit_blocks,
            } => {
                out.extend_from_slice(&first.to_be_bytes());
                out.extend_from_slice(tag);
                out.extend_from_slice(&k.to_be_bytes());
                out.extend_from_slice(&owed_blocks.to_be_bytes());
                out.extend_from_slice(&credit_blocks.to_be_bytes());
            }
            PayMessage::Reject {
                code,
                first,
                tag,
                aux,
            } => {
                out.push(code.code());
                out.extend_from_slice(&first.to_be_bytes());
                out.extend_from_slice(tag);
                out.extend_from_slice(&aux.to_be_bytes());
            }
            PayMessage::Need { reason, first } => {
                out.push(reason.code());
                out.extend_from_slice(&first.to_be_bytes());
            }
            PayMessage::Seen { payee, voucher } => {
                out.extend_from_slice(payee.as_slice());
                put_voucher(&mut out, voucher);
            }
            PayMessage::State {
                payee,
                voucher,
                k,
                w,
            }
            | PayMessage::Held {
                payee,
                voucher,
                k,
                w,
            } => {
                out.extend_from_slice(payee.as_slice());
                put_voucher(&mut out, voucher);
                out.extend_from_slice(&k.to_be_bytes());
                out.extend_from_slice(w.as_slice());
            }
            PayMessage::Bye { selling, reason } => {
                out.push(reason.code() | if *selling { 0x80 } else { 0 });
            }
            PayMessage::Reconcile { voucher } => put_voucher(&mut out, voucher),
        }
        debug_assert_eq!(Some(out.len()), PayMessage::len_of(kind));
        out
    }
}

fn read_body(kind: u8, r: &mut Reader<'_>) -> Option<PayMessage> {
    Some(match kind {
        1 => PayMessage::Terms(Terms {
            version: r.u8()?,
            flags: r.u8()?,
            quote_id: r.u32()?,
            ttl_secs: r.u16()?,
            payee: r.address()?,
            content: r.word()?,
            unit: r.u96()?,
            min_range: r.u96()?,
            max_steps: r.u16()?,
            credit0: r.u16()?,
            credit_max: r.u16()?,
            ramp: r.u8()?,
            min_bond_percent: r.u16()?,
            luck: r.word()?,
        }),
        2 => PayMessage::Commit {
            quote_id: r.u32()?,
            voucher: r.voucher()?,
        },
        3 => PayMessage::Pay {
            first: r.u32()?,
            tag: r.array()?,
            k: r.u16()?,
            w: r.word()?,
        },
        4 => PayMessage::Ack {
            first: r.u32()?,
            tag: r.array()?,
            k: r.u16()?,
            owed_blocks: r.u32()?,
            credit_blocks: r.u16()?,
        },
        5 => PayMessage::Reject {
            code: RejectCode::from_code(r.u8()?),
            first: r.u32()?,
            tag: r.array()?,
            aux: r.u32()?,
        },
        6 => PayMessage::Need {
            reason: NeedReason::from_code(r.u8()?),
            first: r.u32()?,
        },
        7 => PayMessage::Seen {
            payee: r.address()?,
            voucher: r.voucher()?,
        },
        8 => PayMessage::State {
            payee: r.address()?,
            voucher: r.voucher()?,
            k: r.u16()?,
            w: r.word()?,
        },
        9 => {
            let reason = r.u8()?;
            PayMessage::Bye {
                selling: reason & 0x80 != 0,
                reason: ByeReason::from_code(reason & 0x7f),
            }
        }
        10 => PayMessage::Held {
            payee: r.address()?,
            voucher: r.voucher()?,
            k: r.u16()?,
            w: r.word()?,
        },
        11 => PayMessage::Reconcile {
            voucher: r.voucher()?,
        },
        _ => return None,
    })
}

fn put_u96(out: &mut Vec<u8>, amount: FineUnits) {
    // The builder of a message checks the bound; a larger amount is cut to the largest there is, which every reader
    // refuses.
    let amount = amount.0.min((1 << 96) - 1);
    out.extend_from_slice(&amount.to_be_bytes()[4..]);
}

/// Appends the 212 bytes of a voucher and its signature.
pub fn put_voucher(out: &mut Vec<u8>, v: &VoucherBody) {
    out.extend_from_slice(v.owner.as_slice());
    out.extend_from_slice(&v.first.to_be_bytes());
    out.extend_from_slice(&v.count.to_be_bytes());
    out.extend_from_slice(v.content.as_slice());
    put_u96(out, v.base);
    put_u96(out, v.unit);
    out.extend_from_slice(&v.steps.to_be_bytes());
    out.extend_from_slice(v.root.as_slice());
    out.extend_from_slice(v.luck.as_slice());
    out.extend_from_slice(v.r.as_slice());
    out.extend_from_slice(v.vs.as_slice());
}

/// Reads fixed-size big-endian fields off a slice; `None` when it is used up.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    /// `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Sixteen bytes.
    pub fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_be_bytes)
    }

    /// Twelve bytes, an amount.
    pub fn u96(&mut self) -> Option<FineUnits> {
        let low = self.array::<12>()?;
        let mut wide = [0u8; 16];
        wide[4..].copy_from_slice(&low);
        Some(FineUnits(u128::from_be_bytes(wide)))
    }

    /// Twenty bytes.
    pub fn address(&mut self) -> Option<Address> {
        self.array::<20>().map(Address::from)
    }

    /// Thirty-two bytes.
    pub fn word(&mut self) -> Option<B256> {
        self.array::<32>().map(B256::from)
    }

    /// The 212 bytes of a voucher and its signature.
    pub fn voucher(&mut self) -> Option<VoucherBody> {
        Some(VoucherBody {
            owner: self.address()?,
            first: self.u32()?,
            count: self.u16()?,
            content: self.word()?,
            base: self.u96()?,
            unit: self.u96()?,
            steps: self.u16()?,
            root: self.word()?,
            luck: self.word()?,
            r: self.word()?,
            vs: self.word()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unhex(s: &str) -> Vec<u8> {
        (0..s.len() / 2)
            .map(|i| u8::from_str_radix(&s[2 * i..2 * i + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn every_vector_decodes_and_encodes_back_to_the_same_bytes() {
        let all: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/vectors/vouchers.json")).unwrap();
        let wire = all["wire"].as_array().unwrap();
        assert_eq!(wire.len(), 9);
        for (i, v) in wire.iter().enumerate() {
            let bytes = unhex(v["hex"].as_str().unwrap());
            assert_eq!(bytes.len() as u64, v["bytes"].as_u64().unwrap());
            assert_eq!(
                Some(bytes.len()),
                PayMessage::len_of(i as u8 + 1),
                "{}",
                v["name"]
            );
            let message = PayMessage::decode(&bytes).unwrap().unwrap();
            assert_eq!(message.kind(), i as u8 + 1);
            assert_eq!(message.encode(), bytes, "{}", v["name"]);
        }
        let fields = |i: usize| {
            PayMessage::decode(&unhex(wire[i]["hex"].as_str().unwrap()))
                .unwrap()
                .unwrap()
        };
        let PayMessage::Terms(t) = fields(0) else {
            panic!("TERMS")
        };
        assert_eq!(
            (t.version, t.flags, t.quote_id, t.ttl_secs),
            (1, 0, 0xdead_beef, 600)
        );
        assert_eq!(
            (t.credit0, t.credit_max, t.ramp, t.min_bond_percent),
            (4, 128, 4, 125)
        );
        assert_eq!((t.unit, t.max_steps), (FineUnits(13_743_895), 256));
        assert_eq!(
            fields(3),
            PayMessage::Ack {
                first: 7,
                tag: [0x9a, 0x63, 0x5b, 0x77],
                k: 100,
                owed_blocks: 3,
                credit_blocks: 25
            }
        );
        assert_eq!(
            fields(4),
            PayMessage::Reject {
                code: RejectCode::NotCovered,
                first: 7,
                tag: [0x9a, 0x63, 0x5b, 0x77],
                aux: 200
            }
        );
        assert_eq!(
            fields(5),
            PayMessage::Need {
                reason: NeedReason::NextRange,
                first: 7
            }
        );
        assert_eq!(
            fields(8),
            PayMessage::Bye {
                selling: false,
                reason: ByeReason::Budget
            }
        );
    }

    #[test]
    fn an_unknown_type_is_ignored_and_a_wrong_size_is_an_error() {
        assert_eq!(PayMessage::decode(&[]), Err(PayMessageError::Empty));
        assert_eq!(PayMessage::decode(&[0]), Ok(None));
        assert_eq!(PayMessage::decode(&[12, 1, 2, 3]), Ok(None));
        assert_eq!(
            PayMessage::decode(&[9]),
            Err(PayMessageError::WrongSize {
                kind: 9,
                got: 1,
                want: 2
            })
        );
        assert!(PayMessage::decode(&[3; 44]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic_and_what_decodes_is_canonical(
            kind in 0u8..14,
            body in proptest::collection::vec(any::<u8>(), 0..300),
            exact in any::<bool>(),
        ) {
            let mut bytes = vec![kind];
            bytes.extend_from_slice(&body);
            if let (true, Some(len)) = (exact, PayMessage::len_of(kind)) {
                bytes.resize(len, 0xa5);
            }
            if let Ok(Some(message)) = PayMessage::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }

        #[test]
        fn codes_survive_the_round_trip(code in any::<u8>()) {
            prop_assert_eq!(RejectCode::from_code(code).code(), code);
            prop_assert_eq!(NeedReason::from_code(code).code(), code);
            prop_assert_eq!(ByeReason::from_code(code & 0x7f).code(), code & 0x7f);
        }
    }
}
