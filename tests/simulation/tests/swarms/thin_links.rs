//! Links that are thin, far or lossy: money gets through in time, and players are served.

use crate::common::{DEPOSIT, TEN_DOLLARS, TRANCHE, complete, minutes, per_gb, ready, trader};
use piecework::client::ResalePrice;
use piecework::time::Duration;
use piecework::wire::pay::RejectCode;
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, for_seeds};

const SEEDS: u64 = 500;
/// 1 Mbit/s.
const THIN: u64 = 125_000;

fn seller(net: &mut SimNet, payee: u8, content: &Content, uplink: u64) -> NodeId {
    let price = ResalePrice::Fixed(per_gb(TEN_DOLLARS));
    let node = net.node(trader(net, payee, price, None));
    net.set_uplink(node, uplink);
    net.seed(node, content);
    node
}

/// One that buys, and resells at half of its own price.
fn viewer(net: &mut SimNet, payee: u8, content: &Content, uplink: u64) -> NodeId {
    let price = ResalePrice::PercentOfPaid(50);
    let config = trader(net, payee, price, Some(per_gb(2 * TEN_DOLLARS)));
    let node = net.node(config);
    net.set_uplink(node, uplink);
    net.fund(node, DEPOSIT, TRANCHE);
    net.leech(node, content);
    node
}

fn no_reject_for_debt(net: &SimNet) {
    let rejects = &net.watch.books.rejects;
    let for_debt = |codes: &Vec<RejectCode>| codes.contains(&RejectCode::OverCredit);
    assert!(!rejects.values().any(for_debt), "{rejects:?}");
}

fn slowest_pay(net: &SimNet, node: NodeId) -> Duration {
    let delays = net.watch.pay_delays.get(&node).expect("it pays");
    *delays.iter().max().unwrap()
}

/// Reads at random places; each first byte comes within the limit.
fn seeks(net: &mut SimNet, node: NodeId, content: &Content, times: u32, limit: Duration) {
    let (hash, length) = (content.info_hash(), content.bytes.len() as u64);
    for _ in 0..times {
        let to = net.random.number(0..length - 20_000);
        let stream = net.read(node, hash, 0, to..length, Some(60_000));
        let served = net.run_until(limit, |net| net.reader(node, stream).first_bytes.is_some());
        assert!(served, "no bytes {limit:?} after a seek to {to}");
        net.run_for(Duration::from_millis(300));
        net.close_stream(node, stream);
    }
}

#[test]
fn payments_do_not_wait_behind_blocks_on_a_thin_uplink_and_seeks_are_answered() {
    for_seeds(SEEDS, |seed| {
        let config = NetConfig {
            latency: Duration::from_millis(5)..Duration::from_millis(40),
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, config);
        let content = Content::file(seed, 700_001, 32 * 1024);
        let seller = seller(&mut net, 1, &content, 150_000);
        // Its uplink is busy with blocks for three others while it pays and plays.
        let thin = viewer(&mut net, 2, &content, THIN);
        ready(&mut net, thin, &content);
        net.run_for(Duration::from_secs(3));
        let others: Vec<NodeId> = (3..6)
            .map(|payee| viewer(&mut net, payee, &content, 1_000_000))
            .collect();
        seeks(&mut net, thin, &content, 4, Duration::from_secs(8));
        complete(&mut net, &[thin], &content, minutes(5));
        complete(&mut net, &others, &content, minutes(5));
        let resold: u64 = (others.iter())
            .map(|&to| net.watch.sent(thin, to, content.info_hash()))
            .sum();
        assert!(resold > 200_000, "its uplink was busy: {resold}");
        assert!(net.watch.sent(seller, thin, content.info_hash()) > 0);
        let slowest = slowest_pay(&net, thin);
        assert!(slowest < Duration::from_millis(500), "{slowest:?}");
        no_reject_for_debt(&net);
    });
}

/// A paid download over a far, lossy path.
fn over_loss(seed: u64, round_trip: Duration) {
    let half = round_trip / 2;
    let config = NetConfig {
        latency: half..half + Duration::from_millis(1),
        uplink: 5_000_000..5_000_001,
        lose_packet_one_in: 100,
        ..NetConfig::default()
    };
    let mut net = SimNet::new(seed, config);
    let content = Content::file(seed, 600_001, 32 * 1024);
    let from = seller(&mut net, 1, &content, 5_000_000);
    let to = viewer(&mut net, 2, &content, 5_000_000);
    ready(&mut net, to, &content);
    net.run_until(minutes(1), |net| net.channels(from, to) > 0);
    let since = net.now;
    seeks(&mut net, to, &content, 2, Duration::from_secs(8));
    complete(&mut net, &[to], &content, minutes(5));
    let took = net.now.since(since).as_secs_f64();
    // The path's rate for one channel, and five seconds to agree on a range and grow the credit.
    let ideal = 600_001.0 * round_trip.as_secs_f64() / (1_200.0 * 12.2);
    assert!(took < ideal * 2.0 + 5.0, "{took} s instead of {ideal} s");
    no_reject_for_debt(&net);
}

#[test]
fn twenty_milliseconds_and_one_percent_of_loss_are_borne() {
    for_seeds(SEEDS, |seed| over_loss(seed, Duration::from_millis(20)));
}

#[test]
fn a_hundred_milliseconds_and_one_percent_of_loss_are_borne() {
    for_seeds(SEEDS, |seed| over_loss(seed, Duration::from_millis(100)));
}
