//! `history`: what was bought, sold, redeemed and paid for gas. It reads the records alone, and no chain.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::args::HistoryArgs;
use super::deployment;
use super::money::check_state;
use super::output::{CliError, plain, say, say_json, tokens};
use crate::client::{Period, Receipt, Sum};
use crate::native::records::{self, StoredRecords};
use crate::native::session_key::{SessionKey, has_records};
use crate::payment::receipts::{PREFIX, Receipts};
use crate::payment::record;
use crate::payment::voucher::Vault;
use crate::time::Timestamp;
use crate::types::{InfoHash, TokenUnits};

/// Of the chain's coin, for gas.
const COIN_DECIMALS: u8 = 18;
/// A spreadsheet takes a cell that begins so for a formula, and titles come from strangers.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// The names of titles.
pub(super) type Names = BTreeMap<InfoHash, String>;

/// The lines of one vault.
struct Account {
    chain_id: u64,
    vault: String,
    lines: Vec<Receipt>,
    names: Names,
    token: Token,
}

/// How the amounts of a vault are shown.
#[derive(Clone)]
struct Token {
    decimals: u8,
    /// The token's name for itself, from the deployment file; without one "tokens".
    symbol: String,
}

/// `piecework history`
pub(super) fn history(args: &HistoryArgs) -> Result<(), CliError> {
    if args.state.is_none() && args.session_key.is_none() {
        return Err(CliError::Invalid(
            "whose history? give --state for what was sold, or --session-key for what was bought"
                .to_owned(),
        ));
    }
    let mut stored = StoredRecords::new();
    if let Some(state) = &args.state {
        check_state(state)?;
        stored.extend(read(state)?);
    }
    if let Some(file) = &args.session_key {
        let key = SessionKey::load(file).map_err(|e| CliError::Invalid(e.to_string()))?;
        if !has_records(key.records_dir()) {
            return Err(CliError::Invalid(format!(
                "{} has no records beside it: nothing was bought with it, or it is no session key (what was sold is \
                 in the seeder's folder: give --state)",
                file.display()
            )));
        }
        stored.extend(read(key.records_dir())?);
    }
    let first = args.days.map(first_day);
    let mut accounts = accounts(&stored, first, args.decimals);
    if let Some(path) = &args.deployment {
        let file = deployment::named(path)?;
        let vault = file.vault.address.to_string();
        accounts.retain(|account| (account.chain_id, &account.vault) == (file.chain_id, &vault));
        for account in &mut accounts {
            account.token = Token {
                decimals: file.token.decimals,
                symbol: file.token.symbol.clone(),
            };
        }
    }
    if args.json {
        let of = |account: &Account| {
            json!({
                "chain_id": account.chain_id,
                "vault": account.vault,
                "lines": lines_json(&account.lines, &account.names),
            })
        };
        say_json(&accounts.iter().map(of).collect());
    } else if args.csv {
        say(CSV_HEADING);
        for account in &accounts {
            account
                .lines
                .iter()
                .for_each(|line| say(&csv_line(account, line)));
        }
    } else if accounts.iter().all(|account| account.lines.is_empty()) {
        match args.days {
            Some(days) => say(&format!("nothing in the last {days} days")),
            None => say("nothing was bought, sold or redeemed yet"),
        }
    } else {
        for account in &accounts {
            say(&format!(
                "vault {} on chain {}",
                account.vault, account.chain_id
            ));
            account
                .lines
                .iter()
                .for_each(|line| say(&text_line(account, line)));
            sums(&account.lines, &account.token)
                .iter()
                .for_each(|line| say(line));
        }
    }
    Ok(())
}

fn read(state: &Path) -> Result<StoredRecords, CliError> {
    records::read(state).map_err(|e| CliError::Failed(e.to_string()))
}

/// The first of the last so many days, today among them.
fn first_day(days: u32) -> Period {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let today = Period::day(Timestamp::ZERO + now.unwrap_or_default());
    Period::Day(today.saturating_add(1).saturating_sub(days))
}

