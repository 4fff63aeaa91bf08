//! The limits of signing: ceiling, budget, bond, the size of a range, and the number of strangers that may hold serials
//! for nothing (docs/protocol.md, "The buyer's checks before it promises").
//!
//! Pure decisions over plain values; the payer asks here before it reserves a serial. Never looks
//! at a message that was not validated, never keeps state but the limiter's own.

use std::collections::VecDeque;

use super::Refusal;
use super::payer::AccountInfo;
use super::voucher::{self, Vault};
use crate::time::{Duration, Timestamp};
use crate::types::{FineUnits, TokenUnits};
use crate::wire::pay::Terms;
use alloy_primitives::B256;

/// New payees in one [`NEW_PAYEE_WINDOW`].
pub const NEW_PAYEES_PER_WINDOW: usize = 2;
/// See [`NEW_PAYEES_PER_WINDOW`].
pub const NEW_PAYEE_WINDOW: Duration = Duration::from_secs(10);
/// Where as many ranges of little use exist as may be, one stranger more is tried after this, or when one turns out to
/// be a seller: useless strangers must not keep an honest one out for good.
pub const CROWDED_SPACING: Duration = Duration::from_secs(300);

/// Most serials in a range that grew by its payee's sales.
pub const MOST_SERIALS: u16 = 64;
/// ... and the part of the serials not assigned yet that it may take.
pub const SHARE_OF_UNASSIGNED: u64 = 16;

/// The embedder's limits for a payer. They come from the page's or operator's configuration only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayerConfig {
    /// Vault and chain; a peer on another one is plain BitTorrent.
    pub vault: Vault,
    /// Most that may be paid for a block.
    pub ceiling: FineUnits,
    /// Most that may ever be revealed on this account, all earlier runs included: to allow `x` more, set
    /// `totals().spent + x`. A hard cap.
    pub budget: TokenUnits,
    /// Serials in the first range of a payee that never filled one.
    pub unknown_count: u16,
    /// Serials in the second range of a payee; each one that it fills doubles the next, up to
    /// [`MOST_SERIALS`] and to [`SHARE_OF_UNASSIGNED`].
    pub max_count: u16,
    /// v1: pieces per title that may be lost to bad data; see [`loss_budget`].
    pub loss_budget_pieces: u32,
}

/// Of a piece, this many blocks count in the loss budget at most: 4 MiB.
const MOST_COUNTED: u32 = 256;

/// v1: blocks of a title that may be lost to bad data, where `pieces` pieces of this length may. A large piece counts
/// for 4 MiB, but one whole piece may be lost, and another paid.
pub fn loss_budget(pieces: u32, piece_blocks: u32) -> u32 {
    let counted = pieces.saturating_mul(piece_blocks.min(MOST_COUNTED));
    counted.max(pieces.min(2).saturating_mul(piece_blocks))
}

impl PayerConfig {
    /// The values of docs/protocol.md, "Constants": nothing may be paid until `ceiling` and `budget` are set.
    pub fn new(vault: Vault) -> Self {
        PayerConfig {
            vault,
            ceiling: FineUnits(0),
            budget: TokenUnits(0),
            unknown_count: 1,
            max_count: 4,
            loss_budget_pieces: 4,
        }
    }
}

/// Whether a quote may be taken at all, at up to `ceiling` for a block.
///
/// # Errors
/// The first reason why not.
pub fn judge_quote(
    ceiling: FineUnits,
    account: &AccountInfo,
    terms: &Terms,
    content: B256,
) -> Result<(), Refusal> {
    if account.exit_at != 0 || account.tranche.0 == 0 {
        return Err(Refusal::NoAccount);
    }
    if terms.unit > ceiling {
        return Err(Refusal::OverCeiling);
    }
    if terms.unit > voucher::range_cap(voucher::MAX_COUNT, account.tranche) {
        return Err(Refusal::OverTranche);
    }
    // A sale under no id would take the creator's share.
    if terms.content != content {
        return Err(Refusal::Content);
    }
    if terms.credit0 == 0 || terms.credit_max == 0 || terms.max_steps == 0 {
        return Err(Refusal::Useless);
    }
    let bond = account.bond.0.saturating_mul(100);
    if bond
        < account
            .balance
            .0
            .saturating_mul(u128::from(terms.min_bond_percent))
    {
        return Err(Refusal::Bond);
    }
    Ok(())
}

