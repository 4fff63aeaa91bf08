//! `cargo xtask demo`: the whole of Piecework on this machine, with every real part in it.
//!
//! chain -> contracts -> signaling server -> title -> seeder -> page; then a person, or the headless play-through,
//! watches. At the end, however it comes, every process that was started is stopped.

pub mod chain;
pub mod children;
pub mod programs;
mod stream;
mod video;
mod web_server;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use clap::ValueEnum as _;
use serde_json::{Map, Value, json};

use crate::{
    builds, chromium,
    failure::Failure,
    firefox, node, paths, setup,
    shell::{self, Bounded},
    stage::{say, stage},
};
use chain::{Account, Deployment, Token};
use children::Children;
pub use stream::make as make_stream;
pub use video::{Videos, film as make_film, long as make_long_film, make as make_videos};

/// How long each program may take to report that it is ready.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How long the whole play-through may take.
const PLAY_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Bytes per second of the seeder in a play-through: the video takes 13 s, the first picture much less.
const SEEDER_LIMIT: &str = "2M";

/// The seeder's process. Lines written to the pipe `seeder-commands` in the demo's folder reach it: `stats`, `redeem`
/// and the other commands of `piecework seed --help`.
const SEEDER_NAME: &str = "seeder";
/// In a paid play-through: it sells the same film without the title, for half the price, and nobody buys from it.
const UNSIGNED_NAME: &str = "unsigned-seller";

/// The creator's part of every sale, in percent: not so round that every share of a range is a whole unit.
const CREATOR_SHARE: &str = "7.35";

/// anvil's accounts, by their number in its list.
const DEPLOYER: usize = 0;
const VIEWERS: [usize; 2] = [1, 2];
const SEEDER: usize = 3;
const SINK: usize = 4;
const PUBLISHER: usize = 5;
const CREATOR: usize = 6;
const UNSIGNED_SELLER: usize = 7;

/// Builds everything and runs it: local chain, contracts, signaling server, paid seeder, page with a development wallet
#[derive(clap::Args)]
pub struct Demo {
    /// Play it through with two viewers, print the accounts, and end
    #[arg(long)]
    headless: bool,
    /// The viewers' browser; given twice, the first viewer's and the second's. Implies --headless [default: chromium]
    #[arg(long = "browser", value_enum, value_name = "BROWSER")]
    browsers: Vec<Browser>,
    /// Seed this video instead of the one made here
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Port of the page on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// The seeder's price, in dollars per gigabyte; 0 needs no wallet
    #[arg(long, default_value = "10", value_name = "DOLLARS")]
    price: String,
    /// The price of a viewer that resells, in percent of the price that it paid
    #[arg(long, default_value_t = 50, value_name = "PERCENT")]
    resale: u16,
    /// Decimals of the token: 6 is the demo's dollar
    #[arg(long, default_value_t = chain::DOLLAR_DECIMALS, value_parser = clap::value_parser!(u8).range(0..=24))]
    decimals: u8,
    /// The development wallet's abilities
    #[arg(long, value_enum, default_value_t = Wallet::Batch)]
    wallet: Wallet,
    /// Where the headless run saves its screenshot
    #[arg(
        long,
        default_value = "target/demo/screenshot.png",
        value_name = "PATH"
    )]
    screenshot: PathBuf,
    /// The folder of its files, within the demo's folder
    #[arg(skip)]
    folder: PathBuf,
}

/// The browser of a viewer in the headless run.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Browser {
    /// Chromium or Chrome, by Playwright
    Chromium,
    /// Firefox
    Firefox,
}

impl Browser {
    /// Its program; installed where Debian has it.
    fn require(self) -> Result<PathBuf, Failure> {
        match self {
            Self::Chromium => chromium::require(),
            Self::Firefox => firefox::require(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
        }
    }
}

/// The development wallet's abilities.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Wallet {
    /// EIP-5792 batches
    Batch,
    /// EIP-2612 permit signatures, no batches
    Permit,
    /// Neither: approve, then deposit
    Approve,
}

impl Wallet {
    fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Permit => "permit",
            Self::Approve => "approve",
        }
    }
}

/// Everything that runs, as the page and the play-through need to know it.
struct Scene {
    deployment: Deployment,
    token: Token,
    accounts: Accounts,
    rpc: SocketAddr,
    tracker: String,
    /// Signed by the publisher.
    torrent: PathBuf,
    magnet: String,
    content: PathBuf,
    /// Whether a seller of the unsigned torrent runs, too.
    is_sold_unsigned: bool,
}

