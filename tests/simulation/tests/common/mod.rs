//! Scenes that several tests share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod player;

use piecework::client::{
    BuyConfig, ClosedReason, Config, Credit, Event, PaymentConfig, ResalePrice, SellConfig,
};
use piecework::payment::payee::{MAX_ACCOUNTS, MAX_PAST};
use piecework::time::Duration;
use piecework::types::{BlockRef, FineUnits, TokenUnits};
use piecework::wire::Message;
use piecework_simulation::{Content, NodeId, Said, Script, SimNet, Wire};

/// Token units (millionths) per GB that the first seller asks: 10 $.
pub const TEN_DOLLARS: u128 = 10_000_000;
/// Token units per serial: 0.01 $.
pub const TRANCHE: u128 = 10_000;
/// Deposit: 2 $.
pub const DEPOSIT: u128 = 2_000_000;

pub fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

/// Price per block for this many token units per GB.
pub fn per_gb(token_units: u128) -> FineUnits {
    FineUnits::per_block_from_per_gb(token_units)
}

/// Runs until these nodes hold the content; names those that do not in time.
pub fn complete(net: &mut SimNet, nodes: &[NodeId], content: &Content, limit: Duration) {
    let done = net.run_until(limit, |net| {
        nodes.iter().all(|&node| net.is_complete(node, content))
    });
    if !done {
        for &node in nodes {
            let torrent = net.torrent(node, content.info_hash());
            println!("{node:?}: {torrent:#?}");
            for event in net
                .events(node)
                .filter(|e| !matches!(e, Event::PieceDone { .. }))
            {
                println!("  {event:?}");
            }
        }
        panic!("not complete after {limit:?}");
    }
}

/// Runs until a node says that a torrent's metadata is there and its storage open.
pub fn ready(net: &mut SimNet, node: NodeId, content: &Content) {
    let hash = content.info_hash();
    let is_ready = net.run_until(minutes(2), |net| {
        let mut events = net.events(node);
        events.any(|e| matches!(e, Event::Ready { info_hash } if *info_hash == hash))
    });
    assert!(is_ready, "{node:?} is not ready");
}

/// A configuration that sells at `price` and, with `max_price`, buys.
pub fn trader(net: &SimNet, payee: u8, price: ResalePrice, max_price: Option<FineUnits>) -> Config {
    Config {
        payment: Some(PaymentConfig {
            vault: net.vault.address,
            chain_id: net.vault.chain_id,
            buy: max_price.map(|max_price| BuyConfig {
                max_price,
                budget: TokenUnits(DEPOSIT),
                loss_budget_pieces: 4,
            }),
            sell: Some(SellConfig {
                payee: [payee; 20].into(),
                price,
                min_bond_percent: 125,
                credit: Credit::default(),
                dust: TokenUnits(TRANCHE),
            }),
        }),
        ..SimNet::config()
    }
}

/// The peers whose connections a node closed for corrupt data.
pub fn banned_by(net: &SimNet, node: NodeId) -> Vec<NodeId> {
    (net.events(node))
        .filter_map(|event| match event {
            Event::PeerClosed {
                connection,
                reason: ClosedReason::Corrupt,
                ..
            } => net.peer_of(node, *connection),
            _ => None,
        })
        .collect()
}

/// The connections that a node saw end, and the reasons. Those that never opened are left out.
pub fn closings(net: &SimNet, node: NodeId) -> Vec<(NodeId, ClosedReason)> {
    (net.events(node))
        .filter_map(|event| match event {
            Event::PeerClosed {
                connection, reason, ..
            } => Some((net.peer_of(node, *connection)?, reason.clone())),
            _ => None,
        })
        .collect()
}

/// No queue or table of a client is beyond its bound.
pub fn within_bounds(net: &SimNet, node: NodeId) {
    let load = net.client(node).load();
    let limits = SimNet::config().limits;
    let bounds = [
        ("connections", load.connections, limits.max_connections),
        (
            "pending",
            load.pending,
            limits.max_pending_connections + limits.max_connections,
        ),
        (
            "undecoded bytes",
            load.undecoded_bytes,
            64 * 1024 * limits.max_connections,
        ),
        ("bytes queued for one", load.queued_bytes_of_one, 1 << 20),
        ("bytes queued", load.queued_bytes, 8 << 20),
        ("requests of one", load.requests_in_of_one, 256),
        ("requests to one", load.requests_out_of_one, 256),
        (
            "partial bytes",
            load.partial_bytes as usize,
            limits.max_partial_bytes as usize,
        ),
        (
            "accounts in the receipts",
            load.receipt_accounts,
            MAX_ACCOUNTS + MAX_PAST,
        ),
        ("effects", load.effects, 1_000),
        ("outputs", load.outputs, 0),
    ];
    for (what, held, bound) in bounds {
        assert!(held <= bound, "{what}: {held}, the bound is {bound}");
    }
}

/// Runs until the node holds the content, and looks at its queues and tables meanwhile.
pub fn complete_within_bounds(net: &mut SimNet, node: NodeId, content: &Content, limit: Duration) {
    let done = net.run_until(limit, |net| {
        within_bounds(net, node);
        net.is_complete(node, content)
    });
    if !done {
        let torrent = net.torrent(node, content.info_hash());
        panic!(
            "not complete after {limit:?}: {torrent:#?}\n{:?}",
            closings(net, node)
        );
    }
}

/// A free peer that has this, and that answers each request with a wrong block, chokes, and unchokes after this time;
/// or it closes the connection then.
pub fn spoils(has: Message, pause: Duration, closes: bool) -> Script {
    let mut chokes = false;
    Box::new(move |wire, said| match said {
        Said::Open => {
            wire.handshake();
            wire.say(&has);
            wire.say(&Message::Unchoke);
        }
        Said::Wake if closes => wire.close(),
        Said::Wake => {
            chokes = false;
            wire.say(&Message::Unchoke);
        }
        said => {
            let Some(block) = Wire::request(&said).filter(|_| !chokes) else {
                return;
            };
            chokes = true;
            say_wrong(wire, block);
            wire.say(&Message::Choke);
            wire.wake_in(pause);
        }
    })
}

/// Sends zeros for a block.
pub fn say_wrong(wire: &mut Wire, block: BlockRef) {
    let (piece, begin) = (block.piece, block.begin);
    let data = vec![0; block.length as usize].into();
    wire.say(&Message::Piece { piece, begin, data });
}
