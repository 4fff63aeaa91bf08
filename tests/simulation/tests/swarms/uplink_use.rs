//! A thin uplink is used in full: a transfer takes little longer than its bytes do.

use crate::common::{DEPOSIT, TEN_DOLLARS, TRANCHE, complete, minutes, per_gb, trader};
use piecework::client::{Event, ResalePrice};
use piecework::time::{Duration, Timestamp};
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, for_seeds};

/// 1 Mbit/s.
const THIN: u64 = 125_000;
const LENGTH: usize = 700_001;
const SEEDS: u64 = 60;
/// Of the uplink, handshakes and the agreement on a range included. Over 1,500 runs the worst used 93 %.
const LEAST: f64 = 0.85;

fn thin_net(seed: u64) -> SimNet {
    let config = NetConfig {
        latency: Duration::from_millis(5)..Duration::from_millis(40),
        ..NetConfig::default()
    };
    SimNet::new(seed, config)
}

/// A node with a thin uplink that has the content, for a price or for nothing.
fn source(net: &mut SimNet, content: &Content, paid: bool) -> NodeId {
    let config = if paid {
        trader(net, 1, ResalePrice::Fixed(per_gb(TEN_DOLLARS)), None)
    } else {
        SimNet::config()
    };
    let node = net.node(config);
    net.set_uplink(node, THIN);
    net.seed(node, content);
    node
}

/// One that asks more for the pieces that it bought: else the others buy the last pieces of it, and leave the thin
/// uplink idle.
fn downloader(net: &mut SimNet, content: &Content, payee: u8, paid: bool) -> NodeId {
    let ceiling = Some(per_gb(2 * TEN_DOLLARS));
    let config = if paid {
        trader(net, payee, ResalePrice::PercentOfPaid(150), ceiling)
    } else {
        SimNet::config()
    };
    let node = net.node(config);
    if paid {
        net.fund(node, DEPOSIT, TRANCHE);
    }
    net.leech(node, content);
    node
}

/// The time at which a node first got this event of the content.
fn said(net: &SimNet, node: NodeId, what: impl Fn(&Event) -> bool) -> Timestamp {
    let events = net.timed_events(node).iter();
    let mut times = events.filter(|(_, event)| what(event)).map(|(at, _)| *at);
    times.next().expect("said")
}

/// Runs until these hold everything; answers how much of `from`'s uplink their downloads used from the first connection
/// on.
fn used(net: &mut SimNet, from: NodeId, to: &[NodeId], content: &Content) -> f64 {
    let hash = content.info_hash();
    complete(net, to, content, minutes(5));
    let connected = |event: &Event| matches!(event, Event::PeerConnected { info_hash, .. } if *info_hash == hash);
    let completed =
        |event: &Event| matches!(event, Event::Complete { info_hash } if *info_hash == hash);
    let since = said(net, from, connected);
    let until = to.iter().map(|&to| said(net, to, completed)).max();
    let took = until.expect("somebody").since(since).as_micros() as f64 / 1e6;
    let sent: u64 = to.iter().map(|&to| net.watch.sent(from, to, hash)).sum();
    sent as f64 / THIN as f64 / took
}

#[test]
fn a_thin_uplink_is_used_by_a_download_free_or_paid() {
    for_seeds(SEEDS, |seed| {
        for paid in [false, true] {
            let mut net = thin_net(seed);
            let content = Content::file(seed, LENGTH, 32 * 1024);
            let from = source(&mut net, &content, paid);
            let to = downloader(&mut net, &content, 2, paid);
            let used = used(&mut net, from, &[to], &content);
            assert!(used >= LEAST, "{used:.2} of the uplink, paid: {paid}");
        }
    });
}

#[test]
fn a_thin_uplink_is_used_by_several_downloads_free_or_paid() {
    for_seeds(SEEDS, |seed| {
        for paid in [false, true] {
            let mut net = thin_net(seed);
            let content = Content::file(seed, LENGTH / 2, 32 * 1024);
            let from = source(&mut net, &content, paid);
            let to: Vec<NodeId> = (2..5)
                .map(|payee| downloader(&mut net, &content, payee, paid))
                .collect();
            let used = used(&mut net, from, &to, &content);
            assert!(used >= LEAST, "{used:.2} of the uplink, paid: {paid}");
        }
    });
}

#[test]
fn a_thin_uplink_is_used_also_while_its_owner_downloads_something_else() {
    for_seeds(SEEDS, |seed| {
        let mut net = thin_net(seed);
        let content = Content::file(seed, LENGTH, 32 * 1024);
        let from = source(&mut net, &content, false);
        let other = Content::file(seed + 1_000_000, 3 * LENGTH, 32 * 1024);
        let fast = net.node(SimNet::config());
        net.seed(fast, &other);
        // As long as the other download: urgent pieces keep blocks back in the core.
        net.set_uplink(fast, 2 * THIN);
        net.leech(from, &other);
        let to = downloader(&mut net, &content, 2, false);
        let used = used(&mut net, from, &[to], &content);
        let left = net.torrent(from, other.info_hash()).expect("taken up");
        assert!(
            left.verified_bytes < left.total_length,
            "it still downloads"
        );
        assert!(used >= LEAST, "{used:.2} of the uplink");
    });
}
