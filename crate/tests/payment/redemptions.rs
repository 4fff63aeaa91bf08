//! Redemptions in any order of what happens to them, through a node that may be behind: whatever a buyer paid for comes
//! in once, is counted once, and nobody honest is blamed.

use std::collections::BTreeMap;

use crate::hand::*;
use crate::shop::*;
use piecework::payment::payee::{ClaimOutcome, ReadyClaim, RedeemScope};
use piecework::payment::{ChainState, PayAction, PayEvent};
use piecework::time::Duration;
use piecework::types::{FineUnits, TokenUnits};
use piecework::wire::pay::{PayMessage, RejectCode};
use proptest::prelude::*;

/// What becomes of a batch that left.
#[derive(Clone, Copy, Debug)]
enum End {
    /// In a block, and its receipt is read.
    Told,
    /// In a block, and nobody tells.
    Lost,
    /// Refused before it was sent.
    NotSent,
    /// Given up, and in no block so far.
    Pending,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The buyer buys so many blocks of its next serial.
    Buy(u16),
    Redeem(End),
    /// Those that were given up get into a block after all.
    Mine,
    Later(u64),
    /// From now on the node is so many changes of the account behind.
    Behind(usize),
    /// For ten minutes the node says that the account exits, or that it withdrew, and it does not.
    Lie {
        exits: bool,
    },
    /// The node answers nothing, or answers again.
    Offline(bool),
    /// The buyer deposits more, and to its bond, too.
    TopUp {
        bond: bool,
    },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![
        2 => Just(End::Told),
        1 => Just(End::Lost),
        1 => Just(End::NotSent),
        1 => Just(End::Pending),
    ];
    let step = prop_oneof![
        // No crumbs: those of many ranges are left.
        4 => (100..=256u16).prop_map(Step::Buy),
        4 => end.prop_map(Step::Redeem),
        1 => Just(Step::Mine),
        3 => prop_oneof![Just(1u64), Just(31), Just(700), Just(7_200), Just(30_000)].prop_map(Step::Later),
        2 => (0..3usize).prop_map(Step::Behind),
        1 => any::<bool>().prop_map(|exits| Step::Lie { exits }),
        1 => any::<bool>().prop_map(Step::Offline),
        1 => any::<bool>().prop_map(|bond| Step::TopUp { bond }),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..40)
}

/// A seller, its buyer, and the chain as it was after each change.
struct World {
    s: Shop,
    buyer: Buyer,
    history: Vec<ChainState>,
    behind: usize,
    next: u32,
    /// What the vault paid.
    paid: u128,
    /// Token units that the buyer paid for.
    earned: u128,
    pending: Vec<ReadyClaim>,
    conflicts: usize,
}

impl World {
    fn new() -> World {
        World::with(Shop::new(), 2_000_000)
    }

    fn with(s: Shop, deposited: u128) -> World {
        let buyer = Buyer::new(1);
        let mut world = World {
            s,
            history: vec![deposit(deposited, Q.0)],
            buyer,
            behind: 0,
            next: 1,
            paid: 0,
            earned: 0,
            pending: Vec::new(),
            conflicts: 0,
        };
        world.show();
        world
    }

    /// What the node shows.
    fn show(&mut self) {
        let at = self.history.len().saturating_sub(1 + self.behind);
        self.s.chain.insert(self.buyer.account, self.history[at]);
    }

    fn buy(&mut self, blocks: u16) {
        let (first, s) = (self.next, &mut self.s);
        self.next += 1;
        s.connect(self.buyer.conn, "");
        let promise = self.buyer.promise(first, 1, Q, FineUnits(0));
        if s.commit(&self.buyer, &promise).is_none() {
            self.earned += 10 * u128::from(s.sell(&self.buyer, &promise, 0, blocks));
        }
        s.leave(self.buyer.conn);
    }

    /// The vault takes a batch: what became of each claim.
    fn mine(&mut self, claims: &[ReadyClaim]) -> Vec<ClaimOutcome> {
        let mut now = *self.history.last().unwrap();
        let mut outcomes = Vec::new();
        for claim in claims {
            let serial = claim.id.first as usize;
            if now.spent_word.bit(serial) {
                outcomes.push(ClaimOutcome::Skipped(6));
                continue;
            }
            now.spent_word.set_bit(serial, true);
            now.consumed += 1;
            now.balance.0 -= claim.due.0;
            self.paid += claim.due.0;
            outcomes.push(ClaimOutcome::Paid(claim.due));
        }
        // A batch that pays nothing reverts.
        if now == *self.history.last().unwrap() {
            return vec![ClaimOutcome::Failed; claims.len()];
        }
        self.history.push(now);
        self.show();
        outcomes
    }

