//! The speed of paid transfers beside free ones, on the virtual clock: the cost of money for a transfer counts in round
//! trips and storage, not in seconds of a busy machine.

use crate::common::{DEPOSIT, TEN_DOLLARS, TRANCHE, complete, minutes, per_gb, trader};
use piecework::client::{Command, Event, ResalePrice};
use piecework::time::Duration;
use piecework_simulation::{Content, EffectCounts, NetConfig, NodeId, SimNet, for_seeds};

const LENGTH: usize = 24 << 20;

fn fast(latency_ms: u64, effect_ms: u64) -> NetConfig {
    let ms = Duration::from_millis;
    NetConfig {
        latency: ms(latency_ms)..ms(latency_ms + 1),
        uplink: 20_000_000..20_000_001,
        effect: Duration::from_micros(effect_ms * 500)..ms(effect_ms),
        gather: ms(20)..ms(30),
        lose_channel_every: None,
        split_one_in: 0,
        lose_packet_one_in: 0,
    }
}

/// Seconds of the transfer.
fn seconds(seed: u64, net: NetConfig, cents_per_gb: Option<u128>) -> f64 {
    transfer(seed, net, cents_per_gb).0
}

/// Seconds of the transfer, and its receiver's requests to its disk.
fn transfer(seed: u64, net: NetConfig, cents_per_gb: Option<u128>) -> (f64, EffectCounts) {
    let mut net = SimNet::new(seed, net);
    let content = Content::file(seed, LENGTH, 256 * 1024);
    let b = match cents_per_gb {
        Some(cents) => {
            let price = per_gb(cents * TEN_DOLLARS / 1000);
            let a = trader(&net, 1, ResalePrice::Fixed(price), None);
            let a = net.node(a);
            net.seed(a, &content);
            let b = trader(
                &net,
                2,
                ResalePrice::PercentOfPaid(50),
                Some(per_gb(2 * TEN_DOLLARS)),
            );
            let b = net.node(b);
            net.fund(b, DEPOSIT, TRANCHE);
            b
        }
        None => {
            let a = net.node(SimNet::config());
            net.seed(a, &content);
            net.node(SimNet::config())
        }
    };
    let start = net.now;
    net.leech(b, &content);
    complete(&mut net, &[b], &content, minutes(10));
    let seconds = net.now.since(start).as_micros() as f64 / 1e6;
    (seconds, net.effects(b))
}

/// The speed of a paid transfer beside the free one, from the first offer to the last piece.
fn pace(latency_ms: u64, effect_ms: u64, cents_per_gb: u128) -> f64 {
    let free = seconds(1, fast(latency_ms, effect_ms), None);
    free / seconds(1, fast(latency_ms, effect_ms), Some(cents_per_gb))
}

#[test]
fn a_paid_transfer_keeps_pace_with_a_free_one_on_a_near_path() {
    for cents in [10, 1_000] {
        let pace = pace(1, 2, cents);
        assert!(pace > 0.85, "{cents} cents per GB: {pace:.2}");
    }
}

#[test]
fn slow_storage_costs_a_paid_transfer_its_first_second_only() {
    for cents in [10, 1_000] {
        let pace = pace(1, 20, cents);
        assert!(pace > 0.6, "{cents} cents per GB: {pace:.2}");
    }
}

#[test]
fn what_is_complete_in_a_moment_is_not_flushed_to_be_paid_in_advance() {
    let flushes = |seed| transfer(seed, fast(1, 40), Some(1_000)).1.flushes;
    let mean = (0..10).map(flushes).sum::<u64>() as f64 / 10.0;
    println!("{mean} flushes of 24 MiB");
    // Two are due, by bytes and at the end; a third if more came while the last one ran.
    assert!(mean <= 3.0, "{mean} flushes");
}

#[test]
fn a_far_seller_costs_a_paid_transfer_its_first_second_only() {
    for cents in [10, 1_000] {
        let pace = pace(50, 10, cents);
        assert!(pace > 0.55, "{cents} cents per GB: {pace:.2}");
    }
}