/// How many serials a new range may have: at least `needed`, at most `wanted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// Least number that the quote accepts and that one step fits in.
    pub needed: u16,
    /// Most that policy gives.
    pub wanted: u16,
}

/// Sizes a new range for a payee that filled this many.
///
/// # Errors
/// [`Refusal::RangeTooLarge`] when the quote wants more than policy gives.
pub fn size_range(
    config: &PayerConfig,
    tranche: TokenUnits,
    terms: &Terms,
    filled: usize,
    unassigned: u64,
    budget_left: FineUnits,
) -> Result<Sizing, Refusal> {
    let known = config.max_count.max(config.unknown_count);
    let limit = match filled {
        0 => config.unknown_count,
        _ => {
            let share = (unassigned / SHARE_OF_UNASSIGNED).min(u64::from(MOST_SERIALS)) as u16;
            let doublings = (filled - 1).min(16) as u32;
            let grown = u32::from(known) << doublings;
            grown.min(u32::from(share.max(known))) as u16
        }
    };
    let serial = voucher::range_cap(1, tranche).0.max(1);
    // Serials beyond the largest amount of a voucher would be locked for nothing.
    let most = (voucher::MAX_FINE.0 / serial).min(u128::from(voucher::MAX_COUNT)) as u16;
    let limit = limit.min(most).clamp(1, voucher::MAX_COUNT);
    let needed = terms.min_range.max(terms.unit).0.div_ceil(serial).max(1);
    if needed > u128::from(limit) {
        return Err(Refusal::RangeTooLarge);
    }
    let needed = needed as u16;
    let useful = budget_left.0.div_ceil(serial).min(u128::from(limit)) as u16;
    Ok(Sizing {
        needed,
        wanted: useful.max(needed),
    })
}

/// Takes serials from the front: inside one 256-serial word, below `bound`; serial 0 is never
/// assigned. A word's rest that is too small for `needed` is skipped. Answers first and count.
pub fn allocate(next: u64, bound: u64, sizing: Sizing) -> Option<(u32, u16)> {
    let mut first = next.max(1);
    if 256 - (first & 255) < u64::from(sizing.needed) {
        first = (first | 255) + 1;
    }
    let count = u64::from(sizing.wanted)
        .min(256 - (first & 255))
        .min(bound.saturating_sub(first));
    if count < u64::from(sizing.needed.max(1)) {
        return None;
    }
    Some((u32::try_from(first).ok()?, count as u16))
}

/// Ranges of little use that may exist while this many serials are free. Beyond that only sellers that have used half
/// of a range in this run get one more, and a stranger each [`CROWDED_SPACING`].
pub fn most_idle(unassigned: u64) -> u64 {
    (unassigned / 32).max(2)
}

/// Limits the serials that payees without deliveries can tie up.
#[derive(Clone, Debug, Default)]
pub struct FakePayeeLimiter {
    recent: VecDeque<Timestamp>,
    /// When the last one came that has not sold anything since.
    unproved: Option<Timestamp>,
}

impl FakePayeeLimiter {
    /// Whether a stranger may get a range now: `idle` ranges with little or nothing revealed exist, `unassigned`
    /// serials are free, and `same_address` says that its address holds one already.
    pub fn allows(&self, now: Timestamp, idle: u64, unassigned: u64, same_address: bool) -> bool {
        let in_turn = |last: Timestamp| last + CROWDED_SPACING <= now;
        let room = idle < most_idle(unassigned) || self.unproved.is_none_or(in_turn);
        room && !same_address && self.next_slot(now) <= now
    }

    /// When the next new payee is possible, by rate alone.
    pub fn next_slot(&self, now: Timestamp) -> Timestamp {
        let before = self.recent.len().checked_sub(NEW_PAYEES_PER_WINDOW);
        let oldest = before.and_then(|before| self.recent.get(before));
        oldest.map_or(now, |oldest| (*oldest + NEW_PAYEE_WINDOW).max(now))
    }

