//! The project's commands; `cargo xtask --help` lists them. One file per command.
//!
//! Invariant: a command that needs something the machine lacks installs it or names the one line that does (exit code
//! 3); it never leaves a process behind and never asks a question.

mod bench;
mod browser;
mod builds;
mod cargo_tool;
mod check;
mod chromium;
mod citations;
mod commands;
mod debian;
mod demo;
mod doc_lines;
mod extension;
mod failure;
mod firefox;
mod fuzz;
mod heard;
mod interop;
mod libtorrent;
mod mutants;
mod node;
mod notices;
mod npm;
mod paths;
mod pip;
mod rules;
mod rustup;
mod screenshots;
mod setup;
mod shell;
mod slither;
mod stage;
mod stamp;
mod test;
mod trace;
mod wasm;
mod wasm_toolchain;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// Piecework's commands. Each installs what it lacks (on Debian, as root) or names the line that does, and is quick the
/// second time.
#[derive(Parser)]
#[command(
    bin_name = "cargo xtask",
    after_help = "Exit codes: 0 done, 1 something failed, 2 wrong arguments, \
                  3 something is missing and was named, 130 interrupted."
)]
struct Arguments {
    #[command(subcommand)]
    command: Commands,
}

#[derive(Subcommand)]
enum Commands {
    Demo(demo::Demo),
    Test(test::Test),
    Interop(interop::Interop),
    Check(check::Check),
    Bench(bench::Bench),
    Fuzz(fuzz::Fuzz),
    Mutants(mutants::Mutants),
    Wasm(wasm::Wasm),
    Npm(npm::Npm),
    Trace(trace::Trace),
    Setup(setup::Setup),
    Screenshots(screenshots::Screenshots),
    Extension(extension::Extension),
}

fn main() -> ExitCode {
    let result: Result<(), Failure> = match Arguments::parse().command {
        Commands::Demo(command) => command.run(),
        Commands::Test(command) => command.run(),
        Commands::Interop(command) => command.run(),
        Commands::Check(command) => command.run(),
        Commands::Bench(command) => command.run(),
        Commands::Fuzz(command) => command.run(),
        Commands::Mutants(command) => command.run(),
        Commands::Wasm(command) => command.run(),
        Commands::Npm(command) => command.run(),
        Commands::Trace(_) => trace::Trace::run(),
        Commands::Setup(_) => setup::Setup::run(),
        Commands::Screenshots(command) => command.run(),
        Commands::Extension(_) => extension::Extension::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\ncargo xtask: {failure}");
            failure.exit_code()
        }
    }
}
