//! `info`: what a torrent's title says, whether its signature fits, and what a registry says of the content.
//!
//! Invariant: what cannot be checked is not shown as if it were, and what does not fit is an error with its reason.

use alloy_primitives::{Address, B256};
use serde_json::{Value, json};

use super::desk::{chain_of, refused, titles_of};
use super::output::{CliError, plain, say, utc};
use super::title::percent;
use super::title_args::RegistryArgs;
use crate::client::TitleStanding;
use crate::metainfo::{MagnetLink, Metainfo};
use crate::native::registry::{Listing, MAX_LISTED, Record, RegistryError};
use crate::title::{Registry, SignedTitle};
use crate::types::InfoHash;

/// What a file or a link says of its title.
pub(super) struct Described {
    info_hash: InfoHash,
    title: Option<SignedTitle>,
    /// Why the title says nothing of this content.
    fault: Option<String>,
    /// Whom a link names.
    by: Option<Address>,
    /// `pw.content`.
    content: Option<B256>,
    looked: Option<Looked>,
}

/// What a registry says, by a node's word.
struct Looked {
    registry: Registry,
    record: Option<Record>,
    listing: Listing,
}

impl Described {
    pub(super) fn of_torrent(metainfo: &Metainfo) -> Described {
        let content = metainfo.content.map(B256::from);
        let (title, fault) = match metainfo.title.as_deref().map(SignedTitle::from_bytes) {
            None => (None, None),
            Some(Err(error)) => (None, Some(error.to_string())),
            Some(Ok(signed)) => {
                let fits = signed.check(metainfo.info_hash, metainfo.total_length, None);
                let fault = fits.err().map(|fault| fault.to_string());
                (Some(signed), fault)
            }
        };
        let other = title.as_ref().map(|signed| signed.check_id(content));
        let other = other.and_then(|fits| Some(fits.err()?.to_string()));
        Described {
            info_hash: metainfo.info_hash,
            title,
            fault: fault.or(other),
            by: None,
            content,
            looked: None,
        }
    }

    pub(super) fn of_link(magnet: &MagnetLink) -> Described {
        Described {
            info_hash: magnet.info_hash,
            title: None,
            fault: None,
            by: magnet.by.map(Address::from),
            content: magnet.content.map(B256::from),
            looked: None,
        }
    }

    /// Asks the registry, if the command line names one.
    pub(super) fn look(&mut self, args: &RegistryArgs) -> Result<(), CliError> {
        let Some(file) = &args.deployment else {
            return Ok(());
        };
        let deployment = super::deployment::named(file)?;
        let chain = chain_of(file, &deployment, args.rpc.as_deref())?;
        let titles = titles_of(file, &deployment, chain)?;
        let look = || -> Result<Looked, RegistryError> {
            titles.check()?;
            let record = match (&self.title, self.content) {
                (Some(signed), _) => titles.record_of(&signed.title)?,
                (None, Some(content)) => titles.record(content)?,
                (None, None) => None,
            };
            Ok(Looked {
                registry: Registry {
                    address: titles.address(),
                    chain_id: deployment.chain_id,
                },
                record,
                listing: titles.listing(self.info_hash)?,
            })
        };
        self.looked = Some(look().map_err(refused)?);
        Ok(())
    }

    /// Who signed the title of this content, if somebody did.
    pub(super) fn publisher(&self) -> Option<Address> {
        let title = self.title.as_ref().filter(|_| self.fault.is_none());
        title.map(|signed| signed.title.publisher)
    }