/// anvil's accounts.
struct Accounts(Vec<Account>);

impl Accounts {
    fn at(&self, index: usize) -> Result<&Account, Failure> {
        self.0
            .get(index)
            .ok_or_else(|| Failure::failed("anvil made too few accounts"))
    }
}

/// The programs and files that a demo needs before it starts.
pub struct Prepared {
    /// The viewers' browsers by name, and Firefox's driver.
    programs: Map<String, Value>,
}

impl Prepared {
    /// For viewers in any browser.
    pub fn for_all() -> Result<Self, Failure> {
        Self::for_viewers(Browser::value_variants())
    }

    fn for_viewers(browsers: &[Browser]) -> Result<Self, Failure> {
        let play_through = paths::root().join(programs::PLAY_THROUGH);
        if !browsers.is_empty() && !play_through.is_file() {
            return Err(Failure::failed(format!(
                "{} is missing",
                programs::PLAY_THROUGH
            )));
        }
        stage("demo: node", || {
            node::require().and_then(|()| node::install_all())
        })?;
        let mut programs = Map::new();
        for browser in browsers {
            let name = browser.name();
            if !programs.contains_key(name) {
                let path = stage(&format!("demo: {name}"), || browser.require())?;
                programs.insert(name.to_owned(), json!(path));
            }
        }
        if programs.contains_key(Browser::Firefox.name()) {
            let driver = stage("demo: geckodriver", firefox::require_driver)?;
            programs.insert(firefox::DRIVER.to_owned(), json!(driver));
        }
        stage("demo: contracts", builds::contracts)?;
        stage("demo: programs", builds::binaries)?;
        builds::pages()?;
        Ok(Self { programs })
    }

    /// The viewers' browsers, for the play-through: each viewer's browser, and the path of each program.
    fn viewers(&self, browsers: &[Browser]) -> Value {
        let names: Vec<_> = browsers.iter().map(|browser| browser.name()).collect();
        json!({ "browsers": names, "programs": self.programs })
    }
}

impl Demo {
    /// As `cargo xtask test` runs it: each kind of wallet, equal prices, and a free title; in each browser, and between
    /// the two.
    pub fn play_throughs() -> [(&'static str, Self); 9] {
        use Browser::{Chromium, Firefox};
        let with = |browsers: &[Browser], wallet, resale, price: &str, folder: &str| Self {
            headless: true,
            browsers: browsers.to_vec(),
            file: None,
            port: 0,
            price: price.to_owned(),
            decimals: chain::DOLLAR_DECIMALS,
            resale,
            wallet,
            screenshot: Path::new("target/demo").join(folder).join("screenshot.png"),
            folder: PathBuf::from(folder),
        };
        let batch = Wallet::Batch;
        [
            (
                "demo, a wallet with batches",
                with(&[Chromium], batch, 50, "10", "batch"),
            ),
            (
                "demo, a wallet with permit",
                with(&[Chromium], Wallet::Permit, 50, "10", "permit"),
            ),
            (
                "demo, a wallet with neither, equal prices",
                with(&[Chromium], Wallet::Approve, 100, "10", "approve"),
            ),
            ("demo, price 0", with(&[Chromium], batch, 50, "0", "free")),
            (
                "demo, a token of 18 decimals",
                Self {
                    decimals: 18,
                    ..with(&[Chromium], Wallet::Permit, 50, "10", "decimals")
                },
            ),
            (
                "demo in Firefox",
                with(&[Firefox], batch, 50, "10", "firefox"),
            ),
            (
                "demo in Firefox, price 0",
                with(&[Firefox], batch, 50, "0", "firefox-free"),
            ),
            (
                "demo, Firefox sells to Chromium",
                with(
                    &[Firefox, Chromium],
                    Wallet::Permit,
                    50,
                    "10",
                    "firefox-chromium",
                ),
            ),
            (
                "demo, Chromium sells to Firefox",
                with(
                    &[Chromium, Firefox],
                    Wallet::Approve,
                    50,
                    "10",
                    "chromium-firefox",
                ),
            ),
        ]
    }

    /// Builds, starts, waits, stops.
    pub fn run(&self) -> Result<(), Failure> {
        let browsers = self.browsers()?;
        self.show(&Prepared::for_viewers(
            browsers.as_deref().unwrap_or_default(),
        )?)
    }

    /// Starts, waits, stops.
    pub fn show(&self, prepared: &Prepared) -> Result<(), Failure> {
        let content = match &self.file {
            Some(path) => fs::canonicalize(path).map_err(Failure::io("find", path))?,
            None => stage("demo: video", || {
                setup::ffmpeg()?;
                make_videos().map(|videos| videos.fast_start)
            })?,
        };
        let folder = paths::target().join("demo").join(&self.folder);
        let mut children = Children::new(folder.join("logs"))?;
        let scene = stage("demo: start", || {
            self.start(&mut children, &folder, content)
        })?;
        let page = web_server::serve(self.port, |address| scene.site(self, address))?;
        let result = match self.browsers()? {
            Some(browsers) => {
                let viewers = prepared.viewers(&browsers);
                self.play(&mut children, &folder, &scene, page, &viewers)
            }
            None => {
                scene.explain(page, &folder)?;
                children.wait_interrupt()
            }
        };
        say("\nstopping everything");
        drop(children);
        result
    }

    /// The transfer is as fast as the machine, so all of it may be there before the first picture, or before the second
    /// viewer has met the first. The play-through seeks into a part that is not there, and asks who gave which bytes,
    /// so it slows the transfer.
    fn seeder_limit(&self) -> Option<&'static str> {
        self.is_played().then_some(SEEDER_LIMIT)
    }

