//! What CONFIG.toml means: paths, keys and torrents are looked at, and sums are in the token's units.
//!
//! The same settings are flags of `seed` and `get`, so their defaults and checks are used. Asks no chain, and makes no
//! file.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use alloy_primitives::Address;
use clap::Parser;

use super::file::{self, Given, Tokens, Written};
use crate::client::{BuyConfig, PaymentConfig};
use crate::metainfo::MagnetLink;
use crate::native::cli::args::{Cli, SeedArgs, Verb, load_session_key};
use crate::native::cli::get::LOSS_BUDGET_PIECES;
use crate::native::cli::output::{CliError, parse_price, parse_tokens};
use crate::native::cli::torrent::Named;
use crate::native::cli::{deployment, seed, torrent};
use crate::native::folder::STATE_DIR;
use crate::native::session_key::{SessionKey, key_of_records};
use crate::types::FineUnits;

/// The folder below the state folder that the daemon keeps its own files in.
const OWN_DIR: &str = "serve";
/// Time between looks into the watch folder, if the operator says nothing else.
const WATCH_EVERY: u32 = 5;
/// Decimals that a token of the command line may have.
const MAX_DECIMALS: u8 = 24;

/// What the daemon is to do.
pub(super) struct Plan {
    /// CONFIG.toml, for messages.
    pub(super) path: PathBuf,
    /// The flags of `seed` that say the same.
    pub(super) seed: SeedArgs,
    pub(super) state: PathBuf,
    /// Of titles that have none of their own.
    pub(super) price: FineUnits,
    pub(super) download_limit: Option<u64>,
    pub(super) buying: Option<Buying>,
    pub(super) titles: Vec<Title>,
    pub(super) http: Option<Http>,
    pub(super) watch: Option<Watch>,
}

/// Who pays for what is fetched, and how much at the most.
pub(super) struct Buying {
    pub(super) owner: Address,
    pub(super) key: SessionKey,
    pub(super) config: BuyConfig,
}

/// A torrent that CONFIG.toml lists.
pub(super) struct Title {
    pub(super) named: Named,
    pub(super) data: PathBuf,
    /// As it is written.
    pub(super) price: Option<String>,
    pub(super) max_price: Option<FineUnits>,
    pub(super) fetch: bool,
}

/// Where the daemon takes commands.
#[derive(Clone, Debug)]
pub(in crate::native::cli) struct Http {
    pub(in crate::native::cli) listen: SocketAddr,
    pub(in crate::native::cli) token_file: PathBuf,
    /// Names, besides those of this machine, by which it may be asked.
    pub(super) hosts: Vec<String>,
}

/// A folder whose .torrent files are added.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) folder: PathBuf,
    pub(super) data: PathBuf,
    pub(super) price: Option<String>,
    pub(super) fetch: bool,
    pub(super) every: Duration,
}

impl Plan {
    /// Reads and checks all that does not need the chain.
    ///
    /// # Errors
    /// The error names CONFIG.toml, the key and the way out.
    pub(super) fn read(path: &Path) -> Result<Plan, CliError> {
        Reading::begin(path)?.plan()
    }

    /// The daemon's own folder.
    pub(super) fn own_dir(&self) -> PathBuf {
        self.state.join(OWN_DIR)
    }

    /// A price for this token, in fine units per block.
    pub(super) fn parse_price(&self, text: &str) -> Result<FineUnits, CliError> {
        parse_price(text, self.seed.chain.decimals)
    }
}

/// The address and the token file of the daemon that has this configuration.
///
/// # Errors
/// The error names CONFIG.toml, the key and the way out.
pub(in crate::native::cli) fn endpoint(path: &Path) -> Result<Http, CliError> {
    let reading = Reading::begin(path)?;
    reading.http()?.ok_or_else(|| {
        reading.wrong(
            "http",
            "there is no such table: give it `listen`, and start the daemon again",
        )
    })
}

