//! `key`, `redeem` and `balance`.

use std::collections::BTreeMap;
use std::path::Path;

use alloy_primitives::{Address, U256};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::args::{BalanceArgs, KeyArgs, KeyVerb, RedeemArgs, load_key};
use super::interrupt::Interrupt;
use super::output::{CliError, complain, say, say_json, tokens, utc};
use super::payout::{Payout, redeemed_line, units_in_tokens};
use super::redeeming::Redeemed;
use super::runner::{Runner, money_json};
use crate::client::{Config, Credit, PaymentConfig, ResalePrice, SellConfig};
use crate::native::chain::{Chain, ChainConfig, ChainError};
use crate::native::driver::NativeConfig;
use crate::native::folder::STATE_DIR;
use crate::native::keys::{KeyError, KeyPair};
use crate::native::records::{self, RECORDS_FILE, RecordsError, StoredRecords};
use crate::native::session_key::{SessionKey, has_records, key_of_records};
use crate::native::transport::TransportConfig;
use crate::payment::record::{self, PayeeRangeLife, PayeeRangeRecord};
use crate::payment::voucher::{Vault, account_id};
use crate::types::{FineUnits, TokenUnits};

/// `piecework key`
pub(super) fn key(args: &KeyArgs) -> Result<(), CliError> {
    let pair = match &args.verb {
        KeyVerb::New {
            file,
            session: true,
        } => SessionKey::create(file)?.pair,
        KeyVerb::New { file, .. } => KeyPair::create(file).map_err(|e| match e {
            KeyError::Entropy(_) => CliError::Failed(e.to_string()),
            _ => CliError::Invalid(e.to_string()),
        })?,
        KeyVerb::Address { file } => load_key(file)?,
    };
    say(&pair.address().to_string());
    Ok(())
}

/// `piecework redeem`
pub(super) async fn redeem(args: RedeemArgs) -> Result<(), CliError> {
    let payee = load_key(&args.payee_key)?;
    let config = args.chain.required("redeeming")?;
    check_state(&args.state)?;
    let decimals = args.chain.decimals;
    tell_others_claims(&args.state, &config, payee.address(), decimals)?;
    let to = args.to.unwrap_or_else(|| payee.address());
    let chain = Chain::new(&config)
        .and_then(|chain| chain.remembering(&args.state, payee.address()))
        .map_err(|e| CliError::Invalid(e.to_string()))?;
    let mut interrupt = Interrupt::new()?;
    check_decimals(chain.clone(), decimals).await?;
    let payout = Payout {
        to,
        max_fee_per_gas: args.gas.max_fee_per_gas,
        ..Payout::new(chain, payee)
    };
    let mut runner = offline(&args.state, &config, payout, args.json, decimals)?;
    let money = runner.look().await?.client.money;
    if args.dry_run {
        runner.shut_down().await?;
        if args.json {
            say_json(&json!({"dry_run": true, "money": money_json(&money)}));
        } else {
            say(&format!(
                "redeemable {} tokens from {} ranges ({} token units; {} fine units before flooring)",
                tokens(money.redeemable, decimals),
                money.redeemable_ranges,
                money.redeemable.0,
                money.redeemable_fine.0
            ));
        }
        return Ok(());
    }
    let redeemed = runner.redeem_all(&mut interrupt).await;
    let after = runner.look().await?.client.money;
    // Also after a failure: ranges may have been closed, and that must be durable.
    runner.shut_down().await?;
    let Redeemed {
        reports: batches,
        interrupted,
    } = redeemed?;
    if args.json {
        say_json(&json!({"batches": batches, "money": money_json(&after)}));
    } else if batches.is_empty() && !interrupted {
        say("nothing to redeem");
    } else {
        for batch in &batches {
            say(&redeemed_line(batch));
            for range in batch["ranges"].as_array().into_iter().flatten() {
                let text = |key: &str| range[key].as_str().unwrap_or("-").to_owned();
                say(&format!(
                    "  serials {}+{} of {}: due {} tokens, rest {} fine units, {}",
                    range["first"],
                    range["count"],
                    text("owner"),
                    units_in_tokens(&text("due"), decimals),
                    text("rest_fine"),
                    text("status")
                ));
            }
        }
    }
    match batches.iter().find(|batch| batch["ok"] != json!(true)) {
        Some(batch) if interrupted => Err(CliError::Interrupted(redeemed_line(batch))),
        Some(batch) => Err(CliError::Failed(redeemed_line(batch))),
        None if interrupted => Err(CliError::Interrupted(ChainError::Stopped.to_string())),
        None => Ok(()),
    }
}

