//! Peers that cheat.

use crate::common::{banned_by, complete, minutes};
use piecework::time::Duration;
use piecework_simulation::{Cheat, Content, NetConfig, NodeId, SimNet};

/// An honest seed, a cheating one, and three leechers.
fn scene(seed: u64, cheat: Cheat) -> (SimNet, Content, NodeId, NodeId, Vec<NodeId>) {
    let mut net = SimNet::new(seed, NetConfig::default());
    let content = Content::file(seed, 1_500_000, 64 * 1024);
    let honest = net.node(SimNet::config());
    net.seed(honest, &content);
    let cheater = net.node(SimNet::config());
    net.seed(cheater, &content);
    net.set_cheat(cheater, cheat);
    let leechers = (0..3)
        .map(|_| {
            let node = net.node(SimNet::config());
            net.leech(node, &content);
            node
        })
        .collect();
    (net, content, honest, cheater, leechers)
}

#[test]
fn who_sends_corrupt_blocks_is_found_and_banned_and_nobody_else() {
    let mut found = 0;
    for seed in 0..20 {
        let cheat = Cheat::Corrupt { one_in: 3 };
        let (mut net, content, _, cheater, leechers) = scene(seed, cheat);
        complete(&mut net, &leechers, &content, minutes(20));
        for &node in &leechers {
            let banned = banned_by(&net, node);
            assert!(
                banned.iter().all(|&b| b == cheater),
                "seed {seed}: {banned:?}"
            );
            if !banned.is_empty() {
                found += 1;
                assert_eq!(net.channels(node, cheater), 0, "seed {seed}");
                net.run_for(minutes(5));
                assert_eq!(net.channels(node, cheater), 0, "it stays banned");
            }
        }
    }
    assert!(found >= 20, "only {found} leechers ever banned the cheater");
}

#[test]
fn a_single_corrupt_block_in_shared_pieces_is_traced_to_its_sender() {
    let mut found = 0;
    for seed in 50..60 {
        let cheat = Cheat::Corrupt { one_in: 25 };
        let (mut net, content, _, cheater, leechers) = scene(seed, cheat);
        complete(&mut net, &leechers, &content, minutes(20));
        for &node in &leechers {
            let banned = banned_by(&net, node);
            assert!(
                banned.iter().all(|&b| b == cheater),
                "seed {seed}: {banned:?}"
            );
            found += banned.len();
        }
    }
    assert!(found > 0);
}

#[test]
fn who_stops_in_the_middle_does_not_stop_the_others() {
    for seed in 100..110 {
        let cheat = Cheat::Stall { after: 5 };
        let (mut net, content, _, _, leechers) = scene(seed, cheat);
        complete(&mut net, &leechers, &content, minutes(20));
    }
}

#[test]
fn blocks_that_nobody_asked_for_and_noise_close_the_connection_and_harm_nobody() {
    for (seed, cheat) in [
        (200, Cheat::Flood { blocks: 4 }),
        (201, Cheat::Flood { blocks: 1 }),
        (202, Cheat::Garbage),
        (203, Cheat::Garbage),
    ] {
        let (mut net, content, _, cheater, leechers) = scene(seed, cheat);
        complete(&mut net, &leechers, &content, minutes(20));
        net.run_for(Duration::from_secs(30));
        for &node in &leechers {
            assert!(banned_by(&net, node).iter().all(|&b| b == cheater));
        }
    }
}