    /// Whether a program watches, and not a person.
    fn is_played(&self) -> bool {
        self.headless || !self.browsers.is_empty()
    }

    /// Dollars per gigabyte, as a number.
    fn price(&self) -> Result<f64, Failure> {
        let price = self.price.parse().ok();
        price
            .filter(|price: &f64| price.is_finite() && *price >= 0.0)
            .ok_or_else(|| {
                Failure::failed(format!(
                    "--price {}: write dollars per gigabyte, such as 10 or 0.5",
                    self.price
                ))
            })
    }

    /// The viewers' browsers, in a headless run.
    fn browsers(&self) -> Result<Option<Vec<Browser>>, Failure> {
        match self.browsers.as_slice() {
            [] => Ok(self.headless.then(|| vec![Browser::Chromium])),
            [_] | [_, _] => Ok(Some(self.browsers.clone())),
            _ => Err(Failure::failed(
                "--browser: there are two viewers, name at most two browsers",
            )),
        }
    }

    fn start(
        &self,
        children: &mut Children,
        folder: &Path,
        content: PathBuf,
    ) -> Result<Scene, Failure> {
        let anvil = children.start("anvil", &programs::anvil()?, false)?;
        let mut opening = chain::Opening::default();
        let (rpc, accounts) = children.wait_ready(anvil, READY_LIMIT, |line| opening.read(line))?;
        let accounts = Accounts(accounts);
        let key_file = |index: usize, name: &str| {
            let path = folder.join(format!("{name}.key"));
            programs::write_key(accounts.at(index)?, &path).map(|()| path)
        };
        let payers = VIEWERS
            .into_iter()
            .map(|viewer| accounts.at(viewer))
            .collect::<Result<Vec<_>, _>>()?;
        let token = chain::deploy_token(
            rpc,
            &paths::root().join("contracts/out"),
            accounts.at(DEPLOYER)?,
            &payers,
            self.decimals,
        )?;
        let contracts = emptied(folder.join("deployments"))?;
        answered(&mut programs::deploy(
            rpc,
            &key_file(DEPLOYER, "deployer")?,
            &token,
            accounts.at(SINK)?,
            &contracts,
        ))?;
        let deployment = chain::deployment_in(&contracts, rpc)?;
        say(format_args!(
            "chain {} at {rpc}: token {}, vault {}, registry {}",
            deployment.chain_id, token.address, deployment.vault, deployment.registry
        ));

        let signaling = children.start("signaling", &programs::signaling(), false)?;
        let tracker = programs::tracker_url(children.wait_ready(
            signaling,
            READY_LIMIT,
            programs::listen_address,
        )?);
        say(format_args!("signaling server: {tracker}"));

        let unsigned = folder.join("unsigned.torrent");
        answered(&mut programs::create(&content, &tracker, &unsigned))?;
        // A free title is signed too, and asks no chain.
        let is_paid = self.price()? > 0.0;
        let torrent = folder.join("demo.torrent");
        // For `piecework claim`, at the end.
        key_file(CREATOR, "creator")?;
        let title = programs::Title {
            key_file: &key_file(PUBLISHER, "publisher")?,
            creator: accounts.at(CREATOR)?,
            share: CREATOR_SHARE,
            register: is_paid.then_some(deployment.file.as_path()),
        };
        let printed = answered(&mut programs::publish(&unsigned, &title, &torrent))?;
        let magnet = programs::magnet_in(&printed)
            .ok_or_else(|| {
                Failure::failed(format!(
                    "`piecework publish` printed no magnet link: {printed}"
                ))
            })?
            .to_owned();
        say(format_args!(
            "published by {}: {CREATOR_SHARE} % of every sale for {}",
            accounts.at(PUBLISHER)?.address,
            accounts.at(CREATOR)?.address
        ));

        let mut sell = |name: &str, account: usize, torrent: &Path, price: &str| {
            let commands = programs::command_pipe(&folder.join(format!("{name}-commands")))?;
            let seeder = programs::Seeder {
                torrent,
                folder: content.parent().unwrap_or(Path::new("/")),
                state: &emptied(folder.join(name))?,
                price,
                upload_limit: self.seeder_limit(),
                key_file: &key_file(account, name)?,
                deployment: &deployment.file,
            };
            let seeder =
                children.start_with(name, &programs::seed(&seeder), false, commands.into())?;
            children.wait_ready(seeder, READY_LIMIT, programs::is_seeding)?;
            say(format_args!(
                "{name}: {} at {price} $ per GB",
                content.display()
            ));
            Ok::<_, Failure>(())
        };
        sell(SEEDER_NAME, SEEDER, &torrent, &self.price)?;
        let is_sold_unsigned = is_paid && self.is_played();
        if is_sold_unsigned {
            let cheaper = (self.price()? / 2.0).to_string();
            sell(UNSIGNED_NAME, UNSIGNED_SELLER, &unsigned, &cheaper)?;
        }
        Ok(Scene {
            deployment,
            token,
            accounts,
            rpc,
            tracker,
            torrent,
            magnet,
            content,
            is_sold_unsigned,
        })
    }