/// A buyer and a seller at 10 $ per GB, and two titles.
fn shop(seed: u64, net: NetConfig) -> (SimNet, [NodeId; 2], [Content; 2]) {
    let mut net = SimNet::new(seed, net);
    let titles = [seed, seed + 1_000].map(|seed| Content::file(seed, LENGTH, 256 * 1024));
    let price = per_gb(TEN_DOLLARS);
    let seller = net.node(trader(&net, 1, ResalePrice::Fixed(price), None));
    for title in &titles {
        net.seed(seller, title);
    }
    let buyer = net.node(trader(&net, 2, ResalePrice::PercentOfPaid(50), Some(price)));
    net.fund(buyer, DEPOSIT, TRANCHE);
    (net, [seller, buyer], titles)
}

#[test]
fn buyer_and_seller_count_alike_what_was_paid_between_two_ranges() {
    for_seeds(24, |seed| {
        let (mut net, [_, buyer], [title, _]) =
            shop(seed, fast(1 + seed % 4 * 5, 2 + seed % 3 * 10));
        net.leech(buyer, &title);
        complete(&mut net, &[buyer], &title, minutes(10));
        let refused = net.events(buyer).find(|event| match event {
            Event::Payment { text, .. } => text.contains("too fast"),
            _ => false,
        });
        assert!(refused.is_none(), "seed {seed}: {refused:?}");
    });
}

#[test]
fn who_comes_back_after_the_seller_redeemed_waits_for_no_clock() {
    for_seeds(8, |seed| {
        let (mut net, [seller, buyer], [title, next]) = shop(seed, fast(1, 2));
        net.leech(buyer, &title);
        complete(&mut net, &[buyer], &title, minutes(10));
        let info_hash = title.info_hash();
        let delete_data = true;
        net.command(
            buyer,
            Command::Remove {
                info_hash,
                delete_data,
            },
        );
        net.run_for(Duration::from_secs(5));
        net.redeem_all(seller);
        net.run_for(Duration::from_secs(40));
        let begun = net.now;
        net.leech(buyer, &next);
        let first = |net: &SimNet| {
            let torrent = net.torrent(buyer, next.info_hash());
            torrent.is_some_and(|t| t.have.iter().any(|byte| *byte != 0))
        };
        assert!(net.run_until(minutes(1), first), "seed {seed}");
        let connected = net
            .connects(buyer)
            .iter()
            .copied()
            .max()
            .map_or(begun, |at| at.max(begun));
        let waited = net.now.since(connected).as_millis();
        assert!(
            waited < 400,
            "seed {seed}: the first piece came after {waited} ms"
        );
    });
}

#[test]
fn a_paid_transfer_wakes_no_torrent_that_it_does_not_concern() {
    const IDLE: u64 = 40;
    let pumps = |idle: u64| {
        let (mut net, [_, buyer], [title, _]) = shop(1, fast(1, 2));
        for seed in 0..idle {
            // Nobody has these.
            net.leech(buyer, &Content::file(5_000 + seed, 50_000, 16 * 1024));
        }
        net.run_for(Duration::from_secs(1));
        let before = net.client(buyer).load().pumps;
        net.leech(buyer, &title);
        complete(&mut net, &[buyer], &title, minutes(10));
        net.client(buyer).load().pumps - before
    };
    let (alone, beside) = (pumps(0), pumps(IDLE));
    println!("{alone} alone, {beside} beside {IDLE} idle torrents");
    // The account's words, the news that it is ready, and a timer now and then wake all.
    assert!(
        beside < alone + alone / 4 + 20 * IDLE,
        "{beside} beside {alone}"
    );
}

#[test]
fn two_titles_of_one_seller_take_turns_with_its_credit() {
    for_seeds(20, |seed| {
        let (mut net, [_, buyer], titles) = shop(seed, fast(1 + seed % 3 * 20, 2));
        let start = net.now;
        net.leech(buyer, &titles[0]);
        complete(&mut net, &[buyer], &titles[0], minutes(10));
        let alone = net.now.since(start);
        let (mut net, [_, buyer], titles) = shop(seed, fast(1 + seed % 3 * 20, 2));
        let start = net.now;
        for title in &titles {
            net.leech(buyer, title);
        }
        for title in &titles {
            complete(&mut net, &[buyer], title, minutes(10));
        }
        let both = net.now.since(start);
        // Twice the bytes over one uplink. A title that nobody woke would wait ten seconds for its seller, in vain.
        assert!(
            both < alone * 3,
            "seed {seed}: {both:?} for both, {alone:?} for one"
        );
    });
}
