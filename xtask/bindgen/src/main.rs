//! Turns the wasm that cargo built into the wasm and JavaScript a page loads.
//!
//! Owns nothing but the call into wasm-bindgen's library and, with `--order`, the last step: the order of the
//! functions. A package of its own because that library takes a minute to build, and `cargo xtask --help` must not wait
//! for it. Never called by hand: `cargo xtask wasm` runs it.

mod order;

use std::{env, error::Error, fs, path::PathBuf, process::ExitCode};

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask-bindgen: {error}");
            let mut cause = error.source();
            while let Some(inner) = cause {
                eprintln!("  because: {inner}");
                cause = inner.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (Some(input), Some(folder), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err(
            "usage: xtask-bindgen INPUT.wasm OUTPUT_FOLDER, or: --order MODULE.wasm".into(),
        );
    };
    if input.as_os_str() == "--order" {
        let ordered = order::by_likeness(&fs::read(&folder)?)?;
        return Ok(fs::write(&folder, ordered)?);
    }
    Bindgen::new()
        .input_path(&input)
        .out_name("piecework")
        .web(true)? // an ES module: the engine is a module worker
        .typescript(true)
        .omit_default_module_path(false)
        .generate(&folder)?;
    Ok(())
}
