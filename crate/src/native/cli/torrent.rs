//! Torrents named on the command line, and `info`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use super::args::InfoArgs;
use super::described::Described;
use super::output::{CliError, bytes, plain, say, say_json};
use crate::client::{AddOptions, Source};
use crate::metainfo::{MagnetError, MagnetLink, Metainfo, MetainfoError};
use crate::types::InfoHash;

/// Longest .torrent file that is read: the longest info dictionary and as much around it.
pub(super) const MAX_TORRENT_LEN: u64 = 16 << 20;

/// A torrent named on the command line.
pub(super) struct Named {
    pub(super) info_hash: InfoHash,
    pub(super) source: Source,
    pub(super) magnet: MagnetLink,
    pub(super) options: AddOptions,
}

/// A .torrent file, a magnet link or a bare info hash.
pub(super) fn read(input: &str) -> Result<Named, CliError> {
    named(input, read_either(input)?)
}

/// A magnet link or a bare info hash, and never a file.
pub(super) fn link(text: &str) -> Result<Named, CliError> {
    let magnet = text.parse().map_err(|e: MagnetError| {
        CliError::Invalid(format!("{}: {e}", super::output::plain(text)))
    })?;
    named(text, Either::Magnet(magnet))
}

/// The bytes of a .torrent file; `from` names where they come from, for the error.
pub(super) fn of_bytes(bytes: &[u8], from: &str) -> Result<Named, CliError> {
    named(from, parse(bytes, from)?)
}

/// `input`: the link, if it is one. A torrent whose title does not fit is neither fetched nor served: somebody changed
/// it, or lies about its publisher.
fn named(input: &str, either: Either) -> Result<Named, CliError> {
    if let Either::Torrent(metainfo) = &either
        && let Some(fault) = Described::of_torrent(metainfo).fault()
    {
        return Err(wrong_title(input, fault));
    }
    Ok(match either {
        Either::Magnet(magnet) => Named {
            info_hash: magnet.info_hash,
            source: Source::Magnet(input.to_owned()),
            options: AddOptions {
                content: magnet.content,
                ..AddOptions::default()
            },
            magnet,
        },
        Either::Torrent(metainfo) => Named {
            info_hash: metainfo.info_hash,
            source: Source::Torrent(metainfo.to_torrent().into()),
            magnet: magnet_of(&metainfo),
            options: AddOptions {
                content: metainfo.content,
                ..AddOptions::default()
            },
        },
    })
}

/// Its link, which names the publisher where one signed the title.
fn magnet_of(metainfo: &Metainfo) -> MagnetLink {
    let publisher = Described::of_torrent(metainfo).publisher();
    MagnetLink {
        by: publisher.map(Into::into),
        ..metainfo.magnet()
    }
}

fn wrong_title(input: &str, fault: &str) -> CliError {
    CliError::Invalid(format!(
        "{input}: {fault}; do not trust what it says of its publisher, and get the torrent from whom you trust"
    ))
}

enum Either {
    Magnet(MagnetLink),
    Torrent(Box<Metainfo>),
}

fn read_either(input: &str) -> Result<Either, CliError> {
    let path = Path::new(input);
    // A file may have a name that looks like an info hash.
    if !path.exists() {
        match input.parse() {
            Ok(magnet) => return Ok(Either::Magnet(magnet)),
            Err(MagnetError::Scheme) => {}
            Err(error @ MagnetError::WebAddress) => {
                return Err(CliError::Invalid(format!("{input}: {error}")));
            }
            Err(error) => {
                let text = format!("the magnet link is not valid: {error}");
                return Err(CliError::Invalid(text));
            }
        }
    }
    let unreadable = |e: std::io::Error| {
        let remedy = match path.is_dir() {
            true => sharing(input),
            false => "give a .torrent file, a magnet link in quotes or an info hash".to_owned(),
        };
        CliError::Invalid(format!("{input} cannot be read: {e}; {remedy}"))
    };
    let torrent = read_file(path).map_err(unreadable)?;
    parse(&torrent, input)
}

