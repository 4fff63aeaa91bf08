//! A newcomer among many seeds: it finds as many as it wants, soon, and no more.

use piecework::client::{Config, Limits};
use piecework::time::Duration;
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, for_seeds};

/// Thirty clients at once are a long run.
const SEEDS: u64 = 100;
const SEEDERS: usize = 30;

/// Thirty slow seeds and a newcomer with these bounds, which just came.
fn scene(seed: u64, limits: Limits) -> (SimNet, Content, NodeId) {
    let mut net = SimNet::new(seed, NetConfig::default());
    let content = Content::file(seed, 400_001, 16 * 1024);
    for _ in 0..SEEDERS {
        let slow = net.node(SimNet::config());
        net.set_uplink(slow, 1_000);
        net.seed(slow, &content);
    }
    // All of them are in the swarm.
    net.run_for(Duration::from_secs(5));
    let newcomer = net.node(Config {
        limits,
        ..SimNet::config()
    });
    net.leech(newcomer, &content);
    (net, content, newcomer)
}

fn peers(net: &SimNet, node: NodeId, content: &Content) -> usize {
    let torrent = net.torrent(node, content.info_hash());
    torrent.map_or(0, |t| t.peers.len())
}

#[test]
fn room_for_eight_among_thirty_seeds_is_soon_full_and_never_overfull() {
    for_seeds(SEEDS, |seed| {
        let limits = Limits {
            max_connections: 8,
            ..Limits::default()
        };
        let (mut net, content, newcomer) = scene(seed, limits);
        // The tracker chooses the receivers of an offer: the last one may go to peers that are connected, again and
        // again.
        for (count, secs) in [(5, 3), (8, 117)] {
            let met = net.run_until(Duration::from_secs(secs), |net| {
                assert!(peers(net, newcomer, &content) <= 8);
                peers(net, newcomer, &content) >= count
            });
            assert!(met, "{} of {count}", peers(&net, newcomer, &content));
        }
    });
}

#[test]
fn without_a_cap_two_thirds_of_thirty_seeds_are_met_within_half_a_minute() {
    for_seeds(SEEDS, |seed| {
        let (mut net, content, newcomer) = scene(seed, Limits::default());
        let most = net.run_until(Duration::from_secs(30), |net| {
            peers(net, newcomer, &content) >= 20
        });
        assert!(most, "{} of 20", peers(&net, newcomer, &content));
    });
}
