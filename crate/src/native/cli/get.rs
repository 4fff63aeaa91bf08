//! `get`: fetches one torrent.

use std::path::Path;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, U256};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::args::{GetArgs, load_session_key};
use super::interrupt::Interrupt;
use super::money::tell_others_claims;
use super::output::{
    CliError, ProgressLine, bytes, complain, duration, parse_price, parse_tokens, plain, say,
    sentence, tokens,
};
use super::runner::{Runner, Wish, Woken};
use super::select::{Choice, selected};
use super::{seed, torrent, web_seeds};
use crate::client::{
    BuyConfig, Command, Config, Event, Limits, PaymentConfig, ResalePrice, TorrentSnapshot,
    TorrentState,
};
use crate::native::chain::{Chain, ChainConfig, ChainError};
use crate::native::driver::{NativeConfig, Snapshot};
use crate::native::session_key::{OnChain, SessionKey, is_marked};
use crate::payment::voucher::{Vault, account_id};

const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Time between looks at the price of gas while what comes is sold again.
const GAS_INTERVAL: Duration = Duration::from_secs(60);
/// The loss budget of docs/protocol.md, "Constants".
pub(super) const LOSS_BUDGET_PIECES: u32 = 4;

/// `piecework get`
pub(super) async fn get(args: GetArgs) -> Result<(), CliError> {
    args.network.check()?;
    let mut named = torrent::read(&args.torrent)?;
    args.common.check_state()?;
    let choice = Choice::of(&args)?;
    let session_key = (args.session_key.as_deref())
        .map(load_session_key)
        .transpose()?;
    let buy = buy(&args, session_key.as_ref())?;
    // Without payments the peer promises nothing, and needs no records.
    let session_key = session_key.filter(|_| buy.is_some());
    let state = args.common.state_dir(&args.output);
    let resale = resale_price(&args)?;
    let payout = match (&args.payee.payee_key, resale) {
        (Some(_), None) => {
            return Err(CliError::Invalid(
                "--payee-key has no effect without --sell-price or --resell: nothing is sold"
                    .to_owned(),
            ));
        }
        _ => seed::payout(&args.payee, &args.chain, &state, true).await?,
    };
    if let (Some(key), Some(owner)) = (session_key.clone(), args.owner) {
        let chain = args.chain.required("paying")?;
        warn_of_bare_key(&args);
        let decimals = args.chain.decimals;
        tokio::task::spawn_blocking(move || claim(&key, owner, &chain, decimals))
            .await
            .map_err(|e| CliError::Failed(e.to_string()))??;
    }
    make_folder(&args.output)?;
    named.options.max_price = buy.as_ref().map(|buy| buy.max_price);
    if let Some(ResalePrice::Fixed(price)) = resale {
        named.options.price = Some(price);
    }
    let sell = payout
        .as_ref()
        .zip(resale)
        .map(|(payout, price)| seed::sell_config(payout, &args.payee, price));
    if let (Some(payout), Some(chain)) = (&payout, args.chain.config()) {
        tell_others_claims(&state, &chain, payout.payee.address(), args.chain.decimals)?;
    }
    let payment = match (args.chain.config(), buy.is_some() || sell.is_some()) {
        (Some(chain), true) => Some(PaymentConfig {
            vault: chain.vault,
            chain_id: chain.chain_id,
            buy,
            sell,
        }),
        _ => None,
    };
    named.options.web_seeds.clone_from(&args.web_seeds.web_seed);
    let mut native = NativeConfig {
        client: Config {
            trackers: args.network.tracker.clone(),
            limits: Limits {
                upload_bytes_per_second: args.upload_limit,
                storage_bytes: args.storage_limit,
                ..Limits::default()
            },
            payment,
            ..Config::default()
        },
        transport: args.network.transport(&named.magnet.trackers),
        data_dir: args.output.clone(),
        state_dir: state,
        repair: args.repair,
        local_web_seeds: args.web_seeds.local_web_seeds,
        chain: args.chain.config(),
        session_key: session_key.clone(),
    };
    args.web_seeds.configure(&mut native.client);
    let mut interrupt = Interrupt::new()?;
    let mut runner = Runner::start(native, payout, args.common.json, args.chain.decimals)?;
    runner.announces = args.seed;
    runner.choice = choice;
    if let (Some(owner), Some(key)) = (args.owner, &session_key) {
        runner
            .handle
            .command(Command::SetAccount {
                owner,
                session_key: key.pair.address(),
            })
            .await
            .map_err(|e| CliError::Failed(e.to_string()))?;
    }
    runner
        .add(named, Wish::Fetch, args.recheck, &args.network.tracker)
        .await?;
    let redeems = args.payee.redeem_every > 0;
    match fetch(&mut runner, &mut interrupt, args.common.stats, redeems).await {
        Ok(()) => {}
        Err(error) => {
            runner.end_redemption(&mut interrupt, false).await?;
            let snapshot = runner.look().await;
            // The fetched pieces stay, whatever ended the run.
            runner.shut_down().await?;
            let done = snapshot.ok().map_or(0.0, |s| percent(&s));
            return Err(match error {
                CliError::Interrupted(_) => CliError::Interrupted(format!(
                    "stopped at {done:.1} %: run the same command to go on"
                )),
                other => other,
            });
        }
    }
    let served = match args.seed {
        true => {
            seed::serve(
                &mut runner,
                &mut interrupt,
                args.common.stats,
                false,
                args.payee.redeem_every,
            )
            .await
        }
        false => Ok(()),
    };
    // Earnings and served data are durable, however the run ended.
    let finished = seed::finish(runner, &mut interrupt, args.payee.redeem_on_exit).await;
    served.and(finished)
}

