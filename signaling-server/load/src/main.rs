//! Loads a WebTorrent tracker, ours or another, and prints its measurements as one JSON object.
//!
//! Open loop: announces are due at fixed times, whether or not the server keeps up, and every latency counts from the
//! time at which the announce was due. Each announce carries five to ten offers of the size that browsers make; each
//! peer that gets an offer answers it; the introduction is done when the answer is back. One thread, so that it takes
//! one core and no more.

mod load;
mod messages;
mod server;
mod statistics;

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use clap::Parser;
use serde_json::{Value, json};

use load::{Load, LoadError, Outcome};
use server::Server;

/// Loads a WebTorrent tracker with announces on a fixed schedule and measures how it bears them
#[derive(Parser)]
struct Arguments {
    /// Connections
    #[arg(long, default_value_t = 1_000)]
    connections: usize,
    /// Peers of each swarm
    #[arg(long, default_value_t = 50)]
    swarm: usize,
    /// Seconds of each rate
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Announces per second at which the CPU time of one is measured, and from which the highest bearable rate is
    /// searched
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// A rate is borne when 99 of 100 replies and 99 of 100 answers come within this, and none is missing
    #[arg(long, default_value_t = 1_000)]
    limit_ms: u64,
    /// Do not search for the highest bearable rate
    #[arg(long)]
    no_search: bool,
    /// The server and its arguments; it must print its ws:// URL with an IP address
    #[arg(last = true, required = true)]
    server: Vec<String>,
}

/// From one rate to the next: first in large steps, after the first that was too much in small ones.
const LARGE_STEP: f64 = 1.4;
const SMALL_STEP: f64 = 1.1;
/// Below it a rate shows nothing.
const LOWEST: f64 = 5.0;
/// No machine of today comes here; it bounds the search.
const HIGHEST: f64 = 1e6;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(measured) => {
            println!("{measured}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("piecework-signaling-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Value, LoadError> {
    let server = Server::start(&arguments.server)?;
    let count = arguments.connections;
    let per_connection =
        |now: u64, before: u64| now.saturating_sub(before) as f64 / count.max(1) as f64;
    let before = server.resident()?;
    let mut load = Load::connect(server.address(), count, arguments.swarm)?;
    let idle = per_connection(server.resident()?, before);
    load.join()?;
    load.everybody_once()?;
    let announced = per_connection(server.resident()?, before);

    let mut measure = Measure {
        seconds: Duration::from_secs(arguments.seconds),
        limit: Duration::from_millis(arguments.limit_ms),
        load,
        server,
        steps: Vec::new(),
    };
    let first = measure.at_rate(arguments.rate)?;
    let highest = match arguments.no_search {
        true => None,
        false => measure.highest(first)?,
    };
    Ok(json!({
        "connections": count,
        "swarms": count.div_ceil(arguments.swarm),
        "idleBytes": idle,
        "announcedBytes": announced,
        "emptyBytes": before,
        "cpuPer1000": first.cpu_per_1000,
        "cpuRate": first.rate,
        "announcesPerSecond": highest.map(|step| step.achieved),
        "cpuPer1000AtHighest": highest.map(|step| step.cpu_per_1000),
        "steps": measure.steps,
    }))
}

/// One rate, measured.
#[derive(Clone, Copy)]
struct Step {
    rate: f64,
    /// The announces really sent per second: the same, unless the load itself did not keep up.
    achieved: f64,
    cpu_per_1000: f64,
    bearable: bool,
}

/// The rates to measure, and those that are measured.
struct Measure {
    seconds: Duration,
    limit: Duration,
    load: Load,
    server: Server,
    steps: Vec<Value>,
}

impl Measure {
    /// The highest rate that is borne. `None`: not even a small one is, or the server dropped somebody before.
    fn highest(&mut self, first: Step) -> Result<Option<Step>, LoadError> {
        let mut borne = first;
        while !borne.bearable {
            if borne.rate < LOWEST || !self.load.is_whole() {
                return Ok(None);
            }
            borne = self.at_rate(borne.rate / LARGE_STEP)?;
        }
        let mut growth = if borne.rate < first.rate {
            SMALL_STEP
        } else {
            LARGE_STEP
        };
        while borne.rate * growth < HIGHEST {
            let next = self.at_rate(borne.rate * growth)?;
            if next.bearable {
                borne = next;
            } else if growth == LARGE_STEP && self.load.is_whole() {
                growth = SMALL_STEP;
            } else {
                break;
            }
        }
        Ok(Some(borne))
    }

    fn at_rate(&mut self, rate: f64) -> Result<Step, LoadError> {
        let cpu = self.server.cpu_seconds()?;
        let Outcome {
            announces,
            lost,
            refused,
            mut replies,
            mut answers,
            mut lateness,
            elapsed,
        } = self.load.at_rate(rate, self.seconds)?;
        let cpu = self.server.cpu_seconds()? - cpu;
        let reply_p99 = statistics::quantile(&mut replies, 0.99);
        let answer_p99 = statistics::quantile(&mut answers, 0.99);
        let step = Step {
            rate,
            achieved: announces as f64 / elapsed.max(self.seconds).as_secs_f64(),
            cpu_per_1000: 1000.0 * cpu / announces.max(1) as f64,
            bearable: lost == 0
                && refused == 0
                && reply_p99 < self.limit
                && answer_p99 < self.limit,
        };
        self.steps.push(json!({
            "rate": rate,
            "achieved": step.achieved,
            "announces": announces,
            "lost": lost,
            "refused": refused,
            "replyP50Ms": ms(statistics::quantile(&mut replies, 0.5)),
            "replyP99Ms": ms(reply_p99),
            "answerP50Ms": ms(statistics::quantile(&mut answers, 0.5)),
            "answerP99Ms": ms(answer_p99),
            "sentLateP99Ms": ms(statistics::quantile(&mut lateness, 0.99)),
            "cpuPer1000": step.cpu_per_1000,
            "bearable": step.bearable,
        }));
        Ok(step)
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// `ws://127.0.0.1:8000/...` in a line that a server printed.
fn address_in(line: &str) -> Option<SocketAddr> {
    let rest = line.split_once("ws://")?.1;
    rest.split(['/', ' ']).next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_what_either_server_prints() {
        let expected = Some(SocketAddr::from(([127, 0, 0, 1], 81)));
        assert_eq!(address_in("x listening on ws://127.0.0.1:81"), expected);
        assert_eq!(address_in("ws://127.0.0.1:81/ and more"), expected);
        assert_eq!(address_in("starting"), None);
    }
}