fn parse(torrent: &[u8], input: &str) -> Result<Either, CliError> {
    if torrent.len() as u64 > MAX_TORRENT_LEN {
        return Err(CliError::Invalid(format!(
            "{input} is not a .torrent file: it is longer than {}; {}",
            bytes(MAX_TORRENT_LEN),
            sharing(input)
        )));
    }
    Metainfo::from_torrent(torrent)
        .map(|metainfo| Either::Torrent(Box::new(metainfo)))
        .map_err(|e| {
            // Another copy of a sound file is no better.
            CliError::Invalid(match e {
                MetainfoError::OnlyV2 | MetainfoError::Empty | MetainfoError::TooLarge { .. } => {
                    format!("{input} cannot be used: {e}; give another torrent")
                }
                _ => {
                    let remedy = match Path::new(input)
                        .extension()
                        .is_some_and(|it| it == "torrent")
                    {
                        true => {
                            "download it again, or give a magnet link in quotes or an info hash"
                                .to_owned()
                        }
                        false => sharing(input),
                    };
                    format!("{input} is not a valid .torrent file: {e}; {remedy}")
                }
            })
        })
}

/// What to do with a file or folder that is no torrent.
fn sharing(input: &str) -> String {
    format!("to share it, make a torrent of it: piecework create {input}")
}

/// A file's bytes; of one that is too long for a torrent, some more than a torrent may have.
pub(super) fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_TORRENT_LEN + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a file is a torrent, or holds nothing.
pub(super) fn is_torrent_or_empty(path: &Path) -> bool {
    read_file(path).is_ok_and(|bytes| bytes.is_empty() || Metainfo::from_torrent(&bytes).is_ok())
}

/// A .torrent file.
pub(super) fn metainfo(path: &Path) -> Result<Metainfo, CliError> {
    let input = path.display().to_string();
    let bytes = read_file(path).map_err(|e| {
        CliError::Invalid(format!("{input} cannot be read: {e}; give a .torrent file"))
    })?;
    match parse(&bytes, &input)? {
        Either::Torrent(metainfo) => Ok(*metainfo),
        Either::Magnet(_) => Err(CliError::Invalid(format!(
            "{input} is a link: give a .torrent file"
        ))),
    }
}

/// `piecework info`
pub(super) fn info(args: &InfoArgs) -> Result<(), CliError> {
    shown(args).inspect_err(|error| {
        if args.json {
            say_json(&json!({"valid": false, "reason": error.to_string()}));
        }
    })?
}

/// What it says; the inner error is of something that was shown with its fault.
fn shown(args: &InfoArgs) -> Result<Result<(), CliError>, CliError> {
    let either = read_either(&args.torrent)?;
    let mut title = match &either {
        Either::Magnet(magnet) => Described::of_link(magnet),
        Either::Torrent(metainfo) => Described::of_torrent(metainfo),
    };
    title.look(&args.at)?;
    if args.json {
        let mut all = match &either {
            Either::Magnet(magnet) => magnet_json(magnet),
            Either::Torrent(metainfo) => torrent_json(metainfo),
        };
        all["title"] = title.json();
        if let Some(fault) = title.fault() {
            (all["valid"], all["reason"]) = (json!(false), json!(fault));
        }
        say_json(&all);
    } else {
        match &either {
            Either::Magnet(magnet) => print_magnet(magnet),
            Either::Torrent(metainfo) => print_torrent(metainfo),
        }
        title.print();
    }
    Ok(match title.fault() {
        None => Ok(()),
        Some(fault) => Err(wrong_title(&args.torrent, fault)),
    })
}

fn magnet_json(magnet: &MagnetLink) -> Value {
    json!({
        "valid": true,
        "kind": "magnet",
        "info_hash": magnet.info_hash.to_hex(),
        "name": magnet.display_name,
        "trackers": magnet.trackers,
        "web_seeds": magnet.web_seeds,
        "files": (magnet.select_only.iter()).map(|range| [range.start(), range.end()]).collect::<Vec<_>>(),
        "magnet": magnet.to_string(),
    })
}

