//! `seed`: serves torrents until it is stopped.

use std::io::BufRead;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::args::{ChainArgs, PayeeArgs, SeedArgs, load_key};
use super::history;
use super::interrupt::Interrupt;
use super::money::tell_others_claims;
use super::output::{CliError, bytes, complain, parse_price, parse_tokens, say, say_json, tokens};
use super::payout::{Payout, redeemed_line};
use super::redeeming::Redeemed;
use super::runner::{Runner, Wish, money_json};
use super::standing::is_whole;
use super::torrent;
use super::worth::Worth;
use crate::client::{
    Config, Credit, Limits, PaymentConfig, ResalePrice, SellConfig, TorrentSnapshot, TorrentState,
};
use crate::native::chain::Chain;
use crate::native::driver::{NativeConfig, Snapshot};
use crate::native::keys::KeyPair;
use crate::native::session_key::is_marked;
use crate::types::{FineUnits, TokenUnits};

/// Longest command line on stdin, bytes; a longer one is refused.
const MAX_LINE_LEN: usize = 1024;
/// Time between looks at the peers.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// `piecework seed`
pub(super) async fn seed(args: SeedArgs) -> Result<(), CliError> {
    let decimals = args.chain.decimals;
    let price = parse_price(&args.price, decimals)?;
    args.network.check()?;
    args.common.check_state()?;
    let state = args.common.state_dir(&args.data);
    let payout = match &args.payee.payee_key {
        None if price.0 > 0 => {
            return Err(CliError::Invalid(
                "--price needs --payee-key: make one with `piecework key new FILE`".to_owned(),
            ));
        }
        _ => payout(&args.payee, &args.chain, &state, price.0 > 0).await?,
    };
    if let Some(text) = large_dust(&args.payee, price, decimals, "--coin-price or --min-redeem") {
        complain(&text);
    }
    let torrents = args
        .torrents
        .iter()
        .map(|input| torrent::read(input))
        .collect::<Result<Vec<_>, _>>()?;
    if !args.data.is_dir() {
        return Err(CliError::Invalid(format!(
            "{} is not a folder: give the folder with the data by --data",
            args.data.display()
        )));
    }
    let trackers: Vec<String> = torrents
        .iter()
        .flat_map(|named| named.magnet.trackers.iter().cloned())
        .collect();
    let config = client_config(&args, payout.as_ref(), price);
    if let (Some(payout), Some(chain)) = (&payout, args.chain.config()) {
        tell_others_claims(&state, &chain, payout.payee.address(), decimals)?;
    }
    let native = NativeConfig {
        client: config,
        transport: args.network.transport(&trackers),
        data_dir: args.data.clone(),
        state_dir: state,
        repair: args.repair,
        local_web_seeds: args.web_seeds.local_web_seeds,
        chain: args.chain.config(),
        session_key: None,
    };
    let mut interrupt = Interrupt::new()?;
    let mut runner = Runner::start(native, payout, args.common.json, decimals)?;
    runner.announces = true;
    for mut named in torrents {
        named.options.price = Some(price);
        named.options.web_seeds.clone_from(&args.web_seeds.web_seed);
        let wish = if args.repair {
            Wish::Repair
        } else {
            Wish::Serve
        };
        runner
            .add(named, wish, args.recheck, &args.network.tracker)
            .await?;
    }
    let served = serve(
        &mut runner,
        &mut interrupt,
        args.common.stats,
        args.stdin_commands,
        args.payee.redeem_every,
    )
    .await;
    // Earnings and served data are durable, however the run ended.
    let finished = finish(runner, &mut interrupt, args.payee.redeem_on_exit).await;
    served.and(finished)
}

/// What the core of a seeder is to know, with the price of titles that have none of their own.
pub(super) fn client_config(args: &SeedArgs, payout: Option<&Payout>, price: FineUnits) -> Config {
    let mut config = Config {
        trackers: args.network.tracker.clone(),
        limits: Limits {
            max_connections: args.max_connections,
            max_connections_per_torrent: args.max_connections,
            upload_bytes_per_second: args.upload_limit,
            storage_bytes: args.storage_limit,
            upload_slots: 16,
            ..Limits::default()
        },
        ..Config::default()
    };
    args.web_seeds.configure(&mut config);
    config.payment = payout.and_then(|payout| {
        Some(PaymentConfig {
            vault: args.chain.vault?,
            chain_id: args.chain.chain_id?,
            buy: None,
            sell: Some(sell_config(payout, &args.payee, ResalePrice::Fixed(price))),
        })
    });
    config
}

/// The terms on which a payee sells.
pub(super) fn sell_config(payout: &Payout, args: &PayeeArgs, price: ResalePrice) -> SellConfig {
    SellConfig {
        payee: payout.payee.address(),
        price,
        min_bond_percent: args.min_bond_percent,
        credit: Credit::default(),
        dust: payout.dust,
    }
}

