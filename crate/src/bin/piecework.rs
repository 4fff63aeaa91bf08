//! The native peer's command line; see [`piecework::native::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    piecework::native::cli::main()
}
