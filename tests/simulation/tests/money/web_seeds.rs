//! Paid titles with web seeds (BEP 19): what a web seed brings is never paid for, and what sellers bring is.

use piecework::client::{AddOptions, Config, Source, WebSeedState, WebSeedUse};
use piecework::time::Duration;
use piecework::types::FineUnits;
use piecework_simulation::{Content, NodeId, Serves, SimNet, WebServer, for_seeds};

use crate::scene::{
    BLOCK, BLOCKS, audit_buyer, audit_seller, buyer_config, content, net, revealed, seller, sent,
    story, until_complete,
};

const URL: &str = "https://w.example/film.mp4";
const PAYEES: [u8; 2] = [1, 2];

struct Scene {
    net: SimNet,
    content: Content,
    sellers: Vec<NodeId>,
    buyer: NodeId,
}

/// Two sellers, a web seed and a buyer that begins.
fn scene(seed: u64, serves: Serves, rate: u64, web_seed_use: WebSeedUse) -> Scene {
    let mut net = net(seed);
    let content = content(seed);
    net.web_server(URL, WebServer::new(&content, serves, rate));
    let sellers = PAYEES.map(|payee| seller(&mut net, payee, &content)).into();
    let config = Config {
        web_seed_use,
        ..buyer_config(&net)
    };
    let buyer = net.node(config);
    net.fund(buyer, crate::scene::DEPOSIT, crate::scene::TRANCHE);
    let options = AddOptions {
        web_seeds: vec![URL.to_owned()],
        ..AddOptions::default()
    };
    net.add(buyer, Source::Torrent(content.torrent()), options);
    Scene {
        net,
        content,
        sellers,
        buyer,
    }
}

impl Scene {
    /// Everything is here, and everybody was paid for what they sent, and for nothing else.
    fn audit(self, seed: u64) {
        let Scene {
            mut net,
            content,
            sellers,
            buyer,
        } = self;
        let (net, content) = (&mut net, &content);
        let done = until_complete(net, buyer, content, 300);
        assert!(done, "seed {seed}: {}", story(net, buyer, content));
        net.run_for(Duration::from_secs(10));
        audit_buyer(net, buyer, &PAYEES, content);
        let mut sold = 0;
        for (seller, payee) in sellers.iter().zip(PAYEES) {
            let blocks = sent(net, *seller, buyer, content);
            let paid = revealed(net, buyer, payee);
            assert_eq!(paid, blocks, "seed {seed}: {payee} sent {blocks} blocks");
            sold += blocks;
        }
        let torrent = net.torrent(buyer, content.info_hash()).unwrap();
        let unit = crate::scene::unit().0;
        assert_eq!(
            torrent.spent,
            FineUnits(unit * u128::from(sold)),
            "seed {seed}"
        );
        let web = torrent.web_seeds[0].downloaded / BLOCK;
        assert!(sold + web >= BLOCKS, "seed {seed}: {sold} and {web}");
        for (seller, payee) in sellers.iter().zip(PAYEES) {
            audit_seller(net, *seller, payee, &[buyer], content, 0);
        }
    }
}

#[test]
fn sellers_and_a_web_seed_bring_a_title_and_only_sellers_are_paid() {
    for_seeds(100, |seed| {
        let scene = scene(seed, Serves::Right, 500_000, WebSeedUse::Fallback);
        scene.audit(seed);
    });
}

#[test]
fn a_web_seed_that_is_always_used_spares_money() {
    for_seeds(100, |seed| {
        let scene = scene(seed, Serves::Right, 5_000_000, WebSeedUse::Always);
        scene.audit(seed);
    });
}

#[test]
fn a_lying_web_seed_costs_no_money_and_no_seller() {
    for_seeds(100, |seed| {
        let lies = Serves::Wrong((0..BLOCKS).filter(|block| block % 3 == seed % 3).collect());
        let scene = scene(seed, lies, 500_000, WebSeedUse::Always);
        let (buyer, info_hash) = (scene.buyer, scene.content.info_hash());
        let mut scene = scene;
        let done = until_complete(&mut scene.net, buyer, &scene.content, 300);
        assert!(
            done,
            "seed {seed}: {}",
            story(&scene.net, buyer, &scene.content)
        );
        let torrent = scene.net.torrent(buyer, info_hash).unwrap();
        let web = &torrent.web_seeds[0];
        // It may have brought none of the pieces that it spoils.
        if web.state != WebSeedState::Banned {
            assert!(web.downloaded < BLOCKS * BLOCK, "seed {seed}: {web:?}");
        }
        let closed = crate::common::banned_by(&scene.net, buyer);
        assert!(closed.is_empty(), "seed {seed}: {closed:?}");
        scene.audit(seed);
    });
}
