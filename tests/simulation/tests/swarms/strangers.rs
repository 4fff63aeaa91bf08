//! Remotes that are no clients of ours and follow no rules. Each follows its script, against a client that downloads
//! from an honest seed, or serves an honest peer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{closings, complete_within_bounds, minutes, within_bounds};
use bytes::Bytes;
use piecework::client::{ClosedReason, Event};
use piecework::time::Duration;
use piecework::types::{BlockRef, PieceIndex};
use piecework::wire::Message;
use piecework_simulation::{Content, NetConfig, NodeId, Said, Script, SimNet, Wire, for_seeds};

const SEEDS: u64 = 500;

/// A script of one function.
fn script(play: impl FnMut(&mut Wire<'_>, Said<'_>) + 'static) -> Script {
    Box::new(play)
}

fn content(seed: u64) -> Content {
    Content::file(seed, 200_001, 32 * 1024)
}

/// A client's way to the torrent.
#[derive(Clone, Copy, PartialEq)]
enum By {
    File,
    Magnet,
}

/// One download with one stranger in the swarm.
struct Scene {
    net: SimNet,
    content: Content,
    victim: NodeId,
    stranger: NodeId,
}

impl Scene {
    /// A client that meets the stranger before anybody else.
    fn new(seed: u64, by: By, make: impl FnMut() -> Script + 'static) -> Scene {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = content(seed);
        let stranger = net.puppet(&content, make);
        let victim = net.node(SimNet::config());
        match by {
            By::File => net.leech(victim, &content),
            By::Magnet => net.leech_magnet(victim, &content),
        }
        Scene {
            net,
            content,
            victim,
            stranger,
        }
    }

    /// Runs until the stranger's connection ended for such a reason.
    fn until_closed(&mut self, expected: impl Fn(&ClosedReason) -> bool) {
        let (victim, stranger) = (self.victim, self.stranger);
        let closed = self.net.run_until(minutes(10), |net| {
            within_bounds(net, victim);
            let closings = closings(net, victim);
            let mut its = closings.iter().filter(|(who, _)| *who == stranger);
            its.any(|(_, reason)| expected(reason))
        });
        let seen = closings(&self.net, victim);
        assert!(closed, "the stranger was closed with {seen:?}");
    }

    /// Runs until the stranger's handshake is through.
    fn until_connected(&mut self) {
        let victim = self.victim;
        let connected = self.net.run_until(minutes(2), |net| {
            (net.events(victim)).any(|e| matches!(e, Event::PeerConnected { .. }))
        });
        assert!(connected, "the stranger comes in");
    }

    /// An honest seed comes; the download completes, and the seed was not blamed for anything.
    fn completes_with_an_honest_seed(&mut self) {
        let honest = self.net.node(SimNet::config());
        self.net.seed(honest, &self.content);
        complete_within_bounds(&mut self.net, self.victim, &self.content, minutes(30));
        for (who, reason) in closings(&self.net, self.victim) {
            let blamed = !matches!(reason, ClosedReason::NotNeeded(_) | ClosedReason::Remote(_));
            assert!(who == self.stranger || !blamed, "{who:?}: {reason:?}");
        }
    }
}

fn protocol(reason: &ClosedReason) -> bool {
    matches!(reason, ClosedReason::Protocol(_))
}

fn unasked(reason: &ClosedReason) -> bool {
    matches!(reason, ClosedReason::Protocol(text) if text.contains("nobody asked for"))
}

// ---- blocks

#[test]
fn who_sends_blocks_that_nobody_asked_for_is_left() {
    for_seeds(SEEDS, |seed| {
        let mut scene = Scene::new(seed, By::File, || {
            script(|wire, said| {
                if let Said::Open = said {
                    // It chokes, so nothing is ever asked of it.
                    wire.handshake();
                    wire.say(&Message::HaveAll);
                    for _ in 0..6 {
                        wire.blocks().into_iter().for_each(|b| wire.send_block(b));
                    }
                }
            })
        });
        scene.until_closed(unasked);
        scene.completes_with_an_honest_seed();
    });
}

