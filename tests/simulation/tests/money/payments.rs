//! Money. On every COMMIT and every redemption the net checks that no serial is promised twice, and that the chain pays
//! as a ledger says.

use std::collections::BTreeSet;

use crate::common::{DEPOSIT, TEN_DOLLARS, TRANCHE, closings, complete, minutes, per_gb, trader};
use alloy_primitives::{Address, B256};
use piecework::client::{AddOptions, Config, Credit};
use piecework::client::{CheckExisting, Command, Event, RedeemScope, ResalePrice, Source};
use piecework::payment::record::PayerTitleRecord;
use piecework::time::Duration;
use piecework::types::{FineUnits, TokenUnits};
use piecework_simulation::{Cheat, Content, NetConfig, NodeId, SimNet, for_seeds};

const LENGTH: usize = 3_000_000;
const BLOCK: u64 = 16 * 1024;
/// Of a seller's crash.
const SEEDS: u64 = 500;
/// Of what stops a buyer again and again, which takes 20 ms and more for each seed.
const KILL_SEEDS: u64 = 100;

fn content(seed: u64) -> Content {
    Content::file(seed, LENGTH, 64 * 1024)
}

fn seller(net: &mut SimNet, payee: u8, content: &Content) -> NodeId {
    let price = ResalePrice::Fixed(per_gb(TEN_DOLLARS));
    let node = net.node(trader(net, payee, price, None));
    net.seed(node, content);
    node
}

/// One that buys at up to 20 $ per GB and resells at half of its own price.
fn viewer_config(net: &SimNet, payee: u8) -> Config {
    let price = ResalePrice::PercentOfPaid(50);
    trader(net, payee, price, Some(per_gb(2 * TEN_DOLLARS)))
}

fn viewer(net: &mut SimNet, payee: u8) -> (NodeId, B256) {
    let node = net.node(viewer_config(net, payee));
    let account = net.fund(node, DEPOSIT, TRANCHE);
    (node, account)
}

/// Redeems everything; then a seller's ledger equals the chain's payments, and only rests are left.
fn settle(net: &mut SimNet, node: NodeId, payee: u8) -> TokenUnits {
    net.run_for(Duration::from_secs(5));
    net.command(node, Command::PrepareRedeem(RedeemScope::All));
    net.run_for(Duration::from_secs(30));
    let money = net.snapshot(node).money;
    let paid = net.vault.paid_to(Address::repeat_byte(payee));
    assert_eq!(money.redeemed, paid, "ledger and chain differ");
    assert_eq!(money.redeemable, TokenUnits(0), "nothing is left to redeem");
    paid
}

#[test]
fn pieces_larger_than_the_credit_are_paid_in_advance_and_complete() {
    for seed in 0..6 {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = Content::file(seed, 5_000_000, 256 * 1024);
        let a = seller(&mut net, 1, &content);
        let (b, _) = viewer(&mut net, 2);
        net.leech(b, &content);
        complete(&mut net, &[b], &content, minutes(10));
        settle(&mut net, a, 1);
    }
}

#[test]
fn a_viewer_pays_for_every_block_and_the_chain_pays_the_seller_that() {
    for seed in 0..10 {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = content(seed);
        let a = seller(&mut net, 1, &content);
        let (b, account) = viewer(&mut net, 2);
        net.leech(b, &content);
        complete(&mut net, &[b], &content, minutes(10));
        net.run_for(Duration::from_secs(5));
        let hash = content.info_hash();
        let (sold, bought) = (net.torrent(a, hash).unwrap(), net.torrent(b, hash).unwrap());
        assert_eq!(sold.earned, bought.spent, "seed {seed}");
        let blocks = u128::from(bought.block_count);
        let price = FineUnits(per_gb(TEN_DOLLARS).0 * blocks);
        assert_eq!(bought.spent, price, "every block once");
        let paid = settle(&mut net, a, 1);
        assert!(
            paid <= price.floor() && paid.0 + 4 >= price.floor().0,
            "{paid:?}"
        );
        assert_eq!(net.vault.balance(account), TokenUnits(DEPOSIT - paid.0));
        let signs = net.effects(b).signs;
        assert!(signs <= 2 + blocks as u64 / 64, "{signs} signatures");
    }
}

