//! The demo's processes: started, watched, logged, and stopped together.
//!
//! Invariant: no process outlives us, however we end. Each leads a process group. The normal end (also Ctrl-C, SIGTERM,
//! an error) terminates the groups in reverse order and waits. If we are killed outright, the kernel kills each process
//! through `setpriv --pdeathsig`. A thread that lives as long as the processes must ask for that. A process is ready
//! when it prints its line, never after some time.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    failure::Failure,
    shell,
    stage::{label, labelled, say},
};

/// How long a process may take to stop after SIGTERM, before SIGKILL.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// How much of a log is shown when its process fails.
const SHOWN_LOG_LINES: usize = 20;

/// Names one process of a [`Children`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildId(usize);

enum Event {
    /// A line on stdout or stderr, sent only until the process is ready.
    Line(ChildId, String),
    /// Both of its outputs are closed.
    Ended(ChildId),
    /// SIGINT, SIGTERM or SIGHUP to ourselves.
    Interrupted,
}

struct Running {
    name: String,
    log: PathBuf,
    child: Child,
    ready: Arc<AtomicBool>,
    ended: bool,
}

/// Processes that live and end together. Dropping it stops them.
pub struct Children {
    events: Receiver<Event>,
    sender: Sender<Event>,
    running: Vec<Running>,
    logs: PathBuf,
}