#[test]
fn who_sends_each_block_many_times_is_left() {
    for_seeds(SEEDS, |seed| {
        let mut scene = Scene::new(seed, By::File, || {
            script(|wire, said| match Wire::request(&said) {
                Some(block) => (0..80).for_each(|_| wire.send_block(block)),
                None => wire.serve(&said),
            })
        });
        scene.until_closed(unasked);
        scene.completes_with_an_honest_seed();
    });
}

#[test]
fn who_answers_with_blocks_that_overlap_what_was_asked_is_left() {
    for_seeds(SEEDS, |seed| {
        let mut scene = Scene::new(seed, By::File, || {
            script(|wire, said| match Wire::request(&said) {
                Some(asked) => {
                    for shift in [1, 512, 8 * 1024, 16 * 1024 - 1] {
                        let length = asked.length.saturating_sub(shift).max(1);
                        let begin = asked.begin + shift;
                        let piece = asked.piece;
                        wire.send_block(BlockRef {
                            piece,
                            begin,
                            length,
                        });
                        wire.send_block(BlockRef { length, ..asked });
                    }
                }
                None => wire.serve(&said),
            })
        });
        scene.until_closed(unasked);
        scene.completes_with_an_honest_seed();
    });
}

#[test]
fn who_sends_corrupt_blocks_is_banned() {
    for_seeds(SEEDS, |seed| {
        let mut scene = Scene::new(seed, By::File, || {
            script(|wire, said| match Wire::request(&said) {
                Some(block) => {
                    let mut data = wire.block(block).to_vec();
                    let at = wire.random.index(data.len());
                    data[at] ^= 1 << wire.random.index(8);
                    let (piece, begin, data) = (block.piece, block.begin, data.into());
                    wire.say(&Message::Piece { piece, begin, data });
                }
                None => wire.serve(&said),
            })
        });
        scene.until_closed(|reason| *reason == ClosedReason::Corrupt);
        scene.completes_with_an_honest_seed();
        assert_eq!(scene.net.channels(scene.victim, scene.stranger), 0);
    });
}

#[test]
fn of_several_senders_of_a_piece_the_one_bad_sender_alone_is_found() {
    for_seeds(SEEDS, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        // Two pieces of eight blocks from four senders: every piece is shared.
        let content = Content::file(seed, 256 * 1024, 128 * 1024);
        let good: Vec<NodeId> = (0..3)
            .map(|_| net.puppet(&content, || script(|wire, said| wire.serve(&said))))
            .collect();
        let bad = net.puppet(&content, || {
            script(|wire, said| match Wire::request(&said) {
                Some(block) => {
                    let mut data = wire.block(block).to_vec();
                    data[7] ^= 0x80;
                    let (piece, begin, data) = (block.piece, block.begin, data.into());
                    wire.say(&Message::Piece { piece, begin, data });
                }
                None => wire.serve(&said),
            })
        });
        let victim = net.node(SimNet::config());
        net.leech(victim, &content);
        complete_within_bounds(&mut net, victim, &content, minutes(30));
        let took_part = net.blocks_from(bad, victim) > 0;
        let banned: Vec<NodeId> = (closings(&net, victim).into_iter())
            .filter(|(_, reason)| *reason == ClosedReason::Corrupt)
            .map(|(who, _)| who)
            .collect();
        assert!(!banned.iter().any(|who| good.contains(who)), "{banned:?}");
        assert_eq!(banned.contains(&bad), took_part, "{banned:?}");
    });
}

#[test]
fn who_leaves_in_the_middle_of_a_block_is_replaced() {
    for_seeds(SEEDS, |seed| {
        let mut scene = Scene::new(seed, By::File, move || {
            let mut left = seed % 5;
            let mut gone = false;
            script(move |wire, said| match Wire::request(&said) {
                _ if gone => {}
                Some(block) if left == 0 => {
                    gone = true;
                    let data = wire.block(block);
                    let (piece, begin) = (block.piece, block.begin);
                    let whole = Message::Piece { piece, begin, data }.to_bytes();
                    let cut = 1 + wire.random.index(whole.len() - 1);
                    wire.raw(&whole[..cut]);
                    wire.close();
                }
                Some(_) => {
                    left -= 1;
                    wire.serve(&said);
                }
                None => wire.serve(&said),
            })
        });
        scene.until_closed(|reason| matches!(reason, ClosedReason::Remote(_)));
        scene.completes_with_an_honest_seed();
    });
}