/// Whether torrents' files may lie in a folder: not where the records are.
pub(super) fn may_hold_data(state: &Path, folder: &Path) -> bool {
    folder != state && !folder.starts_with(state.join(OWN_DIR))
}

/// CONFIG.toml, and how to speak of it.
struct Reading<'a> {
    path: &'a Path,
    /// Paths are below this folder.
    base: PathBuf,
    written: Written,
}

impl<'a> Reading<'a> {
    fn begin(path: &'a Path) -> Result<Reading<'a>, CliError> {
        let written = file::read(path)?;
        let whole = absolute(path)
            .map_err(|e| CliError::Invalid(format!("{} is not a path: {e}", path.display())))?;
        let base = whole.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Reading {
            path,
            base,
            written,
        })
    }

    fn wrong(&self, key: &str, what: impl Display) -> CliError {
        CliError::Invalid(format!("{}, {key}: {what}", self.path.display()))
    }

    /// An error of `seed` or `get`, whose flags have the names of the keys.
    fn wrong_flag(&self, key: &str, error: &CliError) -> CliError {
        let text = error.to_string().replace("--chain-id", "chain_id");
        self.wrong(key, text.replace("--", ""))
    }

    fn below(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    fn state(&self) -> PathBuf {
        match &self.written.state {
            Some(state) => self.below(state),
            None => self.below(&self.written.data).join(STATE_DIR),
        }
    }

    /// A folder for files of torrents.
    fn data(&self, key: &str, folder: Option<&PathBuf>) -> Result<PathBuf, CliError> {
        let folder = self.below(folder.unwrap_or(&self.written.data));
        if folder.exists() && !folder.is_dir() {
            return Err(self.wrong(
                key,
                format!("{} is not a folder: give one", folder.display()),
            ));
        }
        match may_hold_data(&self.state(), &folder) {
            true => Ok(folder),
            false => Err(self.wrong(
                key,
                format!(
                    "{} is for records: give data and records a folder each",
                    folder.display()
                ),
            )),
        }
    }

    fn plan(self) -> Result<Plan, CliError> {
        let state = self.state();
        if let Some(key) = key_of_records(&state) {
            return Err(self.wrong(
                "state",
                format!(
                    "that is where the records of the session key {} are: choose another folder",
                    key.display()
                ),
            ));
        }
        let mut seed = self.flags()?;
        seed.data = self.data("data", None)?;
        seed.common.state = Some(state.clone());
        self.chain(&mut seed)?;
        let price = self.sell(&mut seed)?;
        let buying = self.buy(&seed)?;
        let titles = self.titles(&seed, buying.is_some())?;
        let watch = self.watch(&seed)?;
        Ok(Plan {
            path: self.path.to_owned(),
            state,
            price,
            download_limit: self.written.limits.download.as_ref().map(|rate| rate.0.0),
            buying,
            titles,
            http: self.http()?,
            watch,
            seed,
        })
    }

    /// The flags of `seed` as they are if nobody names them, with those of network and limits.
    fn flags(&self) -> Result<SeedArgs, CliError> {
        let line = ["piecework", "seed", "-", "--data", "-"];
        let cli = Cli::try_parse_from(line).map_err(|e| CliError::Failed(e.to_string()))?;
        let Verb::Seed(mut seed) = cli.verb else {
            return Err(CliError::Failed("`seed` has no flags".to_owned()));
        };
        let (network, limits) = (&self.written.network, &self.written.limits);
        let to = &mut seed.network;
        to.tracker = (network.trackers.iter().map(|url| url.0.0.clone())).collect();
        if let Some(servers) = &network.ice_servers {
            to.ice_server = servers.iter().map(|server| server.0.clone()).collect();
            to.no_stun = servers.is_empty();
        }
        if network.relay_only && to.ice_server.is_empty() {
            return Err(self.wrong(
                "network.relay_only",
                "it needs a TURN server: name one in `ice_servers`",
            ));
        }
        to.relay_only = network.relay_only;
        to.external_ip = network.external_ip.as_ref().map(|ip| ip.0);
        to.udp_port = network.udp_port.map(u16::from);
        to.loopback = network.loopback;
        seed.upload_limit = limits.upload.as_ref().map(|rate| rate.0.0);
        seed.storage_limit = limits.storage.as_ref().map(|size| size.0.0);
        if let Some(peers) = limits.peers {
            seed.max_connections = usize::try_from(peers.get()).unwrap_or(usize::MAX);
        }
        Ok(seed)
    }

    fn chain(&self, seed: &mut SeedArgs) -> Result<(), CliError> {
        let Some(chain) = &self.written.chain else {
            return Ok(());
        };
        let to = &mut seed.chain;
        to.deployment = chain.deployment.as_ref().map(|file| self.below(file));
        to.vault = chain.vault.as_ref().map(|address| address.0);
        to.chain_id = chain.chain_id;
        to.rpc = chain.rpc.clone();
        to.token = chain.token.as_ref().map(|address| address.0);
        to.given_decimals = chain.decimals;
        if chain
            .decimals
            .is_some_and(|decimals| decimals > MAX_DECIMALS)
        {
            return Err(self.wrong(
                "chain.decimals",
                format!("write a number from 0 to {MAX_DECIMALS}"),
            ));
        }
        if to.deployment.is_none() && to.config().is_none() {
            return Err(self.wrong(
                "chain",
                "give `deployment`, or `vault`, `chain_id` and `rpc` together",
            ));
        }
        deployment::resolve(to).map_err(|e| self.wrong_flag("chain", &e))
    }

    fn tokens(
        &self,
        key: &str,
        text: Option<&Given<Tokens>>,
        seed: &SeedArgs,
    ) -> Result<Option<String>, CliError> {
        let Some(Given(Tokens(text))) = text else {
            return Ok(None);
        };
        let decimals = seed.chain.decimals;
        match parse_tokens(text, decimals) {
            Some(_) => Ok(Some(text.clone())),
            None => Err(self.wrong(
                key,
                format!("{text:?} is not a sum of this token: write at most {decimals} decimals"),
            )),
        }
    }

    /// A price, as text and in fine units per block.
    fn price(
        &self,
        key: &str,
        text: Option<&Given<Tokens>>,
        seed: &SeedArgs,
    ) -> Result<Option<(String, FineUnits)>, CliError> {
        let Some(Given(Tokens(text))) = text else {
            return Ok(None);
        };
        let price = parse_price(text, seed.chain.decimals).map_err(|e| self.wrong(key, e))?;
        if price.0 > 0 && self.written.sell.is_none() {
            return Err(self.wrong(
                key,
                "who is paid is not known: give the table [sell] with `payee_key`",
            ));
        }
        Ok(Some((text.clone(), price)))
    }

    fn sell(&self, seed: &mut SeedArgs) -> Result<FineUnits, CliError> {
        let Some(sell) = &self.written.sell else {
            return Ok(FineUnits(0));
        };
        if seed.chain.config().is_none() {
            return Err(self.wrong(
                "sell",
                "the vault is not known: give the table [chain] with `deployment`, or with `vault`, `chain_id` and `rpc`",
            ));
        }
        let key = self.below(&sell.payee_key);
        seed::load_payee(&key).map_err(|e| self.wrong("sell.payee_key", e))?;
        let min_redeem = self.tokens("sell.min_redeem", sell.min_redeem.as_ref(), seed)?;
        let least_sum = self.tokens("sell.min_redeem_sum", sell.min_redeem_sum.as_ref(), seed)?;
        let coin_price = self.tokens("sell.coin_price", sell.coin_price.as_ref(), seed)?;
        let is_zero = |text: &String| text.chars().all(|c| matches!(c, '0' | '.'));
        if coin_price.as_ref().is_some_and(is_zero) {
            return Err(self.wrong("sell.coin_price", "write tokens above 0, such as 3000"));
        }
        if let Some(percent) = sell.max_gas_percent {
            if !(1..=100).contains(&percent) {
                return Err(self.wrong("sell.max_gas_percent", "write a number from 1 to 100"));
            }
            if coin_price.is_none() {
                return Err(self.wrong(
                    "sell.max_gas_percent",
                    "gas is compared with a sum only with `coin_price`: give it",
                ));
            }
        }
        let price = self.price("sell.price", sell.price.as_ref(), seed)?;
        let to = &mut seed.payee;
        to.payee_key = Some(key);
        to.to = sell.to.as_ref().map(|address| address.0);
        to.min_bond_percent = sell.min_bond_percent.unwrap_or(to.min_bond_percent);
        to.accept_short_exit = sell.accept_short_exit;
        to.redeem_every = sell.redeem_every.unwrap_or(to.redeem_every);
        to.min_redeem = min_redeem;
        to.redeem_min = least_sum;
        to.coin_price = coin_price;
        to.max_gas_percent = sell.max_gas_percent.unwrap_or(to.max_gas_percent);
        if let Some(gwei) = &sell.max_fee_per_gas {
            to.gas.max_fee_per_gas = gwei.0.0;
        }
        to.redeem_on_exit = sell.redeem_on_exit;
        Ok(price.map_or(FineUnits(0), |(_, price)| price))
    }

    fn buy(&self, seed: &SeedArgs) -> Result<Option<Buying>, CliError> {
        let Some(buy) = &self.written.buy else {
            return Ok(None);
        };
        if seed.chain.config().is_none() {
            return Err(self.wrong(
                "buy",
                "the vault is not known: give the table [chain] with `deployment`, or with `vault`, `chain_id` and `rpc`",
            ));
        }
        let key = load_session_key(&self.below(&buy.session_key))
            .map_err(|e| self.wrong("buy.session_key", e))?;
        let decimals = seed.chain.decimals;
        let max_price = parse_price(&buy.max_price.0.0, decimals)
            .map_err(|e| self.wrong("buy.max_price", e))?;
        let budget = self.tokens("buy.budget", Some(&buy.budget), seed)?;
        let budget = budget.and_then(|text| parse_tokens(&text, decimals));
        let (Some(budget), true) = (budget.filter(|sum| sum.0 > 0), max_price.0 > 0) else {
            return Err(self.wrong(
                "buy",
                "with `max_price` or `budget` at 0 nothing is bought: leave the table out",
            ));
        };
        Ok(Some(Buying {
            owner: buy.owner.0,
            key,
            config: BuyConfig {
                max_price,
                budget,
                loss_budget_pieces: LOSS_BUDGET_PIECES,
            },
        }))
    }

    fn titles(&self, seed: &SeedArgs, buys: bool) -> Result<Vec<Title>, CliError> {
        let mut seen = BTreeMap::new();
        let mut titles = Vec::new();
        for (at, torrent) in self.written.torrents.iter().enumerate() {
            let key = |name: &str| format!("torrent[{at}].{name}");
            let mut named = self
                .source(&torrent.source)
                .map_err(|e| self.wrong(&key("source"), e))?;
            if let Some(first) = seen.insert(named.info_hash, at) {
                return Err(self.wrong(
                    &key("source"),
                    format!("that is torrent[{first}] again: list each torrent once"),
                ));
            }
            let max_price = match &torrent.max_price {
                Some(_) if !buys => {
                    return Err(self.wrong(
                        &key("max_price"),
                        "who pays is not known: give the table [buy]",
                    ));
                }
                Some(text) => Some(
                    parse_price(&text.0.0, seed.chain.decimals)
                        .map_err(|e| self.wrong(&key("max_price"), e))?,
                ),
                None => None,
            };
            named.options.web_seeds = torrent
                .web_seeds
                .iter()
                .map(|url| url.0.0.clone())
                .collect();
            let price = self.price(&key("price"), torrent.price.as_ref(), seed)?;
            titles.push(Title {
                named,
                data: self.data(&key("data"), torrent.data.as_ref())?,
                price: price.map(|(text, _)| text),
                max_price,
                fetch: torrent.fetch,
            });
        }
        Ok(titles)
    }

    /// A .torrent file beside CONFIG.toml or anywhere, a link, or an info hash.
    fn source(&self, text: &str) -> Result<Named, CliError> {
        let file = self.below(Path::new(text));
        match file.to_str() {
            Some(file) if text.parse::<MagnetLink>().is_err() || Path::new(file).exists() => {
                torrent::read(file)
            }
            _ => torrent::read(text),
        }
    }

    fn http(&self) -> Result<Option<Http>, CliError> {
        let Some(http) = &self.written.http else {
            return Ok(None);
        };
        let listen = http.listen.0;
        if !listen.ip().is_loopback() && !http.allow_remote {
            return Err(self.wrong(
                "http.listen",
                format!(
                    "other machines can reach {listen}, and the token would cross the network as it is: write 127.0.0.1:{}, or `allow_remote = true` where a proxy ends TLS",
                    listen.port()
                ),
            ));
        }
        let is_name = |host: &&String| {
            !host.is_empty()
                && host
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
        };
        if let Some(host) = http.hosts.iter().find(|host| !is_name(host)) {
            return Err(self.wrong(
                "http.hosts",
                format!("{host:?} is not a name: write such as seeder.example, without a port"),
            ));
        }
        Ok(Some(Http {
            listen,
            token_file: match &http.token_file {
                Some(file) => self.below(file),
                None => self.state().join(OWN_DIR).join("token"),
            },
            hosts: http.hosts.clone(),
        }))
    }

    fn watch(&self, seed: &SeedArgs) -> Result<Option<Watch>, CliError> {
        let Some(watch) = &self.written.watch else {
            return Ok(None);
        };
        let folder = self.below(&watch.folder);
        if !folder.is_dir() {
            return Err(self.wrong(
                "watch.folder",
                format!("{} is not a folder: make it first", folder.display()),
            ));
        }
        let price = self.price("watch.price", watch.price.as_ref(), seed)?;
        let every = watch.every.map_or(WATCH_EVERY, u32::from);
        Ok(Some(Watch {
            folder,
            data: self.data("watch.data", watch.data.as_ref())?,
            price: price.map(|(text, _)| text),
            fetch: watch.fetch,
            every: Duration::from_secs(u64::from(every)),
        }))
    }
}

/// What the core is to know of the money.
pub(super) fn payment(plan: &Plan, sells: Option<PaymentConfig>) -> Option<PaymentConfig> {
    let Some(buying) = &plan.buying else {
        return sells;
    };
    let chain = plan.seed.chain.config()?;
    Some(PaymentConfig {
        vault: chain.vault,
        chain_id: chain.chain_id,
        buy: Some(buying.config.clone()),
        sell: sells.and_then(|sells| sells.sell),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::keys::KeyPair;
    use crate::types::TokenUnits;

    #[test]
    fn the_settings_become_what_the_flags_of_seed_are() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        KeyPair::create(&at("payee.key")).unwrap();
        SessionKey::create(&at("session.key")).unwrap();
        let vault = Address::repeat_byte(0xaa);
        let text = format!(
            r#"
            data = "data"
            state = "state"
            [network]
            trackers = ["wss://tracker.example"]
            ice_servers = ["turn:user:password@turn.example.com"]
            relay_only = true
            udp_port = 7000
            [limits]
            upload = "1M"
            download = "2M"
            peers = 7
            storage = "3G"
            [chain]
            vault = "{vault}"
            chain_id = 10
            rpc = "http://127.0.0.1:9"
            decimals = 18
            [sell]
            payee_key = "payee.key"
            price = "0.5"
            redeem_every = 5
            min_redeem = "0.25"
            min_redeem_sum = 2
            coin_price = "3000"
            max_gas_percent = 20
            max_fee_per_gas = "0.5"
            redeem_on_exit = true
            min_bond_percent = 200
            accept_short_exit = true
            [buy]
            owner = "{vault}"
            session_key = "session.key"
            max_price = 3
            budget = 4
            [http]
            listen = "[::1]:7070"
            [watch]
            folder = "."
            data = "watched"
            price = "0"
            fetch = false
            every = 60
            [[torrent]]
            source = "145a73e4e56a7b54f636ffb3c24ea103ad3133a9"
            data = "/elsewhere"
            price = 7
            max_price = 2
            fetch = false
            web_seeds = ["https://cdn.example/films/"]
            "#
        );
        let path = at("serve.toml");
        std::fs::write(&path, text).unwrap();
        let plan = Plan::read(&path).unwrap();
        let price = |text: &str| parse_price(text, 18).unwrap();
        let seed = &plan.seed;
        assert_eq!((&seed.data, &plan.state), (&at("data"), &at("state")));
        assert_eq!(seed.network.tracker, ["wss://tracker.example"]);
        assert_eq!(seed.network.ice_server.len(), 1);
        assert!(seed.network.relay_only && !seed.network.no_stun && !seed.network.loopback);
        assert_eq!(seed.network.udp_port, Some(7000));
        assert_eq!(
            (seed.upload_limit, plan.download_limit),
            (Some(1 << 20), Some(2 << 20))
        );
        assert_eq!(
            (seed.max_connections, seed.storage_limit),
            (7, Some(3 << 30))
        );
        let chain = seed.chain.config().unwrap();
        assert_eq!(
            (chain.vault, chain.chain_id, seed.chain.decimals),
            (vault, 10, 18)
        );
        let payee = &seed.payee;
        assert_eq!(payee.payee_key, Some(at("payee.key")));
        assert_eq!((payee.redeem_every, payee.max_gas_percent), (5, 20));
        assert_eq!(payee.min_redeem.as_deref(), Some("0.25"));
        assert_eq!(payee.redeem_min.as_deref(), Some("2"));
        assert_eq!(payee.coin_price.as_deref(), Some("3000"));
        assert_eq!(
            (payee.gas.max_fee_per_gas, payee.min_bond_percent),
            (500_000_000, 200)
        );
        assert!(payee.redeem_on_exit && payee.accept_short_exit);
        assert_eq!(plan.price, price("0.5"));
        let buying = plan.buying.as_ref().unwrap();
        assert_eq!(buying.config.max_price, price("3"));
        assert_eq!(buying.config.budget, TokenUnits(4 * 10u128.pow(18)));
        let http = plan.http.as_ref().unwrap();
        assert_eq!(http.token_file, at("state/serve/token"));
        let watch = plan.watch.as_ref().unwrap();
        assert_eq!((&watch.data, watch.every.as_secs()), (&at("watched"), 60));
        assert_eq!((watch.price.as_deref(), watch.fetch), (Some("0"), false));
        let title = plan.titles.first().unwrap();
        assert_eq!(title.data, Path::new("/elsewhere"));
        assert_eq!((title.price.as_deref(), title.fetch), (Some("7"), false));
        assert_eq!(title.max_price, Some(price("2")));
        assert_eq!(
            title.named.options.web_seeds,
            ["https://cdn.example/films/"]
        );
        let both = payment(&plan, None).unwrap();
        assert!(both.buy.is_some() && both.sell.is_none());
    }

    #[test]
    fn what_is_left_out_is_as_the_flags_of_seed_are_if_nobody_names_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serve.toml");
        std::fs::write(&path, "data = \"films\"").unwrap();
        let plan = Plan::read(&path).unwrap();
        let seed = &plan.seed;
        assert_eq!(plan.state, dir.path().join("films/.piecework"));
        assert_eq!((seed.max_connections, seed.upload_limit), (200, None));
        assert_eq!(
            (seed.payee.redeem_every, seed.payee.max_gas_percent),
            (60, 10)
        );
        assert!(!seed.network.no_stun && seed.network.ice_server.is_empty());
        assert!(plan.http.is_none() && plan.watch.is_none() && payment(&plan, None).is_none());
    }
}
