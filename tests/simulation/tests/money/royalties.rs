//! A buyer of a registered title pays only under its id, so that the creator gets its share.

use alloy_primitives::B256;

use crate::scene::{
    BLOCKS, DEPOSIT, TRANCHE, buyer, buyer_config, content, net, revealed, seller, seller_config,
    sent, unit, until_complete,
};
use piecework::client::{AddOptions, CheckExisting, Event, Source};
use piecework::time::Duration;
use piecework::types::FineUnits;
use piecework_simulation::{Content, NodeId, SimNet, for_seeds};

const ID: [u8; 32] = [7; 32];

/// The same content as a .torrent that names no title, or this one.
fn of_title(content: &Content, id: Option<[u8; 32]>) -> Content {
    let mut named = content.clone();
    named.metainfo.content = id;
    named
}

fn leech(net: &mut SimNet, content: &Content) -> NodeId {
    let node = buyer(net);
    net.leech(node, content);
    node
}

#[test]
fn a_seller_that_quotes_no_title_or_another_sells_nothing() {
    for_seeds(24, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let (titled, other) = (of_title(&plain, Some(ID)), of_title(&plain, Some([8; 32])));
        let cheats = [seller(&mut net, 1, &plain), seller(&mut net, 2, &other)];
        let honest = seller(&mut net, 3, &titled);
        let node = leech(&mut net, &titled);
        assert!(until_complete(&mut net, node, &titled, 300), "seed {seed}");
        net.run_for(Duration::from_secs(5));
        for (cheat, payee) in cheats.into_iter().zip([1, 2]) {
            assert_eq!(revealed(&net, node, payee), 0, "seed {seed}");
            assert_eq!(sent(&net, cheat, node, &titled), 0, "seed {seed}");
        }
        assert_eq!(revealed(&net, node, 3), BLOCKS, "seed {seed}");
        net.redeem_all(honest);
        let log = net.vault.log();
        assert!(!log.is_empty());
        assert!(
            log.iter()
                .all(|paid| paid.voucher.content == B256::from(ID))
        );
    });
}

#[test]
fn no_deposit_is_asked_for_at_the_price_of_a_seller_that_leaves_the_creator_out() {
    for_seeds(24, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let titled = of_title(&plain, Some(ID));
        let half = FineUnits(unit().0 / 2);
        let cheat = seller_config(&net, 1, half);
        let cheat = net.node(cheat);
        net.seed(cheat, &plain);
        let config = buyer_config(&net);
        let node = net.node(config);
        net.leech(node, &titled);
        // The cheaper one is there before the other, and is all that there is.
        let quoted = |net: &SimNet, price: FineUnits| {
            let torrent = net.torrent(node, titled.info_hash());
            let peers = torrent.map(|torrent| torrent.peers).unwrap_or_default();
            (peers.into_iter()).find(|peer| peer.buying.price == Some(price))
        };
        let met = net.run_until(Duration::from_secs(60), |net| quoted(net, half).is_some());
        assert!(met, "seed {seed}");
        seller(&mut net, 3, &titled);
        let asked = |net: &SimNet| -> Vec<FineUnits> {
            (net.events(node))
                .filter_map(|event| match event {
                    Event::PaymentNeeded { price, .. } => Some(*price),
                    _ => None,
                })
                .collect()
        };
        let needed = net.run_until(Duration::from_secs(60), |net| !asked(net).is_empty());
        assert!(needed, "seed {seed}");
        assert!(
            quoted(&net, half).is_some_and(|p| p.buying.is_foreign),
            "seed {seed}"
        );
        assert!(
            quoted(&net, unit()).is_some_and(|p| !p.buying.is_foreign),
            "seed {seed}"
        );
        net.fund(node, DEPOSIT, TRANCHE);
        assert!(until_complete(&mut net, node, &titled, 300), "seed {seed}");
        assert!(
            asked(&net).iter().all(|price| *price == unit()),
            "seed {seed}"
        );
    });
}

#[test]
fn a_title_without_an_id_is_bought_only_where_none_is_quoted() {
    for_seeds(12, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let titled = of_title(&plain, Some(ID));
        seller(&mut net, 1, &titled);
        seller(&mut net, 2, &plain);
        let node = leech(&mut net, &plain);
        assert!(until_complete(&mut net, node, &plain, 300), "seed {seed}");
        assert_eq!(revealed(&net, node, 1), 0, "seed {seed}");
        assert_eq!(revealed(&net, node, 2), BLOCKS, "seed {seed}");
    });
}

#[test]
fn the_id_of_a_link_and_of_an_earlier_visit_counts() {
    for_seeds(12, |seed| {
        let mut net = net(seed);
        let plain = content(seed);
        let titled = of_title(&plain, Some(ID));
        seller(&mut net, 1, &plain);
        let honest = seller(&mut net, 2, &titled);
        let node = buyer(&mut net);
        let link = format!("{}&pw.content={}", plain.magnet(), "07".repeat(32));
        net.add(node, Source::Magnet(link), AddOptions::default());
        let begun = net.run_until(Duration::from_secs(300), |net| revealed(net, node, 2) > 0);
        assert!(begun, "seed {seed}");
        net.kill_process(node);
        net.start(node);
        net.set_account(node);
        let options = AddOptions {
            check: CheckExisting::Resume,
            ..AddOptions::default()
        };
        net.add(node, Source::Stored(plain.info_hash()), options);
        assert!(until_complete(&mut net, node, &plain, 300), "seed {seed}");
        assert_eq!(revealed(&net, node, 1), 0, "seed {seed}");
        net.redeem_all(honest);
        assert!(
            (net.vault.log().iter()).all(|paid| paid.voucher.content == B256::from(ID)),
            "seed {seed}"
        );
    });
}