/// The lines in the records, by vault, the newest first.
fn accounts(stored: &StoredRecords, first: Option<Period>, decimals: u8) -> Vec<Account> {
    let of = |vault: Vault| {
        let (chain_id, address) = (vault.chain_id, vault.address.to_string());
        let receipts = Receipts::new(vault, stored.iter().map(|(key, value)| (key, value)));
        let mut lines = receipts.lines();
        lines.retain(|line| first.is_none_or(|first| line.period >= first));
        lines.sort_by_key(|line| Reverse(line.period));
        Account {
            chain_id,
            vault: address,
            lines,
            names: receipts.names().into_iter().collect(),
            token: Token {
                decimals,
                symbol: "tokens".to_owned(),
            },
        }
    };
    let keys = stored.iter().map(|(key, _)| key.as_str());
    let vaults: BTreeMap<String, Vault> = keys.filter_map(vault_of).collect();
    vaults.into_values().map(of).collect()
}

/// The vault that a line is of, and its part of the key.
fn vault_of(key: &str) -> Option<(String, Vault)> {
    let home = key.strip_prefix(PREFIX)?.split('/').nth(1)?;
    let (chain_id, address) = home.split_once('-')?;
    let vault = Vault {
        address: address.parse().ok()?,
        chain_id: chain_id.parse().ok()?,
    };
    (record::home(&vault) == home).then(|| (home.to_owned(), vault))
}

/// The lines of an account in JSON. Amounts are decimal text: `amount_fine` in fine units (2^-24 token units), `amount`
/// in token units, `amount_wei` in the smallest unit of the chain's coin.
pub(super) fn lines_json(lines: &[Receipt], names: &Names) -> Value {
    let of = |line: &Receipt| {
        let (kind, unit, amount) = match line.sum {
            Sum::Bought(sum) => ("bought", "amount_fine", sum.0),
            Sum::Sold(sum) => ("sold", "amount_fine", sum.0),
            Sum::Redeemed(sum) => ("redeemed", "amount", sum.0),
            Sum::Fees(sum) => ("gas", "amount_wei", sum),
        };
        json!({
            "date": line.period.to_string(),
            "kind": kind,
            "info_hash": line.title.map(InfoHash::to_hex),
            "name": line.title.and_then(|title| names.get(&title)),
            "peer": line.peer.map(|peer| peer.to_string()),
            "count": line.count,
            unit: amount.to_string(),
        })
    };
    lines.iter().map(of).collect()
}

/// Its kind, and its sum in tokens or the chain's coin, rounded down.
fn amount<'a>(line: &Receipt, token: &'a Token) -> (&'static str, String, &'a str) {
    let gas = |sum| tokens(TokenUnits(sum), COIN_DECIMALS);
    let (decimals, symbol) = (token.decimals, token.symbol.as_str());
    match line.sum {
        Sum::Bought(sum) => ("bought", tokens(sum.floor(), decimals), symbol),
        Sum::Sold(sum) => ("sold", tokens(sum.floor(), decimals), symbol),
        Sum::Redeemed(sum) => ("redeemed", tokens(sum, decimals), symbol),
        Sum::Fees(sum) => ("gas", gas(sum), "coin"),
    }
}

fn text_line(account: &Account, line: &Receipt) -> String {
    let (kind, amount, unit) = amount(line, &account.token);
    let title = line.title.map_or_else(String::new, |title| {
        let name = account.names.get(&title).map(|name| plain(name));
        name.unwrap_or_else(|| title.to_hex())
    });
    let peer = line.peer.map_or_else(String::new, |peer| peer.to_string());
    let date = line.period.to_string();
    let text = format!("{date:<10}  {kind:<8}  {amount:>14} {unit}  {title}  {peer}");
    text.trim_end().to_owned()
}

