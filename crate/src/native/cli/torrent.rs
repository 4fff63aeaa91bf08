//! `create` and `info`: torrents without a network.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args::{CreateArgs, InfoArgs};
use super::output::{CliError, ProgressLine, bytes, duration, plain, say, say_json};
use crate::client::{AddOptions, Source};
use crate::metainfo::{MagnetError, MagnetLink, Metainfo, TorrentBuilder};
use crate::types::InfoHash;

/// Longest .torrent file that is read: the longest info dictionary and as much around it.
const MAX_TORRENT_LEN: u64 = 16 << 20;
/// Bytes read at a time.
const READ_LEN: usize = 1 << 20;
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// A torrent named on the command line.
pub(super) struct Named {
    pub(super) info_hash: InfoHash,
    pub(super) source: Source,
    pub(super) magnet: MagnetLink,
    pub(super) options: AddOptions,
}

/// A .torrent file, a magnet link or a bare info hash.
pub(super) fn read(input: &str) -> Result<Named, CliError> {
    Ok(match read_either(input)? {
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
            magnet: metainfo.magnet(),
            options: AddOptions {
                content: metainfo.content,
                ..AddOptions::default()
            },
        },
    })
}

enum Either {
    Magnet(MagnetLink),
    Torrent(Box<Metainfo>),
}

fn read_either(input: &str) -> Result<Either, CliError> {
    let path = Path::new(input);
    // A file may be called like an info hash.
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
        CliError::Invalid(format!(
            "{input} cannot be read: {e}; give a .torrent file, a magnet link in quotes or an info hash"
        ))
    };
    let mut torrent = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_TORRENT_LEN + 1).read_to_end(&mut torrent))
        .map_err(unreadable)?;
    if torrent.len() as u64 > MAX_TORRENT_LEN {
        return Err(CliError::Invalid(format!(
            "{input} is not a .torrent file: it is longer than {}",
            bytes(MAX_TORRENT_LEN)
        )));
    }
    Metainfo::from_torrent(&torrent)
        .map(|metainfo| Either::Torrent(Box::new(metainfo)))
        .map_err(|e| CliError::Invalid(format!("{input} is not a valid .torrent file: {e}")))
}

/// `piecework create`
pub(super) fn create(args: &CreateArgs) -> Result<(), CliError> {
    let path = std::fs::canonicalize(&args.path)
        .map_err(|e| CliError::Invalid(format!("{} cannot be read: {e}", args.path.display())))?;
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| {
            CliError::Invalid(format!(
                "{} has no name in UTF-8: rename it",
                args.path.display()
            ))
        })?
        .to_owned();
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{name}.torrent")));
    if output.exists() && !args.force {
        return Err(CliError::Invalid(format!(
            "{} exists already: choose another with -o, or overwrite it with --force",
            output.display()
        )));
    }
    let (mut builder, files) = describe(&path, &name, &output)?;
    if let Some(length) = args.piece_length {
        let length = u32::try_from(length)
            .map_err(|_| CliError::Invalid(format!("--piece-length {length} is too long")))?;
        builder = builder.piece_length(length);
    }
    for tracker in &args.tracker {
        builder = builder.tracker(tracker.as_str());
    }
    if let Some(comment) = &args.comment {
        builder = builder.comment(comment.as_str());
    }
    builder = builder
        .private(args.private)
        .created_by(concat!("Piecework ", env!("CARGO_PKG_VERSION")));
    let metainfo = hash(builder, &files, args)?;
    write_whole(&output, &metainfo.to_torrent())
        .map_err(|e| CliError::Failed(format!("{} cannot be written: {e}", output.display())))?;
    let magnet = metainfo.magnet().to_string();
    if args.json {
        say_json(&json!({
            "info_hash": metainfo.info_hash.to_hex(),
            "magnet": magnet,
            "file": output.display().to_string(),
            "name": metainfo.name,
            "total_length": metainfo.total_length,
            "piece_length": metainfo.piece_length,
            "pieces": metainfo.piece_count(),
            "files": metainfo.files.len(),
        }));
    } else {
        say(&format!("info hash  {}", metainfo.info_hash));
        say(&format!("magnet     {magnet}"));
        say(&format!(
            "written    {} ({} pieces of {})",
            output.display(),
            metainfo.piece_count(),
            bytes(u64::from(metainfo.piece_length))
        ));
    }
    Ok(())
}

