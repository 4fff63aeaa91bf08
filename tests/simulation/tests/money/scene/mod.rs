//! Small orders, so that hundreds of them run in seconds: 24 blocks in pieces of two, serials worth six blocks.

mod shop;

use alloy_primitives::Address;
use piecework::client::{
    AddOptions, BuyConfig, CheckExisting, Config, Credit, Event, Limits, PaymentConfig,
    ResalePrice, SellConfig, Source,
};
use piecework::time::Duration;
use piecework::types::{FineUnits, TokenUnits};
use piecework_simulation::{Content, NetConfig, NodeId, SimNet};

pub use shop::Shop;

pub const BLOCK: u64 = 16 * 1024;
pub const BLOCKS: u64 = 24;
pub const PIECE_BLOCKS: u64 = 2;
/// Pieces of a title that may be lost to bad data.
pub const LOSS_PIECES: u32 = 4;
pub const DEPOSIT: u128 = 2_000_000;
pub const TRANCHE: u128 = 1_000;
/// Blocks that a payee sends on credit at first.
pub const CREDIT0: u64 = 4;

/// 10 $ per GB.
pub fn unit() -> FineUnits {
    FineUnits::per_block_from_per_gb(10_000_000)
}

pub fn content(seed: u64) -> Content {
    Content::file(
        seed,
        (BLOCKS * BLOCK) as usize,
        (PIECE_BLOCKS * BLOCK) as u32,
    )
}

pub fn net(seed: u64) -> SimNet {
    let ms = Duration::from_millis;
    let config = NetConfig {
        latency: ms(5)..ms(60),
        uplink: 200_000..2_000_000,
        ..NetConfig::default()
    };
    SimNet::new(seed, config)
}

pub fn address(payee: u8) -> Address {
    Address::repeat_byte(payee)
}

pub fn seller(net: &mut SimNet, payee: u8, content: &Content) -> NodeId {
    let config = seller_config(net, payee, unit());
    let node = net.node(config);
    net.seed(node, content);
    node
}

/// One that sells at this price.
pub fn seller_config(net: &SimNet, payee: u8, unit: FineUnits) -> Config {
    Config {
        payment: Some(PaymentConfig {
            vault: net.vault.address,
            chain_id: net.vault.chain_id,
            buy: None,
            sell: Some(SellConfig {
                payee: address(payee),
                price: ResalePrice::Fixed(unit),
                min_bond_percent: 125,
                credit: Credit {
                    first: CREDIT0 as u16,
                    most: 128,
                    ramp: 4,
                },
                dust: TokenUnits(TRANCHE),
            }),
        }),
        ..SimNet::config()
    }
}

/// One that buys, at up to twice the price, and does not sell.
pub fn buyer_config(net: &SimNet) -> Config {
    Config {
        payment: Some(PaymentConfig {
            vault: net.vault.address,
            chain_id: net.vault.chain_id,
            buy: Some(BuyConfig {
                max_price: FineUnits(unit().0 * 2),
                budget: TokenUnits(DEPOSIT),
                loss_budget_pieces: LOSS_PIECES,
            }),
            sell: None,
        }),
        // It keeps its pieces: all blocks that anybody gets are bought.
        limits: Limits {
            upload_slots: 0,
            ..Limits::default()
        },
        ..SimNet::config()
    }
}

/// A funded buyer that has not begun.
pub fn buyer(net: &mut SimNet) -> NodeId {
    let node = net.node(buyer_config(net));
    net.fund(node, DEPOSIT, TRANCHE);
    node
}

/// A page is opened again.
pub fn reopen(net: &mut SimNet, node: NodeId, content: &Content) {
    net.start(node);
    net.set_account(node);
    let options = AddOptions {
        check: CheckExisting::Resume,
        ..AddOptions::default()
    };
    let stored = net.client(node).stored_torrents();
    match stored.contains(&content.info_hash()) {
        true => net.add(node, Source::Stored(content.info_hash()), options),
        false => net.add(node, Source::Torrent(content.torrent()), options),
    };
}

pub fn until_complete(net: &mut SimNet, node: NodeId, content: &Content, seconds: u64) -> bool {
    net.run_until(Duration::from_secs(seconds), |net| {
        net.is_complete(node, content)
    })
}

/// The state of an order that is not done, for the failure's text.
pub fn story(net: &SimNet, node: NodeId, content: &Content) -> String {
    let torrent = net.torrent(node, content.info_hash());
    let events: Vec<_> = (net.events(node))
        .filter(|e| !matches!(e, Event::PieceDone { .. }))
        .map(|e| format!("{e:?}"))
        .collect();
    format!("{torrent:#?}\n{}", events.join("\n"))
}

/// Blocks that left a seller for a buyer.
pub fn sent(net: &SimNet, from: NodeId, to: NodeId, content: &Content) -> u64 {
    net.watch.sent(from, to, content.info_hash()) / BLOCK
}

/// Blocks that a buyer revealed links for, as far as anybody can claim them.
pub fn revealed(net: &SimNet, buyer: NodeId, payee: u8) -> u64 {
    (net.watch.books.revealed(buyer, address(payee)).0 / unit().0) as u64
}

/// An honest buyer that never crashed: it paid for verified blocks and for those that the loss budget allows, and
/// nothing else.
pub fn audit_buyer(net: &SimNet, node: NodeId, payees: &[u8], content: &Content) {
    let paid: u64 = payees.iter().map(|payee| revealed(net, node, *payee)).sum();
    let pieces = (net.events(node))
        .filter(|e| matches!(e, Event::PieceDone { info_hash, .. } if *info_hash == content.info_hash()))
        .count() as u64;
    let verified = pieces * PIECE_BLOCKS;
    let budget = u64::from(LOSS_PIECES) * PIECE_BLOCKS;
    assert!(
        paid <= verified + budget,
        "{paid} blocks paid, {verified} verified, {budget} may be lost"
    );
}

/// An honest seller redeems all it can: it is paid every link that reached it, and lost no more than `window` blocks
/// to these buyers.
pub fn audit_seller(
    net: &mut SimNet,
    node: NodeId,
    payee: u8,
    buyers: &[NodeId],
    content: &Content,
    window: u64,
) {
    net.redeem_all(node);
    let sent: u64 = buyers.iter().map(|b| sent(net, node, *b, content)).sum();
    let money = net.snapshot(node).money;
    let paid = net.vault.paid_to(address(payee));
    assert_eq!(money.redeemed, paid, "ledger and chain differ");
    assert_eq!(
        money.redeemable,
        TokenUnits(0),
        "left to redeem: {}",
        story(net, node, content)
    );
    // Each range is floored to a token unit.
    let ranges = net.vault.log().len() as u128 + 1;
    let due = (unit().0 * u128::from(sent.saturating_sub(window))) >> 24;
    assert!(
        paid.0 + ranges >= due,
        "{paid:?} for {sent} blocks, of which {window} may be lost"
    );
}