fn sums(lines: &[Receipt], token: &Token) -> Vec<String> {
    let mut sums: BTreeMap<&str, (u128, String)> = BTreeMap::new();
    for line in lines {
        let (kind, _, unit) = amount(line, token);
        let more = match line.sum {
            Sum::Bought(sum) | Sum::Sold(sum) => sum.0,
            Sum::Redeemed(sum) => sum.fine().0,
            Sum::Fees(sum) => sum,
        };
        let (sum, text) = sums.entry(kind).or_default();
        *sum = sum.saturating_add(more);
        let whole = match line.sum {
            Sum::Fees(_) => tokens(TokenUnits(*sum), COIN_DECIMALS),
            _ => tokens(crate::types::FineUnits(*sum).floor(), token.decimals),
        };
        *text = format!("{:<10}  {kind:<8}  {whole:>14} {unit}", "in all");
    }
    sums.into_values().map(|(_, text)| text).collect()
}

const CSV_HEADING: &str = "date,kind,title,info hash,peer,count,amount,unit,vault,chain\r";

fn csv_line(account: &Account, line: &Receipt) -> String {
    let (kind, amount, unit) = amount(line, &account.token);
    let name = line.title.and_then(|title| account.names.get(&title));
    let cells = [
        line.period.to_string(),
        kind.to_owned(),
        cell(&plain(name.map_or("", String::as_str))),
        line.title.map_or_else(String::new, InfoHash::to_hex),
        line.peer.map_or_else(String::new, |peer| peer.to_string()),
        line.count.to_string(),
        amount,
        cell(unit),
        account.vault.clone(),
        account.chain_id.to_string(),
    ];
    format!("{}\r", cells.join(","))
}

/// One value of a line (RFC 4180).
fn cell(text: &str) -> String {
    let safe = match text.starts_with(FORMULA) {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    match safe.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", safe.replace('"', "\"\"")),
        false => safe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FineUnits;
    use alloy_primitives::Address;

    fn account(name: &str) -> Account {
        let title = InfoHash([7; 20]);
        let line = |sum| Receipt {
            period: Period::Day(20_787),
            title: Some(title),
            peer: Some(Address::repeat_byte(0x22)),
            count: 3,
            sum,
        };
        Account {
            chain_id: 10,
            vault: "0x44".to_owned(),
            lines: vec![
                line(Sum::Bought(FineUnits((1_500_000 << 24) + 5))),
                Receipt {
                    title: None,
                    peer: None,
                    ..line(Sum::Fees(21_000))
                },
            ],
            names: [(title, name.to_owned())].into(),
            token: Token {
                decimals: 6,
                symbol: "tokens".to_owned(),
            },
        }
    }

    #[test]
    fn a_name_is_no_formula_and_breaks_no_line() {
        for (name, told) in [
            ("film.mp4", "film.mp4"),
            ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("two\nlines", "twolines"),
        ] {
            let account = account(name);
            let line = csv_line(&account, &account.lines[0]);
            assert_eq!(
                line,
                format!(
                    "2026-11-30,bought,{told},{},{},3,1.5,tokens,0x44,10\r",
                    "07".repeat(20),
                    Address::repeat_byte(0x22)
                )
            );
        }
    }

    #[test]
    fn the_vaults_are_named_by_the_keys_of_lines() {
        let vault = Vault {
            address: Address::repeat_byte(0x44),
            chain_id: 10,
        };
        let home = record::home(&vault);
        let key = format!("history/payer/{home}/d0000000001/bought/");
        assert_eq!(vault_of(&key), Some((home.clone(), vault)));
        let pay = format!("pay/payer/{home}/x");
        for other in [
            "history/payer",
            "history/payer/1-x/",
            "history/payee/01-44/",
            &pay,
        ] {
            assert_eq!(vault_of(other), None, "{other}");
        }
    }

    #[test]
    fn sums_are_in_tokens_or_coin() {
        let mut account = account("film");
        account.lines.push(account.lines[0]);
        assert_eq!(
            sums(&account.lines, &account.token),
            [
                "in all      bought                 3 tokens",
                "in all      gas       0.000000000000021 coin"
            ]
        );
    }
}