/// What goes into the torrent, and where it lies. Symbolic links are left out, and so is the
/// output.
fn describe(
    path: &Path,
    name: &str,
    output: &Path,
) -> Result<(TorrentBuilder, Vec<PathBuf>), CliError> {
    let unreadable = |path: &Path, e: std::io::Error| {
        CliError::Invalid(format!("{} cannot be read: {e}", path.display()))
    };
    let metadata = path.metadata().map_err(|e| unreadable(path, e))?;
    if metadata.is_file() {
        let builder = TorrentBuilder::single_file(name, metadata.len());
        return Ok((builder, vec![path.to_owned()]));
    }
    let output = output
        .parent()
        .map(|dir| {
            if dir.as_os_str().is_empty() {
                Path::new(".")
            } else {
                dir
            }
        })
        .and_then(|dir| std::fs::canonicalize(dir).ok())
        .zip(output.file_name())
        .map(|(dir, file)| dir.join(file));
    let mut builder = TorrentBuilder::new(name);
    let mut files = Vec::new();
    let mut folders = vec![(path.to_owned(), Vec::<String>::new())];
    while let Some((folder, components)) = folders.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(&folder)
            .and_then(Iterator::collect)
            .map_err(|e| unreadable(&folder, e))?;
        // The same folder gives the same torrent everywhere.
        entries.sort_by_key(std::fs::DirEntry::file_name);
        let mut subfolders = Vec::new();
        for entry in entries {
            let entry_path = entry.path();
            let metadata =
                std::fs::symlink_metadata(&entry_path).map_err(|e| unreadable(&entry_path, e))?;
            let Ok(file_name) = entry.file_name().into_string() else {
                return Err(CliError::Invalid(format!(
                    "{} has no name in UTF-8: rename it",
                    entry_path.display()
                )));
            };
            let mut below = components.clone();
            below.push(file_name);
            if metadata.is_dir() {
                subfolders.push((entry_path, below));
            } else if metadata.is_file() && Some(&entry_path) != output.as_ref() {
                builder = builder.file(below, metadata.len());
                files.push(entry_path);
            }
        }
        folders.extend(subfolders.into_iter().rev());
    }
    if files.is_empty() {
        return Err(CliError::Invalid(format!(
            "{} holds no files",
            path.display()
        )));
    }
    Ok((builder, files))
}

fn hash(
    builder: TorrentBuilder,
    files: &[PathBuf],
    args: &CreateArgs,
) -> Result<Metainfo, CliError> {
    let total = builder.total_length();
    let invalid = |e: crate::metainfo::create::CreateError| {
        CliError::Invalid(format!(
            "{} cannot become a torrent: {e}",
            args.path.display()
        ))
    };
    let mut hasher = builder.hasher().map_err(invalid)?;
    let mut buffer = vec![0u8; READ_LEN];
    let mut line = ProgressLine::new(!args.json);
    let begun = Instant::now();
    let mut shown = begun;
    for path in files {
        let failed =
            |e: std::io::Error| CliError::Failed(format!("{} cannot be read: {e}", path.display()));
        let mut file = File::open(path).map_err(failed)?;
        loop {
            let read = file.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            if shown.elapsed() >= PROGRESS_INTERVAL {
                shown = Instant::now();
                let done = hasher.hashed();
                let rate = done as f64 / begun.elapsed().as_secs_f64();
                let left = (total.saturating_sub(done) as f64 / rate.max(1.0)) as u64;
                line.set(&format!(
                    "hashing {:.0} %  {}/s  {} left",
                    100.0 * done as f64 / total.max(1) as f64,
                    bytes(rate as u64),
                    duration(left)
                ));
            }
        }
    }
    line.clear();
    let hashes = hasher.finish().map_err(invalid)?;
    builder.build(hashes).map_err(invalid)
}

/// A half-written torrent never has the name of a whole one.
fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut file = File::create(&part)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}

/// `piecework info`
pub(super) fn info(args: &InfoArgs) -> Result<(), CliError> {
    match read_either(&args.torrent) {
        Ok(Either::Magnet(magnet)) => {
            if args.json {
                say_json(&magnet_json(&magnet));
            } else {
                print_magnet(&magnet);
            }
            Ok(())
        }
        Ok(Either::Torrent(metainfo)) => {
            if args.json {
                say_json(&torrent_json(&metainfo));
            } else {
                print_torrent(&metainfo);
            }
            Ok(())
        }
        Err(error) => {
            if args.json {
                say_json(&json!({"valid": false, "reason": error.to_string()}));
            }
            Err(error)
        }
    }
}

fn magnet_json(magnet: &MagnetLink) -> Value {
    json!({
        "valid": true,
        "kind": "magnet",
        "info_hash": magnet.info_hash.to_hex(),
        "name": magnet.display_name,
        "trackers": magnet.trackers,
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
        "files": metainfo.files.iter().filter(|f| !f.pad).map(|f| json!({
            "path": f.path.components(),
            "length": f.length,
        })).collect::<Vec<_>>(),
        "magnet": metainfo.magnet().to_string(),
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
    for file in metainfo.files.iter().filter(|f| !f.pad) {
        say(&format!(
            "file       {} ({})",
            plain(&file.path.to_string()),
            bytes(file.length)
        ));
    }
    say(&format!("magnet     {}", metainfo.magnet()));
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
