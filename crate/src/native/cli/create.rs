//! `create`: a torrent of a file or folder.
//!
//! Owns the choice of the files of a folder that go in. Invariant: keys and records of this program, and files that
//! systems leave in folders, go in only when the operator asks for it; every file that is left out is named.

use std::ffi::OsStr;
use std::fs::{DirEntry, File, Metadata};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args::CreateArgs;
use super::output::{CliError, ProgressLine, bytes, duration, say, say_json, sentence};
use super::torrent;
use crate::metainfo::{Metainfo, TorrentBuilder, TrackerUrl};
use crate::native::folder::{STATE_DIR, is_record_name};
use crate::native::keys::looks_like_key_file;
use crate::native::records::RECORDS_FILE;

/// Bytes read at a time.
const READ_LEN: usize = 1 << 20;
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// At most this many left-out files are named, where nothing else is there.
const MOST_NAMED: usize = 3;

/// Files that systems and programs leave in folders; letter case is ignored.
const SYSTEM_FILES: &[&str] = &[
    ".ds_store",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    ".git",
    ".hg",
    ".svn",
];

/// `piecework create`
pub(super) fn create(args: &CreateArgs) -> Result<(), CliError> {
    let path = std::fs::canonicalize(&args.path).map_err(|e| unreadable(&args.path, &e))?;
    let name = name_of(&args.path, &path)?;
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{name}.torrent")));
    // A link that leads nowhere counts as there, too.
    match output.symlink_metadata() {
        Ok(_) if !args.force => return Err(exists_already(&output)),
        // Of a link, the link alone is lost.
        Ok(there) if !there.file_type().is_symlink() => may_overwrite(&output, &path)?,
        _ => {}
    }
    let mut content = describe(&path, &name, &output, args)?;
    if (args.path.symlink_metadata()).is_ok_and(|found| found.file_type().is_symlink()) {
        content.notes.push(format!(
            "{} is a symbolic link: to seed it, put what it leads to in its place",
            args.path.display()
        ));
    }
    content.notes.extend(tracker_note(&args.tracker));
    let mut builder = content.builder;
    if let Some(length) = args.piece_length {
        let length = u32::try_from(length)
            .map_err(|_| CliError::Invalid(format!("--piece-length {length} is too long")))?;
        builder = builder.piece_length(length);
    }
    for tracker in &args.tracker {
        builder = builder.tracker(tracker.as_str());
    }
    for url in &args.web_seed {
        builder = builder.web_seed(url.as_str());
    }
    if let Some(comment) = &args.comment {
        builder = builder.comment(comment.as_str());
    }
    builder = builder
        .private(args.private)
        .created_by(concat!("Piecework ", env!("CARGO_PKG_VERSION")));
    let metainfo = hash(builder, &content.files, args)?;
    write_whole(&output, &metainfo.to_torrent(), args.force).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => exists_already(&output),
        _ => CliError::Failed(format!(
            "{} cannot be written: {e}: choose another with -o",
            output.display()
        )),
    })?;
    report(
        &metainfo,
        &output,
        &content.left_out,
        &content.notes,
        args.json,
    );
    Ok(())
}

fn report(
    metainfo: &Metainfo,
    output: &Path,
    left_out: &[LeftOut],
    notes: &[String],
    as_json: bool,
) {
    let magnet = metainfo.magnet().to_string();
    if as_json {
        say_json(&json!({
            "info_hash": metainfo.info_hash.to_hex(),
            "magnet": magnet,
            "file": output.display().to_string(),
            "name": metainfo.name,
            "total_length": metainfo.total_length,
            "piece_length": metainfo.piece_length,
            "pieces": metainfo.piece_count(),
            "files": metainfo.files.len(),
            "left_out": left_out.iter().map(LeftOut::json).collect::<Vec<_>>(),
            "notes": notes,
        }));
        return;
    }
    say(&format!("info hash  {}", metainfo.info_hash));
    say(&format!("magnet     {magnet}"));
    say(&format!(
        "written    {} ({} pieces of {})",
        sentence(&output.display().to_string()),
        metainfo.piece_count(),
        bytes(u64::from(metainfo.piece_length))
    ));
    for LeftOut { path, why } in left_out {
        say(&format!(
            "left out   {}: {why}",
            sentence(&path.display().to_string())
        ));
    }
    for note in notes {
        say(&format!("note       {}", sentence(note)));
    }
}

/// As the command line named it, also where that is a link; a folder named by dots has its own name.
fn name_of(named: &Path, resolved: &Path) -> Result<String, CliError> {
    named
        .file_name()
        .or_else(|| resolved.file_name())
        .and_then(OsStr::to_str)
        .map(str::to_owned)
        .ok_or_else(|| {
            CliError::Invalid(format!(
                "{} has no name in UTF-8: rename it",
                named.display()
            ))
        })
}