// ---- frames

#[test]
fn who_announces_a_huge_length_is_left_at_once() {
    for_seeds(SEEDS, |seed| {
        let mut scene = Scene::new(seed, By::File, move || {
            script(move |wire, said| {
                if let Said::Open = said {
                    wire.handshake();
                    let beyond = wire.random.number(0..1 << 20) as u32;
                    let (id, length) = match seed % 8 {
                        0 => (7, u32::MAX - beyond % 16),
                        1 => (7, 9 + 16 * 1024 + 1 + beyond),
                        2 => (5, 1 << 30 | beyond),
                        3 => (20, 32 * 1024 + 2 + beyond),
                        4 => (200, 1024 * 1024 + 2 + beyond),
                        5 => (4, 6 + beyond),
                        6 => (6, 14 + beyond),
                        _ => (0, 2 + beyond),
                    };
                    wire.raw(&length.to_be_bytes());
                    wire.raw(&[id]);
                    wire.raw(&[0; 100]);
                }
            })
        });
        scene.until_closed(protocol);
        scene.completes_with_an_honest_seed();
    });
}

#[test]
fn who_sends_a_wrong_bitfield_or_have_is_left() {
    for by in [By::File, By::Magnet] {
        for_seeds(SEEDS, |seed| {
            let mut scene = Scene::new(seed, by, move || {
                script(move |wire, said| match said {
                    Said::Open => {
                        wire.handshake();
                        wire.extensions(Some(wire.content.metainfo.info.len() as u32));
                        // Seven pieces: one byte, whose lowest bit must be 0.
                        match seed % 6 {
                            0 => wire.frame(5, &[]),
                            1 => wire.frame(5, &[0xff, 0xff]),
                            2 => wire.frame(5, &[0xff]),
                            3 => wire.say(&Message::Have(PieceIndex(7))),
                            4 => wire.say(&Message::Have(PieceIndex(u32::MAX))),
                            _ => wire.frame(5, &[0xff; 5000]),
                        }
                        wire.say(&Message::Unchoke);
                    }
                    said => wire.serve(&said),
                })
            });
            scene.until_closed(protocol);
            scene.completes_with_an_honest_seed();
        });
    }
}

#[test]
fn who_repeats_its_pieces_without_end_harms_nobody() {
    for_seeds(SEEDS, |seed| {
        let mut scene = Scene::new(seed, By::File, move || {
            script(|wire, said| match said {
                Said::Open => {
                    wire.greet_as_seed();
                    wire.wake_in(Duration::from_millis(200));
                }
                Said::Wake => {
                    for _ in 0..20 {
                        match wire.random.number(0..7) {
                            0 => wire.say(&Message::HaveAll),
                            1 => wire.say(&Message::HaveNone),
                            2 => wire.frame(5, &[0xfe]),
                            3 => wire.frame(5, &[0]),
                            4 => wire.say(&Message::Have(PieceIndex(3))),
                            5 => wire.say(&Message::Choke),
                            _ => wire.say(&Message::Unchoke),
                        }
                    }
                    wire.wake_in(Duration::from_millis(200));
                }
                _ => {}
            })
        });
        scene.until_connected();
        scene.completes_with_an_honest_seed();
    });
}

// ---- metadata