fn torrent_json(metainfo: &Metainfo) -> Value {
    json!({
        "valid": true,
        "kind": "torrent",
        "info_hash": metainfo.info_hash.to_hex(),
        "name": metainfo.name,
        "total_length": metainfo.total_length,
        "piece_length": metainfo.piece_length,
        "pieces": metainfo.piece_count(),
        "private": metainfo.private,
        "comment": metainfo.comment,
        "created_by": metainfo.created_by,
        "trackers": metainfo.trackers,
        "web_seeds": metainfo.web_seeds,
        "files": metainfo.files.iter().enumerate().filter(|(_, f)| !f.pad).map(|(index, f)| json!({
            "index": index,
            "path": f.path.components(),
            "length": f.length,
        })).collect::<Vec<_>>(),
        "magnet": magnet_of(metainfo).to_string(),
    })
}

fn print_magnet(magnet: &MagnetLink) {
    say(&format!("info hash  {}", magnet.info_hash));
    if let Some(name) = &magnet.display_name {
        say(&format!("name       {}", plain(name)));
    }
    for tracker in &magnet.trackers {
        say(&format!("tracker    {}", plain(tracker)));
    }
    for range in &magnet.select_only {
        say(&match (range.start(), range.end()) {
            (first, last) if first == last => format!("file       {first}"),
            (first, last) => format!("files      {first} to {last}"),
        });
    }
    print_web_seeds(&magnet.web_seeds);
}

fn print_web_seeds(urls: &[String]) {
    for url in urls {
        say(&format!("web seed   {}", plain(url)));
    }
}

fn print_torrent(metainfo: &Metainfo) {
    say(&format!("info hash  {}", metainfo.info_hash));
    say(&format!("name       {}", plain(&metainfo.name)));
    say(&format!(
        "size       {} in {} pieces of {}",
        bytes(metainfo.total_length),
        metainfo.piece_count(),
        bytes(u64::from(metainfo.piece_length))
    ));
    if metainfo.private {
        say("private    yes");
    }
    if let Some(comment) = &metainfo.comment {
        say(&format!("comment    {}", plain(comment)));
    }
    for tracker in metainfo.trackers.iter().flatten() {
        say(&format!("tracker    {}", plain(tracker)));
    }
    print_web_seeds(&metainfo.web_seeds);
    // The index is what links (`so=`) and `get --files` name a file by.
    for (index, file) in (metainfo.files.iter().enumerate()).filter(|(_, f)| !f.pad) {
        say(&format!(
            "file       {index}: {} ({})",
            plain(&file.path.to_string()),
            bytes(file.length)
        ));
    }
    say(&format!("magnet     {}", magnet_of(metainfo)));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HASH: &str = "145a73e4e56a7b54f636ffb3c24ea103ad3133a9";

    #[test]
    fn links_and_bare_hashes_are_known_as_they_are_pasted() {
        for input in [
            format!("magnet:?xt=urn:btih:{HASH}"),
            format!(" magnet:?xt=urn:btih:{HASH}\n"),
            format!("\u{a0}MAGNET:?xt=urn:btih:{HASH}"),
            format!("\u{200b}magnet:?xt=urn:btih:{HASH}&dn=100% pure"),
            HASH.to_uppercase(),
            format!(" {HASH} "),
        ] {
            let named = read(&input).unwrap();
            assert_eq!(named.info_hash.to_hex(), HASH, "{input:?}");
            assert!(matches!(named.source, Source::Magnet(_)));
        }
    }

    #[test]
    fn what_is_neither_is_told_what_to_do() {
        for (input, advice) in [
            (
                "https://t.example/a.torrent",
                "download the .torrent file first",
            ),
            ("magnet:?dn=a", "names no torrent"),
            (
                "no such file",
                "give a .torrent file, a magnet link in quotes or an info hash",
            ),
            (&HASH[1..], "give a .torrent file"),
        ] {
            let error = read(input).err().unwrap().to_string();
            assert!(
                error.contains(input) || input.starts_with("magnet"),
                "{error}"
            );
            assert!(error.contains(advice), "{error}");
        }
    }
}
