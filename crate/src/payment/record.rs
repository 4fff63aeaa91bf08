//! The durable records of both machines: their keys and their bytes.
//!
//! Fixed layouts, big-endian, first byte the version. Parsers are total: another version or another length is `None`,
//! and the machine leaves alone such a record and everything that depends on it. All keys begin with role, chain and
//! vault, so that no state of one vault is ever mistaken for another's. No secret is in any record: chain seeds are
//! never stored.

use alloy_primitives::{Address, B256};
use bytes::Bytes;

use super::voucher::{Signature, Vault, Voucher};
use crate::sorted::Map;
use crate::types::{FineUnits, InfoHash, PieceIndex, TokenUnits};
use crate::wire::pay::{self, Reader};

const VERSION: u8 = 1;

/// The thing that a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Payer: one account's serial allocator.
    PayerAccount(B256),
    /// Payer: one range.
    PayerRange(B256, u32),
    /// Payer: one title's losses.
    PayerTitle(InfoHash),
    /// Payer: a session key with more promises than are on record here. The key's presence is the whole message; its
    /// content does not matter.
    PayerBehind(Address),
    /// Payee: the facts about one account.
    PayeeFacts(B256),
    /// Payee: one range.
    PayeeRange(B256, u32),
}

impl Key {
    /// The key's text, for instance `pay/payer/31337-4444…/33784d…/range/7`.
    pub fn text(&self, vault: &Vault) -> String {
        let home = home(vault);
        match self {
            Key::PayerAccount(id) => format!("pay/payer/{home}/{}/account", hex(id)),
            Key::PayerRange(id, first) => format!("pay/payer/{home}/{}/range/{first}", hex(id)),
            Key::PayerTitle(title) => format!("pay/payer/{home}/title/{title}"),
            Key::PayerBehind(key) => format!("pay/payer/{home}/behind/{key:x}"),
            Key::PayeeFacts(id) => format!("pay/payee/{home}/{}/facts", hex(id)),
            Key::PayeeRange(id, first) => format!("pay/payee/{home}/{}/range/{first}", hex(id)),
        }
    }

    /// The name in `text`, if it is a key of this vault.
    pub fn parse(text: &str, vault: &Vault) -> Option<Key> {
        let mut parts = text.split('/');
        if parts.next()? != "pay" {
            return None;
        }
        let role = parts.next()?;
        let _home = parts.next()?;
        let key = match (role, parts.next()?, parts.next()?, parts.next()) {
            ("payer", "title", title, None) => Key::PayerTitle(InfoHash::from_hex(title)?),
            ("payer", "behind", key, None) => Key::PayerBehind(key.parse().ok()?),
            ("payer", id, "account", None) => Key::PayerAccount(id.parse().ok()?),
            ("payer", id, "range", Some(first)) => {
                Key::PayerRange(id.parse().ok()?, first.parse().ok()?)
            }
            ("payee", id, "facts", None) => Key::PayeeFacts(id.parse().ok()?),
            ("payee", id, "range", Some(first)) => {
                Key::PayeeRange(id.parse().ok()?, first.parse().ok()?)
            }
            _ => return None,
        };
        // Also refuses another vault, and every spelling but the one we write.
        (key.text(vault) == text).then_some(key)
    }
}

/// The part of all keys of a vault that names it: its chain and, after a hyphen, its address without 0x.
pub fn home(vault: &Vault) -> String {
    format!("{}-{:x}", vault.chain_id, vault.address).replace("-0x", "-")
}

fn hex(id: &B256) -> String {
    id.iter().map(|b| format!("{b:02x}")).collect()
}

/// Payer: the serial allocator of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayerAccountRecord {
    /// The wallet that deposited.
    pub owner: Address,
    /// The session key's address.
    pub session_key: Address,
    /// Next free serial, 1 to 2^32, or [`PayerAccountRecord::HELD`].
    pub next: u64,
}

impl PayerAccountRecord {
    /// In place of `next`: promises are out that these records do not have, and nothing more is promised.
    pub const HELD: u64 = u64::MAX;

    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        out.extend_from_slice(self.owner.as_slice());
        out.extend_from_slice(self.session_key.as_slice());
        out.extend_from_slice(&self.next.to_be_bytes());
        out.into()
    }

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut r = versioned(bytes)?;
        let record = PayerAccountRecord {
            owner: r.address()?,
            session_key: r.address()?,
            next: r.u64()?,
        };
        let is_serial = record.next <= 1 << 32 || record.next == PayerAccountRecord::HELD;
        (r.0.is_empty() && is_serial).then_some(record)
    }
}