/// A word about trackers that are of no use to browsers, if none of them is.
fn tracker_note(trackers: &[String]) -> Option<String> {
    let usable = trackers.iter().any(|url| TrackerUrl::parse(url).is_ok());
    (!trackers.is_empty() && !usable).then(|| {
        "no browser can use any of these trackers: add one with a ws:// or wss:// address"
            .to_owned()
    })
}

pub(super) fn exists_already(output: &Path) -> CliError {
    CliError::Invalid(format!(
        "{} exists already: choose another with -o, or overwrite it with --force",
        output.display()
    ))
}

/// --force writes over a torrent, or over the empty file that a killed run leaves, and never over a file of the new
/// torrent.
fn may_overwrite(output: &Path, content: &Path) -> Result<(), CliError> {
    let is_content = resolved(output).is_some_and(|output| output == content);
    if is_content || !torrent::is_torrent_or_empty(output) {
        return Err(CliError::Invalid(format!(
            "{} is not an earlier torrent, and --force overwrites nothing else: choose another with -o",
            output.display()
        )));
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    CliError::Invalid(format!("{} cannot be read: {error}", path.display()))
}

/// The files of a torrent, and where they lie.
struct Content {
    builder: TorrentBuilder,
    /// Each with its length.
    files: Vec<(PathBuf, u64)>,
    left_out: Vec<LeftOut>,
    notes: Vec<String>,
}

/// The name of a pipe, a socket or a device, as a torrent treats it.
const NEITHER: &str = "neither a file nor a folder";

/// The files in the folder that do not go in.
struct LeftOut {
    path: PathBuf,
    why: &'static str,
}

impl LeftOut {
    fn json(&self) -> Value {
        json!({"path": self.path.display().to_string(), "why": self.why})
    }
}

fn describe(
    path: &Path,
    name: &str,
    output: &Path,
    args: &CreateArgs,
) -> Result<Content, CliError> {
    let metadata = path.metadata().map_err(|e| unreadable(path, &e))?;
    if metadata.is_file() {
        if let Some(why) = private(path, &metadata).filter(|_| !args.private_files) {
            return Err(CliError::Invalid(format!(
                "{}: {why}; whoever has the torrent would have it (--private-files takes it in all the same)",
                args.path.display()
            )));
        }
        return Ok(Content {
            builder: TorrentBuilder::single_file(name, metadata.len()),
            files: vec![(path.to_owned(), metadata.len())],
            left_out: Vec::new(),
            notes: Vec::new(),
        });
    }
    if !metadata.is_dir() {
        let text = format!("{} is {NEITHER}: give one of these", args.path.display());
        return Err(CliError::Invalid(text));
    }
    let mut content = Content {
        builder: TorrentBuilder::new(name),
        files: Vec::new(),
        left_out: Vec::new(),
        notes: Vec::new(),
    };
    let output = resolved(output);
    let mut folders = vec![(path.to_owned(), Vec::<String>::new())];
    while let Some((folder, components)) = folders.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(&folder)
            .and_then(Iterator::collect)
            .map_err(|e| unreadable(&folder, &e))?;
        // The same folder gives the same torrent everywhere.
        entries.sort_by_key(DirEntry::file_name);
        let mut subfolders = Vec::new();
        for entry in entries {
            let entry_path = entry.path();
            let metadata =
                std::fs::symlink_metadata(&entry_path).map_err(|e| unreadable(&entry_path, &e))?;
            if Some(&entry_path) == output.as_ref() {
                continue;
            }
            if let Some(why) = kept_out(&entry_path, &metadata, args) {
                let path = entry_path
                    .strip_prefix(path)
                    .unwrap_or(&entry_path)
                    .to_owned();
                content.left_out.push(LeftOut { path, why });
                continue;
            }
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
            } else {
                content.builder = content.builder.file(below, metadata.len());
                content.files.push((entry_path, metadata.len()));
            }
        }
        folders.extend(subfolders.into_iter().rev());
    }
    if content.files.is_empty() {
        let names = content.left_out.iter().map(|left_out| {
            let (path, why) = (left_out.path.display(), &left_out.why);
            format!("; left out: {path}, {why}")
        });
        let names: String = names.take(MOST_NAMED).collect();
        return Err(CliError::Invalid(format!(
            "{} holds no files that can go into a torrent{names}",
            path.display()
        )));
    }
    Ok(content)
}

/// The file that is going to be written, as a walk through its folder finds it.
fn resolved(output: &Path) -> Option<PathBuf> {
    let folder = match output.parent()? {
        empty if empty.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    Some(
        std::fs::canonicalize(folder)
            .ok()?
            .join(output.file_name()?),
    )
}

/// The reason why a file of a folder does not go into its torrent.
fn kept_out(path: &Path, metadata: &Metadata, args: &CreateArgs) -> Option<&'static str> {
    if metadata.file_type().is_symlink() {
        return Some("a symbolic link");
    }
    if !metadata.is_dir() && !metadata.is_file() {
        return Some(NEITHER);
    }
    if !args.private_files
        && let Some(why) = private(path, metadata)
    {
        return Some(why);
    }
    let name = path.file_name()?.to_str()?;
    let left_behind = SYSTEM_FILES.contains(&name.to_ascii_lowercase().as_str())
        || (name.starts_with("._") && metadata.is_file());
    (left_behind && !args.system_files).then_some("left behind by a system (--system-files)")
}