    fn play(
        &self,
        children: &mut Children,
        folder: &Path,
        scene: &Scene,
        page: SocketAddr,
        browsers: &Value,
    ) -> Result<(), Failure> {
        let config = folder.join("config.json");
        let text = scene.config(self, page, browsers, folder)?.to_string();
        fs::write(&config, text).map_err(Failure::io("write", &config))?;
        stage("demo: play", || {
            let play = children.start("play", &programs::play_through(&config), true)?;
            let status = children.wait_end(play, PLAY_LIMIT)?;
            if status.success() {
                Ok(())
            } else {
                Err(Failure::failed(format!(
                    "the play-through ended with {status}"
                )))
            }
        })
    }
}

/// The output of a program that has to end well.
fn answered(command: &mut Command) -> Result<String, Failure> {
    match shell::run_bounded(command, READY_LIMIT)? {
        Bounded::Exited(status, said, _) if status.success() => Ok(said),
        Bounded::Exited(status, said, wrong) => Err(Failure::failed(format!(
            "`{}` ended with {status}:\n{said}{wrong}",
            shell::line_of(command)
        ))),
        Bounded::TimedOut => Err(Failure::failed(format!(
            "`{}` did not end within {} s",
            shell::line_of(command),
            READY_LIMIT.as_secs()
        ))),
    }
}

/// A folder without the files of an earlier run, which would be about another chain.
fn emptied(folder: PathBuf) -> Result<PathBuf, Failure> {
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Failure::io("empty", &folder))?;
    }
    fs::create_dir_all(&folder).map_err(Failure::io("make", &folder))?;
    Ok(folder)
}

impl Scene {
    /// The document that the page gets at `/demo.json`; only this demo has one.
    fn page_config(&self, demo: &Demo) -> Value {
        let accounts = VIEWERS
            .iter()
            .filter_map(|index| self.accounts.at(*index).ok());
        let wallets = accounts.map(
            |account| json!({ "address": account.address, "privateKey": account.private_key }),
        );
        json!({
            "trackers": [self.tracker],
            // All viewers are on this machine.
            "iceServers": [],
            "torrent": "/demo.torrent",
            "magnet": self.magnet,
            "rpc": programs::rpc_url(self.rpc),
            "chainId": self.deployment.chain_id,
            "vault": self.deployment.vault,
            "token": {
                "address": self.token.address,
                "decimals": self.token.decimals,
            },
            "deployBlock": self.deployment.deploy_block,
            "symbol": "pwUSD",
            "maxPricePerGB": "15",
            "resalePercent": demo.resale,
            "wallet": demo.wallet.name(),
            "walletKeys": wallets.collect::<Vec<_>>(),
        })
    }