/// The state of a payer's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayerRangeLife {
    /// May be folded and paid on.
    Usable,
    /// The payee closed it, or refused it for good.
    Closed,
    /// The chain says that it was redeemed.
    Consumed,
}

/// Payer: one range. The revealed sum is kept as an amount (`base + unit*k` of the last voucher); the next voucher for
/// the range starts from it with a fresh chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayerRangeRecord {
    /// First serial.
    pub first: u32,
    /// Serials in the range, `first` among them; at most 256.
    pub count: u16,
    /// Its payee, which never changes.
    pub payee: Address,
    /// Registry id, or zero.
    pub content: B256,
    /// Price per block last agreed.
    pub unit: FineUnits,
    /// Revealed so far.
    pub paid: FineUnits,
    /// How far it got.
    pub life: PayerRangeLife,
}

impl PayerRangeRecord {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(self.payee.as_slice());
        out.extend_from_slice(self.content.as_slice());
        out.extend_from_slice(&self.unit.0.to_be_bytes());
        out.extend_from_slice(&self.paid.0.to_be_bytes());
        out.push(match self.life {
            PayerRangeLife::Usable => 0,
            PayerRangeLife::Closed => 1,
            PayerRangeLife::Consumed => 2,
        });
        out.into()
    }

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut r = versioned(bytes)?;
        let record = PayerRangeRecord {
            first: r.u32()?,
            count: r.u16()?,
            payee: r.address()?,
            content: r.word()?,
            unit: FineUnits(r.u128()?),
            paid: FineUnits(r.u128()?),
            life: match r.u8()? {
                0 => PayerRangeLife::Usable,
                1 => PayerRangeLife::Closed,
                2 => PayerRangeLife::Consumed,
                _ => return None,
            },
        };
        let sound = r.0.is_empty()
            && super::voucher::range_is_well_formed(record.first, record.count)
            && record.unit <= super::voucher::MAX_FINE
            && record.paid <= super::voucher::MAX_FINE;
        sound.then_some(record)
    }
}

/// Payer: blocks of one title that were paid in advance and are not known to be good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayerTitleRecord {
    /// Turned out bad.
    pub lost: u32,
    /// Not judged yet, by piece.
    pub at_stake: Map<PieceIndex, u32>,
}

impl PayerTitleRecord {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.lost.to_be_bytes());
        for (piece, blocks) in &self.at_stake {
            out.extend_from_slice(&piece.0.to_be_bytes());
            out.extend_from_slice(&blocks.to_be_bytes());
        }
        out.into()
    }

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut r = versioned(bytes)?;
        let lost = r.u32()?;
        let mut at_stake = Map::new();
        while !r.0.is_empty() {
            let (piece, blocks) = (PieceIndex(r.u32()?), r.u32()?);
            let ascends = (at_stake.last_key_value()).is_none_or(|(last, _)| *last < piece);
            if blocks == 0 || !ascends {
                return None;
            }
            at_stake.insert(piece, blocks);
        }
        Some(PayerTitleRecord { lost, at_stake })
    }
}

/// Payee: the facts about one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayeeFactsRecord {
    /// Blocks paid, ever.
    pub paid_total: u64,
    /// Blocks written to connections that went away without paying.
    pub lost: u64,
    /// Whether it walked away owing (ramp 16).
    pub walked: bool,
    /// Redeemed from it, ever.
    pub redeemed: TokenUnits,
}

impl PayeeFactsRecord {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.paid_total.to_be_bytes());
        out.extend_from_slice(&self.lost.to_be_bytes());
        out.push(u8::from(self.walked));
        out.extend_from_slice(&self.redeemed.0.to_be_bytes());
        out.into()
    }

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut r = versioned(bytes)?;
        let record = PayeeFactsRecord {
            paid_total: r.u64()?,
            lost: r.u64()?,
            walked: match r.u8()? {
                0 => false,
                1 => true,
                _ => return None,
            },
            redeemed: TokenUnits(r.u128()?),
        };
        r.0.is_empty().then_some(record)
    }
}