fn sum(flag: &str, text: &str, decimals: u8) -> Result<TokenUnits, CliError> {
    parse_tokens(text, decimals).ok_or_else(|| {
        CliError::Invalid(format!(
            "{flag} {text:?} is not a sum: write tokens with at most {decimals} decimals, such as 2"
        ))
    })
}

/// The least sum of a redemption. Where the coin's price is known, its gas decides.
fn redeem_min(args: &PayeeArgs, decimals: u8) -> Result<TokenUnits, CliError> {
    match (&args.redeem_min, &args.coin_price) {
        (Some(text), _) => sum("--min-redeem-sum", text, decimals),
        (None, Some(_)) => Ok(TokenUnits(1)),
        (None, None) if args.min_redeem.is_some() => {
            let least = min_redeem(args, decimals)?;
            Ok(TokenUnits(least.0.saturating_mul(5)))
        }
        // A twentieth of a token.
        (None, None) => {
            let one = 10u128.saturating_pow(u32::from(decimals));
            Ok(TokenUnits(one / 20).max(SellConfig::dust_of(decimals)))
        }
    }
}

/// The least worth of a claim where gas is not looked at.
fn min_redeem(args: &PayeeArgs, decimals: u8) -> Result<TokenUnits, CliError> {
    let Some(text) = &args.min_redeem else {
        return Ok(SellConfig::dust_of(decimals));
    };
    let least = sum("--min-redeem", text, decimals)?;
    match least.0 {
        0 => Err(CliError::Invalid("--min-redeem must be above 0".to_owned())),
        _ => Ok(least),
    }
}

fn worth(args: &PayeeArgs, decimals: u8) -> Result<Option<Worth>, CliError> {
    (args.coin_price.as_deref())
        .map(|text| Worth::new(text, decimals, args.max_gas_percent))
        .transpose()
}

/// What is to be said where a hundredth of a token, the least that is sold, is worth much: nobody would buy that at
/// once. `remedy`: what to name.
pub(super) fn large_dust(
    args: &PayeeArgs,
    price: FineUnits,
    decimals: u8,
    remedy: &str,
) -> Option<String> {
    let dust = SellConfig::dust_of(decimals);
    let is_named = args.min_redeem.is_some() || args.coin_price.is_some();
    let is_large = price.0 > 0 && dust > price.per_gb_from_per_block();
    (is_large && !is_named).then(|| {
        format!(
            "nothing below {} tokens is sold at a time, which is more than 10^9 bytes cost here: name {remedy}",
            tokens(dust, decimals)
        )
    })
}

/// A key to be paid by.
pub(super) fn load_payee(key_file: &Path) -> Result<KeyPair, CliError> {
    let payee = load_key(key_file)?;
    if is_marked(key_file).unwrap_or(false) {
        return Err(CliError::Invalid(format!(
            "{} is a session key, with which a buyer pays: make a payee key with `piecework key new FILE`",
            key_file.display()
        )));
    }
    Ok(payee)
}

/// The payee, if a key names one. `sells`: something has a price from the start.
pub(super) async fn payout(
    args: &PayeeArgs,
    chain_args: &ChainArgs,
    state: &Path,
    sells: bool,
) -> Result<Option<Payout>, CliError> {
    let Some(key_file) = &args.payee_key else {
        return Ok(None);
    };
    let payee = load_payee(key_file)?;
    let config = chain_args.required("selling")?;
    let chain = Chain::new(&config)
        .and_then(|chain| chain.remembering(state, payee.address()))
        .map_err(|e| CliError::Invalid(e.to_string()))?;
    let mut payout = Payout {
        to: args.to.unwrap_or_else(|| payee.address()),
        max_fee_per_gas: args.gas.max_fee_per_gas,
        redeem_min: redeem_min(args, chain_args.decimals)?,
        worth: worth(args, chain_args.decimals)?,
        dust: min_redeem(args, chain_args.decimals)?,
        follows: args.min_redeem.is_none().then(Default::default),
        accept_short_exit: args.accept_short_exit,
        ..Payout::new(chain, payee)
    };
    if sells {
        payout.check_vault(chain_args.decimals).await?;
    }
    Ok(Some(payout))
}

