//! The server under load: a process whose memory and CPU time are read from /proc.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::{address_in, load::LoadError};

/// The unit in which the kernel counts CPU time for programs, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running server; dropping it kills it.
pub struct Server {
    child: Child,
    address: SocketAddr,
    /// Kept open: a server that writes into a closed pipe may die of it.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts it and waits until it prints its address.
    pub fn start(command: &[String]) -> Result<Self, LoadError> {
        let line = command.join(" ");
        let failed = |source| LoadError::Server(line.clone(), source);
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| failed(std::io::ErrorKind::InvalidInput.into()))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
        let mut server = Server {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            _stdout: BufReader::new(stdout),
        };
        let mut text = String::new();
        loop {
            text.clear();
            if server._stdout.read_line(&mut text).map_err(failed)? == 0 {
                return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
            }
            if let Some(address) = address_in(&text) {
                server.address = address;
                return Ok(server);
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes of memory it has in use now.
    pub fn resident(&self) -> Result<u64, LoadError> {
        let text = self.proc("status")?;
        let kilobytes = text.lines().find_map(|line| {
            let rest = line.strip_prefix("VmRSS:")?;
            rest.split_whitespace().next()?.parse::<u64>().ok()
        });
        kilobytes
            .map(|kilobytes| kilobytes * 1024)
            .ok_or(LoadError::Gone)
    }

    /// Of all its threads, in user and system mode.
    pub fn cpu_seconds(&self) -> Result<f64, LoadError> {
        let text = self.proc("stat")?;
        // The program's name, in brackets, may hold anything; behind it, user time is the 12th field.
        let ticks = text.rsplit_once(')').map(|(_, fields)| {
            let fields = fields.split_whitespace().skip(11).take(2);
            fields
                .filter_map(|field| field.parse::<u64>().ok())
                .sum::<u64>()
        });
        ticks
            .map(|ticks| ticks as f64 / TICKS_PER_SECOND)
            .ok_or(LoadError::Gone)
    }

    fn proc(&self, file: &str) -> Result<String, LoadError> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).map_err(|source| LoadError::Server(path, source))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