/// A deposit of 0.06: its seller lets it owe 114 of the film's 184 blocks.
#[test]
fn a_buyer_that_owes_what_its_bond_allows_waits_and_goes_on_with_each_redemption() {
    for seed in 50..56 {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = content(seed);
        // Its fifty least ranges are worth less than a quarter of the bond.
        let mut config = trader(&net, 1, ResalePrice::Fixed(per_gb(TEN_DOLLARS)), None);
        let sell = config.payment.as_mut().and_then(|p| p.sell.as_mut());
        sell.expect("it sells").dust = TokenUnits(200);
        let a = net.node(config);
        net.seed(a, &content);
        let b = net.node(viewer_config(&net, 2));
        net.fund(b, 60_000, TRANCHE);
        net.leech(b, &content);
        net.run_for(minutes(2));
        let limit = 60_000 * 125 / 100 / 4;
        let owed = net.snapshot(a).money.redeemable.0;
        // The blocks of a piece that is not whole yet are not paid; those that a broken connection brought are paid
        // late.
        let late = (16 * per_gb(TEN_DOLLARS).0) >> 24;
        assert!(
            (limit * 3 / 4..=limit + late).contains(&owed),
            "seed {seed}: {owed}"
        );
        assert!(!net.is_complete(b, &content), "seed {seed}");
        // It is choked, so it asks for nothing and does not leave for want of blocks.
        let choked = |net: &SimNet| {
            let torrent = net.torrent(b, content.info_hash()).unwrap();
            torrent.peers.iter().all(|peer| peer.peer_choking)
        };
        assert!(choked(&net), "seed {seed}");
        assert_eq!(closings(&net, b), [], "seed {seed}");
        // Now somebody redeems the due ranges, every half minute.
        let is_complete = (0..20).any(|_| {
            net.command(a, Command::PrepareRedeem(RedeemScope::Due));
            net.run_for(Duration::from_secs(30));
            net.is_complete(b, &content)
        });
        assert!(is_complete, "seed {seed}");
        settle(&mut net, a, 1);
    }
}

/// The page that took them was closed before its wallet answered.
#[test]
fn claims_that_nobody_answers_for_come_back_when_what_was_sent_is_past_its_deadline() {
    let mut net = SimNet::new(40, NetConfig::default());
    let content = content(40);
    let a = seller(&mut net, 1, &content);
    let (b, _) = viewer(&mut net, 2);
    net.leech(b, &content);
    complete(&mut net, &[b], &content, minutes(10));
    net.run_for(Duration::from_secs(5));
    net.vault.unanswered = true;
    net.redeem_all(a);
    net.vault.unanswered = false;
    net.redeem_all(a);
    let payee = Address::repeat_byte(1);
    assert_eq!(net.vault.paid_to(payee), TokenUnits(0), "they may be out");
    net.run_for(minutes(65));
    assert!(settle(&mut net, a, 1) > TokenUnits(0));
}

/// The dear seller's uplink; the cheap one has a quarter of it. So speed speaks for the dear one: whoever took from
/// both as fast as they give had four fifths from it.
const DEAR_UPLINK: u64 = 2_000_000;

/// Blocks that a viewer that knows both sellers may buy of the dear one: it is asked until the cheap one's first ACK.
fn bought_dear_at_most() -> u64 {
    let net = NetConfig::default();
    // The two ACKs come apart by no more than one takes: COMMIT and ACK on their way, with 5 ms of jitter each, and
    // four effects there and back: the buyer's record and signature, the seller's chain read and record.
    let way = net.latency.end + Duration::from_millis(5);
    let apart = way * 2 + net.effect.end * 8;
    let arrived = DEAR_UPLINK * apart.as_millis() as u64 / 1_000 / BLOCK;
    // And it still sends what it was asked for by then: a whole credit.
    let credit = Credit::default();
    arrived + u64::from(credit.first).max(arrived / u64::from(credit.ramp))
}