/// The reason why nobody else may have it, if it is this program's own.
fn private(path: &Path, metadata: &Metadata) -> Option<&'static str> {
    const RECORDS: &str = "records of piecework, which are money (--private-files)";
    let name = path.file_name()?.to_str()?;
    if metadata.is_dir() {
        let records = name == STATE_DIR || path.join(RECORDS_FILE).is_file();
        return records.then_some(RECORDS);
    }
    if is_record_name(path.file_name()?) {
        return Some(RECORDS);
    }
    looks_like_key_file(path, metadata).then_some("looks like a private key (--private-files)")
}

fn hash(
    builder: TorrentBuilder,
    files: &[(PathBuf, u64)],
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
    for (path, length) in files {
        let before = hasher.hashed();
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
        // Lengths that are wrong in two files may add up.
        if hasher.hashed() - before != *length {
            return Err(CliError::Failed(format!(
                "{} changed while it was read: try again when nothing writes to it",
                path.display()
            )));
        }
    }
    line.clear();
    let hashes = hasher.finish().map_err(invalid)?;
    builder.build(hashes).map_err(invalid)
}

/// A half-written torrent never has the name of a whole one, and no file that is there is lost unless `overwrite` says
/// so.
pub(super) fn write_whole(path: &Path, content: &[u8], overwrite: bool) -> std::io::Result<()> {
    let (part, mut file) = new_part(path)?;
    let written = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        // The name is taken first: renaming would write over a file that came there while the folder was hashed.
        .and_then(|()| {
            if overwrite {
                Ok(())
            } else {
                File::create_new(path).map(drop)
            }
        })
        .and_then(|()| std::fs::rename(&part, path));
    if written.is_err() {
        // The earlier error matters.
        let _ = std::fs::remove_file(&part);
    }
    written
}

/// A file of its own beside the output. A file that has this name already is somebody's, or of a run that was killed.
fn new_part(path: &Path) -> std::io::Result<(PathBuf, File)> {
    let mut number = 0u64;
    loop {
        // Short: the name of the torrent may be as long as names can be.
        let name = format!(".piecework-{}-{number}.part", std::process::id());
        let part = path.with_file_name(name);
        match File::create_new(&part) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => number += 1,
            made => return made.map(|file| (part, file)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::cli::args::{Cli, Verb};
    use clap::Parser;

    #[test]
    fn files_that_change_while_they_are_read_become_no_torrent() {
        let dir = tempfile::tempdir().unwrap();
        let cli = Cli::parse_from(["piecework", "create", "album", "--json"]);
        let Verb::Create(args) = cli.verb else {
            panic!("another command");
        };
        let paths = ["a", "b"].map(|name| dir.path().join(name));
        // Lengths when they were listed, and when they are read.
        for (listed, read, becomes) in [
            ([30_000, 20_000], [30_000, 20_000], true),
            ([30_000, 20_000], [30_001, 19_999], false),
            ([30_000, 20_000], [29_999, 20_001], false),
            ([30_000, 20_000], [30_000, 20_001], false),
            ([30_000, 20_000], [0, 20_000], false),
        ] {
            let mut builder = TorrentBuilder::new("album");
            let mut files = Vec::new();
            for (path, (listed, read)) in paths.iter().zip(listed.into_iter().zip(read)) {
                std::fs::write(path, vec![7; read]).unwrap();
                let name = path.file_name().unwrap().to_str().unwrap();
                builder = builder.file([name], listed);
                files.push((path.clone(), listed));
            }
            match hash(builder, &files, &args) {
                Ok(_) => assert!(becomes, "{read:?}"),
                Err(error) => {
                    assert!(!becomes, "{error}");
                    let text = error.to_string();
                    assert!(
                        text.contains("changed while it was read: try again"),
                        "{text}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_has_the_name_of_a_half_written_torrent_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (id, at) = (std::process::id(), |name: &str| dir.path().join(name));
        // Process numbers come again, in containers at every start.
        let names = [
            format!(".piecework-{id}.part"),
            format!(".piecework-{id}-0.part"),
        ];
        for name in &names {
            std::fs::write(at(name), "mine").unwrap();
        }
        write_whole(&at("a.torrent"), b"torrent", false).unwrap();
        assert_eq!(std::fs::read(at("a.torrent")).unwrap(), b"torrent");
        for name in &names {
            assert_eq!(std::fs::read(at(name)).unwrap(), b"mine", "{name}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