/// Makes the folder that holds data, so that its default state folder can lie in it.
fn make_folder(path: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(path).map_err(|e| {
        CliError::Invalid(format!(
            "{} cannot be used: {e}: choose another folder",
            path.display()
        ))
    })
}

/// A key from before its records began may have copies, and nothing tells them from it.
fn warn_of_bare_key(args: &GetArgs) {
    let bare = |file: &&Path| is_marked(file).is_ok_and(|marked| !marked);
    if let Some(file) = args.session_key.as_deref().filter(bare) {
        complain(&format!(
            "{} was not made with `piecework key new --session`: make sure that there is no copy of it, which could promise the same money again",
            file.display()
        ));
    }
}

/// Makes sure that price and budget are in the token's own units, and that every promise of the key is in the records
/// here.
pub(super) fn claim(
    key: &SessionKey,
    owner: Address,
    config: &ChainConfig,
    decimals: u8,
) -> Result<(), CliError> {
    let chain = Chain::new(config).map_err(|e| CliError::Invalid(e.to_string()))?;
    let failed = |e: ChainError| CliError::Failed(e.to_string());
    chain
        .check()
        .and_then(|()| chain.check_decimals(decimals))
        .map_err(failed)?;
    let account = account_id(owner, key.pair.address());
    let vault = Vault {
        address: config.vault,
        chain_id: config.chain_id,
    };
    key.claim(&vault, account, || {
        let state = chain.account(account, U256::ZERO).map_err(failed)?;
        Ok(match (state.known, state.consumed) {
            (false, _) => OnChain::NeverOpened,
            // The first serial is consumed when an account is opened.
            (true, ..=1) => OnChain::Unused,
            (true, _) => OnChain::Used,
        })
    })
}

/// The price at which the title is sold again, if it is.
fn resale_price(args: &GetArgs) -> Result<Option<ResalePrice>, CliError> {
    match (&args.sell_price, args.resell) {
        (Some(text), _) => {
            let price = parse_price(text, args.chain.decimals)?;
            Ok(Some(ResalePrice::Fixed(price)))
        }
        (None, percent) => Ok(percent.map(ResalePrice::PercentOfPaid)),
    }
}

fn buy(args: &GetArgs, key: Option<&SessionKey>) -> Result<Option<BuyConfig>, CliError> {
    let decimals = args.chain.decimals;
    let max_price = parse_price(&args.max_price, decimals)?;
    let budget = parse_tokens(&args.budget, decimals).ok_or_else(|| {
        CliError::Invalid(format!(
            "--budget {:?} is not a sum: write tokens, such as 2 or 0.5",
            args.budget
        ))
    })?;
    if max_price.0 == 0 {
        if key.is_some() || budget.0 > 0 {
            complain(
                "--owner, --session-key and --budget have no effect without --max-price: only what is free is fetched",
            );
        }
        return Ok(None);
    }
    let chain = args.chain.required("paying");
    if key.is_none() || budget.0 == 0 {
        let also = match chain {
            Ok(_) => "",
            Err(_) => ", and --deployment, or --vault, --chain-id and --rpc",
        };
        return Err(CliError::Invalid(format!(
            "--max-price needs --owner and --session-key of an open account, and a --budget above 0{also}"
        )));
    }
    chain?;
    Ok(Some(BuyConfig {
        max_price,
        budget,
        loss_budget_pieces: LOSS_BUDGET_PIECES,
    }))
}