/// Until it is to stop. Due claims are redeemed every `redeem_secs`; 0: only on command.
pub(super) async fn serve(
    runner: &mut Runner,
    interrupt: &mut Interrupt,
    stats_secs: u64,
    stdin_commands: bool,
    redeem_secs: u64,
) -> Result<(), CliError> {
    let mut look = interval(LOOK_INTERVAL);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stats = interval(Duration::from_secs(stats_secs));
    stats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stats.tick().await;
    let redeems = redeem_secs > 0 && runner.payout.is_some();
    let mut redeem = interval(Duration::from_secs(redeem_secs.max(1)));
    redeem.set_missed_tick_behavior(MissedTickBehavior::Delay);
    redeem.tick().await;
    runner.look_at_gas();
    let (lines_tx, mut lines) = mpsc::channel(16);
    if stdin_commands {
        read_stdin(lines_tx)?;
    } else {
        drop(lines_tx);
    }
    let mut lines_end = !stdin_commands;
    loop {
        tokio::select! {
            woken = runner.next() => runner.handle_woken(woken).await?,
            _ = look.tick() => {
                let snapshot = runner.look().await?;
                if nothing_to_serve(&snapshot) {
                    return Err(CliError::Failed(
                        "every torrent failed, and nothing is left to serve".to_owned(),
                    ));
                }
                // A buyer that owes as much as it may waits for it.
                if redeems && runner.wants_redemption() {
                    runner.redeem_due().await?;
                }
            }
            _ = stats.tick() => {
                let snapshot = runner.look().await?;
                runner.note("stats", &runner.summary(&snapshot), || stats_line(&snapshot, runner.decimals));
            }
            _ = redeem.tick(), if redeems => {
                runner.look_at_gas();
                runner.redeem_due().await?;
            }
            line = lines.recv(), if !lines_end => match line {
                Some(line) => {
                    if answer(runner, interrupt, line.trim()).await? {
                        return Ok(());
                    }
                }
                None => lines_end = true,
            },
            () = interrupt.wait() => return Ok(()),
        }
    }
}

/// Whether no torrent is of use any more. One over the storage limit serves what it has.
fn nothing_to_serve(snapshot: &Snapshot) -> bool {
    let failed = |torrent: &TorrentSnapshot| {
        torrent.state == TorrentState::Failed && torrent.verified_bytes == 0
    };
    !snapshot.torrents.is_empty() && snapshot.torrents.iter().all(failed)
}

/// Redeems if asked to, stops, and reports the sums. An operator that interrupts a redemption wants that it ends, too.
pub(super) async fn finish(
    mut runner: Runner,
    interrupt: &mut Interrupt,
    redeem: bool,
) -> Result<(), CliError> {
    runner.end_redemption(interrupt, redeem).await?;
    if redeem && runner.may_redeem() {
        for report in runner.redeem_all(interrupt).await?.reports {
            runner.note("redeemed", &report, || redeemed_line(&report));
        }
    }
    let snapshot = runner.look().await?;
    let summary = runner.summary(&snapshot);
    let (json, decimals) = (runner.json, runner.decimals);
    runner.shut_down().await?;
    if json {
        say_json(&super::runner::with_event("summary", summary));
    } else {
        say(&stats_line(&snapshot, decimals));
        say("stopped");
    }
    Ok(())
}

pub(super) fn stats_line(snapshot: &Snapshot, decimals: u8) -> String {
    let peers: usize = snapshot.torrents.iter().map(|t| t.peers.len()).sum();
    let up: u64 = snapshot.torrents.iter().map(|t| t.uploaded).sum();
    let down: u64 = snapshot.torrents.iter().map(|t| t.downloaded).sum();
    let money = &snapshot.client.money;
    let mut line = format!(
        "stats  peers {peers}  up {}/s ({})  down {}/s ({})",
        bytes(snapshot.client.upload_rate),
        bytes(up),
        bytes(snapshot.client.download_rate),
        bytes(down)
    );
    let incomplete = snapshot.torrents.iter().filter(|t| !is_whole(t)).count();
    if incomplete > 0 {
        line.push_str(&format!(
            "  incomplete {incomplete} of {}",
            snapshot.torrents.len()
        ));
    }
    if money.redeemable.0 > 0 || money.redeemed.0 > 0 {
        line.push_str(&format!(
            "  redeemable {}  redeemed {}",
            tokens(money.redeemable, decimals),
            tokens(money.redeemed, decimals)
        ));
    }
    if money.spent.0 > 0 {
        line.push_str(&format!(
            "  spent {}",
            tokens(money.spent.floor(), decimals)
        ));
    }
    line
}

fn read_stdin(lines: mpsc::Sender<String>) -> Result<(), CliError> {
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let mut stdin = std::io::stdin().lock();
            loop {
                let mut line = Vec::new();
                let limit = MAX_LINE_LEN as u64 + 1;
                match std::io::Read::take(&mut stdin, limit).read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
                // A line that is cut is no command, and the answer says so.
                let line = String::from_utf8_lossy(&line).into_owned();
                if lines.blocking_send(line).is_err() {
                    return;
                }
            }
        })
        .map(drop)
        .map_err(|e| CliError::Failed(format!("stdin cannot be read: {e}")))
}

