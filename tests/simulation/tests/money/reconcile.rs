//! What a kill takes from one side, or from both, comes back when the two meet again: both accounts, both ledgers and
//! the chain agree to the last unit.

use std::sync::atomic::{AtomicU64, Ordering};

use super::receipts::sums;
use crate::common::{DEPOSIT, TEN_DOLLARS, TRANCHE, complete, minutes, per_gb, trader};
use alloy_primitives::Address;
use piecework::client::{Command, RedeemScope, ResalePrice};
use piecework::time::Duration;
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, for_seeds};

const SEEDS: u64 = 500;

/// How a visit ends, for whom.
#[derive(Clone, Copy, Debug)]
enum End {
    Kill,
    PowerLost,
}

fn comes_back(net: &mut SimNet, node: NodeId, end: End) {
    match end {
        End::Kill => net.kill_process(node),
        End::PowerLost => net.crash(node),
    }
}

/// Nothing separates the two: the accounts of both, their ledgers, and what each could redeem.
fn differ(net: &SimNet, buyer: NodeId, seller: NodeId) -> Option<String> {
    let (bought, sold) = (sums(net, buyer).0, sums(net, seller).1);
    let (spent, earned) = (
        net.snapshot(buyer).money.spent,
        net.snapshot(seller).money.redeemable_fine,
    );
    let all = [bought, sold, spent, earned];
    let is_same = all.iter().all(|sum| *sum == bought);
    (!is_same).then(|| format!("bought {bought:?}, sold {sold:?}, {spent:?} and {earned:?}"))
}

#[test]
fn after_kills_of_either_side_or_both_the_next_meeting_makes_all_sums_agree() {
    let (ends, unequal) = (AtomicU64::new(0), AtomicU64::new(0));
    for_seeds(SEEDS, |seed| {
        let net_config = NetConfig {
            uplink: 400_000..1_200_000,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, net_config);
        let films = [
            Content::file(seed, 2_500_000, 64 * 1024),
            Content::file(seed + 1_000_000, 600_000, 64 * 1024),
        ];
        let price = ResalePrice::Fixed(per_gb(TEN_DOLLARS));
        let a = net.node(trader(&net, 1, price, None));
        net.seed(a, &films[0]);
        let ceiling = Some(per_gb(2 * TEN_DOLLARS));
        let b = net.node(trader(&net, 2, ResalePrice::PercentOfPaid(50), ceiling));
        net.fund(b, DEPOSIT, TRANCHE);
        net.leech(b, &films[0]);
        for _ in 0..4 {
            let time = net.random.number(700..2_500);
            net.run_for(Duration::from_millis(time));
            let end = match net.random.number(0..4) {
                0 => End::PowerLost,
                _ => End::Kill,
            };
            let (of_a, of_b) = match net.random.number(0..3) {
                0 => (true, false),
                1 => (false, true),
                _ => (true, true),
            };
            for (node, ends) in [(a, of_a), (b, of_b)] {
                if ends {
                    comes_back(&mut net, node, end);
                }
            }
            net.run_for(Duration::from_millis(300));
            if of_a {
                net.start(a);
                net.seed(a, &films[0]);
            }
            if of_b {
                net.start(b);
                net.set_account(b);
                net.leech(b, &films[0]);
            }
            ends.fetch_add(1, Ordering::Relaxed);
            unequal.fetch_add(u64::from(differ(&net, b, a).is_some()), Ordering::Relaxed);
        }
        complete(&mut net, &[b], &films[0], minutes(20));
        // Where the last kill came when the film was whole, the two meet over another one.
        net.seed(a, &films[1]);
        net.leech(b, &films[1]);
        complete(&mut net, &[b], &films[1], minutes(20));
        // A connection that died unnoticed may have a range for a minute.
        net.run_until(minutes(3), |net| differ(net, b, a).is_none());
        assert_eq!(differ(&net, b, a), None, "seed {seed}");

        let sold = sums(&net, a).1;
        net.command(a, Command::PrepareRedeem(RedeemScope::All));
        net.run_for(minutes(2));
        let paid = net.vault.paid_to(Address::repeat_byte(1));
        assert_eq!(
            sums(&net, a),
            (Default::default(), sold, paid),
            "seed {seed}"
        );
        assert!(paid.0 > 0 && paid <= sold.floor(), "seed {seed}");
    });
    let (ends, unequal) = (ends.into_inner(), unequal.into_inner());
    assert!(
        2 * unequal > ends,
        "{unequal} of {ends} ends made the sums differ at first"
    );
}