impl Children {
    /// Takes over Ctrl-C and SIGTERM; logs go to `logs`, one file per process.
    pub fn new(logs: PathBuf) -> Result<Self, Failure> {
        fs::create_dir_all(&logs).map_err(Failure::io("make", &logs))?;
        let (sender, events) = mpsc::channel();
        let mut signals =
            Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|source| Failure::Io {
                what: "cannot watch for Ctrl-C".to_owned(),
                source,
            })?;
        let to_us = sender.clone();
        thread::spawn(move || {
            // Ends when the receiver is gone.
            while signals.forever().next().is_some() && to_us.send(Event::Interrupted).is_ok() {}
        });
        Ok(Self {
            events,
            sender,
            running: Vec::new(),
            logs,
        })
    }

    /// Starts a process; `shown` also copies its output to our terminal.
    pub fn start(
        &mut self,
        name: &str,
        command: &Command,
        shown: bool,
    ) -> Result<ChildId, Failure> {
        self.start_with(name, command, shown, Stdio::null())
    }

    /// The same, with a stdin of its own.
    pub fn start_with(
        &mut self,
        name: &str,
        command: &Command,
        shown: bool,
        stdin: Stdio,
    ) -> Result<ChildId, Failure> {
        let log = self.logs.join(format!("{name}.log"));
        let file = File::create(&log).map_err(Failure::io("write", &log))?;
        let file = Arc::new(file);
        let mut child = dying_with_us(command)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|source| Failure::Io {
                what: format!("cannot start {name} (`{}`)", shell::line_of(command)),
                source,
            })?;
        let id = ChildId(self.running.len());
        let ready = Arc::new(AtomicBool::new(false));
        // The last reader to finish drops the last sender of `open`.
        let (open, closed) = mpsc::channel::<()>();
        let outputs = [
            child
                .stdout
                .take()
                .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
            child
                .stderr
                .take()
                .map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        ];
        for pipe in outputs.into_iter().flatten() {
            let (file, ready, sender, open) = (
                Arc::clone(&file),
                Arc::clone(&ready),
                self.sender.clone(),
                open.clone(),
            );
            let label = label();
            thread::spawn(move || {
                let _open = open;
                copy_lines(pipe, &file, |line| {
                    if shown {
                        labelled(&label, || say(&line));
                    }
                    if !ready.load(Ordering::Relaxed) {
                        let _ = sender.send(Event::Line(id, line));
                    }
                });
            });
        }
        drop(open);
        let sender = self.sender.clone();
        thread::spawn(move || {
            let _ = closed.recv();
            let _ = sender.send(Event::Ended(id));
        });
        self.running.push(Running {
            name: name.to_owned(),
            log,
            child,
            ready,
            ended: false,
        });
        Ok(id)
    }

    /// Waits until `read` finds its line in a process's output.
    pub fn wait_ready<T>(
        &mut self,
        id: ChildId,
        limit: Duration,
        mut read: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + limit;
        loop {
            match self
                .events
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(Event::Line(from, line)) if from == id => {
                    if let Some(found) = read(&line) {
                        self.running[id.0].ready.store(true, Ordering::Relaxed);
                        return Ok(found);
                    }
                }
                Ok(Event::Line(..)) => {}
                Ok(Event::Ended(ended)) => return Err(self.ended_early(ended)),
                Ok(Event::Interrupted) => return Err(Failure::Interrupted),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(self.with_log(
                        id,
                        &format!("did not become ready within {} s", limit.as_secs()),
                    ));
                }
            }
        }
    }

    /// Waits until this process ends by itself and gives its status; the end of any other process is a failure.
    pub fn wait_end(&mut self, id: ChildId, limit: Duration) -> Result<ExitStatus, Failure> {
        let deadline = Instant::now() + limit;
        loop {
            match self
                .events
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(Event::Line(..)) => {}
                Ok(Event::Ended(ended)) if ended == id => {
                    let running = &mut self.running[id.0];
                    running.ended = true;
                    return running.child.wait().map_err(|source| Failure::Io {
                        what: format!("cannot wait for {}", running.name),
                        source,
                    });
                }
                Ok(Event::Ended(ended)) => return Err(self.ended_early(ended)),
                Ok(Event::Interrupted) => return Err(Failure::Interrupted),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(
                        self.with_log(id, &format!("did not end within {} s", limit.as_secs()))
                    );
                }
            }
        }
    }

    /// Waits for Ctrl-C; the end of any process is a failure.
    pub fn wait_interrupt(&mut self) -> Result<(), Failure> {
        loop {
            match self.events.recv() {
                Ok(Event::Line(..)) => {}
                Ok(Event::Ended(ended)) => return Err(self.ended_early(ended)),
                Ok(Event::Interrupted) | Err(_) => return Ok(()),
            }
        }
    }

    fn ended_early(&mut self, id: ChildId) -> Failure {
        let running = &mut self.running[id.0];
        running.ended = true;
        let status = running
            .child
            .wait()
            .map_or_else(|error| error.to_string(), |status| status.to_string());
        self.with_log(id, &format!("ended too early ({status})"))
    }

    fn with_log(&self, id: ChildId, what: &str) -> Failure {
        let running = &self.running[id.0];
        let text = fs::read_to_string(&running.log).unwrap_or_default();
        let lines = text.lines().collect::<Vec<_>>();
        let tail = lines[lines.len().saturating_sub(SHOWN_LOG_LINES)..].join("\n  | ");
        Failure::failed(format!(
            "{} {what}; the end of {}:\n  | {tail}",
            running.name,
            running.log.display()
        ))
    }

    fn stop(&mut self) {
        for running in self.running.iter_mut().rev() {
            signal_group(&running.child, Signal::TERM);
        }
        let deadline = Instant::now() + STOP_LIMIT;
        while self.running.iter().any(|running| !running.ended) {
            match self
                .events
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(Event::Ended(id)) => self.running[id.0].ended = true,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        for running in &mut self.running {
            // Also the groups whose leader is gone: a grandchild may have stayed.
            signal_group(&running.child, Signal::KILL);
            let _ = running.child.wait();
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The same command, killed by the kernel when the thread that starts it ends.
fn dying_with_us(command: &Command) -> Command {
    let mut wrapped = match shell::find_on_path("setpriv") {
        Some(setpriv) => {
            let mut wrapped = Command::new(setpriv);
            wrapped
                .args(["--pdeathsig", "KILL", "--"])
                .arg(command.get_program());
            wrapped
        }
        // No Linux: a kill -9 of ourselves would leave it behind, every other end is covered.
        None => Command::new(command.get_program()),
    };
    wrapped.args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// A group that is already gone is what we want.
fn signal_group(leader: &Child, signal: Signal) {
    if let Some(group) = i32::try_from(leader.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, signal);
    }
}

/// Lines of a process, to its log and to `seen`; bytes that are no UTF-8 are replaced.
fn copy_lines(pipe: impl Read, mut log: &File, mut seen: impl FnMut(String)) {
    /// A process that writes more without a line end is cut there.
    const LONGEST_LINE_BYTES: u64 = 64 * 1024;
    let mut pipe = BufReader::new(pipe);
    loop {
        let mut line = Vec::new();
        match pipe
            .by_ref()
            .take(LONGEST_LINE_BYTES)
            .read_until(b'\n', &mut line)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let _ = log.write_all(&line);
        seen(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn shell_script(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn children(name: &str) -> Children {
        Children::new(
            std::env::temp_dir().join(format!("piecework-children-{}-{name}", std::process::id())),
        )
        .unwrap()
    }

    /// A pipe whose reader sees the end exactly when every process that inherited the writer is gone.
    fn wait_until_gone(mut tied: std::io::PipeReader) {
        let (done, gone) = mpsc::channel();
        thread::spawn(move || {
            let mut rest = Vec::new();
            let _ = tied.read_to_end(&mut rest);
            let _ = done.send(());
        });
        gone.recv_timeout(LIMIT).expect("a process is still there");
    }

    #[test]
    fn a_process_is_ready_when_it_says_so() {
        let mut children = children("ready");
        let id = children
            .start(
                "talker",
                &shell_script("echo starting; echo listening on 4711; exec sleep 1000"),
                false,
            )
            .unwrap();
        let port = children
            .wait_ready(id, LIMIT, |line| {
                line.strip_prefix("listening on ").map(str::to_owned)
            })
            .unwrap();
        assert_eq!(port, "4711");
    }

    #[test]
    fn a_process_that_ends_before_it_is_ready_is_reported_with_its_log() {
        let mut children = children("early");
        let id = children
            .start(
                "loser",
                &shell_script("echo no such coin >&2; exit 3"),
                false,
            )
            .unwrap();
        let failure = children
            .wait_ready(id, LIMIT, |line| {
                line.strip_prefix("ready").map(str::to_owned)
            })
            .unwrap_err()
            .to_string();
        assert!(
            failure.contains("loser ended too early")
                && failure.contains("exit status: 3")
                && failure.contains("no such coin"),
            "{failure}"
        );
    }

    #[test]
    fn the_end_of_another_process_is_noticed_while_waiting() {
        let mut children = children("other");
        let stays = children
            .start("stays", &shell_script("exec sleep 1000"), false)
            .unwrap();
        children
            .start("goes", &shell_script("exit 0"), false)
            .unwrap();
        let failure = children.wait_end(stays, LIMIT).unwrap_err().to_string();
        assert!(failure.contains("goes ended too early"), "{failure}");
    }

    #[test]
    fn the_end_that_is_waited_for_gives_its_status() {
        let mut children = children("status");
        let id = children
            .start("script", &shell_script("exit 7"), false)
            .unwrap();
        assert_eq!(children.wait_end(id, LIMIT).unwrap().code(), Some(7));
    }

    #[test]
    fn dropping_stops_also_what_the_processes_started() {
        let (tied, writer) = std::io::pipe().unwrap();
        let mut children = children("drop");
        // The grandchild ignores SIGTERM and inherits the writer as descriptor 9.
        let script = "exec 9<&0; (trap '' TERM; echo up; exec sleep 1000) & wait";
        let id = children
            .start_with("parent", &shell_script(script), false, writer.into())
            .unwrap();
        children
            .wait_ready(id, LIMIT, |line| (line == "up").then_some(()))
            .unwrap();
        drop(children);
        wait_until_gone(tied);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_ends_a_process_whose_starter_is_gone() {
        let (mut tied, writer) = std::io::pipe().unwrap();
        let starter = thread::spawn(move || {
            let mut command = dying_with_us(&shell_script("echo up; exec sleep 1000"));
            let child = command.stdout(writer).spawn().unwrap();
            // The wish is in force from the moment the program itself runs.
            tied.read_exact(&mut [0; 3]).unwrap();
            (child, tied)
        });
        let (mut child, tied) = starter.join().unwrap();
        wait_until_gone(tied);
        child.wait().unwrap();
    }
}