#[test]
fn who_lies_about_the_size_of_the_metadata_is_left() {
    for_seeds(SEEDS, |seed| {
        let mut scene = Scene::new(seed, By::Magnet, move || {
            let mut info = Bytes::new();
            script(move |wire, said| match said {
                Said::Open => {
                    let real = wire.content.metainfo.info.len() as u32;
                    let claimed = match seed % 4 {
                        0 => real - 1 - wire.random.number(0..u64::from(real) - 1) as u32,
                        1 => real + 1 + wire.random.number(0..1000) as u32,
                        2 => real + 16 * 1024,
                        _ => 1 << 20,
                    };
                    let mut told = wire.content.metainfo.info.to_vec();
                    if seed % 8 < 4 {
                        // Keeps to its lie.
                        told.resize(claimed as usize, 0);
                    }
                    info = told.into();
                    wire.handshake();
                    wire.extensions(Some(claimed));
                    wire.say(&Message::HaveAll);
                }
                said => {
                    if let Some(piece) = Wire::metadata_request(&said) {
                        wire.send_metadata(&info, piece);
                    }
                }
            })
        });
        scene.until_closed(|reason| {
            matches!(reason, ClosedReason::Corrupt | ClosedReason::Protocol(_))
        });
        scene.completes_with_an_honest_seed();
    });
}

#[test]
fn who_sends_metadata_of_another_hash_is_banned() {
    for_seeds(SEEDS, |seed| {
        let mut scene = Scene::new(seed, By::Magnet, || {
            script(|wire, said| match Wire::metadata_request(&said) {
                Some(piece) => {
                    let mut info = wire.content.metainfo.info.to_vec();
                    let at = wire.random.index(info.len());
                    info[at] ^= 1;
                    wire.send_metadata(&info.into(), piece);
                }
                None => wire.serve(&said),
            })
        });
        scene.until_closed(|reason| *reason == ClosedReason::Corrupt);
        scene.completes_with_an_honest_seed();
    });
}

#[test]
fn who_drips_its_metadata_holds_up_nobody() {
    for_seeds(SEEDS, |seed| {
        // 8 MiB of metadata, one piece of it each nine seconds: an hour and a quarter.
        let mut scene = Scene::new(seed, By::Magnet, || {
            let mut asked = std::collections::VecDeque::new();
            script(move |wire, said| match said {
                Said::Open => {
                    wire.handshake();
                    wire.extensions(Some(8 << 20));
                    wire.say(&Message::HaveAll);
                    wire.wake_in(Duration::from_secs(9));
                }
                Said::Wake => {
                    if let Some(piece) = asked.pop_front() {
                        wire.send_metadata(&Bytes::from_static(&[b'x'; 8 << 20]), piece);
                    }
                    wire.wake_in(Duration::from_secs(9));
                }
                said => asked.extend(Wire::metadata_request(&said)),
            })
        });
        scene.until_connected();
        let since = scene.net.now;
        scene.completes_with_an_honest_seed();
        let took = scene.net.now.since(since);
        assert!(took < minutes(3), "seed {seed}: {took:?}");
    });
}

// ---- time

#[test]
fn who_says_nothing_or_drips_its_handshake_is_left() {
    for_seeds(SEEDS, |seed| {
        let mut scene = Scene::new(seed, By::File, move || {
            let mut at = 0;
            script(move |wire, said| {
                if let Said::Open | Said::Wake = said
                    && seed % 2 == 0
                {
                    let ours =
                        piecework::wire::Handshake::ours(wire.content.info_hash(), wire.peer_id);
                    wire.raw(&ours.encode()[at..=at]);
                    at += 1;
                    if at < 60 {
                        wire.wake_in(Duration::from_secs(2));
                    }
                }
            })
        });
        scene.until_closed(|reason| matches!(reason, ClosedReason::TimedOut("no handshake")));
        scene.completes_with_an_honest_seed();
    });
}

#[test]
fn who_drips_a_block_or_owes_blocks_for_ever_holds_up_nobody() {
    for_seeds(SEEDS, |seed| {
        let mut scene = Scene::new(seed, By::File, move || {
            let mut sending: Bytes = Bytes::new();
            script(move |wire, said| match said {
                Said::Wake => {
                    if seed % 2 == 0 {
                        wire.say(&Message::KeepAlive);
                    } else if !sending.is_empty() {
                        let byte = sending.split_to(1);
                        wire.raw(&byte);
                    }
                    wire.wake_in(Duration::from_secs(10));
                }
                said => match Wire::request(&said) {
                    Some(block) if sending.is_empty() => {
                        let data = wire.block(block);
                        let (piece, begin) = (block.piece, block.begin);
                        sending = Message::Piece { piece, begin, data }.to_bytes();
                        wire.wake_in(Duration::from_secs(1));
                    }
                    Some(_) => {}
                    None => wire.serve(&said),
                },
            })
        });
        scene.until_connected();
        scene.completes_with_an_honest_seed();
        let mut scene = scene;
        let _ = &mut scene;
    });
}

