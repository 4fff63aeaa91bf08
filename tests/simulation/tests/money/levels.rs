//! A player of a stream asks for segments and takes its wishes back, again and again: what was sent and not watched
//! uses up no credit for good.

use std::collections::BTreeSet;

use crate::common::{DEPOSIT, TEN_DOLLARS, TRANCHE, per_gb, ready, trader};
use piecework::client::{AddOptions, Command, Limits, ResalePrice, Source};
use piecework::time::Duration;
use piecework::types::StreamId;
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, for_seeds};

const BLOCK: u64 = 16 * 1024;
/// As many blocks as a seller gives on credit at first.
const PIECE: u64 = 16 * BLOCK;
/// Levels and segments.
const SEGMENTS: usize = 30;
const JUMPS: usize = 12;

/// Who chokes the viewer, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chokes {
    /// The seller, when the viewer has all that it was interested in.
    Seldom,
    /// The seller, again and again: somebody sets its upload slots to none and back.
    Often,
}

struct Scene {
    net: SimNet,
    show: Content,
    segments: Vec<u64>,
    seller: NodeId,
    viewer: NodeId,
    /// What the seller is set to.
    limits: Limits,
}

fn scene(seed: u64) -> Scene {
    let ms = Duration::from_millis;
    let busy = [1, 30, 300][seed as usize % 3];
    let config = NetConfig {
        latency: ms(5)..ms(150),
        uplink: 60_000..1_500_000,
        effect: Duration::from_micros(100)..ms(busy),
        ..NetConfig::default()
    };
    let mut net = SimNet::new(21_000 + seed, config);
    let segments: Vec<u64> = (0..SEGMENTS)
        .map(|_| net.random.number(60_000..500_000))
        .collect();
    let lengths: Vec<usize> = segments.iter().map(|length| *length as usize).collect();
    let show = Content::folder(seed, &lengths, PIECE as u32);
    let config = trader(&net, 1, ResalePrice::Fixed(per_gb(TEN_DOLLARS)), None);
    let limits = config.limits.clone();
    let seller = net.node(config);
    net.seed(seller, &show);
    let resale = ResalePrice::PercentOfPaid(50);
    let config = trader(&net, 2, resale, Some(per_gb(2 * TEN_DOLLARS)));
    let viewer = net.node(config);
    net.fund(viewer, DEPOSIT, TRANCHE);
    let options = AddOptions {
        on_demand: true,
        ..AddOptions::default()
    };
    net.watch_content(&show);
    net.add(viewer, Source::Torrent(show.torrent()), options);
    ready(&mut net, viewer, &show);
    Scene {
        net,
        show,
        segments,
        seller,
        viewer,
        limits,
    }
}

impl Scene {
    /// Lets this many milliseconds pass.
    fn pass(&mut self, ms: u64, chokes: Chokes) {
        if chokes == Chokes::Often && self.net.random.one_in(3) {
            let before = self.net.random.number(0..ms + 1);
            self.net.run_for(Duration::from_millis(before));
            self.slots(0);
            let pause = self.net.random.number(0..400);
            self.net.run_for(Duration::from_millis(pause));
            self.slots(8);
        }
        self.net.run_for(Duration::from_millis(ms));
    }

    /// Reads any segment.
    fn asks(&mut self, asked: &mut BTreeSet<u64>) -> StreamId {
        let file = self.net.random.index(SEGMENTS);
        let (from, length) = (
            self.segments[..file].iter().sum::<u64>(),
            self.segments[file],
        );
        asked.extend(from / PIECE..(from + length).div_ceil(PIECE));
        let hash = self.show.info_hash();
        self.net
            .read(self.viewer, hash, file as u32, 0..length, None)
    }

    fn slots(&mut self, upload_slots: usize) {
        let limits = Limits {
            upload_slots,
            ..self.limits.clone()
        };
        self.net.command(self.seller, Command::SetLimits(limits));
    }

    /// Each block that was sent is of a piece that was read, came once, and is paid once its piece is verified.
    fn nothing_twice(&self, pieces_read: u64, seed: u64) {
        let hash = self.show.info_hash();
        let torrent = self.net.torrent(self.viewer, hash).expect("its torrent");
        let begun = self
            .net
            .client(self.viewer)
            .load()
            .partial_bytes
            .div_ceil(BLOCK);
        let verified = torrent.verified_bytes.div_ceil(BLOCK);
        let sent = (self.net.watch.sent(self.seller, self.viewer, hash)).div_ceil(BLOCK);
        let revealed = self.net.watch.books.revealed(self.viewer, [1; 20].into());
        let paid = (revealed.0 / per_gb(TEN_DOLLARS).0) as u64;
        let all = format!("seed {seed}: {paid} paid, {begun} begun, {}", self.story());
        assert_eq!(torrent.wasted, 0, "{all}");
        assert!((verified..=sent).contains(&paid), "{all}");
        assert!(sent <= verified + begun, "{all}");
        assert!(sent <= 16 * pieces_read, "{all}");
    }

    fn story(&self) -> String {
        let hash = self.show.info_hash();
        let torrent = self.net.torrent(self.viewer, hash).expect("its torrent");
        let peers: Vec<_> = (torrent.peers.iter())
            .map(|p| {
                (
                    p.requests_out,
                    p.peer_choking,
                    p.buying.note.clone(),
                    p.buying.blocks,
                )
            })
            .collect();
        let (wasted, verified) = (torrent.wasted / BLOCK, torrent.verified_bytes);
        let sent = self
            .net
            .watch
            .sent(self.seller, self.viewer, hash)
            .div_ceil(BLOCK);
        format!("{peers:?}, {sent} blocks sent, {wasted} wasted, {verified} bytes verified")
    }
}

#[test]
fn a_player_that_changes_its_mind_gets_what_it_waits_for_and_pays_for_nothing_twice() {
    for_seeds(200, |seed| {
        let chokes = match seed / 3 % 2 {
            0 => Chokes::Seldom,
            _ => Chokes::Often,
        };
        let mut scene = scene(seed);
        let mut asked = BTreeSet::new();
        for jump in 0..JUMPS {
            for _ in 0..scene.net.random.number(0..4) {
                let stream = scene.asks(&mut asked);
                let ms = scene.net.random.number(0..1_200);
                scene.pass(ms, chokes);
                scene.net.close_stream(scene.viewer, stream);
                if scene.net.random.one_in(2) {
                    let ms = scene.net.random.number(0..800);
                    scene.pass(ms, chokes);
                }
            }
            let stream = scene.asks(&mut asked);
            let viewer = scene.viewer;
            let done = (scene.net).run_until(Duration::from_secs(60), |net| {
                net.reader(viewer, stream).end.is_some()
            });
            assert!(
                done,
                "seed {seed}, jump {jump}, {chokes:?}: {}",
                scene.story()
            );
        }
        scene.net.run_for(Duration::from_secs(30));
        scene.nothing_twice(asked.len() as u64, seed);
    });
}
