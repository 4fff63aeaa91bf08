//! What a block of a torrent costs here, and the most that is paid for one.
//!
//! Owns the price that the user set for the torrent and what was paid for its blocks, which the price of a resold title
//! follows. Both are on record, so that a title asks the same after a restart; they are amounts of one vault's token
//! and count for that vault alone. Never takes a price from a peer.

use alloy_primitives::Address;
use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::durability::LAZY_CYCLE;
use super::{Context, EffectOwner, Torrent, record_key};
use crate::io::{Config, PaymentConfig, ResalePrice};
use crate::time::Timestamp;
use crate::types::{Durability, FineUnits};

const VERSION: u8 = 1;
const RECORD_LEN: usize = 1 + 8 + 20 + 1 + 16 + 16 + 8;
/// One part in so many.
const MEAN_SLACK: u128 = 8;

/// What the price of a torrent follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pricing {
    /// Set for this torrent; `None` follows [`crate::io::SellConfig::price`].
    own: Option<FineUnits>,
    /// Paid for its blocks, earlier runs included, and for how many.
    paid: FineUnits,
    paid_blocks: u64,
    /// The mean of that which the price follows: it stays while the true one is within [`MEAN_SLACK`] of it, or where
    /// sellers ask different prices each payment would change the price, and no buyer could answer a quote before it is
    /// void.
    mean: FineUnits,
    /// Its record says less since.
    stale_since: Option<Timestamp>,
}

impl Pricing {
    /// Nothing was paid yet.
    pub(super) fn new(own: Option<FineUnits>) -> Pricing {
        Pricing {
            own,
            ..Pricing::default()
        }
    }

    /// When its record is due.
    pub(super) fn record_due(&self) -> Timestamp {
        (self.stale_since).map_or(Timestamp::NEVER, |since| since + LAZY_CYCLE)
    }

    /// Shape: version byte, chain id (u64), vault (20 bytes), whether there is a price of its own (u8), that price
    /// (u128, fine units), what was paid (u128, fine units), for how many blocks (u64).
    fn encode(&self, payment: &PaymentConfig) -> Bytes {
        let mut out = BytesMut::with_capacity(RECORD_LEN);
        out.put_u8(VERSION);
        out.put_u64(payment.chain_id);
        out.put_slice(payment.vault.as_slice());
        out.put_u8(self.own.is_some().into());
        out.put_u128(self.own.unwrap_or(FineUnits(0)).0);
        out.put_u128(self.paid.0);
        out.put_u64(self.paid_blocks);
        out.freeze()
    }

    /// What a record says; `None` if it is not one, or its amounts are another vault's.
    fn decode(record: &[u8], payment: &PaymentConfig) -> Option<Pricing> {
        if record.len() != RECORD_LEN {
            return None;
        }
        let mut input = record;
        let known = input.get_u8() == VERSION && input.get_u64() == payment.chain_id;
        let mut vault = Address::ZERO;
        input.copy_to_slice(vault.as_mut_slice());
        let has_own = input.get_u8() == 1;
        let own = FineUnits(input.get_u128());
        (known && vault == payment.vault).then(|| {
            Pricing {
                own: has_own.then_some(own),
                paid: FineUnits(input.get_u128()),
                paid_blocks: input.get_u64(),
                ..Pricing::default()
            }
            .following_the_mean()
        })
    }

    fn following_the_mean(self) -> Pricing {
        let mean = self.paid.0.checked_div(u128::from(self.paid_blocks));
        let mean = mean.unwrap_or(0);
        match mean.abs_diff(self.mean.0) > self.mean.0 / MEAN_SLACK {
            true => Pricing {
                mean: FineUnits(mean),
                ..self
            },
            false => self,
        }
    }

    fn price(&self, rule: Option<ResalePrice>) -> FineUnits {
        match (self.own, rule) {
            (Some(own), _) => own,
            (None, None) => FineUnits(0),
            (None, Some(ResalePrice::Fixed(price))) => price,
            (None, Some(ResalePrice::PercentOfPaid(percent))) => {
                FineUnits(self.mean.0.saturating_mul(u128::from(percent)) / 100)
            }
        }
    }
}

impl Torrent {
    /// What a block of this torrent costs here.
    pub fn price(&self, config: &Config) -> FineUnits {
        let sell = config.payment().and_then(|p| p.sell.as_ref());
        self.pricing.price(sell.map(|s| s.price))
    }

    /// The most that is paid for a block of this torrent.
    pub fn max_price(&self, config: &Config) -> FineUnits {
        let buy = config.payment().and_then(|p| p.buy.as_ref());
        let ceiling = buy.map_or(FineUnits(0), |b| b.max_price);
        self.options.max_price.map_or(ceiling, |m| m.min(ceiling))
    }

