//! A viewer seeks in a film, and later keeps all of it: it gets the rest from whoever sells it, with the deposit that a
//! page proposes, which holds little more than the film costs at the dearest seller.

use crate::common::player::Player;
use crate::common::{TEN_DOLLARS, TRANCHE, minutes, per_gb, ready, trader};
use piecework::client::{AddOptions, Command, Limits, ResalePrice, Source};
use piecework::time::Duration;
use piecework_simulation::{Content, NetConfig, NodeId, SimNet, for_seeds};

const PIECE: u64 = 256 * 1024;
const FILM: u64 = 12_000_000;
/// A minute.
const RATE: u64 = FILM / 60;
/// Token units: the film at ten dollars per GB, and a fifth more, in whole cents.
const ENOUGH: u128 = 150_000;

struct Scene {
    net: SimNet,
    film: Content,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let busy = [1, 30, 300, 1_000][seed as usize % 4];
        let config = NetConfig {
            latency: Duration::from_micros(100)
                ..Duration::from_millis([2, 100][seed as usize / 4 % 2]),
            uplink: 10_000_000..50_000_000,
            effect: Duration::from_micros(100)..Duration::from_millis(busy),
            ..NetConfig::default()
        };
        let mut net = SimNet::new(31_000 + seed, config);
        let film = Content::file(seed, FILM as usize, PIECE as u32);
        let config = trader(&net, 1, ResalePrice::Fixed(per_gb(TEN_DOLLARS)), None);
        let limits = Limits {
            upload_bytes_per_second: Some(2_000_000),
            ..config.limits
        };
        let seller = net.node(piecework::client::Config { limits, ..config });
        net.seed(seller, &film);
        net.watch_content(&film);
        Self { net, film }
    }

    /// Plays, seeks, keeps, and gets all of it.
    fn watches(&mut self, payee: u8, seed: u64) -> NodeId {
        let net = &mut self.net;
        let config = trader(
            net,
            payee,
            ResalePrice::PercentOfPaid(50),
            Some(per_gb(15_700_000)),
        );
        let limits = Limits {
            upload_bytes_per_second: Some(1_000_000),
            ..config.limits
        };
        let viewer = net.node(piecework::client::Config { limits, ..config });
        net.fund(viewer, ENOUGH, TRANCHE);
        let options = AddOptions {
            on_demand: true,
            ..AddOptions::default()
        };
        net.add(viewer, Source::Torrent(self.film.torrent()), options);
        ready(net, viewer, &self.film);
        let hash = self.film.info_hash();
        let mut player = Player::open(net, viewer, hash, FILM, RATE);
        for _ in 0..net.random.number(1..4) {
            let ms = net.random.number(0..3_000);
            net.run_for(Duration::from_millis(ms));
            let seconds = net.random.number(0..3);
            player.play(net, Duration::from_secs(seconds));
            let to = net.random.number(0..FILM);
            player.seek(net, to);
        }
        let seconds = net.random.number(0..4);
        player.play(net, Duration::from_secs(seconds));
        let ms = net.random.number(0..500);
        net.run_for(Duration::from_millis(ms));
        net.command(
            viewer,
            Command::SetOnDemand {
                info_hash: hash,
                on_demand: false,
                remember: true,
            },
        );
        player.play(net, Duration::from_secs(60));
        let film = &self.film;
        let done = net.run_until(minutes(10), |net| net.is_complete(viewer, film));
        let torrent = net.torrent(viewer, hash).expect("its torrent");
        if !done {
            panic!("seed {seed}, payee {payee}: {torrent:#?}");
        }
        viewer
    }
}

#[test]
fn a_viewer_that_seeks_and_then_keeps_a_film_gets_the_rest_of_it() {
    for_seeds(60, |seed| {
        let mut scene = Scene::new(seed);
        scene.watches(2, seed);
        scene.watches(3, seed);
    });
}
