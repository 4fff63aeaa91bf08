//! A buyer's disk is put back to an earlier state, as by a backup. No record names the promises made since. The buyer
//! promises nothing any more as soon as the chain or a seller shows one. The net checks that nothing is promised to two
//! payees.

use crate::scene::*;
use piecework::client::{Command, Event, PaymentNeed};
use piecework::time::Duration;
use piecework_simulation::{Content, NodeId, SimNet, for_seeds};

const SEEDS: u64 = 100;

/// A buyer that bought one film, was backed up, bought another one, and was put back.
struct Restored {
    net: SimNet,
    films: [Content; 3],
    shops: [NodeId; 3],
    buyer: NodeId,
}

impl Restored {
    fn new(seed: u64, redeemed: bool) -> Restored {
        let mut net = net(9_000 + seed);
        let films = [0, 1, 2].map(|film| content(seed * 3 + film));
        let shops = [1, 2, 3].map(|payee| seller(&mut net, payee, &films[usize::from(payee) - 1]));
        let buyer = buyer(&mut net);
        net.leech(buyer, &films[0]);
        assert!(until_complete(&mut net, buyer, &films[0], 120));
        net.run_for(Duration::from_secs(5));
        net.kill_process(buyer);
        let backup = net.disk(buyer).clone();
        net.start(buyer);
        net.set_account(buyer);
        net.leech(buyer, &films[1]);
        assert!(until_complete(&mut net, buyer, &films[1], 120));
        net.run_for(Duration::from_secs(5));
        if redeemed {
            net.redeem_all(shops[1]);
        }
        net.kill_process(buyer);
        net.restore(buyer, backup);
        net.start(buyer);
        net.set_account(buyer);
        net.run_for(Duration::from_secs(5));
        Restored {
            net,
            films,
            shops,
            buyer,
        }
    }

    fn is_held(&self) -> bool {
        let account = self.net.account_of(self.buyer);
        self.net.client(self.buyer).held_account() == Some(account)
    }

    /// The buyer buys nothing of the third seller, and the user learns why.
    fn assert_held(&mut self, seed: u64) {
        let Restored {
            net,
            films,
            shops,
            buyer,
        } = self;
        net.leech(*buyer, &films[2]);
        net.run_for(Duration::from_secs(30));
        assert_eq!(sent(net, shops[2], *buyer, &films[2]), 0, "seed {seed}");
        let told = net
            .events(*buyer)
            .any(|e| matches!(e, Event::PaymentNeeded { why, .. } if *why == PaymentNeed::Held));
        assert!(told, "seed {seed}");
        // A new account goes on, the old one can be taken back.
        net.fund(*buyer, DEPOSIT, TRANCHE);
        assert!(until_complete(net, *buyer, &films[2], 120), "seed {seed}");
    }
}

#[test]
fn a_restored_buyer_promises_nothing_when_the_chain_shows_what_it_forgot() {
    for_seeds(SEEDS, |seed| {
        let mut restored = Restored::new(seed, true);
        assert!(restored.is_held(), "seed {seed}");
        restored.assert_held(seed);
    });
}

#[test]
fn a_restored_buyer_promises_nothing_more_when_a_seller_shows_what_it_forgot() {
    for_seeds(SEEDS, |seed| {
        let mut restored = Restored::new(seed, false);
        assert!(!restored.is_held(), "seed {seed}: nothing shows it yet");
        // It watches the second film again, of the seller that holds its promise.
        let Restored {
            net, films, buyer, ..
        } = &mut restored;
        net.leech(*buyer, &films[1]);
        net.run_for(Duration::from_secs(20));
        assert!(restored.is_held(), "seed {seed}");
        // The restart after it knows.
        let Restored { net, buyer, .. } = &mut restored;
        net.kill_process(*buyer);
        net.start(*buyer);
        net.set_account(*buyer);
        net.run_for(Duration::from_secs(5));
        assert!(restored.is_held(), "seed {seed}");
        restored.assert_held(seed);
    });
}

/// The reasons for which the page was asked for money, in order.
fn needs(net: &SimNet, node: NodeId) -> Vec<PaymentNeed> {
    let needed = net.events(node).filter_map(|e| match e {
        Event::PaymentNeeded { why, .. } => Some(*why),
        _ => None,
    });
    needed.collect()
}

#[test]
fn an_account_that_does_not_cover_any_more_is_said_with_the_reason() {
    for_seeds(12, |seed| {
        let mut net = net(9_500 + seed);
        let films = [content(seed), content(1_000 + seed)];
        seller(&mut net, 1, &films[0]);
        seller(&mut net, 2, &films[1]);
        let one = net.node(buyer_config(&net));
        // Two of the four serials that a film takes.
        net.fund(one, 2 * TRANCHE, TRANCHE);
        net.leech(one, &films[0]);
        net.run_for(Duration::from_secs(60));
        assert!(!net.is_complete(one, &films[0]), "seed {seed}");
        assert_eq!(needs(&net, one).last(), Some(&PaymentNeed::DepositUsedUp));
        // With another account the event does not come again. Later it comes for that account's exit.
        let account = net.fund(one, DEPOSIT, TRANCHE);
        let complete = until_complete(&mut net, one, &films[0], 120);
        assert!(complete, "seed {seed}: {}", story(&net, one, &films[0]));
        let said = needs(&net, one).len();
        net.exit(one);
        net.command(one, Command::RefreshAccount);
        let need = |net: &SimNet| net.client(one).snapshot().money.need;
        assert_eq!(need(&net), None, "seed {seed}");
        net.run_for(Duration::from_secs(5));
        // A look shows it before anything is wanted.
        assert_eq!(need(&net), Some(PaymentNeed::Exiting), "seed {seed}");
        net.leech(one, &films[1]);
        net.run_for(Duration::from_secs(60));
        assert_eq!(needs(&net, one)[said..], [PaymentNeed::Exiting]);
        net.now = net.now + piecework_simulation::SimVault::EXIT_DELAY;
        net.vault.withdraw(account, net.now).expect("it is time");
        net.command(one, Command::RefreshAccount);
        net.run_for(Duration::from_secs(60));
        assert_eq!(
            needs(&net, one)[said..],
            [PaymentNeed::Exiting, PaymentNeed::Withdrawn],
            "seed {seed}"
        );
        assert_eq!(need(&net), Some(PaymentNeed::Withdrawn), "seed {seed}");
    });
}