    /// A stranger got a range.
    pub fn spend(&mut self, now: Timestamp) {
        self.unproved = Some(now);
        self.recent.push_back(now);
        while self.recent.len() > NEW_PAYEES_PER_WINDOW {
            self.recent.pop_front();
        }
    }

    /// A seller that was no seller before has sold something: the next stranger need not wait for [`CROWDED_SPACING`].
    pub fn proved(&mut self) {
        self.unproved = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;

    const ID: B256 = B256::repeat_byte(7);

    fn terms() -> Terms {
        Terms {
            version: 1,
            flags: 0,
            quote_id: 1,
            ttl_secs: 600,
            payee: Address::repeat_byte(1),
            content: ID,
            unit: FineUnits(1 << 30),
            min_range: FineUnits(0),
            max_steps: 256,
            credit0: 4,
            credit_max: 128,
            ramp: 4,
            min_bond_percent: 125,
            luck: B256::ZERO,
        }
    }

    fn account() -> AccountInfo {
        AccountInfo {
            owner: Address::repeat_byte(2),
            session_key: Address::repeat_byte(3),
            tranche: TokenUnits(10_000),
            balance: TokenUnits(2_000_000),
            bond: TokenUnits(2_500_000),
            consumed: 1,
            exit_at: 0,
        }
    }

    fn config() -> PayerConfig {
        PayerConfig {
            ceiling: FineUnits(1 << 31),
            budget: TokenUnits(1_000_000),
            ..PayerConfig::new(Vault {
                address: Address::repeat_byte(4),
                chain_id: 1,
            })
        }
    }

    #[test]
    fn each_reason_to_refuse_a_quote_is_named() {
        let judge = |t: &Terms, a: &AccountInfo| judge_quote(config().ceiling, a, t, ID);
        assert_eq!(judge(&terms(), &account()), Ok(()));
        let over = Terms {
            unit: FineUnits((1 << 31) + 1),
            ..terms()
        };
        assert_eq!(judge(&over, &account()), Err(Refusal::OverCeiling));
        let small = AccountInfo {
            tranche: TokenUnits(0),
            ..account()
        };
        assert_eq!(judge(&terms(), &small), Err(Refusal::NoAccount));
        let costly = Terms {
            unit: FineUnits(((256 * 10_000) << 24) + 1),
            ..terms()
        };
        assert_eq!(
            judge_quote(FineUnits(u128::MAX), &account(), &costly, ID),
            Err(Refusal::OverTranche)
        );
        for (quoted, wanted) in [
            (B256::repeat_byte(8), ID),
            (B256::ZERO, ID),
            (ID, B256::ZERO),
        ] {
            let foreign = Terms {
                content: quoted,
                ..terms()
            };
            assert_eq!(
                judge_quote(config().ceiling, &account(), &foreign, wanted),
                Err(Refusal::Content)
            );
        }
        let unregistered = Terms {
            content: B256::ZERO,
            ..terms()
        };
        assert_eq!(
            judge_quote(config().ceiling, &account(), &unregistered, B256::ZERO),
            Ok(())
        );
        let useless = Terms {
            credit0: 0,
            ..terms()
        };
        assert_eq!(judge(&useless, &account()), Err(Refusal::Useless));
        let bare = AccountInfo {
            bond: TokenUnits(2_499_999),
            ..account()
        };
        assert_eq!(judge(&terms(), &bare), Err(Refusal::Bond));
        let leaving = AccountInfo {
            exit_at: 9,
            ..account()
        };
        assert_eq!(judge(&terms(), &leaving), Err(Refusal::NoAccount));
    }

    #[test]
    fn a_stranger_gets_one_serial_and_a_known_payee_four() {
        let q = TokenUnits(10_000);
        let left = FineUnits(1 << 90);
        let size = |t: &Terms, known| size_range(&config(), q, t, known, 100, left);
        let one = Sizing {
            needed: 1,
            wanted: 1,
        };
        assert_eq!(size(&terms(), 0), Ok(one));
        assert_eq!(
            size(&terms(), 1),
            Ok(Sizing {
                needed: 1,
                wanted: 4
            })
        );
        let demanding = Terms {
            min_range: TokenUnits(10_001).fine(),
            ..terms()
        };
        assert_eq!(size(&demanding, 0), Err(Refusal::RangeTooLarge));
        assert_eq!(
            size(&demanding, 1),
            Ok(Sizing {
                needed: 2,
                wanted: 4
            })
        );
        let nearly_spent = size_range(&config(), q, &terms(), 1, 100, TokenUnits(15_000).fine());
        assert_eq!(
            nearly_spent,
            Ok(Sizing {
                needed: 1,
                wanted: 2
            })
        );
    }

    #[test]
    fn each_filled_range_doubles_the_next_up_to_a_share_of_the_deposit() {
        let wanted = |filled, unassigned| {
            let left = FineUnits(1 << 90);
            let q = TokenUnits(10_000);
            size_range(&config(), q, &terms(), filled, unassigned, left).map(|s| s.wanted)
        };
        assert_eq!(wanted(2, 10_000), Ok(8));
        assert_eq!(wanted(3, 10_000), Ok(16));
        assert_eq!(wanted(1_000, 1_000_000), Ok(MOST_SERIALS));
        assert_eq!(wanted(1_000, 160), Ok(10));
        assert_eq!(wanted(1_000, 3), Ok(4), "never less than the second one");
    }

    #[test]
    fn a_range_has_no_more_serials_than_a_voucher_can_owe() {
        // 1,000 tokens of 18 decimals: a voucher owes at most 4,722.
        let q = TokenUnits(1_000 * 10u128.pow(18));
        let left = FineUnits(u128::MAX);
        let wanted = |q, filled| {
            size_range(&config(), q, &terms(), filled, 1_000_000, left).map(|s| s.wanted)
        };
        assert_eq!(wanted(q, 0), Ok(1));
        assert_eq!(wanted(q, 100), Ok(4));
        assert_eq!(wanted(TokenUnits(q.0 * 5), 100), Ok(1), "one is too much");
        assert_eq!(wanted(TokenUnits(u128::MAX), 100), Ok(1));
    }

    #[test]
    fn serials_come_from_one_word_below_the_bound_and_never_zero() {
        let four = Sizing {
            needed: 1,
            wanted: 4,
        };
        assert_eq!(allocate(0, 201, four), Some((1, 4)));
        assert_eq!(allocate(254, 1000, four), Some((254, 2)));
        assert_eq!(allocate(256, 1000, four), Some((256, 4)));
        assert_eq!(allocate(199, 201, four), Some((199, 2)));
        assert_eq!(allocate(201, 201, four), None);
        let needs = Sizing {
            needed: 3,
            wanted: 4,
        };
        assert_eq!(
            allocate(254, 1000, needs),
            Some((256, 4)),
            "the word's rest is skipped"
        );
        assert_eq!(allocate(254, 257, needs), None);
        let top = u64::from(u32::MAX);
        assert_eq!(allocate(top, u64::MAX, four), Some((u32::MAX, 1)));
        assert_eq!(allocate(top + 1, u64::MAX, four), None);
    }

    #[test]
    fn strangers_are_limited_by_number_address_and_rate() {
        let mut limiter = FakePayeeLimiter::default();
        let at = Timestamp::from_millis;
        assert!(limiter.allows(at(0), 1, 0, false));
        assert!(limiter.allows(at(0), 2, 96, false));
        assert!(!limiter.allows(at(0), 0, 96, true));
        limiter.spend(at(0));
        limiter.spend(at(1_000));
        assert!(!limiter.allows(at(9_999), 0, 96, false));
        assert!(limiter.allows(at(10_000), 0, 96, false));
        limiter.spend(at(10_000));
        assert_eq!(limiter.next_slot(at(10_000)), at(11_000));
        assert!(limiter.allows(at(20_000), 2, 96, false));
        for (idle, unassigned) in [(2, 64), (3, 96), (2, 0)] {
            assert!(!limiter.allows(at(309_999), idle, unassigned, false));
            assert!(limiter.allows(at(310_000), idle, unassigned, false));
        }
        limiter.proved();
        assert!(limiter.allows(at(20_000), 3, 96, false));
    }
}
