//! Peers that send a block now and then: none keeps a piece, or the loss budget, from those that deliver.

use std::collections::VecDeque;

use crate::scene::*;
use piecework::time::Duration;
use piecework::wire::{Message, PW_PAY_ID};
use piecework_simulation::{Content, NodeId, Said, Script, SimNet, Wire, for_seeds};

/// Well within the time after which a peer is left that sends nothing.
const DRIP: Duration = Duration::from_secs(20);

/// Sends what it is asked for first at once, then a block each twenty seconds, whatever is taken back.
fn drips(shop: Shop) -> Script {
    let (mut asked, mut first) = (VecDeque::new(), true);
    Box::new(move |wire, said| match said {
        Said::Open => shop.opens(wire, &[Message::HaveAll]),
        Said::Message(20, [PW_PAY_ID, payload @ ..]) => {
            shop.takes(wire, payload);
        }
        Said::Wake => {
            if let Some(block) = asked.pop_front() {
                wire.send_block(block);
            }
            wire.wake_in(DRIP);
        }
        said => {
            let block = Wire::request(&said);
            match block.filter(|_| first) {
                Some(block) => {
                    first = false;
                    wire.send_block(block);
                    wire.wake_in(DRIP);
                }
                None => asked.extend(block),
            }
        }
    })
}

/// Pieces of more blocks than the honest seller gives on credit at first, as those of most titles.
fn large_pieces(seed: u64) -> Content {
    let (length, piece) = (8 * BLOCKS * BLOCK, 16 * BLOCK);
    Content::file(seed, length as usize, piece as u32)
}

/// Its serials are worth more blocks than a piece has, as those of most titles.
fn buyer_of_large_pieces(net: &mut SimNet) -> NodeId {
    let config = buyer_config(net);
    let node = net.node(config);
    net.fund(node, DEPOSIT, 8 * TRANCHE);
    node
}

#[test]
fn sellers_that_drip_keep_no_dearer_one_from_being_paid_where_pieces_are_large() {
    for_seeds(30, |seed| {
        let mut net = net(3_950 + seed);
        let content = large_pieces(seed);
        // With a block on credit the first one is paid in advance. Four are enough to fill the loss budget.
        let credit = if seed % 2 == 0 { 1 } else { 3 };
        let cheap: Vec<NodeId> = (10..14)
            .map(|payee| Shop::new(&net, payee, credit).puppet(&mut net, &content, drips))
            .collect();
        let film = buyer_of_large_pieces(&mut net);
        net.leech(film, &content);
        cheap.iter().for_each(|node| net.puppet_offers(*node, film));
        // Every third time the honest one is there at once.
        if seed % 3 != 0 {
            net.run_for(Duration::from_secs(45));
        }
        seller(&mut net, 2, &content);
        assert!(
            until_complete(&mut net, film, &content, 120),
            "seed {seed}: {}",
            story(&net, film, &content)
        );
        net.run_for(Duration::from_secs(5));
        // Nothing is bought twice but what was out to them when it was taken back.
        let books = &net.watch.books;
        let dripped = (10..14).map(|payee| books.revealed(film, address(payee)).0);
        let dripped = (dripped.sum::<u128>() / (unit().0 / 2)) as u64;
        let bought = dripped + revealed(&net, film, 2);
        let once = 8 * BLOCKS;
        assert!(
            bought <= once + 4 * u64::from(credit),
            "seed {seed}: {bought} of {once}"
        );
    });
}

#[test]
fn a_free_peer_that_drips_keeps_no_piece_from_a_seller() {
    for_seeds(30, |seed| {
        let mut net = net(4_950 + seed);
        let content = large_pieces(seed);
        let free = net.node(SimNet::config());
        net.set_uplink(free, 800);
        net.seed(free, &content);
        let film = buyer_of_large_pieces(&mut net);
        net.leech(film, &content);
        net.run_for(Duration::from_secs(5));
        seller(&mut net, 2, &content);
        assert!(
            until_complete(&mut net, film, &content, 90),
            "seed {seed}: {}",
            story(&net, film, &content)
        );
    });
}
