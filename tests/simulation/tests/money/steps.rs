//! A small order is cut at every single step of the exchange, on either side: each payment message sent or received,
//! each block received, each record, flush and signature, before and after it is durable. Either the crash takes all
//! messages on their way, or they still arrive and nobody notices for a while (a reload, a second tab).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::scene::*;
use piecework::time::Duration;
use piecework_simulation::{Content, NodeId, SimNet, Steps, for_seeds};

/// Enough for 500 cuts.
const NETS: u64 = 6;
const SMALL: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Buyer,
    Seller,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Crash,
    Vanish,
}

struct Scene {
    net: SimNet,
    content: Content,
    shop: NodeId,
    film: NodeId,
}

impl Scene {
    fn new(seed: u64) -> Scene {
        let mut net = net(3_000 + seed);
        let bytes = (SMALL * BLOCK) as usize;
        let content = Content::file(seed, bytes, (PIECE_BLOCKS * BLOCK) as u32);
        let shop = seller(&mut net, 1, &content);
        let film = net.node(buyer_config(&net));
        Scene {
            net,
            content,
            shop,
            film,
        }
    }

    fn begin(&mut self, who: Who, stop: Option<u64>, way: Way) {
        let node = self.node(who);
        self.net.steps = Steps::of(node, stop);
        self.net.steps.unnoticed = (way == Way::Vanish).then_some(Duration::from_secs(5));
        let deposit = self.net.fund(self.film, DEPOSIT, TRANCHE);
        assert_eq!(deposit, self.net.account_of(self.film));
        self.net.leech(self.film, &self.content);
    }

    fn node(&self, who: Who) -> NodeId {
        match who {
            Who::Buyer => self.film,
            Who::Seller => self.shop,
        }
    }
}

/// Steps of an order that nothing disturbs.
fn steps(seed: u64, who: Who) -> u64 {
    let mut scene = Scene::new(seed);
    scene.begin(who, None, Way::Crash);
    assert!(until_complete(
        &mut scene.net,
        scene.film,
        &scene.content,
        120
    ));
    scene.net.run_for(Duration::from_secs(3));
    assert_eq!(revealed(&scene.net, scene.film, 1), SMALL);
    scene.net.steps.taken
}

#[test]
fn an_order_that_is_cut_at_any_step_goes_on_and_costs_nobody_more_than_a_window() {
    let mut cases = Vec::new();
    for seed in 0..NETS {
        for who in [Who::Buyer, Who::Seller] {
            for stop in 1..=steps(seed, who) {
                // Half of them by chance either way, but each step of the first net both ways.
                let ways = match (seed, stop % 2) {
                    (0, _) => vec![Way::Crash, Way::Vanish],
                    (_, 0) => vec![Way::Crash],
                    _ => vec![Way::Vanish],
                };
                cases.extend(ways.into_iter().map(|way| (seed, who, stop, way)));
            }
        }
    }
    assert!(cases.len() >= 500, "{} steps", cases.len());
    let overpaid = AtomicU64::new(0);
    for_seeds(cases.len() as u64, |index| {
        let (seed, who, stop, way) = cases[index as usize % cases.len()];
        let named = format!("case {index}: {who:?} stopped at step {stop} of net {seed}, {way:?}");
        let mut scene = Scene::new(seed);
        scene.begin(who, Some(stop), way);
        let stopped = (scene.net).run_until(Duration::from_secs(120), |net| net.steps.stopped());
        assert!(stopped, "{named}: it took no such step");
        let away = scene.net.random.number(1..3_000);
        scene.net.run_for(Duration::from_millis(away));
        match who {
            Who::Buyer => reopen(&mut scene.net, scene.film, &scene.content),
            Who::Seller => {
                scene.net.start(scene.shop);
                scene.net.seed(scene.shop, &scene.content);
            }
        }
        let Scene {
            mut net,
            content,
            shop,
            film,
        } = scene;
        assert!(
            until_complete(&mut net, film, &content, 600),
            "{named}: {}\nSELLER {}",
            story(&net, film, &content),
            story(&net, shop, &content)
        );
        net.run_for(Duration::from_secs(20));
        // Twice a credit window: the connection that died, and the one that followed.
        audit_seller(&mut net, shop, 1, &[film], &content, 2 * CREDIT0);
        overpaid.fetch_add(
            revealed(&net, film, 1).saturating_sub(SMALL),
            Ordering::Relaxed,
        );
    });
    println!(
        "{} cuts, {} blocks paid a second time",
        cases.len(),
        overpaid.load(Ordering::Relaxed)
    );
}
