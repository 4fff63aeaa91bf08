//! `splitter create`, and `claim --splitter`.

use alloy_primitives::Address;
use serde_json::json;

use super::deposits::Work;
use super::desk::{Desk, failed};
use super::output::{CliError, complain, say, say_json};
use super::owner_args::ClaimArgs;
use super::title_args::{SplitterArgs, SplitterCreateArgs, SplitterVerb};
use crate::native::splitting::{Factory, Shares, due, recipients};

/// `piecework splitter`
pub(super) fn splitter(args: &SplitterArgs) -> Result<(), CliError> {
    let SplitterVerb::Create(args) = &args.verb;
    create(args)
}

fn create(args: &SplitterCreateArgs) -> Result<(), CliError> {
    let shares = Shares::new(args.shares.clone())
        .map_err(|why| CliError::Invalid(format!("these are no shares of a splitter: {why}")))?;
    let mut desk = Desk::of(&args.sender)?;
    let Some(splitters) = desk.deployment.splitters else {
        return Err(CliError::Invalid(format!(
            "{} names no factory of splitters: `piecework vault deploy` makes one",
            args.sender.deployment.display()
        )));
    };
    desk.chain.check().map_err(failed)?;
    let chain = desk.chain.clone();
    let factory = Factory {
        chain: &chain,
        address: splitters.address,
    };
    let place = shares
        .address(splitters.address)
        .map_err(|e| CliError::Failed(e.to_string()))?;
    let total: u64 = shares
        .parts()
        .iter()
        .map(|(_, part)| u64::from(*part))
        .sum();
    for (to, part) in shares.parts() {
        desk.will(format!("{to} gets {part} of {total} parts"));
    }
    let found = factory.is_there(place).map_err(failed)?;
    if found {
        complain(&format!("the splitter is there already: {place}"));
    } else if args.sender.dry_run {
        (factory.rehearse(&shares, desk.key.address(), desk.cap)).map_err(failed)?;
        complain(&format!("it would be made at {place}; nothing is sent"));
    } else {
        let sent = (factory.create(&shares, &desk.key, desk.cap)).map_err(failed)?;
        desk.note("create", &sent);
        if !factory.is_there(place).map_err(failed)? {
            return Err(CliError::Failed(format!(
                "transaction {} is in a block, and there is no splitter at {place}: the factory of the file is another contract, or the RPC server lies",
                sent.hash
            )));
        }
    }
    if args.sender.json {
        say_json(&desk.json(json!({"splitter": place.to_string(), "found": found})));
    } else {
        say(&place.to_string());
    }
    Ok(())
}

/// `piecework claim --splitter`
pub(super) fn claim(args: &ClaimArgs, splitter: Address) -> Result<(), CliError> {
    let mut work = Work::begin(&args.owner, "a claim")?;
    let chain = work.chain.clone();
    let token = chain.token().map_err(failed)?;
    let all = recipients(&chain, splitter).map_err(|error| {
        CliError::Failed(format!("{splitter} is no splitter on this chain: {error}"))
    })?;
    let own = work.owner.address();
    let paid = match args.own {
        true if !all.contains(&own) => {
            return Err(CliError::Failed(format!(
                "{own} is no recipient of the splitter {splitter}: leave out --own, or check --owner-key"
            )));
        }
        true => vec![own],
        false => all,
    };
    let dues = || -> Result<Vec<(Address, crate::types::TokenUnits)>, CliError> {
        let mut dues = Vec::new();
        for to in &paid {
            dues.push((*to, due(&chain, splitter, token, *to).map_err(failed)?));
        }
        dues.retain(|(_, units)| units.0 > 0);
        Ok(dues)
    };
    let credit = work.owner.credit_of(splitter).map_err(failed)?;
    let before = dues()?;
    if credit.0 == 0 && before.is_empty() {
        return Err(CliError::Failed(format!(
            "nothing is due: the vault credits nothing to the splitter {splitter}, and it holds nothing for {}",
            if args.own {
                "the owner"
            } else {
                "its recipients"
            }
        )));
    }
    if credit.0 > 0 {
        work.plan.push(format!(
            "collect: the vault sends its credit of {} to the splitter {splitter}",
            work.money.show(credit)
        ));
    }
    for (to, units) in &before {
        work.plan.push(format!(
            "{to} has {} due to it already",
            work.money.show(*units)
        ));
    }
    work.plan.push(match args.own {
        true => format!("release: the splitter pays {own} its part"),
        false => format!(
            "release: the splitter pays each of {} recipients its part",
            paid.len()
        ),
    });
    work.say_plan();
    let mut released = Vec::new();
    if !args.owner.dry_run {
        if credit.0 > 0 {
            let sent = work.owner.collect(splitter).map_err(failed)?;
            work.note("collect", &sent);
        }
        for (to, units) in dues()? {
            let sent = (work.owner.release(splitter, token, to)).map_err(failed)?;
            work.note("release", &sent);
            released.push((to, units));
        }
    }
    if args.owner.json {
        let released: Vec<_> = (released.iter())
            .map(|(to, units)| json!({"to": to.to_string(), "amount": units.0.to_string()}))
            .collect();
        say_json(&work.json(json!({
            "splitter": splitter.to_string(),
            "credit": credit.0.to_string(),
            "released": released,
        })));
    } else {
        for (to, units) in released {
            say(&format!("released    {} to {to}", work.money.show(units)));
        }
    }
    Ok(())
}
