//! `publish`: signs a torrent's title, registers it, and writes the torrent that carries it.
//!
//! Invariant: a title is written before it is sent to be registered, nothing is written that could not be sent, and a
//! title that was registered is written with its id.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::B256;
use serde_json::json;

use super::args::load_key;
use super::create::{exists_already, write_whole};
use super::desk::{Desk, refused};
use super::output::{CliError, complain, say, say_json, sentence, utc};
use super::title::percent;
use super::title_args::PublishArgs;
use super::{deployment, torrent};
use crate::metainfo::{MagnetLink, Metainfo};
use crate::native::keys::KeyPair;
use crate::native::registry::{Call, Record, Titles};
use crate::title::{MAX_TEXT, Registry, SignedTitle, Title};
use crate::types::is_shown;

/// `piecework publish`
pub(super) fn publish(args: &PublishArgs) -> Result<(), CliError> {
    let metainfo = torrent::metainfo(&args.torrent)?;
    let output = output_of(args);
    check_output(&output, &metainfo, args.force)?;
    let key = load_key(&args.key)?;
    let registry = registry_of(args)?;
    let words = words(args, &metainfo, &key)?;
    let (signed, is_kept) = match kept(&[&args.torrent, &output], &words, &registry, &metainfo) {
        Some(signed) => (signed, true),
        None => (sign(&key, words, registry)?, false),
    };
    let id = signed.title.id();
    complain(&match is_kept {
        true => format!(
            "the title was signed before with these words, by {}",
            key.address()
        ),
        false => format!("{} signs the title {id}", key.address()),
    });
    let mut published = Metainfo {
        title: Some(signed.to_bytes().into()),
        // Of an earlier run, whose registration stands.
        content: metainfo
            .content
            .filter(|content| id == B256::from(*content)),
        ..metainfo.clone()
    };
    if metainfo.content.is_some() && published.content.is_none() && !args.register {
        complain("the torrent was sold under another title's id, which is left out");
    }
    let mut desk = None;
    if args.register {
        // Without --deployment clap refuses --register.
        let file = args.at.deployment.as_deref().unwrap_or(Path::new(""));
        let rpc = args.at.rpc.as_deref();
        let mut at = Desk::open(file, rpc, &args.key, &args.fees, args.dry_run)?;
        let titles = at.titles()?;
        let found = titles.record_of(&signed.title).map_err(refused)?;
        match &found {
            Some(record) => say_found(record, &signed.title),
            None => {
                warn_of_earlier(&titles, &signed.title)?;
                let title = &signed.title;
                at.will(format!(
                    "register: {} % of every sale of {} go to {}; the share can only be lowered later",
                    percent(title.bps),
                    sentence(&title.name),
                    title.creator
                ));
                let call = Call::register(title);
                if !args.dry_run {
                    at.rehearse(&titles, &call)?;
                    // A run that ends here is taken up by the next one, with the same words.
                    write(&output, &published, args.force)?;
                }
                at.call(&titles, &call)?;
            }
        }
        published.content = Some(id.0);
        desk = Some((at, found.is_some()));
    }
    if !args.dry_run {
        let is_ours = desk.as_ref().is_some_and(|(_, found)| !found);
        write(&output, &published, args.force || is_ours)?;
    }
    report(args, &signed, &published, &output, desk.as_ref());
    Ok(())
}

fn report(
    args: &PublishArgs,
    signed: &SignedTitle,
    published: &Metainfo,
    output: &Path,
    desk: Option<&(Desk, bool)>,
) {
    let title = &signed.title;
    let magnet = MagnetLink {
        by: Some(title.publisher.into()),
        ..published.magnet()
    };
    if args.json {
        let mut all = json!({
            "dry_run": args.dry_run,
            "info_hash": title.info_hash.to_hex(),
            "id": title.id().to_string(),
            "publisher": title.publisher.to_string(),
            "creator": title.creator.to_string(),
            "share_percent": percent(title.bps),
            "file": output.display().to_string(),
            "magnet": magnet.to_string(),
            "registered": published.content.is_some() && !args.dry_run,
        });
        if let Some((desk, found)) = desk {
            all = desk.json(all);
            all["found"] = json!(found);
        }
        say_json(&all);
        return;
    }
    say(&format!("title id   {}", title.id()));
    say(&format!("publisher  {}", title.publisher));
    say(&format!(
        "creator    {}, {} % of every sale",
        title.creator,
        percent(title.bps)
    ));
    if args.dry_run {
        return;
    }
    say(&format!(
        "written    {}",
        sentence(&output.display().to_string())
    ));
    say(&format!("magnet     {magnet}"));
}

/// A registration of this publisher that is there already.
fn say_found(record: &Record, title: &Title) {
    complain(&format!(
        "it is registered already, since {}; nothing is sent",
        utc(record.registered_at)
    ));
    if record.title_hash != title.struct_hash() {
        complain(&format!(
            "the registered title has other words: there {} % go to {}, and that is what counts. `piecework title` changes it, and --salt registers the content a second time",
            percent(record.bps),
            record.creator
        ));
    }
}

fn warn_of_earlier(titles: &Titles, title: &Title) -> Result<(), CliError> {
    let listing = titles.listing(title.info_hash).map_err(refused)?;
    if let Some(earlier) = listing.earlier_by_other(title.publisher, title.id()) {
        complain(&format!(
            "{} registered this content before, on {}: readers see that registration beside this one",
            earlier.publisher,
            utc(earlier.registered_at)
        ));
    }
    Ok(())
}