#[test]
fn a_second_viewer_buys_most_from_the_first_because_it_asks_half() {
    let most = bought_dear_at_most();
    // 52 of the film's 184 blocks.
    assert!(most * 3 < LENGTH as u64 / BLOCK, "{most}");
    for_seeds(50, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = content(seed);
        let a = seller(&mut net, 1, &content);
        let (b, _) = viewer(&mut net, 2);
        net.leech(b, &content);
        complete(&mut net, &[b], &content, minutes(10));
        net.set_uplink(a, DEAR_UPLINK);
        net.set_uplink(b, DEAR_UPLINK / 4);
        // It has no money before it knows both prices: what it buys, it buys by choice.
        let c = net.node(viewer_config(&net, 3));
        net.leech(c, &content);
        let met = net.run_until(minutes(5), |net| {
            net.channels(a, c) > 0 && net.channels(b, c) > 0
        });
        assert!(met, "seed {seed}");
        net.run_for(Duration::from_secs(1));
        net.fund(c, DEPOSIT, TRANCHE);
        complete(&mut net, &[c], &content, minutes(10));
        let hash = content.info_hash();
        let from = |node| net.watch.sent(node, c, hash) / BLOCK;
        let (dear, cheap) = (from(a), from(b));
        assert!(
            dear <= most && cheap > 2 * dear,
            "seed {seed}: {dear} blocks of the dear one, {cheap} of the cheap one"
        );
        settle(&mut net, a, 1);
        let earned = settle(&mut net, b, 2);
        assert!(earned > TokenUnits(0), "seed {seed}");
    });
}

#[test]
fn two_torrents_on_one_account_never_promise_a_serial_to_two_payees() {
    for seed in 40..50 {
        let mut net = SimNet::new(seed, NetConfig::default());
        let contents = [content(seed), content(seed + 1000)];
        let first = seller(&mut net, 1, &contents[0]);
        let second = seller(&mut net, 2, &contents[1]);
        let both = seller(&mut net, 3, &contents[0]);
        net.seed(both, &contents[1]);
        let (viewer, account) = viewer(&mut net, 4);
        net.leech(viewer, &contents[0]);
        net.leech(viewer, &contents[1]);
        complete(&mut net, &[viewer], &contents[0], minutes(10));
        complete(&mut net, &[viewer], &contents[1], minutes(10));
        let payees: BTreeSet<_> = net.watch.promised(account).into_values().collect();
        assert!(payees.len() >= 2, "seed {seed}: {payees:?}");
        for (node, payee) in [(first, 1), (second, 2), (both, 3)] {
            settle(&mut net, node, payee);
        }
    }
}

#[test]
fn a_viewer_that_crashes_again_and_again_pays_no_more_than_it_got() {
    for_seeds(KILL_SEEDS, |seed| {
        let net_config = NetConfig {
            // Some five seconds for the film: time for two crashes or three.
            uplink: 260_000..520_000,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, net_config);
        let content = Content::file(seed, 2_000_000, 64 * 1024);
        let a = seller(&mut net, 1, &content);
        let (b, _) = viewer(&mut net, 2);
        net.leech(b, &content);
        for _ in 0..5 {
            let time = net.random.number(800..4_000);
            net.run_for(Duration::from_millis(time));
            if net.is_complete(b, &content) {
                break;
            }
            net.crash(b);
            net.run_for(Duration::from_millis(300));
            net.start(b);
            net.set_account(b);
            let options = AddOptions {
                check: CheckExisting::Resume,
                ..AddOptions::default()
            };
            net.add(b, Source::Stored(content.info_hash()), options);
        }
        complete(&mut net, &[b], &content, minutes(20));
        let paid = settle(&mut net, a, 1);
        let sent = net.watch.sent(a, b, content.info_hash());
        let most = FineUnits(per_gb(TEN_DOLLARS).0 * u128::from(sent.div_ceil(16 * 1024)));
        assert!(
            paid <= most.floor(),
            "seed {seed}: {paid:?} for {sent} bytes"
        );
    });
}

#[test]
fn a_viewer_whose_process_is_killed_again_and_again_goes_on_buying() {
    for_seeds(KILL_SEEDS, |seed| {
        let net_config = NetConfig {
            // Some four seconds for the film, in which its process is killed four times.
            uplink: 1_000_000..2_000_000,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, net_config);
        let content = Content::file(seed, 6_000_000, 64 * 1024);
        seller(&mut net, 1, &content);
        let (b, _) = viewer(&mut net, 2);
        net.leech(b, &content);
        for _ in 0..6 {
            let time = net.random.number(400..1_600);
            net.run_for(Duration::from_millis(time));
            net.kill_process(b);
            net.run_for(Duration::from_millis(300));
            net.start(b);
            net.set_account(b);
            net.add(
                b,
                Source::Stored(content.info_hash()),
                AddOptions::default(),
            );
        }
        // The buyer waits for nobody that went silent, and takes nobody for a cheat: that would take far longer.
        complete(&mut net, &[b], &content, Duration::from_secs(30));
    });
}