#[test]
fn who_never_unchokes_is_asked_for_nothing_and_the_others_are() {
    for_seeds(SEEDS, |seed| {
        let mut scene = Scene::new(seed, By::File, || {
            script(|wire, said| match said {
                Said::Open => {
                    wire.handshake();
                    wire.extensions(None);
                    wire.say(&Message::HaveAll);
                }
                said => assert!(Wire::request(&said).is_none(), "asked while it chokes"),
            })
        });
        scene.until_connected();
        scene.completes_with_an_honest_seed();
    });
}

#[test]
fn who_refuses_every_request_is_not_asked_without_end() {
    for_seeds(SEEDS, |seed| {
        let mut scene = Scene::new(seed, By::File, || {
            let mut asked = 0;
            script(move |wire, said| match Wire::request(&said) {
                Some(block) => {
                    asked += 1;
                    // Half as often as it may be: it pauses after each refusal, with up to 13 blocks asked for.
                    assert!(asked < 1_000, "asked again and again");
                    wire.say(&Message::RejectRequest(block));
                }
                None => wire.serve(&said),
            })
        });
        scene.until_connected();
        scene.net.run_for(minutes(1));
        scene.completes_with_an_honest_seed();
    });
}

// ---- to a peer that serves

/// A seed, an honest leecher, and a stranger at the seed.
fn serving(seed: u64, make: impl FnMut() -> Script + 'static) -> Scene {
    let mut net = SimNet::new(seed, NetConfig::default());
    let content = content(seed);
    let stranger = net.puppet(&content, make);
    let victim = net.node(SimNet::config());
    net.seed(victim, &content);
    Scene {
        net,
        content,
        victim,
        stranger,
    }
}

impl Scene {
    /// An honest leecher comes and gets everything from the peer that is harassed.
    fn serves_an_honest_leecher(&mut self) {
        let honest = self.net.node(SimNet::config());
        self.net.leech(honest, &self.content);
        let victim = self.victim;
        let done = self.net.run_until(minutes(30), |net| {
            within_bounds(net, victim);
            net.is_complete(honest, &self.content)
        });
        assert!(done, "the honest leecher is served");
    }
}

#[test]
fn a_flood_of_requests_is_cut_off_and_others_are_served() {
    for_seeds(SEEDS, |seed| {
        let mut scene = serving(seed, || {
            script(|wire, said| match said {
                Said::Open => {
                    wire.greet_as_leecher();
                    wire.wake_in(Duration::from_millis(50));
                }
                Said::Wake => {
                    for _ in 0..10 {
                        let blocks = wire.blocks();
                        (blocks.into_iter()).for_each(|b| wire.say(&Message::Request(b)));
                    }
                    wire.wake_in(Duration::from_millis(50));
                }
                _ => {}
            })
        });
        scene.until_closed(|r| matches!(r, ClosedReason::Protocol(t) if t.contains("requests")));
        scene.serves_an_honest_leecher();
    });
}

#[test]
fn requests_of_no_such_block_end_the_connection() {
    for_seeds(SEEDS, |seed| {
        let mut scene = serving(seed, move || {
            script(move |wire, said| {
                if let Said::Open = said {
                    wire.greet_as_leecher();
                    let (piece, begin, length) = match seed % 6 {
                        0 => (7, 0, 16 * 1024),
                        1 => (u32::MAX, u32::MAX, u32::MAX),
                        2 => (0, 32 * 1024, 16 * 1024),
                        3 => (0, 0, 32 * 1024),
                        4 => (0, 0, 0),
                        _ => (0, u32::MAX - 5, 16 * 1024),
                    };
                    wire.say(&Message::Request(BlockRef {
                        piece: PieceIndex(piece),
                        begin,
                        length,
                    }));
                }
            })
        });
        scene.until_closed(protocol);
        scene.serves_an_honest_leecher();
    });
}

