//! One fuzz target's program: a run of it, and the minimising of its corpus.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    files_in, folder,
    report::{Row, Status},
};
use crate::{failure::Failure, shell, stage::say};

/// Time between status lines.
const SHOWN_EVERY: Duration = Duration::from_secs(30);
/// Inputs longer than this only take longer.
const MAX_LEN: u32 = 16 * 1024;
/// Longest input that a minimised corpus takes up.
const MAX_KEPT_LEN: u32 = 4 * 1024;
/// Unnamed inputs that a target's committed corpus keeps: the longest, which reach most.
const MAX_KEPT: usize = 40;
/// One allocation beyond this is a finding: nothing here allocates by a stranger's say-so.
const MALLOC_LIMIT_MB: u32 = 64;
const RSS_LIMIT_MB: u32 = 1024;
/// One input that takes this long is a finding, also on a busy machine.
const TIMEOUT_SECS: u32 = 60;
/// Lines of a finding's report that are shown.
const SHOWN_LINES: usize = 60;

pub struct Program {
    name: String,
    binary: PathBuf,
}

impl Program {
    /// The target of this name, built in this folder.
    pub fn new(name: &str, folder: &Path) -> Program {
        Program {
            name: name.to_owned(),
            binary: folder.join(name),
        }
    }

    /// Inputs that are committed.
    fn corpus(&self) -> PathBuf {
        folder().join("corpus").join(&self.name)
    }

    /// Inputs that fuzzing made; not committed.
    fn grown(&self) -> PathBuf {
        folder().join("target/corpus").join(&self.name)
    }

    fn artifacts(&self) -> PathBuf {
        folder().join("artifacts").join(&self.name)
    }

    fn command(&self) -> Command {
        let mut command = shell::command(&self.binary);
        command
            .arg(format!("-artifact_prefix={}/", self.artifacts().display()))
            .arg(format!("-malloc_limit_mb={MALLOC_LIMIT_MB}"))
            .arg(format!("-rss_limit_mb={RSS_LIMIT_MB}"))
            .arg(format!("-timeout={TIMEOUT_SECS}"))
            .stdin(Stdio::null());
        let dictionary = folder()
            .join("dictionaries")
            .join(format!("{}.dict", self.name));
        if dictionary.is_file() {
            command.arg(format!("-dict={}", dictionary.display()));
        }
        command
    }

    /// Fuzzes for this many seconds, or until something is found.
    pub fn fuzz(&self, seconds: u64) -> Result<Row, Failure> {
        let artifacts = self.artifacts();
        for path in [&self.grown(), &artifacts] {
            fs::create_dir_all(path).map_err(Failure::io("make", path))?;
        }
        let mut command = self.command();
        command
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={MAX_LEN}"))
            .arg("-print_final_stats=1")
            .arg(self.grown())
            .arg(self.corpus())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let line = shell::line_of(&command);
        say(format_args!("{}: {seconds} s", self.name));
        let failed = |source| Failure::Io {
            what: format!("cannot run `{line}`"),
            source,
        };
        let mut child = command.spawn().map_err(failed)?;
        let start = Instant::now();
        let mut status = Status::default();
        let mut lines: Vec<String> = Vec::new();
        let mut found = Vec::new();
        let mut shown = Instant::now();
        if let Some(stderr) = child.stderr.take() {
            for bytes in BufReader::new(stderr).split(b'\n') {
                let text = String::from_utf8_lossy(&bytes.map_err(failed)?).into_owned();
                if let Some(path) = text.split("Test unit written to ").nth(1) {
                    found.push(PathBuf::from(path.trim()));
                }
                if !status.read(&text) {
                    lines.push(text);
                    let surplus = lines.len().saturating_sub(SHOWN_LINES);
                    lines.drain(..surplus);
                } else if shown.elapsed() >= SHOWN_EVERY {
                    shown = Instant::now();
                    say(format_args!("{}: {status}", self.name));
                }
            }
        }
        let exit = child.wait().map_err(failed)?;
        let seconds = start.elapsed().as_secs();
        say(format_args!("{}: {status}, {seconds} s", self.name));
        if !exit.success() {
            lines.iter().for_each(say);
            if found.is_empty() {
                return Err(Failure::failed(format!("`{line}` ended with {exit}")));
            }
        }
        Ok(Row {
            target: self.name.clone(),
            status,
            seconds,
            corpus: files_in(&self.corpus()).len(),
            findings: found,
        })
    }

    /// Keeps the named inputs, and of all others a small set that reaches code beyond theirs; the rest stays in
    /// `target/corpus`.
    pub fn minimize(&self) -> Result<(), Failure> {
        let (corpus, grown) = (self.corpus(), self.grown());
        fs::create_dir_all(&grown).map_err(Failure::io("make", &grown))?;
        for path in files_in(&corpus).iter().filter(|path| is_unnamed(path)) {
            let to = grown.join(path.file_name().unwrap_or_default());
            fs::copy(path, &to).map_err(Failure::io("copy", path))?;
            fs::remove_file(path).map_err(Failure::io("remove", path))?;
        }
        let mut command = self.command();
        command
            .args(["-set_cover_merge=1", "-use_counters=0"])
            .arg(format!("-max_len={MAX_KEPT_LEN}"))
            .args([&corpus, &grown])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let status = shell::show_and_wait(&mut command)?;
        if !status.success() {
            return Err(Failure::failed(format!(
                "{} is not minimised: {status}",
                self.name
            )));
        }
        let mut unnamed: Vec<(u64, PathBuf)> = (files_in(&corpus).into_iter())
            .filter(|path| is_unnamed(path))
            .map(|path| (path.metadata().map_or(0, |m| m.len()), path))
            .collect();
        unnamed.sort();
        for (_, path) in unnamed.iter().rev().skip(MAX_KEPT) {
            fs::remove_file(path).map_err(Failure::io("remove", path))?;
        }
        let kept = files_in(&corpus);
        let bytes: u64 = (kept.iter())
            .filter_map(|path| Some(path.metadata().ok()?.len()))
            .sum();
        say(format_args!(
            "{}: {} inputs, {bytes} bytes",
            self.name,
            kept.len()
        ));
        Ok(())
    }
}

/// libFuzzer names an input by its SHA-1; a person gives it a name in words.
fn is_unnamed(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