/// Until all is there and verified. `redeems`: due claims of what is sold meanwhile are redeemed.
async fn fetch(
    runner: &mut Runner,
    interrupt: &mut Interrupt,
    stats_secs: u64,
    redeems: bool,
) -> Result<(), CliError> {
    let mut line = ProgressLine::new(!runner.json);
    let mut look = interval(LOOK_INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = Instant::now();
    // What is sold meanwhile has the least worth that gas allows, as in `seed`.
    let sells = redeems && runner.payout.is_some();
    let mut gas = interval(GAS_INTERVAL);
    gas.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let failed = tokio::select! {
            woken = runner.next() => {
                let failed = match &woken {
                    Woken::Event(Event::Failed { text, .. }) => Some(sentence(text)),
                    _ => None,
                };
                line.clear();
                // The text is printed once, as the program's last error.
                if failed.is_none() || runner.json {
                    runner.handle_woken(woken).await?;
                }
                failed
            }
            _ = look.tick() => {
                let snapshot = runner.look().await?;
                // A buyer that owes as much as it may waits for it.
                if redeems && runner.may_redeem() && runner.wants_redemption() {
                    runner.redeem_due().await?;
                }
                if line.is_shown() {
                    line.set(&progress(&snapshot, runner.decimals));
                } else if said.elapsed().as_secs() >= stats_secs {
                    said = Instant::now();
                    runner.note("progress", &runner.summary(&snapshot), || {
                        progress(&snapshot, runner.decimals)
                    });
                }
                None
            }
            _ = gas.tick(), if sells => {
                runner.look_at_gas();
                None
            }
            () = interrupt.wait() => {
                line.clear();
                return Err(CliError::Interrupted(String::new()));
            }
        };
        if let Some(text) = failed {
            return Err(CliError::Failed(text));
        }
        if runner.all_complete() {
            line.clear();
            let snapshot = runner.look().await?;
            for torrent in &snapshot.torrents {
                let value = json!({
                    "info_hash": torrent.info_hash.to_hex(),
                    "name": torrent.name,
                    "total_length": torrent.total_length,
                    "selected_length": torrent.selected_length,
                });
                runner.note("complete", &value, || {
                    let (files, of) = selected(torrent);
                    let part = match files < of {
                        true => format!(", {files} of {of} files"),
                        false => String::new(),
                    };
                    format!(
                        "complete {} {} ({}{part})",
                        torrent.info_hash,
                        plain(&torrent.name),
                        bytes(torrent.selected_length)
                    )
                });
            }
            if !runner.json {
                say("all pieces are verified and stored");
            }
            return Ok(());
        }
    }
}

fn percent(snapshot: &Snapshot) -> f64 {
    let total: u64 = snapshot.torrents.iter().map(|t| t.selected_length).sum();
    let done: u64 = snapshot.torrents.iter().map(|t| t.selected_verified).sum();
    100.0 * done as f64 / total.max(1) as f64
}

fn progress(snapshot: &Snapshot, decimals: u8) -> String {
    let Some(torrent) = snapshot.torrents.first() else {
        return String::new();
    };
    let doing = match torrent.state {
        TorrentState::FetchingMetadata => {
            return format!("waiting for the metadata  peers {}", torrent.peers.len());
        }
        TorrentState::Checking => "checking  ",
        _ => "",
    };
    let mut line = format!(
        "{doing}{:.1} %  {} of {}  {}/s  {}  peers {}",
        percent(snapshot),
        bytes(torrent.selected_verified),
        bytes(torrent.selected_length),
        bytes(torrent.download_rate),
        time_left(torrent),
        torrent.peers.len()
    );
    line.push_str(&web_seeds::active(&torrent.web_seeds));
    if torrent.spent.0 > 0 {
        line.push_str(&format!(
            "  paid {}",
            tokens(torrent.spent.floor(), decimals)
        ));
    }
    line
}

fn time_left(torrent: &TorrentSnapshot) -> String {
    let missing = (torrent.selected_length).saturating_sub(torrent.selected_verified);
    match missing.checked_div(torrent.download_rate) {
        Some(seconds) => format!("{} left", duration(seconds)),
        None => "-:-- left".to_owned(),
    }
}
