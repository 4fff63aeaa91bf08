//! `title`: the changes that a publisher may make to its registration.

use alloy_primitives::B256;
use serde_json::json;

use super::desk::{Desk, refused};
use super::output::{CliError, say, say_json};
use super::title_args::{TitleArgs, TitleVerb};
use crate::native::registry::{Call, MAX_CONTACT, Record};

/// `piecework title`
pub(super) fn title(args: &TitleArgs) -> Result<(), CliError> {
    let (id, sender) = args.verb.parts();
    let call = call(&args.verb)?;
    let mut desk = Desk::of(sender)?;
    let titles = desk.titles()?;
    let before = titles.record(id).map_err(refused)?.ok_or_else(|| {
        CliError::Failed(format!(
            "nobody registered a title {id} at {}: check ID and --deployment",
            titles.address()
        ))
    })?;
    if before.publisher != desk.key.address() {
        return Err(CliError::Failed(format!(
            "{} published this title, and only its key may change it: --key is that of {}",
            before.publisher,
            desk.key.address()
        )));
    }
    let plan = plan(&args.verb, &before)?;
    desk.will(plan);
    desk.call(&titles, &call)?;
    let now = match sender.dry_run {
        true => before,
        false => titles.record(id).map_err(refused)?.unwrap_or(before),
    };
    if sender.json {
        say_json(&desk.json(json!({
            "title": id.to_string(),
            "creator": now.creator.to_string(),
            "share_percent": percent(now.bps),
        })));
    } else if !sender.dry_run {
        say(&format!("title       {id}"));
        say(&format!(
            "creator     {}, {} %",
            now.creator,
            percent(now.bps)
        ));
    }
    Ok(())
}

fn call(verb: &TitleVerb) -> Result<Call, CliError> {
    Ok(match verb {
        TitleVerb::LowerShare { id, share, .. } => Call::lower_share(*id, *share),
        TitleVerb::SetCreator { creator, .. } if creator.is_zero() => {
            return Err(CliError::Invalid(
                "the zero address cannot be credited: give another one".to_owned(),
            ));
        }
        TitleVerb::SetCreator { id, creator, .. } => Call::set_creator(*id, *creator),
        TitleVerb::SetContact { id, urls, .. } => {
            let contact = urls.join("\n");
            if contact.len() > MAX_CONTACT {
                return Err(CliError::Invalid(format!(
                    "these URLs have {} bytes together, and a contact has {MAX_CONTACT}: name fewer",
                    contact.len()
                )));
            }
            Call::set_contact(*id, contact)
        }
    })
}

fn plan(verb: &TitleVerb, now: &Record) -> Result<String, CliError> {
    let id: B256 = now.id;
    match verb {
        TitleVerb::LowerShare { share, .. } if *share >= now.bps => {
            Err(CliError::Invalid(format!(
                "the share is {} % now, and only a smaller one can follow: {} % is none",
                percent(now.bps),
                percent(*share)
            )))
        }
        TitleVerb::LowerShare { share, .. } => Ok(format!(
            "the creator's share of {id} falls from {} to {} %, for good",
            percent(now.bps),
            percent(*share)
        )),
        TitleVerb::SetCreator { creator, .. } => Ok(format!(
            "{creator} is credited for {id} from now on, in place of {}",
            now.creator
        )),
        TitleVerb::SetContact { urls, .. } => Ok(match urls.len() {
            0 => format!("the contact of {id} is emptied"),
            some => format!("the contact of {id} names {some} URLs"),
        }),
    }
}

/// Hundredths of a percent as percent.
pub(super) fn percent(bps: u16) -> String {
    super::output::tokens(crate::types::TokenUnits(bps.into()), 2)
}
