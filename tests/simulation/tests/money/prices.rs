//! The price of a title outlives the run that found it out.

use crate::common::{DEPOSIT, TEN_DOLLARS, TRANCHE, complete, minutes, per_gb, trader};
use piecework::client::{AddOptions, Command, Config, ResalePrice, Source};
use piecework::time::Duration;
use piecework::types::{FineUnits, InfoHash};
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, for_seeds};

const LENGTH: usize = 1_500_000;

#[derive(Clone, Copy, Debug)]
enum End {
    Goodbye,
    ProcessKilled,
    PowerLost,
}

const ENDS: [End; 3] = [End::Goodbye, End::ProcessKilled, End::PowerLost];

/// Stops a node, starts it again, and takes its torrent up as a page does that knows its hash alone.
fn restart(net: &mut SimNet, node: NodeId, end: End, info_hash: InfoHash, is_funded: bool) {
    match end {
        End::Goodbye => net.shut_down(node),
        End::ProcessKilled => net.kill_process(node),
        End::PowerLost => net.crash(node),
    }
    net.start(node);
    if is_funded {
        net.set_account(node);
    }
    let source = Source::Stored(info_hash);
    net.add(node, source, AddOptions::default());
    net.run_for(Duration::from_secs(2));
}

fn asked(net: &SimNet, node: NodeId, content: &Content) -> FineUnits {
    net.torrent(node, content.info_hash()).unwrap().price
}

/// One that buys at up to 20 $ per GB and resells at half of its own price.
fn reseller(net: &SimNet, payee: u8) -> Config {
    let price = ResalePrice::PercentOfPaid(50);
    trader(net, payee, price, Some(per_gb(2 * TEN_DOLLARS)))
}

fn funded(net: &mut SimNet, config: Config) -> NodeId {
    let node = net.node(config);
    net.fund(node, DEPOSIT, TRANCHE);
    node
}

#[test]
fn a_bought_title_is_resold_at_the_same_price_after_a_restart() {
    for_seeds(12, |seed| {
        let end = ENDS[(seed % 3) as usize];
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = Content::file(seed, LENGTH, 64 * 1024);
        let price = ResalePrice::Fixed(per_gb(TEN_DOLLARS));
        let a = net.node(trader(&net, 1, price, None));
        net.seed(a, &content);
        let config = reseller(&net, 2);
        let b = funded(&mut net, config);
        net.leech(b, &content);
        complete(&mut net, &[b], &content, minutes(10));
        net.run_for(Duration::from_secs(5));
        let half = FineUnits(per_gb(TEN_DOLLARS).0 / 2);
        assert_eq!(asked(&net, b, &content), half);

        restart(&mut net, b, end, content.info_hash(), true);
        assert_eq!(asked(&net, b, &content), half, "seed {seed}: {end:?}");
        net.shut_down(a);
        let config = reseller(&net, 3);
        let c = funded(&mut net, config);
        net.leech(c, &content);
        complete(&mut net, &[c], &content, minutes(10));
        net.run_for(Duration::from_secs(5));
        let torrent = net.torrent(c, content.info_hash()).unwrap();
        let paid = half.0 * u128::from(torrent.block_count);
        assert_eq!(torrent.spent, FineUnits(paid), "seed {seed}: {end:?}");
    });
}

#[test]
fn what_is_bought_in_two_runs_is_resold_at_the_mean_of_both() {
    for_seeds(6, |seed| {
        let net_config = NetConfig {
            uplink: 100_000..150_000,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, net_config);
        let content = Content::file(seed, LENGTH, 64 * 1024);
        let hash = content.info_hash();
        let price = ResalePrice::Fixed(per_gb(TEN_DOLLARS));
        let a = net.node(trader(&net, 1, price, None));
        net.seed(a, &content);
        let config = reseller(&net, 2);
        let b = funded(&mut net, config);
        net.leech(b, &content);
        let begun = net.run_until(minutes(2), |net| {
            let torrent = net.torrent(b, hash);
            torrent.is_some_and(|t| t.verified_bytes > LENGTH as u64 / 4)
        });
        assert!(begun && !net.is_complete(b, &content), "seed {seed}");
        restart(&mut net, b, End::ProcessKilled, hash, true);
        // The rest comes from another, at half the price.
        net.shut_down(a);
        let price = ResalePrice::Fixed(per_gb(TEN_DOLLARS / 2));
        let cheaper = net.node(trader(&net, 4, price, None));
        net.seed(cheaper, &content);
        complete(&mut net, &[b], &content, minutes(10));
        net.run_for(Duration::from_secs(5));
        let asked = asked(&net, b, &content);
        let (least, most) = (per_gb(TEN_DOLLARS / 4), per_gb(TEN_DOLLARS / 2));
        assert!(least < asked && asked < most, "seed {seed}: {asked:?}");
    });
}