fn registry_of(args: &PublishArgs) -> Result<Registry, CliError> {
    let Some(file) = &args.at.deployment else {
        return Ok(Registry {
            address: Default::default(),
            chain_id: NO_CHAIN,
        });
    };
    let deployment = deployment::named(file)?;
    match deployment.registry {
        Some(registry) => Ok(Registry {
            address: registry.address,
            chain_id: deployment.chain_id,
        }),
        None => Err(CliError::Invalid(format!(
            "{} names no registry of titles: leave out --deployment to sign a title without one",
            file.display()
        ))),
    }
}

fn words(args: &PublishArgs, metainfo: &Metainfo, key: &KeyPair) -> Result<Title, CliError> {
    let name = args.name.as_ref().unwrap_or(&metainfo.name);
    if name.is_empty() || name.len() > MAX_TEXT || !name.chars().all(is_shown) {
        return Err(CliError::Invalid(format!(
            "the torrent's name is no name of a title, which has 1 to {MAX_TEXT} bytes of visible text: give --name"
        )));
    }
    let creator = args.creator.unwrap_or(key.address());
    if creator.is_zero() {
        return Err(CliError::Invalid(
            "--creator is the zero address, which nobody can credit: give another one".to_owned(),
        ));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(Title {
        name: name.clone(),
        info_hash: metainfo.info_hash,
        info_hash_v2: B256::ZERO,
        length: metainfo.total_length,
        publisher: key.address(),
        creator,
        bps: args.share,
        licence: args.licence.clone().unwrap_or_default(),
        key_hash: B256::ZERO,
        previous: args.previous.unwrap_or_default(),
        salt: args.salt,
        created: now.map_or(0, |now| now.as_secs()),
    })
}

/// The title of an earlier run that says the same: its date stays, so that it is the one that was registered.
fn kept(
    files: &[&Path],
    words: &Title,
    registry: &Registry,
    metainfo: &Metainfo,
) -> Option<SignedTitle> {
    files.iter().find_map(|file| {
        let file = torrent::metainfo(file).ok()?;
        let signed = SignedTitle::from_bytes(file.title.as_deref()?).ok()?;
        let dated = Title {
            created: signed.title.created,
            ..words.clone()
        };
        let is_same = signed.title == dated && signed.registry == *registry;
        let fits = signed.check(metainfo.info_hash, metainfo.total_length, None);
        (is_same && fits.is_ok()).then_some(signed)
    })
}

fn sign(key: &KeyPair, title: Title, registry: Registry) -> Result<SignedTitle, CliError> {
    let signature = key
        .sign(title.digest(&registry))
        .ok_or_else(|| CliError::Failed("the key could not sign the title".to_owned()))?;
    Ok(SignedTitle {
        title,
        registry,
        signature,
    })
}

/// The chain of a title that is for no registry.
const NO_CHAIN: u64 = 1;
/// What ends the names of torrents.
const ENDING: &str = ".torrent";
/// What ends those of signed ones, unless -o says otherwise.
const SIGNED_ENDING: &str = ".signed.torrent";

fn output_of(args: &PublishArgs) -> PathBuf {
    if let Some(output) = &args.output {
        return output.clone();
    }
    let name = args.torrent.file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    let stem = name.strip_suffix(SIGNED_ENDING);
    let stem = stem.or(name.strip_suffix(ENDING)).unwrap_or(&name);
    args.torrent
        .with_file_name(format!("{stem}{SIGNED_ENDING}"))
}

/// --force writes over an earlier torrent of the same content, and over nothing else.
fn check_output(output: &Path, metainfo: &Metainfo, force: bool) -> Result<(), CliError> {
    if output.symlink_metadata().is_err() {
        return Ok(());
    }
    if !force {
        return Err(exists_already(output));
    }
    match torrent::metainfo(output) {
        Ok(there) if there.info_hash == metainfo.info_hash => Ok(()),
        _ => Err(CliError::Invalid(format!(
            "{} is not a torrent of the same content, and --force overwrites nothing else: choose another with -o",
            output.display()
        ))),
    }
}

fn write(output: &Path, metainfo: &Metainfo, force: bool) -> Result<(), CliError> {
    write_whole(output, &metainfo.to_torrent(), force).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => exists_already(output),
        _ => CliError::Failed(format!(
            "{} cannot be written: {e}: choose another with -o",
            output.display()
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::cli::args::{Cli, Verb};
    use clap::Parser;

    #[test]
    fn the_signed_torrent_lies_beside_the_other_and_never_over_it_by_itself() {
        let output = |args: &[&str]| {
            let line = [&["piecework", "publish", "--key", "k"], args].concat();
            let Verb::Publish(args) = Cli::try_parse_from(line).unwrap().verb else {
                panic!("another verb");
            };
            output_of(&args)
        };
        assert_eq!(
            output(&["a/film.torrent"]),
            Path::new("a/film.signed.torrent")
        );
        assert_eq!(output(&["film"]), Path::new("film.signed.torrent"));
        assert_eq!(
            output(&["film.signed.torrent"]),
            Path::new("film.signed.torrent")
        );
        assert_eq!(output(&["film.torrent", "-o", "x"]), Path::new("x"));
    }
}