/// The payer's record of its one title.
fn title_record(net: &mut SimNet, node: NodeId) -> PayerTitleRecord {
    let records = net.disk(node).records();
    let record = records.iter().find(|(key, _)| key.contains("/title/"));
    record.map_or_else(PayerTitleRecord::default, |(_, bytes)| {
        PayerTitleRecord::decode(bytes).expect("it is readable")
    })
}

/// Blocks that it counts: lost, or at stake.
fn losses(net: &mut SimNet, node: NodeId) -> u32 {
    let record = title_record(net, node);
    record.lost + record.at_stake.values().sum::<u32>()
}

/// More kills than the loss budget has pieces: if the blocks at stake counted as lost, the purchase would end.
#[test]
fn kills_in_mid_piece_use_nothing_of_the_loss_budget_up() {
    for_seeds(KILL_SEEDS, |seed| {
        let net_config = NetConfig {
            uplink: 400_000..800_000,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, net_config);
        let content = Content::file(seed, 6_000_000, 512 * 1024);
        seller(&mut net, 1, &content);
        let (b, _) = viewer(&mut net, 2);
        net.leech(b, &content);
        for kill in 0..8 {
            let time = net.random.number(900..2_600);
            net.run_for(Duration::from_millis(time));
            // The first in the very moment in which money is at stake, if there is one; the others at any.
            while kill == 0 && losses(&mut net, b) == 0 && !net.is_complete(b, &content) {
                net.run_for(Duration::from_millis(5));
            }
            net.kill_process(b);
            net.run_for(Duration::from_millis(300));
            net.start(b);
            net.set_account(b);
            let source = Source::Stored(content.info_hash());
            net.add(b, source, AddOptions::default());
        }
        complete(&mut net, &[b], &content, minutes(2));
        net.run_for(Duration::from_secs(1));
        assert_eq!(losses(&mut net, b), 0, "seed {seed}");
    });
}

#[test]
fn a_seller_that_crashes_keeps_what_it_earned() {
    for_seeds(SEEDS, |seed| {
        let kill = seed % 2 == 0;
        let net_config = NetConfig {
            uplink: 400_000..800_000,
            ..NetConfig::default()
        };
        let mut net = SimNet::new(seed, net_config);
        let content = content(seed);
        let a = seller(&mut net, 1, &content);
        let (b, _) = viewer(&mut net, 2);
        net.leech(b, &content);
        net.run_for(Duration::from_secs(5));
        if kill {
            net.kill_process(a);
        } else {
            net.crash(a);
        }
        net.run_for(Duration::from_secs(1));
        net.start(a);
        net.seed(a, &content);
        complete(&mut net, &[b], &content, minutes(20));
        net.run_for(Duration::from_secs(5));
        let spent = net.torrent(b, content.info_hash()).unwrap().spent;
        let paid = settle(&mut net, a, 1);
        // At risk is the last group commit: 64 blocks.
        let risk = per_gb(TEN_DOLLARS).0 * 64;
        assert!(
            paid.0 + FineUnits(risk).floor().0 + 4 >= spent.floor().0,
            "seed {seed}: {paid:?} of {spent:?}"
        );
    });
}

#[test]
fn without_an_account_the_page_is_asked_and_nothing_is_signed() {
    let mut net = SimNet::new(90, NetConfig::default());
    let content = content(90);
    seller(&mut net, 1, &content);
    let b = net.node(viewer_config(&net, 2));
    net.leech(b, &content);
    net.run_for(minutes(1));
    let unit = per_gb(TEN_DOLLARS);
    let asked =
        (net.events(b)).any(|e| matches!(e, Event::PaymentNeeded { price: u, .. } if *u == unit));
    assert!(asked);
    let effects = net.effects(b);
    assert_eq!((effects.signs, effects.account_reads), (0, 0));
    // The deposit comes, and with it the film.
    net.fund(b, DEPOSIT, TRANCHE);
    complete(&mut net, &[b], &content, minutes(10));
}