    /// Why it is not to be trusted, if it is not.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    pub(super) fn print(&self) {
        match (&self.title, &self.fault, self.by) {
            (Some(signed), _, _) => print_title(signed, self.fault.is_none()),
            (None, Some(_), _) => say("title      cannot be read"),
            (None, None, Some(by)) => say(&format!("by         {by} must have signed the title")),
            (None, None, None) => say("title      unsigned: nobody says who published this"),
        }
        if let (None, Some(content)) = (&self.title, self.content) {
            say(&format!("title id   {content}"));
        }
        if let Some(looked) = &self.looked {
            self.print_looked(looked);
        }
        if let Some(fault) = &self.fault {
            say(&format!("wrong      {}", plain(fault)));
        }
    }

    fn print_looked(&self, looked: &Looked) {
        let at = looked.registry.address;
        match &looked.record {
            Some(record) => {
                say(&format!(
                    "registered since {} at {at}",
                    utc(record.registered_at)
                ));
                if self.title.is_none() {
                    say(&format!("publisher  {}", record.publisher));
                }
                if self.differs(record).is_some_and(|differs| differs.words) {
                    say(
                        "           with other words than these: the registered name, licence or date is another one",
                    );
                }
                let now = self.differs(record).unwrap_or(Differs::ALL);
                if now.creator {
                    say(&format!("creator    {} now", record.creator));
                }
                if now.share {
                    say(&format!("share      {} % now", percent(record.bps)));
                }
            }
            None => say(&format!("registered no, not at {at}")),
        }
        if let Some(signed) = (self.title.as_ref()).filter(|t| t.registry != looked.registry) {
            say(&format!(
                "           the signature is for {}",
                domain(&signed.registry)
            ));
        }
        if let Some(earlier) = self.earlier(looked) {
            say(&format!(
                "earlier    {} registered the same content on {}: {}",
                earlier.publisher,
                utc(earlier.registered_at),
                earlier.id
            ));
        }
        match looked.listing.count {
            0 | 1 => {}
            more if more as usize > MAX_LISTED => say(&format!(
                "listed     {more} registrations of this content, of which the first {MAX_LISTED} were looked at"
            )),
            more => say(&format!("listed     {more} registrations of this content")),
        }
    }

    /// The registration of somebody else that stands before the title's, or first of all.
    fn earlier<'a>(&self, looked: &'a Looked) -> Option<&'a Record> {
        let publisher = match (&self.title, &looked.record) {
            (Some(signed), _) => signed.title.publisher,
            (None, Some(record)) => record.publisher,
            (None, None) => self.by.unwrap_or_default(),
        };
        let own = looked.record.map(|record| record.id).unwrap_or_default();
        looked.listing.earlier_by_other(publisher, own)
    }

    fn differs(&self, record: &Record) -> Option<Differs> {
        let title = &self.title.as_ref()?.title;
        Some(Differs {
            words: record.title_hash != title.struct_hash(),
            creator: record.creator != title.creator,
            share: record.bps != title.bps,
        })
    }

    pub(super) fn json(&self) -> Value {
        let mut all = match &self.title {
            Some(signed) => title_json(signed),
            None => json!({}),
        };
        all["signed"] = json!(self.title.is_some());
        all["fits"] = json!(self.title.is_some() && self.fault.is_none());
        all["by"] = json!(self.by.map(|by| by.to_string()));
        all["content"] = json!(self.content.map(|content| content.to_string()));
        if let Some(fault) = &self.fault {
            all["reason"] = json!(fault);
        }
        if let Some(looked) = &self.looked {
            let same_words = (looked.record.as_ref())
                .and_then(|record| self.differs(record))
                .map(|differs| !differs.words);
            all["registry_looked_at"] = json!({
                "address": looked.registry.address.to_string(),
                "chain_id": looked.registry.chain_id,
                "registration": looked.record.as_ref().map(record_json),
                "same_words": same_words,
                "earlier": self.earlier(looked).map(record_json),
                "count": looked.listing.count,
            });
        }
        all
    }
}

/// What a running peer says of a torrent's title when that changes: for people, and as JSON.
pub(super) fn told_of_title(standing: &TitleStanding) -> (String, Value) {
    match standing {
        TitleStanding::Unknown => ("not known".to_owned(), json!({"standing": "unknown"})),
        TitleStanding::Unsigned => ("unsigned".to_owned(), json!({"standing": "unsigned"})),
        TitleStanding::Awaited => (
            "the link names who must have signed it, and nothing is bought until a peer sends it"
                .to_owned(),
            json!({"standing": "awaited"}),
        ),
        TitleStanding::Fits(signed) => {
            let title = &signed.title;
            let text = format!(
                "{}, signed by {}, {} % of every sale to {}",
                plain(&title.name),
                title.publisher,
                percent(title.bps),
                title.creator
            );
            let mut value = title_json(signed);
            value["standing"] = json!("fits");
            (text, value)
        }
        TitleStanding::Wrong(why) => (
            format!(
                "{}; nothing is bought: get the torrent from whom you trust",
                plain(why)
            ),
            json!({"standing": "wrong", "reason": why}),
        ),
    }
}

/// What is not as the title says.
struct Differs {
    words: bool,
    creator: bool,
    share: bool,
}

impl Differs {
    /// Where there is no title to compare with.
    const ALL: Differs = Differs {
        words: true,
        creator: true,
        share: true,
    };
}

fn print_title(signed: &SignedTitle, fits: bool) {
    let title = &signed.title;
    say(&format!(
        "title      {} {}",
        match fits {
            true => "signed by",
            false => "NOT signed rightly, and said to be by",
        },
        title.publisher
    ));
    say(&format!("           {}", plain(&title.name)));
    say(&format!("title id   {}", title.id()));
    say(&format!(
        "creator    {}, {} % of every sale",
        title.creator,
        percent(title.bps)
    ));
    say(&match title.licence.as_str() {
        "" => "licence    none is granted".to_owned(),
        licence => format!("licence    {}", plain(licence)),
    });
    if !title.previous.is_zero() {
        say(&format!("follows    {}", title.previous));
    }
    if title.created != 0 {
        say(&format!(
            "dated      {}, by its publisher",
            utc(title.created)
        ));
    }
}

fn title_json(signed: &SignedTitle) -> Value {
    let title = &signed.title;
    let word = |word: B256| (!word.is_zero()).then(|| word.to_string());
    json!({
        "name": title.name,
        "id": title.id().to_string(),
        "publisher": title.publisher.to_string(),
        "creator": title.creator.to_string(),
        "share_percent": percent(title.bps),
        "licence": title.licence,
        "length": title.length,
        "info_hash_v2": word(title.info_hash_v2),
        "key_hash": word(title.key_hash),
        "previous": word(title.previous),
        "created": title.created,
        "registry": signed.registry.address.to_string(),
        "chain_id": signed.registry.chain_id,
    })
}

pub(super) fn record_json(record: &Record) -> Value {
    json!({
        "id": record.id.to_string(),
        "publisher": record.publisher.to_string(),
        "creator": record.creator.to_string(),
        "share_percent": percent(record.bps),
        "registered_at": record.registered_at,
    })
}

fn domain(registry: &Registry) -> String {
    match registry.address.is_zero() {
        true => "no registry".to_owned(),
        false => format!(
            "another registry, {} of chain {}",
            registry.address, registry.chain_id
        ),
    }
}
