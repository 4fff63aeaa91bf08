//! Peers that cheat.

use crate::common::{banned_by, complete, minutes, say_wrong, spoils};
use piecework::client::{ClosedReason, Event};
use piecework::time::Duration;
use piecework::wire::Message;
use piecework_simulation::{
    Cheat, Content, NetConfig, NodeId, Said, Script, SimNet, Wire, for_seeds,
};

/// An honest seed, a cheating one, and three leechers.
fn scene(seed: u64, cheat: Cheat) -> (SimNet, Content, NodeId, NodeId, Vec<NodeId>) {
    let mut net = SimNet::new(seed, NetConfig::default());
    let content = Content::file(seed, 1_500_000, 64 * 1024);
    let honest = net.node(SimNet::config());
    net.seed(honest, &content);
    let cheater = net.node(SimNet::config());
    net.seed(cheater, &content);
    net.set_cheat(cheater, cheat);
    let leechers = (0..3)
        .map(|_| {
            let node = net.node(SimNet::config());
            net.leech(node, &content);
            node
        })
        .collect();
    (net, content, honest, cheater, leechers)
}

fn is_ban(event: &Event) -> bool {
    let reason = match event {
        Event::PeerClosed { reason, .. } => reason,
        _ => return false,
    };
    *reason == ClosedReason::Corrupt
}

#[test]
fn who_sends_corrupt_blocks_is_found_and_banned_and_nobody_else() {
    let mut found = 0;
    for seed in 0..20 {
        let cheat = Cheat::Corrupt { one_in: 3 };
        let (mut net, content, _, cheater, leechers) = scene(seed, cheat);
        complete(&mut net, &leechers, &content, minutes(20));
        for &node in &leechers {
            let banned = banned_by(&net, node);
            assert!(
                banned.iter().all(|&b| b == cheater),
                "seed {seed}: {banned:?}"
            );
            if !banned.is_empty() {
                found += 1;
                net.run_for(minutes(5));
                let connected = (net.events(node))
                    .skip_while(|event| !is_ban(event))
                    .filter(|event| {
                        matches!(event, Event::PeerConnected { connection, .. }
                        if net.peer_of(node, *connection) == Some(cheater))
                    });
                assert_eq!(connected.count(), 0, "seed {seed}: it stays banned");
            }
        }
    }
    assert!(found >= 20, "only {found} leechers ever banned the cheater");
}

#[test]
fn a_single_corrupt_block_in_shared_pieces_is_traced_to_its_sender() {
    let mut found = 0;
    for seed in 50..60 {
        let cheat = Cheat::Corrupt { one_in: 25 };
        let (mut net, content, _, cheater, leechers) = scene(seed, cheat);
        complete(&mut net, &leechers, &content, minutes(20));
        for &node in &leechers {
            let banned = banned_by(&net, node);
            assert!(
                banned.iter().all(|&b| b == cheater),
                "seed {seed}: {banned:?}"
            );
            found += banned.len();
        }
    }
    assert!(found > 0);
}

#[test]
fn who_stops_in_the_middle_does_not_stop_the_others() {
    for seed in 100..110 {
        let cheat = Cheat::Stall { after: 5 };
        let (mut net, content, _, _, leechers) = scene(seed, cheat);
        complete(&mut net, &leechers, &content, minutes(20));
    }
}

#[test]
fn blocks_that_nobody_asked_for_and_noise_close_the_connection_and_harm_nobody() {
    for (seed, cheat) in [
        (200, Cheat::Flood { blocks: 4 }),
        (201, Cheat::Flood { blocks: 1 }),
        (202, Cheat::Garbage),
        (203, Cheat::Garbage),
    ] {
        let (mut net, content, _, cheater, leechers) = scene(seed, cheat);
        complete(&mut net, &leechers, &content, minutes(20));
        net.run_for(Duration::from_secs(30));
        for &node in &leechers {
            assert!(banned_by(&net, node).iter().all(|&b| b == cheater));
        }
    }
}