    /// Takes up what earlier runs recorded. A price given now takes the place of the recorded one.
    pub fn recall_price(&mut self, ctx: &mut Context) {
        let Some(payment) = ctx.config.payment() else {
            return;
        };
        let record = ctx.out.record(&record_key(self.info_hash, "price"));
        let recorded = record
            .and_then(|bytes| Pricing::decode(bytes, payment))
            .unwrap_or_default();
        let own = self.pricing.own.or(recorded.own);
        self.pricing = Pricing { own, ..recorded };
        if own != recorded.own {
            self.record_price(ctx, Durability::PowerLoss);
        }
    }

    /// Replaces the selling price.
    pub fn set_price(&mut self, ctx: &mut Context, price: FineUnits) {
        self.pricing.own = Some(price);
        self.record_price(ctx, Durability::PowerLoss);
    }

    /// Replaces the price ceiling.
    pub fn set_max_price(&mut self, max_price: FineUnits) {
        self.options.max_price = Some(max_price);
        self.sellers.limit_changed();
    }

    /// Blocks were paid to a peer.
    pub fn note_spent(&mut self, ctx: &mut Context, blocks: u32, price: FineUnits) {
        let amount = u128::from(blocks).saturating_mul(price.0);
        let pricing = &mut self.pricing;
        let first = pricing.paid_blocks == 0;
        pricing.paid.0 = pricing.paid.0.saturating_add(amount);
        pricing.paid_blocks = pricing.paid_blocks.saturating_add(u64::from(blocks));
        pricing.stale_since.get_or_insert(ctx.now);
        *pricing = pricing.following_the_mean();
        // Without a record a bought title would be given away; how much of it was paid changes the price little.
        if first {
            self.record_price(ctx, Durability::Process);
        }
    }

    /// Records what was paid since, if that is due.
    pub(super) fn drive_pricing(&mut self, ctx: &mut Context) {
        if self.pricing.record_due() <= ctx.now {
            self.record_price(ctx, Durability::Process);
        }
    }

    /// Records what was paid since, due or not.
    pub(super) fn settle_pricing(&mut self, ctx: &mut Context) {
        if self.pricing.stale_since.is_some() {
            self.record_price(ctx, Durability::PowerLoss);
        }
    }

    fn record_price(&mut self, ctx: &mut Context, durability: Durability) {
        self.pricing.stale_since = None;
        let Some(payment) = ctx.config.payment() else {
            return;
        };
        let record = self.pricing.encode(payment);
        let key = record_key(self.info_hash, "price");
        (ctx.out).put_records(EffectOwner::Nobody, vec![(key, Some(record))], durability);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn payment(chain_id: u64, vault: u8) -> PaymentConfig {
        PaymentConfig {
            vault: Address::repeat_byte(vault),
            chain_id,
            buy: None,
            sell: None,
        }
    }

    fn bought() -> Pricing {
        Pricing {
            paid: FineUnits(1_000),
            paid_blocks: 10,
            ..Pricing::default()
        }
        .following_the_mean()
    }

    #[test]
    fn a_record_says_the_same_again_to_its_own_vault_alone() {
        for pricing in [bought(), Pricing::new(Some(FineUnits(7)))] {
            let record = pricing.encode(&payment(1, 2));
            assert_eq!(Pricing::decode(&record, &payment(1, 2)), Some(pricing));
            assert_eq!(Pricing::decode(&record, &payment(1, 3)), None);
            assert_eq!(Pricing::decode(&record, &payment(2, 2)), None);
            for end in 0..record.len() {
                assert_eq!(Pricing::decode(&record[..end], &payment(1, 2)), None);
            }
        }
    }

    #[test]
    fn a_resold_block_costs_its_percentage_of_the_mean_price_paid() {
        let half = Some(ResalePrice::PercentOfPaid(50));
        assert_eq!(bought().price(half), FineUnits(50));
        assert_eq!(Pricing::default().price(half), FineUnits(0));
        // An eighth more or less changes nothing, a little beyond that does.
        for (paid, price) in [(1_120, 50), (880, 50), (1_140, 57), (860, 43), (0, 0)] {
            let paid = FineUnits(paid);
            let now = Pricing { paid, ..bought() }.following_the_mean();
            assert_eq!(now.price(half), FineUnits(price), "{paid:?}");
        }
        let more = Some(ResalePrice::PercentOfPaid(150));
        assert_eq!(bought().price(more), FineUnits(150));
        let own = Pricing::new(Some(FineUnits(7)));
        assert_eq!(own.price(half), FineUnits(7));
        assert_eq!(bought().price(None), FineUnits(0));
    }
}
