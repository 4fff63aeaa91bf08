//! Turns the wasm that cargo built into the wasm and JavaScript a page loads.
//!
//! Owns nothing but the call into wasm-bindgen's library and, with an option, the steps that follow wasm-opt. A package
//! of its own because that library takes a minute to build, and `cargo xtask --help` must not wait for it. Never called
//! by hand: `cargo xtask wasm` runs it.

mod count;
mod order;
mod split;

use std::{collections::HashSet, env, error::Error, fs, path::PathBuf, process::ExitCode};

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

const USAGE: &str = "usage: xtask-bindgen INPUT.wasm OUTPUT_FOLDER, \
    or: --split MODULE.wasm RARE.txt REST.wasm, or: --count MODULE.wasm NAMES.txt";

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let option = arguments.first().and_then(|first| first.to_str());
    match (option, arguments.as_slice()) {
        (Some("--split"), [_, module, rare, rest]) => {
            let rare = fs::read_to_string(rare)?;
            let rare = rare
                .split_whitespace()
                .map(|hash| u32::from_str_radix(hash, 16))
                .collect::<Result<HashSet<u32>, _>>()?;
            let parts = split::by_name(&fs::read(module)?, |name| rare.contains(&hash(name)))?;
            fs::write(module, parts.first)?;
            return Ok(fs::write(rest, parts.rest)?);
        }
        (Some("--count"), [_, module, names]) => {
            let counting = count::counting(&fs::read(module)?)?;
            fs::write(module, counting.module)?;
            let hashes = counting.names.iter().map(|name| hash(name));
            let lines: Vec<String> = hashes
                .zip(&counting.names)
                .map(|(hash, name)| format!("{hash:08x} {name}"))
                .collect();
            let text = format!("{}\n{}\n", counting.at, lines.join("\n"));
            return Ok(fs::write(names, text)?);
        }
        _ => {}
    }
    let [input, folder] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    Bindgen::new()
        .input_path(input)
        .out_name("piecework")
        .web(true)? // an ES module: the engine is a module worker
        .typescript(true)
        .omit_default_module_path(false)
        .generate(folder)?;
    Ok(())
}

/// What a list of functions has of each name: FNV-1a of it. The names themselves fill half a megabyte.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
