//! The program `piecework`.
//!
//! Owns arguments, output and exit codes: 0 done, 1 failed, 2 invalid input (a line on stderr names the input and the
//! way out), 130 interrupted. Never prints a key.

mod args;
mod beside;
mod create;
mod ctl;
mod deploy;
mod deployment;
mod deposits;
mod described;
mod desk;
mod get;
mod history;
mod interrupt;
mod manual;
mod money;
mod output;
mod owner_args;
mod payout;
mod publish;
mod redeeming;
mod runner;
mod seed;
mod select;
mod serve;
mod serve_args;
mod splitter;
mod stalls;
mod standing;
mod title;
mod title_args;
mod torrent;
mod web_seeds;
mod worth;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Cli, Verb};
use output::{CliError, complain};

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    let result = parsed().and_then(|cli| run(cli.verb));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    }
}

/// The process's arguments. A usage that is wrong ends the process.
fn parsed() -> Result<Cli, CliError> {
    Cli::try_parse().or_else(|error| {
        let mut words = std::env::args_os()
            .skip(1)
            .map_while(|word| word.into_string().ok());
        // Who names a film in place of a torrent is told so before what else `seed` wants.
        if error.kind() == ErrorKind::MissingRequiredArgument
            && words.next().as_deref() == Some("seed")
        {
            for word in words.take_while(|word| !word.starts_with('-')) {
                torrent::read(&word)?;
            }
        }
        error.exit()
    })
}

fn run(mut verb: Verb) -> Result<(), CliError> {
    if let Some(chain) = verb.chain() {
        deployment::resolve(chain)?;
    }
    match verb {
        Verb::Create(args) => create::create(&args),
        Verb::Info(args) => blocking(|| torrent::info(&args)),
        Verb::Key(args) => money::key(&args),
        Verb::Seed(args) => in_runtime(seed::seed(args)),
        Verb::Get(args) => in_runtime(get::get(args)),
        Verb::Serve(args) => serve::serve(args),
        Verb::Ctl(args) => blocking(|| ctl::ctl(&args)),
        Verb::Redeem(args) => in_runtime(money::redeem(args)),
        Verb::Balance(args) => in_runtime(money::balance(args)),
        Verb::History(args) => history::history(&args),
        Verb::Deposit(args) => blocking(|| deposits::deposit(&args)),
        Verb::Topup(args) => blocking(|| deposits::top_up(&args)),
        Verb::Exit(args) => blocking(|| deposits::exit(&args)),
        Verb::Withdraw(args) => blocking(|| deposits::withdraw(&args)),
        Verb::Claim(args) => blocking(|| deposits::claim(&args)),
        Verb::Publish(args) => blocking(|| publish::publish(&args)),
        Verb::Title(args) => blocking(|| title::title(&args)),
        Verb::Splitter(args) => blocking(|| splitter::splitter(&args)),
        Verb::Vault(args) => blocking(|| deploy::vault(&args)),
        Verb::Completions(args) => manual::completions(&args),
        Verb::Man(args) => manual::man(&args),
    }
}

/// For a verb that only waits for a node.
fn blocking(verb: impl FnOnce() -> Result<(), CliError>) -> Result<(), CliError> {
    choose_tls();
    verb()
}

/// One provider for every TLS connection of this process; the choice can be made only once.
fn choose_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn in_runtime(verb: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    choose_tls();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CliError::Failed(format!("no async runtime: {e}")))?;
    let result = runtime.block_on(verb);
    // A reader of stdin may block for ever; nothing else is left to wait for.
    runtime.shutdown_background();
    result
}