    /// The buyer redeems a serial to itself, to which it had promised it too.
    fn steal(&mut self, serial: u32) {
        let mut now = *self.history.last().unwrap();
        if now.spent_word.bit(serial as usize) {
            return;
        }
        now.spent_word.set_bit(serial as usize, true);
        now.consumed += 1;
        now.balance.0 -= Q.0;
        self.history.push(now);
        self.show();
    }

    fn redeem(&mut self, end: End) -> usize {
        let claims = self.s.take(RedeemScope::All);
        let outcomes = match end {
            End::Told => self.mine(&claims),
            End::Lost => {
                self.mine(&claims);
                vec![ClaimOutcome::Unknown; claims.len()]
            }
            End::NotSent => vec![ClaimOutcome::Failed; claims.len()],
            End::Pending => {
                self.pending.extend(claims.iter().cloned());
                vec![ClaimOutcome::Unknown; claims.len()]
            }
        };
        let outcomes: Vec<_> = claims.iter().map(|c| c.id).zip(outcomes).collect();
        self.s.payee.redeemed(self.s.now, &outcomes);
        self.s.run();
        claims.len()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Buy(blocks) => self.buy(blocks),
            Step::Redeem(end) => drop(self.redeem(end)),
            Step::Mine => {
                let pending = core::mem::take(&mut self.pending);
                self.mine(&pending);
            }
            Step::Later(secs) => self.s.later(Duration::from_secs(secs)),
            Step::Behind(by) => {
                self.behind = by;
                self.show();
            }
            Step::Lie { exits } => {
                let now = *self.history.last().unwrap();
                let exit_at = self.s.now.as_secs() + 72 * 3_600;
                let lie = match exits {
                    true => ChainState { exit_at, ..now },
                    false => withdrawn(now),
                };
                self.s.chain.insert(self.buyer.account, lie);
                self.s.later(Duration::from_secs(600));
                self.show();
                self.s.later(Duration::from_secs(3_000));
            }
            Step::Offline(offline) => self.s.offline = offline,
            Step::TopUp { bond } => {
                let mut now = *self.history.last().unwrap();
                now.balance.0 += 100_000;
                now.bond.0 += if bond { 125_000 } else { 0 };
                self.history.push(now);
                self.show();
            }
            Step::Restart => {
                self.note_conflicts();
                self.s.restart();
            }
        }
    }

    fn note_conflicts(&mut self) {
        self.conflicts += self.s.said(|e| matches!(e, PayEvent::Conflict { .. }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn whatever_becomes_of_redemptions_each_block_paid_for_comes_in_and_counts_once(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            let unredeemed = world.s.payee.totals().redeemable.0;
            prop_assert!(unredeemed <= world.earned);
        }
        // The node has caught up, and each redemption is told of from now on.
        world.step(Step::Behind(0));
        world.step(Step::Offline(false));
        world.s.later(hours(13));
        let rounds = (0..10).take_while(|_| {
            let left = world.redeem(End::Told);
            world.s.later(Duration::from_secs(601));
            left > 0
        });
        prop_assert!(rounds.count() < 10);
        world.s.later(hours(13));
        world.note_conflicts();
        let totals = world.s.payee.totals();
        prop_assert_eq!(world.paid, world.earned, "all that was paid for came in");
        prop_assert_eq!((totals.redeemed, totals.redeemable), (TokenUnits(world.paid), TokenUnits(0)));
        prop_assert_eq!(world.conflicts, 0, "nobody was cheated");
        // What is confirmed leaves nothing behind.
        prop_assert!(world.s.payee.claims().is_empty());
    }

    #[test]
    fn a_buyer_that_redeems_to_itself_what_it_promised_takes_no_more_than_its_limit_in_all(
        steps in proptest::collection::vec((0..6u8, 1..=256u16), 1..80),
    ) {
        // A bond of 0.2, of which a twentieth may be owed: that is one serial.
        let shop = Shop::with(&BTreeMap::new(), |config| {
            (config.exposure_percent_of_bond, config.exposure_least_ranges) = (5, 1);
        });
        let mut world = World::with(shop, 160_000);
        for (what, number) in steps {
            match what {
                0 | 1 => world.step(Step::Buy(number)),
                2 if world.next > 1 => world.steal(1 + u32::from(number) % (world.next - 1)),
                3 => world.step(Step::Redeem(if number % 2 == 0 { End::Told } else { End::NotSent })),
                4 => world.step(Step::Later(u64::from(number) * 10)),
                5 => world.step(Step::Restart),
                _ => {}
            }
        }
        world.step(Step::Redeem(End::Told));
        let lost = world.earned - world.paid - world.s.payee.totals().redeemable.0;
        prop_assert!(lost <= 10_000, "{lost}");
    }
}

// ---- over a restart

/// A buyer that paid for one serial, of which the claim was taken.
fn claimed() -> (Shop, Buyer, Vec<ReadyClaim>) {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=1, 256);
    let claims = s.take(RedeemScope::All);
    assert_eq!(claims.len(), 1);
    (s, buyer, claims)
}