    /// The play-through's configuration: the page's, and the facts that only this machine knows.
    fn config(
        &self,
        demo: &Demo,
        page: SocketAddr,
        browsers: &Value,
        folder: &Path,
    ) -> Result<Value, Failure> {
        let seller = |index: usize, name: &str| {
            let account = self.accounts.at(index)?;
            Ok::<_, Failure>(json!({
                "name": name,
                "address": account.address,
                "privateKey": account.private_key,
                "commands": folder.join(format!("{name}-commands")),
                "log": folder.join(format!("logs/{name}.log")),
            }))
        };
        let unsigned_seller = self
            .is_sold_unsigned
            .then(|| seller(UNSIGNED_SELLER, UNSIGNED_NAME))
            .transpose()?;
        let creator = self.accounts.at(CREATOR)?;
        Ok(json!({
            "page": format!("http://{page}/"),
            "pageConfig": self.page_config(demo),
            "viewers": browsers,
            "content": self.content,
            "contentBytes": video::bytes_of(&self.content)?,
            "torrentFile": self.torrent,
            "pricePerGigabyte": demo.price,
            "seeder": seller(SEEDER, SEEDER_NAME)?,
            "unsignedSeller": unsigned_seller,
            "title": {
                "publisher": self.accounts.at(PUBLISHER)?.address,
                "creator": creator.address,
                "creatorKey": folder.join("creator.key"),
                "sharePercent": CREATOR_SHARE,
                "deployment": self.deployment.file,
            },
            "sink": self.accounts.at(SINK)?.address,
            "exitDelaySeconds": chain::EXIT_DELAY_SECONDS,
            "screenshot": paths::root().join(&demo.screenshot),
            "profiles": emptied(folder.join("profiles"))?,
            "piecework": programs::binary("piecework"),
            "artifacts": paths::root().join("contracts/out"),
        }))
    }

    fn site(&self, demo: &Demo, _address: SocketAddr) -> web_server::Site {
        let built = paths::root().join("www/player/dist");
        let page = if built.is_dir() {
            built
        } else {
            paths::root().join("www/player")
        };
        let torrent = fs::read(&self.torrent).unwrap_or_default();
        web_server::Site {
            folders: vec![("/piecework/", paths::root().join("www/npm")), ("/", page)],
            documents: vec![
                (
                    "/demo.json",
                    "application/json",
                    self.page_config(demo).to_string().into_bytes(),
                ),
                ("/demo.torrent", "application/x-bittorrent", torrent),
            ],
            connect_to: vec![
                self.tracker.trim_end_matches('/').to_owned(),
                programs::rpc_url(self.rpc),
            ],
        }
    }

    fn explain(&self, page: SocketAddr, folder: &Path) -> Result<(), Failure> {
        let to_pass = programs::pass_exit_delay(self.rpc, chain::EXIT_DELAY_SECONDS);
        let id = programs::title_id_in(&self.magnet);
        let about = programs::info(&self.torrent, id.map(|_| self.deployment.file.as_path()));
        let published = if let Some(id) = id {
            format!(
                "registered with {}.\n\
                 What was redeemed of it, and went to whom, stands in its public page:\n\n  \
                 http://{page}/title.html#id=0x{id}\n\n\
                 The creator has {CREATOR_SHARE} % of every sale, and claims what was redeemed:\n\n  {}",
                self.deployment.registry,
                shell::line_of(&programs::claim(
                    &folder.join("creator.key"),
                    &self.deployment.file
                ))
            )
        } else {
            "registered nowhere, because nobody pays for it.".to_owned()
        };
        say(format_args!(
            "\nOpen  http://{page}/\n\n\
             Try:  press play, choose the development wallet and deposit; then seek into a part \
             that is not there yet.\n\
             \x20     Open the page in a second browser profile: it buys most of the video from the first.\n\
             \x20     Reload, or kill the browser, in the middle: nothing verified is fetched again.\n\
             \x20     When done: redeem what you earned, exit, and move the chain's clock past the exit \
             delay to withdraw:\n\n  {to_pass}\n\n\
             The film is signed by its publisher {}, and {published}\n\n\
             Who published it, by its torrent and the chain:\n\n  {}\n\n\
             Magnet:   {}\nTorrent:  {}\nLogs:     {}\n\nCtrl-C stops everything.",
            self.accounts.at(PUBLISHER)?.address,
            shell::line_of(&about),
            self.magnet,
            self.torrent.display(),
            folder.join("logs").display(),
        ));
        Ok(())
    }
}
