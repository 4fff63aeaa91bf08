//! What a range is worth while it is paid and folded, for tokens of any decimals, against whole numbers without a
//! bound.

use alloy_primitives::{Address, B256, U256};
use piecework::payment::policy::{Sizing, allocate};
use piecework::payment::voucher::{
    MAX_COUNT, MAX_FINE, Voucher, chain_steps, range_is_well_formed, usable_steps,
};
use piecework::types::{FineUnits, TokenUnits};
use proptest::prelude::*;

/// Near a power of two or of ten, where one too many or too few shows, or anywhere.
fn amounts(bits: u32) -> impl Strategy<Value = u128> {
    let most = (1u128 << bits) - 1;
    let near = |at: u128| (0u128..3).prop_map(move |by| (at + by).saturating_sub(1));
    prop_oneof![
        (0..bits).prop_flat_map(move |bit| near(1 << bit)),
        (0..29u32).prop_flat_map(move |power| near(10u128.pow(power))),
        1..=most,
    ]
    .prop_map(move |amount| amount.clamp(1, most))
}

fn voucher(count: u16, base: u128, unit: u128, steps: u16) -> Voucher {
    Voucher {
        owner: Address::repeat_byte(1),
        payee: Address::repeat_byte(2),
        first: 1,
        count,
        content: B256::ZERO,
        base: FineUnits(base),
        unit: FineUnits(unit),
        steps,
        root: B256::ZERO,
        luck: B256::ZERO,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_range_pays_each_step_whole_over_all_folds_and_never_more_than_its_serials(
        tranche in amounts(96),
        count in 1..=MAX_COUNT,
        unit in amounts(96),
        max_steps in 1..=256u16,
        stops in proptest::collection::vec(1..=256u16, 1..40),
    ) {
        let q = TokenUnits(tranche);
        let worth = U256::from(tranche) * U256::from(count);
        // A voucher names whole units of no more than this.
        let cap = worth.min(U256::from(MAX_FINE.floor().0)) << 24usize;
        let (mut base, mut paid) = (0u128, U256::ZERO);
        for stop in stops {
            let steps = chain_steps(count, q, FineUnits(base), FineUnits(unit), max_steps);
            let whole = (cap - U256::from(base)) / U256::from(unit);
            let usable = usable_steps(count, q, FineUnits(base), FineUnits(unit));
            prop_assert_eq!(U256::from(usable), whole.min(U256::from(u64::MAX)));
            prop_assert_eq!(u64::from(steps), usable.min(max_steps.into()).min(256));
            if steps == 0 {
                break;
            }
            let v = voucher(count, base, unit, steps);
            let k = stop.min(steps);
            let owed = U256::from(base) + U256::from(unit) * U256::from(k);
            prop_assert!(owed <= cap && owed <= worth << 24usize);
            prop_assert_eq!(U256::from(v.owed_at(k).0), owed);
            // The vault floors once, over all of it.
            let due = U256::from(v.due(k, q).0);
            prop_assert_eq!(due, (owed >> 24usize).min(worth));
            prop_assert!(due >= paid, "a fold takes nothing back");
            (base, paid) = (v.owed_at(k).0, due);
        }
    }

    #[test]
    fn serials_are_taken_once_each_and_only_covered_ones(
        start in amounts(32),
        more in 0..2_000u64,
        sizes in proptest::collection::vec((1..=64u16, 0..=192u16), 1..20),
    ) {
        let mut next = start as u64;
        let bound = (next + more).min(1 << 32);
        for (needed, rest) in sizes {
            let sizing = Sizing { needed, wanted: needed + rest };
            let Some((first, count)) = allocate(next, bound, sizing) else {
                continue;
            };
            prop_assert!(range_is_well_formed(first, count));
            prop_assert!(u64::from(first) >= next && (needed..=needed + rest).contains(&count));
            next = u64::from(first) + u64::from(count);
            prop_assert!(next <= bound);
        }
    }
}
