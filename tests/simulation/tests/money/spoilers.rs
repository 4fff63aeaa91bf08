//! Free peers that spoil pieces beside sellers: each piece comes all the same, and is bought twice at the most.

use crate::common::spoils;
use crate::scene::*;
use piecework::time::Duration;
use piecework::wire::Message;
use piecework_simulation::{Content, NodeId, Script, SimNet, for_seeds};

/// Pieces of more blocks than the seller gives on credit at first.
const PIECES: u64 = 12;
const PIECE: u64 = 16;

fn film(seed: u64) -> Content {
    Content::file(
        seed,
        (PIECES * PIECE * BLOCK) as usize,
        (PIECE * BLOCK) as u32,
    )
}

/// Its serials are worth a piece, and this many pieces may be lost.
fn buyer_with(net: &mut SimNet, content: &Content, loss_budget_pieces: u32) -> NodeId {
    let mut config = buyer_config(net);
    let buy = config.payment.as_mut().and_then(|p| p.buy.as_mut());
    buy.unwrap().loss_budget_pieces = loss_budget_pieces;
    let node = net.node(config);
    net.fund(node, DEPOSIT, 8 * TRANCHE);
    net.leech(node, content);
    node
}

/// Spoils all pieces, or the first alone.
fn liar(pause: Duration, all: bool) -> Script {
    let has = match all {
        true => Message::HaveAll,
        false => Message::Bitfield(vec![0x80, 0].into()),
    };
    spoils(has, pause, false)
}

#[test]
fn who_spoils_a_piece_again_and_again_has_one_turn_for_it_though_it_is_free() {
    for_seeds(48, |seed| {
        let pauses = [100, 1_000, 3_900, 4_200, 8_000, 12_000];
        let pause = Duration::from_millis(pauses[seed as usize % 6]);
        let all = seed / 6 % 2 == 0;
        let mut net = net(13_950 + seed);
        let content = film(seed);
        let buyer = buyer_with(&mut net, &content, LOSS_PIECES);
        let liar = net.puppet(&content, move || liar(pause, all));
        // Either is there first.
        if seed / 12 % 2 == 0 {
            net.puppet_offers(liar, buyer);
            net.run_for(Duration::from_secs(3));
            seller(&mut net, 2, &content);
        } else {
            seller(&mut net, 2, &content);
            net.run_for(Duration::from_secs(1));
            net.puppet_offers(liar, buyer);
        }
        let done = until_complete(&mut net, buyer, &content, 60);
        let story = story(&net, buyer, &content);
        assert!(done, "seed {seed}: {story}");
        let bought = revealed(&net, buyer, 2);
        let once = PIECES * PIECE;
        assert!(bought <= once, "seed {seed}: {bought} of {once}: {story}");
    });
}

#[test]
fn a_slow_seller_of_large_pieces_is_paid_once_for_each_block_though_its_turns_break() {
    for_seeds(24, |seed| {
        let pauses = [1_000, 3_900, 4_200, 12_000, 31_000, 45_000];
        let pause = Duration::from_millis(pauses[seed as usize % 6]);
        let mut net = net(14_950 + seed);
        // The seller needs 42 seconds for each of two pieces, and two pieces may be lost.
        let blocks = 64;
        let content = Content::file(seed, 2 << 20, 1 << 20);
        let buyer = buyer_with(&mut net, &content, 2);
        let liars = 1 + seed / 6 % 4;
        for _ in 0..liars {
            let liar = net.puppet(&content, move || liar(pause, true));
            net.puppet_offers(liar, buyer);
        }
        net.run_for(Duration::from_secs(3));
        let sells = seller(&mut net, 2, &content);
        net.set_uplink(sells, 25_000);
        let done = until_complete(&mut net, buyer, &content, 180 + 60 * liars);
        let story = story(&net, buyer, &content);
        assert!(done, "seed {seed}: {story}");
        let bought = revealed(&net, buyer, 2);
        assert!(bought <= 2 * blocks, "seed {seed}: {bought}: {story}");
    });
}

#[test]
fn slow_sellers_of_a_spoiled_piece_are_paid_once_and_fill_no_loss_budget() {
    for_seeds(16, |seed| {
        let mut net = net(15_950 + seed);
        let blocks = 64;
        let content = Content::file(seed, 2 << 20, 1 << 20);
        let buyer = buyer_with(&mut net, &content, 2);
        let liar = net.puppet(&content, move || liar(Duration::from_secs(30), true));
        net.puppet_offers(liar, buyer);
        net.run_for(Duration::from_secs(3));
        let sellers = 2 + seed as u8 % 3;
        for payee in 2..2 + sellers {
            let sells = seller(&mut net, payee, &content);
            net.set_uplink(sells, 25_000);
        }
        let done = until_complete(&mut net, buyer, &content, 240);
        let story = story(&net, buyer, &content);
        assert!(done, "seed {seed}: {story}");
        let bought: u64 = (2..2 + sellers)
            .map(|payee| revealed(&net, buyer, payee))
            .sum();
        assert!(bought <= 3 * blocks, "seed {seed}: {bought}: {story}");
    });
}