/// The durable state of a payee's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayeeRangeLife {
    /// Takes payments.
    Open,
    /// Closed for redemption: no claim of it has left.
    Closed,
    /// Closed, and a claim of it may have left. Each closed range of an earlier build reads so too, because that build
    /// did not tell these two apart.
    Claimed,
    /// Redeemed for this much, but not yet confirmed by a later read.
    Redeemed(TokenUnits),
    /// Consumed, for this much as it seems by an own claim whose end nobody saw: kept as the proof in case it was not.
    Presumed(TokenUnits),
    /// Its serials were promised to somebody else too, who redeemed first: kept as the proof.
    Lost,
}

/// Payee: the best voucher of one range and its best link. This is money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayeeRangeRecord {
    /// The session key that signed.
    pub session_key: Address,
    /// The voucher, its payee included.
    pub voucher: Voucher,
    /// Its signature.
    pub signature: Signature,
    /// Best step.
    pub k: u16,
    /// `w_k`.
    pub w: B256,
    /// Worth of one serial.
    pub tranche: TokenUnits,
    /// How far it got.
    pub life: PayeeRangeLife,
}

impl PayeeRangeRecord {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        out.extend_from_slice(self.session_key.as_slice());
        out.extend_from_slice(self.voucher.payee.as_slice());
        pay::put_voucher(&mut out, &self.voucher.to_body(&self.signature));
        out.extend_from_slice(&self.k.to_be_bytes());
        out.extend_from_slice(self.w.as_slice());
        out.extend_from_slice(&self.tranche.0.to_be_bytes());
        let (life, gross) = match self.life {
            PayeeRangeLife::Open => (0, TokenUnits(0)),
            PayeeRangeLife::Claimed => (1, TokenUnits(0)),
            PayeeRangeLife::Redeemed(gross) => (2, gross),
            PayeeRangeLife::Lost => (3, TokenUnits(0)),
            PayeeRangeLife::Presumed(gross) => (4, gross),
            PayeeRangeLife::Closed => (5, TokenUnits(0)),
        };
        out.push(life);
        out.extend_from_slice(&gross.0.to_be_bytes());
        out.into()
    }

    /// Reads it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut r = versioned(bytes)?;
        let session_key = r.address()?;
        let payee = r.address()?;
        let (voucher, signature) = Voucher::from_body(&r.voucher()?, payee);
        let (k, w) = (r.u16()?, r.word()?);
        let tranche = TokenUnits(r.u128()?);
        let (life, gross) = (r.u8()?, TokenUnits(r.u128()?));
        let life = match (life, gross.0) {
            (0, 0) => PayeeRangeLife::Open,
            (1, 0) => PayeeRangeLife::Claimed,
            (2, _) => PayeeRangeLife::Redeemed(gross),
            (3, 0) => PayeeRangeLife::Lost,
            (4, _) => PayeeRangeLife::Presumed(gross),
            (5, 0) => PayeeRangeLife::Closed,
            _ => return None,
        };
        let sound = r.0.is_empty() && voucher.is_well_formed() && k <= voucher.steps;
        sound.then_some(PayeeRangeRecord {
            session_key,
            voucher,
            signature,
            k,
            w,
            tranche,
            life,
        })
    }
}