/// Its mean price changes with each payment, many times while a promise is on its way, and a quote is good only until
/// the next but one.
#[test]
fn who_buys_at_different_prices_can_be_bought_from_meanwhile() {
    for_seeds(6, |seed| {
        let net_config = NetConfig {
            latency: Duration::from_millis(80)..Duration::from_millis(120),
            uplink: 2_000_000..3_000_000,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, net_config);
        let content = Content::file(seed, 16 * LENGTH, 64 * 1024);
        for (payee, dollars) in [(1, 10), (4, 19)] {
            let price = ResalePrice::Fixed(per_gb(TEN_DOLLARS * dollars / 10));
            let node = net.node(trader(&net, payee, price, None));
            net.seed(node, &content);
        }
        let config = reseller(&net, 2);
        let b = funded(&mut net, config);
        net.leech(b, &content);
        net.run_until(minutes(1), |net| {
            let torrent = net.torrent(b, content.info_hash());
            torrent.is_some_and(|t| t.verified_bytes > LENGTH as u64)
        });
        // A buyer that pays no more than half of that.
        let price = ResalePrice::PercentOfPaid(50);
        let config = trader(&net, 3, price, Some(per_gb(TEN_DOLLARS - 1)));
        let c = funded(&mut net, config);
        net.leech(c, &content);
        complete(&mut net, &[b], &content, minutes(5));
        let torrent = net.torrent(c, content.info_hash()).unwrap();
        assert!(
            torrent.verified_bytes > LENGTH as u64,
            "seed {seed}: {torrent:#?}"
        );
        complete(&mut net, &[c], &content, minutes(5));
    });
}

#[test]
fn a_title_with_a_price_of_its_own_keeps_it_until_it_is_given_another() {
    for (seed, end) in ENDS.into_iter().enumerate() {
        let mut net = SimNet::new(seed as u64, NetConfig::default());
        let content = Content::file(1, LENGTH, 64 * 1024);
        let hash = content.info_hash();
        let config = reseller(&net, 1);
        let node = net.node(config);
        net.disk(node).place(&content);
        let own = per_gb(TEN_DOLLARS);
        let options = AddOptions {
            price: Some(own),
            ..AddOptions::default()
        };
        net.watch_content(&content);
        net.add(node, Source::Torrent(content.torrent()), options);
        complete(&mut net, &[node], &content, minutes(2));
        net.run_for(Duration::from_secs(5));
        restart(&mut net, node, end, hash, false);
        assert_eq!(asked(&net, node, &content), own, "{end:?}");

        // Taken up once more without a price, it has the same one; with a price, that one.
        net.add(node, Source::Stored(hash), AddOptions::default());
        assert_eq!(asked(&net, node, &content), own, "{end:?}");
        for unit in [FineUnits(0), per_gb(2 * TEN_DOLLARS)] {
            let options = AddOptions {
                price: Some(unit),
                ..AddOptions::default()
            };
            net.add(node, Source::Stored(hash), options);
            net.run_for(Duration::from_secs(5));
            restart(&mut net, node, end, hash, false);
            assert_eq!(asked(&net, node, &content), unit, "{end:?}");
        }
        net.command(
            node,
            Command::Remove {
                info_hash: hash,
                delete_data: true,
            },
        );
        net.run_for(Duration::from_secs(2));
        let left = net.disk(node).records();
        assert!(left.iter().all(|(key, _)| !key.ends_with("/price")));
    }
}