/// The worth of a transaction is counted in tokens.
async fn check_decimals(chain: Chain, decimals: u8) -> Result<(), CliError> {
    spawn_blocking(move || chain.check_decimals(decimals))
        .await
        .map_err(|e| CliError::Failed(e.to_string()))?
        .map_err(|e| CliError::Failed(e.to_string()))
}

/// Names the claims of a state folder that are not redeemed with this key, at this vault. Without it, an operator that
/// gives another key or vault would read that nothing was earned.
pub(super) fn tell_others_claims(
    state: &Path,
    config: &ChainConfig,
    payee: Address,
    decimals: u8,
) -> Result<(), CliError> {
    if !has_records(state) {
        return Ok(());
    }
    let vault = Vault {
        address: config.vault,
        chain_id: config.chain_id,
    };
    let stored = records::read(state).map_err(|e| match e {
        RecordsError::Database(..) => CliError::Failed(e.to_string()),
        _ => CliError::Invalid(e.to_string()),
    })?;
    for ((home, of), due) in others_claims(&stored, &vault, payee) {
        let (sum, at) = match home.split_once('-') {
            Some((chain, address)) if home != record::home(&vault) => (
                format!("{} token units", due.0),
                format!(" and the vault 0x{address} on chain {chain}"),
            ),
            _ => (format!("{} tokens", tokens(due, decimals)), String::new()),
        };
        complain(&format!(
            "{} holds claims of {of} on {sum}, which are not redeemed now: redeem them with the key of {of}{at}",
            state.display()
        ));
    }
    Ok(())
}

/// Sums of claims for other keys than `payee` and at other vaults, by vault and key.
fn others_claims(
    stored: &StoredRecords,
    vault: &Vault,
    payee: Address,
) -> BTreeMap<(String, Address), TokenUnits> {
    let ours = record::home(vault);
    let mut sums = BTreeMap::new();
    for (key, value) in stored {
        let parts: Vec<&str> = key.split('/').collect();
        let ["pay", "payee", home, _, "range", _] = parts[..] else {
            continue;
        };
        let Some(range) = PayeeRangeRecord::decode(value) else {
            continue;
        };
        let of = range.voucher.payee;
        let due = range.voucher.due(range.k, range.tranche);
        let is_open = match range.life {
            PayeeRangeLife::Open | PayeeRangeLife::Closed | PayeeRangeLife::Claimed => true,
            PayeeRangeLife::Redeemed(_) | PayeeRangeLife::Presumed(_) | PayeeRangeLife::Lost => {
                false
            }
        };
        if is_open && due.0 > 0 && (home != ours || of != payee) {
            let sum: &mut TokenUnits = sums.entry((home.to_owned(), of)).or_default();
            sum.0 = sum.0.saturating_add(due.0);
        }
    }
    sums
}

/// Refuses a folder without a seeder's records: opening it would make empty ones, and earnings would look like nothing.
pub(super) fn check_state(state: &Path) -> Result<(), CliError> {
    let problem = if let Some(key) = key_of_records(state) {
        format!(
            "has the records of the session key {}, not a seeder's",
            key.display()
        )
    } else if has_records(state) {
        return Ok(());
    } else {
        format!("is not a state folder: there is no {RECORDS_FILE} in it")
    };
    let inner = state.join(STATE_DIR);
    let remedy = match has_records(&inner) {
        true => inner.display().to_string(),
        false => format!("the seeder's --state, or {STATE_DIR} in its data folder"),
    };
    Err(CliError::Invalid(format!(
        "{} {problem}: give {remedy}",
        state.display()
    )))
}

/// A peer without torrents and trackers, for the claims in its records.
fn offline(
    state: &Path,
    config: &ChainConfig,
    payout: Payout,
    json: bool,
    decimals: u8,
) -> Result<Runner, CliError> {
    let native = NativeConfig {
        client: Config {
            use_torrent_trackers: false,
            payment: Some(PaymentConfig {
                vault: config.vault,
                chain_id: config.chain_id,
                buy: None,
                sell: Some(SellConfig {
                    payee: payout.payee.address(),
                    price: ResalePrice::Fixed(FineUnits(0)),
                    min_bond_percent: 0,
                    credit: Credit::default(),
                    dust: SellConfig::dust_of(decimals),
                }),
            }),
            ..Config::default()
        },
        transport: TransportConfig::default(),
        data_dir: state.to_owned(),
        state_dir: state.to_owned(),
        repair: false,
        local_web_seeds: false,
        chain: Some(config.clone()),
        session_key: None,
    };
    Runner::start(native, Some(payout), json, decimals)
}