/// One command; `true` ends the program.
async fn answer(
    runner: &mut Runner,
    interrupt: &mut Interrupt,
    line: &str,
) -> Result<bool, CliError> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let reply = |ok: bool, value: Value| {
        let mut reply = json!({"command": verb, "ok": ok});
        if let (Value::Object(reply), Value::Object(value)) = (&mut reply, value) {
            reply.extend(value);
        }
        say_json(&reply);
    };
    match verb {
        "" => {}
        "quit" => {
            reply(true, json!({}));
            return Ok(true);
        }
        "stats" => {
            let snapshot = runner.look().await?;
            reply(true, runner.summary(&snapshot));
        }
        "history" => {
            let (lines, names) = runner.receipts().await?;
            let lines = history::lines_json(&lines, &names.into_iter().collect());
            reply(true, json!({"lines": lines}));
        }
        "price" => match set_price(runner, rest.trim()).await {
            Ok(price) => reply(true, json!({"price_fine": price.0.to_string()})),
            Err(error) => reply(false, json!({"error": error.to_string()})),
        },
        "redeem" if runner.payout.is_none() => {
            reply(
                false,
                json!({"error": "there is no payee: start with --payee-key"}),
            );
        }
        "redeem" => {
            let Redeemed {
                reports: batches,
                interrupted,
            } = runner.redeem_all(interrupt).await?;
            let ok = !interrupted && batches.iter().all(|batch| batch["ok"] == json!(true));
            let snapshot = runner.look().await?;
            reply(
                ok,
                json!({"batches": batches, "money": money_json(&snapshot.client.money)}),
            );
            return Ok(interrupted);
        }
        _ => reply(
            false,
            json!({"error": "unknown command: write stats, history, price TOKENS_PER_GB, redeem or quit"}),
        ),
    }
    Ok(false)
}

async fn set_price(runner: &mut Runner, text: &str) -> Result<FineUnits, CliError> {
    let price = parse_price(text, runner.decimals)?;
    runner.set_price(price).await?;
    Ok(price)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(more: &[&str]) -> PayeeArgs {
        let words = ["piecework", "seed", "x", "--data", ".", "--payee-key", "k"];
        let words = words.iter().chain(more);
        match <super::super::args::Cli as clap::Parser>::parse_from(words).verb {
            super::super::args::Verb::Seed(args) => args.payee,
            _ => panic!("another verb"),
        }
    }

    #[test]
    fn the_least_redemption_is_a_twentieth_of_a_token_of_any_decimals() {
        for (decimals, units) in [(0, 10), (1, 10), (6, 50_000), (18, 50_000_000_000_000_000)] {
            assert_eq!(redeem_min(&args(&[]), decimals).unwrap().0, units);
        }
        // An earlier version's name is still good.
        for flag in ["--min-redeem-sum", "--redeem-min"] {
            assert_eq!(redeem_min(&args(&[flag, "2"]), 0).unwrap().0, 2);
            assert!(redeem_min(&args(&[flag, "0.5"]), 0).is_err());
        }
        let by_gas = args(&["--coin-price", "0.05"]);
        assert_eq!(redeem_min(&by_gas, 8).unwrap().0, 1, "gas decides");
    }

    #[test]
    fn the_least_claim_is_named_or_a_hundredth_of_a_token() {
        let least =
            |more: &[&str], decimals| min_redeem(&args(more), decimals).map(|units| units.0);
        assert_eq!(least(&[], 6).unwrap(), 10_000);
        assert_eq!(least(&[], 0).unwrap(), 10);
        let named = ["--min-redeem", "0.0000003"];
        assert_eq!(least(&named, 8).unwrap(), 30);
        assert_eq!(redeem_min(&args(&named), 8).unwrap().0, 150);
        for (text, decimals) in [("0", 6), ("0.5", 0), ("x", 6)] {
            let error = least(&["--min-redeem", text], decimals).unwrap_err();
            assert!(error.to_string().contains("--min-redeem"), "{error}");
        }
    }

    #[test]
    fn that_a_hundredth_of_a_token_is_much_is_said_unless_the_operator_named_something() {
        let said = |price: &str, decimals, more: &[&str]| {
            let price = parse_price(price, decimals).unwrap();
            large_dust(&args(more), price, decimals, "--coin-price or --min-redeem")
        };
        // 60,000 dollars each: ten dollars for a GB.
        let text = said("0.00016667", 8, &[]).unwrap();
        assert!(
            text.contains("0.01 tokens") && text.contains("--min-redeem"),
            "{text}"
        );
        assert_eq!(said("0.00016667", 8, &["--min-redeem", "0.0000003"]), None);
        assert_eq!(said("0.00016667", 8, &["--coin-price", "0.05"]), None);
        assert_eq!(said("10", 6, &[]), None);
        assert_eq!(said("0", 6, &[]), None);
        assert_eq!(said("10000000", 18, &[]), None);
    }
}
