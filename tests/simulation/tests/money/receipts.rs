//! The account of what was bought and sold: it agrees with both sides' ledgers and with the chain, over visits that end
//! well and visits that end by a kill.

use crate::common::{DEPOSIT, TEN_DOLLARS, TRANCHE, complete, minutes, per_gb, trader};
use alloy_primitives::Address;
use piecework::client::{Command, RedeemScope, ResalePrice, Sum};
use piecework::time::Duration;
use piecework::types::{FineUnits, TokenUnits};
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, for_seeds};

const SEEDS: u64 = 500;

/// The sums of a node's receipts: bought, sold, redeemed.
pub fn sums(net: &SimNet, node: NodeId) -> (FineUnits, FineUnits, TokenUnits) {
    let mut sums = (0, 0, 0);
    for line in net.client(node).receipts() {
        match line.sum {
            Sum::Bought(sum) => sums.0 += sum.0,
            Sum::Sold(sum) => sums.1 += sum.0,
            Sum::Redeemed(sum) => sums.2 += sum.0,
            Sum::Fees(_) => {}
        }
    }
    (FineUnits(sums.0), FineUnits(sums.1), TokenUnits(sums.2))
}

#[test]
fn five_visits_two_of_which_end_by_a_kill_add_up_to_the_last_unit() {
    for_seeds(SEEDS, |seed| {
        let net_config = NetConfig {
            uplink: 400_000..800_000,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, net_config);
        let content = Content::file(seed, 2_500_000, 64 * 1024);
        let hash = content.info_hash();
        let price = ResalePrice::Fixed(per_gb(TEN_DOLLARS));
        let a = net.node(trader(&net, 1, price, None));
        net.seed(a, &content);
        let ceiling = Some(per_gb(2 * TEN_DOLLARS));
        let b = net.node(trader(&net, 2, ResalePrice::PercentOfPaid(50), ceiling));
        net.fund(b, DEPOSIT, TRANCHE);
        net.leech(b, &content);
        for visit in 0..5 {
            let time = net.random.number(700..1_800);
            net.run_for(Duration::from_millis(time));
            if visit == 4 {
                break;
            }
            let before = sums(&net, b).0;
            let is_killed = visit % 2 == 0;
            match is_killed {
                true => net.kill_process(b),
                false => net.shut_down(b),
            }
            net.run_for(Duration::from_millis(300));
            net.start(b);
            // A kill takes the last steps from the records, and the seller brings them back later.
            let after = sums(&net, b).0;
            assert!(
                is_killed || after >= before,
                "seed {seed}: {after:?} after {before:?}"
            );
            net.set_account(b);
            net.leech(b, &content);
            let again = net.torrent(b, hash).unwrap().spent;
            assert_eq!(again, after, "seed {seed}: of the only title");
        }
        complete(&mut net, &[b], &content, minutes(10));
        net.run_for(Duration::from_secs(5));

        let (bought, ..) = sums(&net, b);
        let (_, sold, _) = sums(&net, a);
        let (buyer, seller) = (net.snapshot(b).money, net.snapshot(a).money);
        assert_eq!(bought, buyer.spent, "seed {seed}: the buyer's ledger");
        assert_eq!(sold, seller.redeemable_fine, "seed {seed}: the seller's");
        assert_eq!(bought, sold, "seed {seed}: both");
        assert_eq!(net.torrent(a, hash).unwrap().earned, sold, "seed {seed}");

        net.command(a, Command::PrepareRedeem(RedeemScope::All));
        net.run_for(minutes(2));
        let (_, still, redeemed) = sums(&net, a);
        let paid = net.vault.paid_to(Address::repeat_byte(1));
        assert_eq!(redeemed, paid, "seed {seed}: the chain");
        assert_eq!(still, sold, "seed {seed}: redeeming sells nothing");
        assert!(paid.0 > 0 && paid <= sold.floor(), "seed {seed}");
        let lines = net.client(b).receipts();
        let payee = Some(Address::repeat_byte(1));
        assert!(
            lines
                .iter()
                .all(|l| l.title == Some(hash) && l.peer == payee)
        );
    });
}