#[test]
fn a_ceiling_and_a_budget_hold() {
    let mut net = SimNet::new(91, NetConfig::default());
    let content = content(91);
    seller(&mut net, 1, &content);
    let cheap = trader(
        &net,
        2,
        ResalePrice::PercentOfPaid(50),
        Some(per_gb(1_000_000)),
    );
    let b = net.node(cheap);
    net.fund(b, DEPOSIT, TRANCHE);
    net.leech(b, &content);
    let mut poor = viewer_config(&net, 3);
    let buy = poor.payment.as_mut().and_then(|p| p.buy.as_mut()).unwrap();
    buy.budget = TokenUnits(15_000);
    let c = net.node(poor);
    net.fund(c, DEPOSIT, TRANCHE);
    net.leech(c, &content);
    net.run_for(minutes(3));
    assert_eq!(net.watch.sent_to(b, content.info_hash()), 0);
    let spent = net.snapshot(c).money.spent;
    assert!(
        spent > FineUnits(0) && spent <= TokenUnits(15_000).fine(),
        "{spent:?}"
    );
    assert!(!net.is_complete(c, &content));
}

#[test]
fn a_seller_of_corrupt_blocks_is_banned_and_costs_at_most_the_loss_budget() {
    for seed in 100..105 {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = content(seed);
        let bad = seller(&mut net, 1, &content);
        net.set_cheat(bad, Cheat::Corrupt { one_in: 10 });
        let (b, _) = viewer(&mut net, 2);
        net.leech(b, &content);
        net.run_for(minutes(1));
        let good = seller(&mut net, 3, &content);
        complete(&mut net, &[b], &content, minutes(20));
        settle(&mut net, good, 3);
        let lost = net.watch.sent(bad, b, content.info_hash());
        assert!(lost > 0);
        let paid = settle(&mut net, bad, 1);
        // Four pieces of four blocks may be advanced and lost; the rest was good.
        let blocks = u128::from(lost / (16 * 1024) + 1);
        assert!(paid <= FineUnits(per_gb(TEN_DOLLARS).0 * blocks).floor());
        assert_eq!(net.channels(bad, b), 0, "seed {seed}: it is banned");
    }
}

/// Its piece has a second sender, so only a whole copy shows the liar: then its payee is found out, too.
#[test]
fn who_left_after_half_a_piece_of_lies_is_found_out_when_others_finish_it() {
    for seed in 100..110 {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = Content::file(seed, 3_000_000, 512 * 1024);
        let bad = seller(&mut net, 1, &content);
        net.set_cheat(bad, Cheat::Corrupt { one_in: 1 });
        let (b, _) = viewer(&mut net, 2);
        net.leech(b, &content);
        let mut waited = 0;
        while losses(&mut net, b) == 0 {
            net.run_for(Duration::from_millis(20));
            waited += 1;
            assert!(waited < 3_000, "seed {seed}: nothing was paid in advance");
        }
        let paid = losses(&mut net, b);
        net.kill_process(bad);
        let good = seller(&mut net, 3, &content);
        complete(&mut net, &[b], &content, minutes(20));
        net.run_for(Duration::from_secs(1));
        let record = title_record(&mut net, b);
        // More may have been paid than was on record in that moment.
        assert!(
            (paid..=32).contains(&record.lost),
            "seed {seed}: {record:?}"
        );
        assert!(record.at_stake.is_empty(), "seed {seed}: {record:?}");
        settle(&mut net, good, 3);
    }
}

#[test]
fn a_chain_that_cannot_be_read_for_a_while_delays_and_loses_nothing() {
    let mut net = SimNet::new(110, NetConfig::default());
    let content = content(110);
    let a = seller(&mut net, 1, &content);
    let (b, _) = viewer(&mut net, 2);
    net.vault.down = true;
    net.leech(b, &content);
    net.run_for(Duration::from_secs(40));
    assert!(!net.is_complete(b, &content));
    net.vault.down = false;
    complete(&mut net, &[b], &content, minutes(10));
    settle(&mut net, a, 1);
}
