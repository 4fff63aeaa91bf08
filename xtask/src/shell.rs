//! Runs other programs: shown, captured, or bounded in time.
//!
//! Never passes on the variables that cargo put into our own environment: a build that sees `CARGO_PKG_NAME` of xtask
//! is rebuilt for nothing.

use std::{
    env,
    ffi::OsStr,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{failure::Failure, paths, stage::say};

/// A command in the repository's root, without the variables `cargo run` set for us.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(paths::root());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let of_this_run = text.starts_with("CARGO_PKG_")
            || text.starts_with("CARGO_MANIFEST_")
            || matches!(
                &*text,
                "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR"
            );
        if of_this_run {
            command.env_remove(&name);
        }
    }
    command
}

/// The cargo that runs us.
pub fn cargo() -> Command {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Shows the command line, runs it with our terminal, and fails unless it exits with 0.
pub fn run(command: &mut Command) -> Result<(), Failure> {
    let line = line_of(command);
    let status = show_and_wait(command)?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::failed(format!("`{line}` ended with {status}")))
    }
}

/// Shows the command line, runs it with our terminal, and gives the exit status.
pub fn show_and_wait(command: &mut Command) -> Result<ExitStatus, Failure> {
    let line = line_of(command);
    say(format_args!("$ {line}"));
    command.status().map_err(|source| Failure::Io {
        what: format!("cannot run `{line}`"),
        source,
    })
}

/// Runs a command silently; its stdout when it exits with 0, else `None` (also when it does not exist).
pub fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The end of a command with a time limit.
pub enum Bounded {
    /// It exited; its status, stdout and stderr.
    Exited(ExitStatus, String, String),
    /// It was still running at the limit and was killed.
    TimedOut,
}

/// Runs a command silently for at most `limit`, then kills it.
pub fn run_bounded(command: &mut Command, limit: Duration) -> Result<Bounded, Failure> {
    let line = line_of(command);
    let failed = |source| Failure::Io {
        what: format!("cannot run `{line}`"),
        source,
    };
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let (done, both_closed) = mpsc::channel();
    let readers = [
        child
            .stdout
            .take()
            .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        child
            .stderr
            .take()
            .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
    ];
    for (index, reader) in readers.into_iter().enumerate() {
        let done = done.clone();
        thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut pipe) = reader {
                let _ = pipe.read_to_end(&mut text);
            }
            let _ = done.send((index, String::from_utf8_lossy(&text).into_owned()));
        });
    }
    drop(done);
    let mut texts = [String::new(), String::new()];
    let deadline = std::time::Instant::now() + limit;
    for _ in 0..texts.len() {
        match both_closed
            .recv_timeout(deadline.saturating_duration_since(std::time::Instant::now()))
        {
            Ok((index, text)) => texts[index] = text,
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Ok(Bounded::TimedOut);
            }
        }
    }
    let status = child.wait().map_err(failed)?;
    let [stdout, stderr] = texts;
    Ok(Bounded::Exited(status, stdout, stderr))
}

/// The command as a person would type it in the repository's root.
pub fn line_of(command: &Command) -> String {
    let root = format!("{}/", paths::root().display());
    let program = command.get_program().to_string_lossy().replace(&root, "");
    let program = if program.starts_with('/') {
        Path::new(&program)
            .file_name()
            .map_or(program.clone(), |name| name.to_string_lossy().into_owned())
    } else {
        program
    };
    let words = command.get_args().map(|word| {
        let word = word.to_string_lossy().replace(&root, "");
        if word.is_empty() || word.contains(' ') {
            format!("'{word}'")
        } else {
            word
        }
    });
    std::iter::once(program)
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The first file of this name on the `PATH`.
pub fn find_on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}