/// A seed that sends one wrong block. From then on it is silent, or sends a right one each twenty seconds.
fn spoils_a_piece(drips: bool) -> Script {
    let (mut first, mut asked) = (true, Vec::new());
    Box::new(move |wire, said| match said {
        Said::Open => {
            wire.handshake();
            wire.say(&Message::HaveAll);
            wire.say(&Message::Unchoke);
        }
        Said::Wake => {
            if let Some(block) = asked.pop() {
                wire.send_block(block);
            }
            wire.wake_in(Duration::from_secs(20));
        }
        said => {
            let Some(block) = Wire::request(&said) else {
                return;
            };
            if first {
                first = false;
                say_wrong(wire, block);
            } else if drips {
                if asked.is_empty() {
                    wire.wake_in(Duration::from_secs(20));
                }
                asked.push(block);
            }
        }
    })
}

#[test]
fn who_spoils_a_piece_and_falls_silent_keeps_it_from_nobody() {
    for_seeds(20, |seed| {
        let mut net = SimNet::new(300 + seed, NetConfig::default());
        // Of one piece, so that both send some of it.
        let content = Content::file(seed, 256 * 1024, 256 * 1024);
        let liar = net.puppet(&content, move || spoils_a_piece(seed % 2 == 0));
        let victim = net.node(SimNet::config());
        net.leech(victim, &content);
        // It is there first.
        net.puppet_offers(liar, victim);
        net.run_for(Duration::from_secs(3));
        let honest = net.node(SimNet::config());
        net.seed(honest, &content);
        let done = net.run_until(minutes(2), |net| net.is_complete(victim, &content));
        assert!(done, "seed {seed}");
    });
}

#[test]
fn who_spoils_each_piece_that_it_is_asked_for_and_chokes_is_found_while_the_honest_one_is_busy() {
    for_seeds(24, |seed| {
        let mut net = SimNet::new(700 + seed, NetConfig::default());
        let content = Content::file(seed, 4 << 20, 256 * 1024);
        let pause = [100, 1_000, 3_900, 4_200, 8_000, 29_000][seed as usize % 6];
        let pause = Duration::from_millis(pause);
        let liar = net.puppet(&content, move || spoils(Message::HaveAll, pause, false));
        let victim = net.node(SimNet::config());
        net.leech(victim, &content);
        net.puppet_offers(liar, victim);
        net.run_for(Duration::from_secs(3));
        // Alone it would need 42 seconds.
        let honest = net.node(SimNet::config());
        net.set_uplink(honest, 100_000);
        net.seed(honest, &content);
        let done = net.run_until(Duration::from_secs(120), |net| {
            net.is_complete(victim, &content)
        });
        assert!(done, "seed {seed}");
    });
}

#[test]
fn who_comes_again_and_again_to_spoil_a_piece_keeps_it_from_no_slow_peer() {
    for_seeds(12, |seed| {
        let mut net = SimNet::new(800 + seed, NetConfig::default());
        let content = Content::file(seed, 4 << 20, 4 << 20);
        let victim = net.node(SimNet::config());
        net.leech(victim, &content);
        let closes = seed % 2 == 0;
        let every = [7, 13, 31][seed as usize % 3];
        let first = net.puppet(&content, move || {
            spoils(Message::HaveAll, Duration::from_secs(1), closes)
        });
        net.puppet_offers(first, victim);
        net.run_for(Duration::from_secs(3));
        // It needs 84 seconds for the one piece there is.
        let honest = net.node(SimNet::config());
        net.set_uplink(honest, 50_000);
        net.seed(honest, &content);
        let mut waited = 0;
        while !net.is_complete(victim, &content) {
            assert!(waited < 8 * 60, "seed {seed}");
            let again = net.puppet(&content, move || {
                spoils(Message::HaveAll, Duration::from_secs(1), closes)
            });
            net.puppet_offers(again, victim);
            net.run_for(Duration::from_secs(every));
            waited += every;
        }
    });
}

/// A node that fetches one piece of 4 MiB, and has met a liar.
fn with_liar(seed: u64, liar: impl FnMut() -> Script + 'static) -> (SimNet, Content, NodeId) {
    let mut net = SimNet::new(seed, NetConfig::default());
    let content = Content::file(seed, 4 << 20, 4 << 20);
    let victim = net.node(SimNet::config());
    net.leech(victim, &content);
    let liar = net.puppet(&content, liar);
    net.puppet_offers(liar, victim);
    net.run_for(Duration::from_secs(3));
    (net, content, victim)
}