#[test]
fn a_flood_of_metadata_requests_piles_up_nothing() {
    for_seeds(SEEDS, |seed| {
        let mut scene = serving(seed, || {
            script(|wire, said| match said {
                Said::Open => {
                    wire.greet_as_leecher();
                    wire.wake_in(Duration::from_millis(100));
                }
                Said::Wake => {
                    for _ in 0..200 {
                        let ask = piecework::wire::extension::MetadataMessage::Request { piece: 0 };
                        let (id, payload) =
                            (piecework::wire::extension::UT_METADATA_ID, ask.encode());
                        wire.say(&Message::Extended { id, payload });
                    }
                    wire.wake_in(Duration::from_millis(100));
                }
                _ => {}
            })
        });
        scene.until_connected();
        scene.serves_an_honest_leecher();
    });
}

// ---- many

#[test]
fn two_hundred_strangers_at_once_do_not_keep_out_the_one_honest_seed() {
    for_seeds(SEEDS, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = Content::file(seed, 100_001, 32 * 1024);
        for n in 0..200u64 {
            net.puppet(&content, move || many(n));
        }
        let victim = net.node(SimNet::config());
        net.leech(victim, &content);
        net.run_for(minutes(5));
        let honest = net.node(SimNet::config());
        net.seed(honest, &content);
        complete_within_bounds(&mut net, victim, &content, minutes(600));
    });
}

/// Six ways to be of no use, all of which look alive.
fn many(n: u64) -> Script {
    script(move |wire, said| match (n % 6, said) {
        (1..=4, Said::Wake) => {
            wire.say(&Message::KeepAlive);
            wire.wake_in(minutes(2));
        }
        // Never unchokes.
        (1, Said::Open) => {
            wire.handshake();
            wire.say(&Message::HaveAll);
            wire.wake_in(minutes(2));
        }
        // Noise.
        (2, Said::Open) => wire.raw(&[0x5a; 300]),
        // Owes every block.
        (3, Said::Open) => {
            wire.greet_as_seed();
            wire.wake_in(minutes(2));
        }
        // Has nothing and wants nothing.
        (4, Said::Open) => {
            wire.handshake();
            wire.say(&Message::HaveNone);
            wire.wake_in(minutes(2));
        }
        // Corrupt.
        (5, said) => match Wire::request(&said) {
            Some(BlockRef {
                piece,
                begin,
                length,
            }) => {
                let data = vec![n as u8; length as usize].into();
                wire.say(&Message::Piece { piece, begin, data });
            }
            None => wire.serve(&said),
        },
        // Silent.
        _ => {}
    })
}

#[test]
fn a_leecher_that_is_lost_in_mid_download_is_looked_for_soon() {
    for_seeds(SEEDS, |seed| {
        let mut net = SimNet::new(seed, NetConfig::default());
        let content = content(seed);
        let seeder = net.node(SimNet::config());
        net.seed(seeder, &content);
        net.run_for(Duration::from_secs(5));
        // It comes after the seed announced, leaves once, and does not come back by itself.
        let left = Arc::new(AtomicBool::new(false));
        let leaves = Arc::clone(&left);
        let leecher = net.puppet(&content, move || {
            let leaves = Arc::clone(&leaves);
            script(move |wire, said| match said {
                Said::Open => wire.greet_as_leecher(),
                Said::Handshake(_) => wire.wake_in(Duration::from_secs(10)),
                Said::Wake if !leaves.swap(true, Ordering::Relaxed) => wire.close(),
                _ => (),
            })
        });
        net.puppet_offers(leecher, seeder);
        assert!(net.run_until(minutes(1), |_| left.load(Ordering::Relaxed)));
        let met = |event: &&Event| matches!(event, Event::PeerConnected { .. });
        let meetings = |net: &SimNet| net.events(seeder).filter(met).count();
        assert_eq!(meetings(&net), 1);
        // The tracker asks for an announce each minute.
        assert!(net.run_until(Duration::from_secs(10), |net| meetings(net) == 2));
        assert!(net.channels(seeder, leecher) > 0);
    });
}