/// `piecework balance`
pub(super) async fn balance(args: BalanceArgs) -> Result<(), CliError> {
    let config = args.chain.required("a balance")?;
    let decimals = args.chain.decimals;
    args.state.as_deref().map(check_state).transpose()?;
    let payee = args.payee_key.as_deref().map(load_key).transpose()?;
    let session = args.session_key.as_deref().map(load_key).transpose()?;
    let account = args
        .owner
        .zip(session)
        .map(|(owner, key)| account_id(owner, key.address()));
    if payee.is_none() && account.is_none() {
        return Err(CliError::Invalid(
            "whose balance? give --payee-key, or --owner and --session-key".to_owned(),
        ));
    }
    let earned = match (&payee, &args.state) {
        (Some(payee), Some(state)) => {
            tell_others_claims(state, &config, payee.address(), decimals)?;
            let chain = Chain::new(&config).map_err(|e| CliError::Invalid(e.to_string()))?;
            // It redeems nothing.
            let payout = Payout::new(chain, payee.clone());
            let mut runner = offline(state, &config, payout, args.json, decimals)?;
            let money = runner.look().await?.client.money;
            runner.shut_down().await?;
            Some(money)
        }
        _ => None,
    };
    let address = payee.map(|payee| payee.address());
    let read = move || -> Result<_, ChainError> {
        let chain = Chain::new(&config)?;
        chain.check()?;
        chain.check_decimals(decimals)?;
        let token = chain.token()?;
        let held = address
            .map(|address| {
                Ok::<_, ChainError>((
                    chain.token_balance(token, address)?,
                    chain.rpc().native_balance(address)?,
                ))
            })
            .transpose()?;
        let deposit = account
            .map(|account| chain.account(account, U256::ZERO))
            .transpose()?;
        Ok((token, held, deposit))
    };
    let (token, held, deposit) = spawn_blocking(read)
        .await
        .map_err(|e| CliError::Failed(e.to_string()))?
        .map_err(|e| CliError::Failed(e.to_string()))?;
    if args.json {
        say_json(&json!({
            "token": token.to_string(),
            "payee": address.map(|a| a.to_string()),
            "token_balance": held.map(|(tokens, _)| tokens.0.to_string()),
            "native_balance_wei": held.map(|(_, wei)| wei.to_string()),
            "earned": earned.as_ref().map(money_json),
            "account": account.map(|a| a.to_string()),
            "deposit": deposit.as_ref().map(|d| json!({
                "known": d.known,
                "balance": d.balance.0.to_string(),
                "bond": d.bond.0.to_string(),
                "tranche": d.tranche.0.to_string(),
                "consumed": d.consumed,
                "exit_at": d.exit_at,
                "block": d.block_number,
            })),
        }));
        return Ok(());
    }
    if let (Some(address), Some((units, wei))) = (address, held) {
        say(&format!("payee       {address}"));
        say(&format!(
            "holds       {} tokens, {wei} wei",
            tokens(units, decimals)
        ));
    }
    if let Some(money) = earned {
        say(&format!(
            "redeemable  {} tokens from {} ranges",
            tokens(money.redeemable, decimals),
            money.redeemable_ranges
        ));
        say(&format!(
            "redeemed    {} tokens",
            tokens(money.redeemed, decimals)
        ));
    }
    if let (Some(account), Some(state)) = (account, deposit) {
        say(&format!("account     {account}"));
        if state.known {
            say(&format!(
                "deposit     {} tokens, bond {}, {} serials consumed",
                tokens(state.balance, decimals),
                tokens(state.bond, decimals),
                state.consumed
            ));
            if state.exit_at > 0 {
                say(&format!(
                    "exiting     withdrawable at {} (Unix time {})",
                    utc(state.exit_at),
                    state.exit_at
                ));
            }
        } else {
            say("deposit     none: the account was never opened");
        }
    }
    Ok(())
}