/// Each needs 84 seconds for that piece.
fn slow_seeds(net: &mut SimNet, content: &Content, count: u64) {
    for _ in 0..count {
        let honest = net.node(SimNet::config());
        net.set_uplink(honest, 50_000);
        net.seed(honest, content);
    }
}

/// The acts of a peer that has sent enough.
#[derive(Clone, Copy)]
enum Then {
    Leaves,
    ChokesForGood,
    /// It answers each request with one block, and chokes for a moment.
    Drips,
}

/// Sends this many blocks as fast as it can, all wrong.
fn hoards(many: u32, then: Then) -> Script {
    let (mut sent, mut chokes) = (0, false);
    Box::new(move |wire, said| match said {
        Said::Open => {
            wire.handshake();
            wire.say(&Message::HaveAll);
            wire.say(&Message::Unchoke);
        }
        Said::Wake => {
            chokes = false;
            wire.say(&Message::Unchoke);
        }
        said => {
            let Some(block) = Wire::request(&said).filter(|_| !chokes) else {
                return;
            };
            sent += 1;
            say_wrong(wire, block);
            if sent < many {
                return;
            }
            chokes = true;
            match then {
                Then::Leaves => wire.close(),
                Then::ChokesForGood => wire.say(&Message::Choke),
                Then::Drips => {
                    wire.say(&Message::Choke);
                    wire.wake_in(Duration::from_millis(500));
                }
            }
        }
    })
}

#[test]
fn who_fills_what_is_kept_of_a_piece_does_not_push_out_what_slow_peers_brought() {
    for_seeds(12, |seed| {
        let (mut net, content, victim) = with_liar(1_000 + seed, || {
            spoils(Message::HaveAll, Duration::from_secs(600), false)
        });
        // Of 256 blocks; twice the piece is kept.
        let many = [208, 249][seed as usize % 2];
        let then = [Then::ChokesForGood, Then::Drips][seed as usize / 6 % 2];
        for _ in 0..2 {
            let hoards = net.puppet(&content, move || hoards(many, then));
            net.puppet_offers(hoards, victim);
        }
        net.run_for(Duration::from_secs(30));
        let honest = 1 + seed / 2 % 3;
        slow_seeds(&mut net, &content, honest);
        let mut waited = 0;
        while !net.is_complete(victim, &content) {
            assert!(waited < 8 * 60 * honest, "seed {seed}");
            let again = net.puppet(&content, || hoards(9, Then::Leaves));
            net.puppet_offers(again, victim);
            net.run_for(Duration::from_secs(35));
            waited += 35;
        }
    });
}

/// Sends requested blocks as fast as it can, the first block wrong; after this many of them it sends nothing, whatever
/// it promises.
fn spoils_and_was_fast(many: u32) -> Script {
    let mut sent = 0;
    Box::new(move |wire, said| match said {
        Said::Open => {
            wire.handshake();
            wire.say(&Message::HaveAll);
            wire.say(&Message::Unchoke);
        }
        Said::Wake => wire.say(&Message::Unchoke),
        said => {
            let Some(block) = Wire::request(&said) else {
                return;
            };
            sent += 1;
            if sent == 1 {
                say_wrong(wire, block);
            } else if sent < many {
                wire.send_block(block);
            } else {
                wire.say(&Message::Choke);
                wire.wake_in(Duration::from_millis(500));
            }
        }
    })
}

#[test]
fn one_wrong_block_does_not_make_slow_honest_peers_begin_again_and_again() {
    for_seeds(24, |seed| {
        let (mut net, content, victim) = with_liar(900 + seed, move || match seed % 2 {
            0 => spoils(Message::HaveAll, Duration::from_secs(600), false),
            _ => spoils_and_was_fast(60),
        });
        // Each alone needs 84 seconds. Together they spoil the piece with the wrong block once.
        let peers = [2, 3, 6, 8][seed as usize / 2 % 4];
        slow_seeds(&mut net, &content, peers);
        // Those that have shown nothing yet have half a minute each; then one goes on to the end.
        let done = net.run_until(Duration::from_secs(120 + 30 * peers), |net| {
            net.is_complete(victim, &content)
        });
        assert!(done, "seed {seed}");
    });
}
