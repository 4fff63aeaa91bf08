//! The program `piecework`.
//!
//! Owns arguments, output and exit codes: 0 done, 1 failed, 2 invalid input (a line on stderr names the input and the
//! way out), 130 interrupted. Never prints a key.

mod args;
mod create;
mod get;
mod interrupt;
mod money;
mod output;
mod payout;
mod redeeming;
mod runner;
mod seed;
mod select;
mod standing;
mod torrent;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Verb};
use output::{CliError, complain};

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.verb {
        Verb::Create(args) => create::create(&args),
        Verb::Info(args) => torrent::info(&args),
        Verb::Key(args) => money::key(&args),
        Verb::Seed(args) => in_runtime(seed::seed(args)),
        Verb::Get(args) => in_runtime(get::get(args)),
        Verb::Redeem(args) => in_runtime(money::redeem(args)),
        Verb::Balance(args) => in_runtime(money::balance(args)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

fn in_runtime(verb: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    // One provider for every TLS connection of this process; the choice can be made only once.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::Failed(format!("no async runtime: {e}")))?;
    let result = runtime.block_on(verb);
    // A reader of stdin may block for ever; nothing else is left to wait for.
    runtime.shutdown_background();
    result
}