/// Its serial turns out to be consumed after a restart: what counts as redeemed, and how many were blamed.
fn consumed_after_a_restart(mut s: Shop, buyer: &Buyer, gross: TokenUnits) -> (u128, usize) {
    s.restart();
    s.consume(buyer.account, 1, 1, gross);
    s.later(hours(13));
    let conflicts = s.said(|e| matches!(e, PayEvent::Conflict { .. }));
    (s.payee.totals().redeemed.0, conflicts)
}

#[test]
fn a_later_run_takes_for_its_own_redemption_what_may_have_left_and_nothing_else() {
    for (told, is_ours) in [
        (None, true),
        (Some(ClaimOutcome::Unknown), true),
        // A prompt that was refused, a node that could not be asked, a vault that does not cover it yet.
        (Some(ClaimOutcome::Failed), false),
        (Some(ClaimOutcome::Skipped(5)), false),
    ] {
        let (mut s, buyer, claims) = claimed();
        if let Some(outcome) = told {
            s.ended(&claims, |_| outcome);
        }
        let due = claims[0].due;
        let expected = if is_ours { (due.0, 0) } else { (0, 1) };
        assert_eq!(
            consumed_after_a_restart(s, &buyer, due),
            expected,
            "{told:?}"
        );
    }
}

#[test]
fn of_a_range_that_was_closed_and_found_no_place_in_the_batch_no_claim_has_left() {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=1, 200);
    // More of others, each worth more, than a transaction takes.
    for n in 2..=129 {
        let other = Buyer::new(n);
        s.chain.insert(other.account, deposit(2_000_000, Q.0));
        s.buys(&other, 1..=1, 256);
        // As fast as strangers are looked up.
        s.later(Duration::from_secs(1));
    }
    let claims = s.take(RedeemScope::All);
    assert!(claims.len() == 128 && claims.iter().all(|c| c.id.account != buyer.account));
    s.pays(&claims);
    assert_eq!(consumed_after_a_restart(s, &buyer, TokenUnits(2_000)).1, 1);
}

#[test]
fn a_closed_range_of_an_earlier_build_may_have_been_redeemed_by_it() {
    let (mut s, buyer, claims) = claimed();
    s.ended(&claims, |_| ClaimOutcome::Failed);
    let range = (s.store.iter_mut()).find(|(key, _)| key.contains("/range/"));
    let (_, record) = range.unwrap();
    let mut bytes = record.to_vec();
    // What it wrote of each closed range.
    let life = bytes.len() - 17;
    bytes[life] = 1;
    *record = bytes.into();
    let due = claims[0].due;
    assert_eq!(consumed_after_a_restart(s, &buyer, due), (due.0, 0));
}

#[test]
fn no_claim_leaves_before_it_is_on_record_that_it_may() {
    let (mut s, _, claims) = claimed();
    s.ended(&claims, |_| ClaimOutcome::Failed);
    s.later(hours(1));
    s.payee.prepare_redeem(s.now, RedeemScope::All);
    let mut puts = Vec::new();
    while let Some(action) = s.payee.poll() {
        match action {
            PayAction::PutRecord { effect, .. } => puts.push(effect),
            PayAction::ReadState { effect, .. } => {
                let state = *s.chain.values().next().unwrap();
                s.payee.chain_state(s.now, effect, Ok(state));
            }
            action => assert!(!matches!(
                action,
                PayAction::Event(PayEvent::ClaimsReady { .. })
            )),
        }
    }
    assert_eq!(puts.len(), 1);
    assert!(s.payee.take_claims(s.now, 100).is_empty());
    // Earnings go before books: a full disk keeps nobody from redeeming.
    s.payee.stored(s.now, puts[0], false);
    s.run();
    assert_eq!(s.said(|e| matches!(e, PayEvent::ClaimsReady { .. })), 2);
    assert_eq!(s.payee.take_claims(s.now, 100).len(), 1);
}