fn versioned(bytes: &[u8]) -> Option<Reader<'_>> {
    let mut r = Reader(bytes);
    (r.u8()? == VERSION).then_some(r)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vault(byte: u8) -> Vault {
        Vault {
            address: Address::repeat_byte(byte),
            chain_id: 31_337,
        }
    }

    #[test]
    fn keys_survive_the_round_trip_and_belong_to_one_vault() {
        let id = B256::repeat_byte(0xab);
        for key in [
            Key::PayerAccount(id),
            Key::PayerRange(id, 7),
            Key::PayerTitle(InfoHash([9; 20])),
            Key::PayerBehind(Address::repeat_byte(0xcd)),
            Key::PayeeFacts(id),
            Key::PayeeRange(id, u32::MAX),
        ] {
            let text = key.text(&vault(0x44));
            assert_eq!(Key::parse(&text, &vault(0x44)), Some(key));
            assert_eq!(Key::parse(&text, &vault(0x45)), None);
            assert_eq!(Key::parse(&format!("{text}/x"), &vault(0x44)), None);
        }
        assert_eq!(
            Key::PayerRange(id, 7).text(&vault(0x44)),
            format!(
                "pay/payer/31337-{}/{}/range/7",
                "44".repeat(20),
                "ab".repeat(32)
            )
        );
        for bad in [
            "",
            "pay",
            "pay/payer",
            "pay/payer/x/y/z",
            "pay/payer/x/title/é",
            "pay/payer/x/behind/é",
        ] {
            assert_eq!(Key::parse(bad, &vault(0x44)), None);
        }
    }

    #[test]
    fn no_account_has_its_next_serial_beyond_all_serials() {
        for (next, is_read) in [
            (0, true),
            (1 << 32, true),
            ((1 << 32) + 1, false),
            (1 << 63, false),
            (PayerAccountRecord::HELD - 1, false),
            (PayerAccountRecord::HELD, true),
        ] {
            let record = PayerAccountRecord {
                owner: Address::repeat_byte(1),
                session_key: Address::repeat_byte(2),
                next,
            };
            let read = PayerAccountRecord::decode(&record.encode());
            assert_eq!(read, is_read.then_some(record), "{next}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_what_is_read_is_canonical(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..360),
            version in any::<bool>(),
        ) {
            if let (true, Some(first)) = (version, bytes.first_mut()) {
                *first = VERSION;
            }
            if let Some(r) = PayerAccountRecord::decode(&bytes) {
                prop_assert_eq!(&r.encode()[..], &bytes[..]);
            }
            if let Some(r) = PayerRangeRecord::decode(&bytes) {
                prop_assert_eq!(&r.encode()[..], &bytes[..]);
            }
            if let Some(r) = PayerTitleRecord::decode(&bytes) {
                prop_assert_eq!(&r.encode()[..], &bytes[..]);
            }
            if let Some(r) = PayeeFactsRecord::decode(&bytes) {
                prop_assert_eq!(&r.encode()[..], &bytes[..]);
            }
            if let Some(r) = PayeeRangeRecord::decode(&bytes) {
                prop_assert_eq!(&r.encode()[..], &bytes[..]);
            }
        }

        #[test]
        fn records_survive_the_round_trip(
            first in 1u32.., count in 1u16..=256, unit in any::<u64>(), paid in any::<u64>(),
            k in 0u16..=256, life in 0u8..3, held_life in 0u8..6, byte in any::<u8>(), gross in any::<u128>(),
        ) {
            let count = count.min((256 - (first & 255)) as u16);
            let range = PayerRangeRecord {
                first, count, payee: Address::repeat_byte(byte), content: B256::repeat_byte(byte),
                unit: FineUnits(unit.into()), paid: FineUnits(paid.into()),
                life: [PayerRangeLife::Usable, PayerRangeLife::Closed, PayerRangeLife::Consumed][usize::from(life)],
            };
            prop_assert_eq!(PayerRangeRecord::decode(&range.encode()), Some(range));
            let held = PayeeRangeRecord {
                session_key: Address::repeat_byte(byte ^ 1),
                voucher: Voucher {
                    owner: Address::repeat_byte(1), payee: Address::repeat_byte(byte), first, count,
                    content: B256::ZERO, base: FineUnits(paid.into()), unit: FineUnits(unit.into()),
                    steps: 256, root: B256::repeat_byte(3), luck: B256::ZERO,
                },
                signature: Signature { r: B256::repeat_byte(4), vs: B256::repeat_byte(5) },
                k, w: B256::repeat_byte(6), tranche: TokenUnits(10_000),
                life: [
                    PayeeRangeLife::Open, PayeeRangeLife::Closed, PayeeRangeLife::Redeemed(TokenUnits(gross)),
                    PayeeRangeLife::Lost, PayeeRangeLife::Presumed(TokenUnits(gross)), PayeeRangeLife::Claimed,
                ][usize::from(held_life)],
            };
            prop_assert_eq!(PayeeRangeRecord::decode(&held.encode()), Some(held));
            let facts = PayeeFactsRecord {
                paid_total: unit, lost: paid, walked: byte & 1 == 1, redeemed: TokenUnits(gross),
            };
            prop_assert_eq!(PayeeFactsRecord::decode(&facts.encode()), Some(facts));
            prop_assert_eq!(PayeeFactsRecord::decode(&facts.encode()[1..]), None);
            let at_stake = (0..u32::from(life)).map(|n| (PieceIndex(n * 7), first)).collect();
            let title = PayerTitleRecord { lost: first, at_stake };
            prop_assert_eq!(PayerTitleRecord::decode(&title.encode()), Some(title));
        }
    }
}