// ---- what a deposit says of whose redemption it was

#[test]
fn a_deposit_between_a_lost_receipt_and_the_next_look_blames_nobody() {
    for bond in [0, 125_000] {
        let (mut s, buyer, claims) = claimed();
        s.ended(&claims, |_| ClaimOutcome::Unknown);
        s.consume(buyer.account, 1, 1, claims[0].due);
        let state = s.chain.get_mut(&buyer.account).unwrap();
        (state.balance.0, state.bond.0) = (state.balance.0 + 100_000, state.bond.0 + bond);
        s.later(hours(13));
        assert_eq!(s.said(|e| matches!(e, PayEvent::Conflict { .. })), 0);
        assert_eq!(s.payee.totals().redeemed, claims[0].due);
    }
}

#[test]
fn what_one_batch_redeemed_is_not_taken_for_what_the_next_one_did() {
    let (mut s, buyer, first) = claimed();
    s.buys(&buyer, 2..=2, 256);
    s.pays(&first);
    // Sooner than the redemption is confirmed.
    let second = s.take(RedeemScope::All);
    assert_eq!(second.len(), 1);
    s.ended(&second, |_| ClaimOutcome::Unknown);
    s.consume(buyer.account, 2, 1, TokenUnits(1));
    s.later(hours(13));
    assert_eq!(s.said(|e| matches!(e, PayEvent::Conflict { .. })), 1);
    assert_eq!(s.payee.totals().redeemed, first[0].due);
}

// ---- beside a buyer that comes back

/// A buyer that paid 100 blocks of a range and is back: while its COMMIT waits for the chain, the range is claimed.
fn claimed_while_it_is_resumed() -> (Shop, Buyer, Promise, Vec<ReadyClaim>) {
    let mut s = Shop::new();
    let buyer = Buyer::new(1);
    s.chain.insert(buyer.account, deposit(2_000_000, Q.0));
    s.buys(&buyer, 1..=1, 100);
    s.connect(buyer.conn, "");
    let resumed = buyer.promise(1, 1, Q, FineUnits(100 * UNIT.0));
    s.slow = Some(Vec::new());
    assert_eq!(s.commit(&buyer, &resumed), None);
    assert_eq!(s.slow.as_ref().map(Vec::len), Some(1), "it is read");
    s.payee.prepare_redeem(s.now, RedeemScope::All);
    s.run();
    let claims = s.payee.take_claims(s.now, 128);
    assert_eq!(claims.len(), 1);
    s.run();
    (s, buyer, resumed, claims)
}

#[test]
fn a_range_whose_claim_left_while_its_resumption_was_read_is_not_opened_again() {
    // The node answers before the vault has paid, after that, and after the payment is confirmed and the range
    // forgotten.
    for (mined, confirmed) in [(false, false), (true, false), (true, true)] {
        let (mut s, buyer, resumed, claims) = claimed_while_it_is_resumed();
        let under_way = s.slow.take();
        if mined {
            s.pays(&claims);
        }
        if confirmed {
            s.later(Duration::from_secs(61));
            assert_eq!(s.records(buyer.account), 0, "forgotten");
        }
        s.slow = under_way;
        s.answers_arrive();
        assert_eq!(s.sell(&buyer, &resumed, 0, 100), 0, "nothing is sold on it");
        let code = s.sent.iter().rev().find_map(|(_, m)| match m {
            PayMessage::Reject { code, .. } => Some(*code),
            _ => None,
        });
        let told = match confirmed {
            true => RejectCode::ChainPending,
            false => RejectCode::ConsumedOrClosed,
        };
        assert_eq!(code, Some(told));
        if !mined {
            s.pays(&claims);
        }
        s.later(Duration::from_secs(61));
        assert_eq!(s.payee.totals().redeemed, claims[0].due);
        assert_eq!(s.said(|e| matches!(e, PayEvent::Conflict { .. })), 0);
        assert_eq!(s.records(buyer.account), 0);
        // Asked anew, the chain shows that it is consumed.
        let told = s.commit(&buyer, &resumed);
        assert_eq!(told, Some(RejectCode::ConsumedOrClosed));
    }
}
