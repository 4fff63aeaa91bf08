//! `cargo xtask wasm`: the engine as a page loads it.
//!
//! cargo builds the library of `piecework` for wasm, wasm-bindgen makes the module and its JavaScript, wasm-opt makes
//! it smaller, and `xtask-bindgen --split` takes what few visits run into a module of its own. Unchanged steps are not
//! done again.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    failure::Failure,
    node, paths, shell,
    stage::{say, stage},
    stamp::Inputs,
    wasm_toolchain::{TARGET, WasmToolchain},
};

/// Where the page's package takes the engine from, and the features that it is built with.
const FULL: Edition = Edition {
    output: "www/npm/wasm",
    features: "payments",
    options: &[],
    rare: "xtask/bindgen/rare.txt",
};
/// The engine of `piecework/free`.
const FREE: Edition = Edition {
    output: "www/npm/wasm-free",
    features: "",
    // They are there for sums of money, which this edition has none of.
    options: &["--config", "profile.wasm.overflow-checks=false"],
    rare: "xtask/bindgen/rare-free.txt",
};

/// An engine that pages load.
struct Edition {
    output: &'static str,
    features: &'static str,
    /// cargo's, besides.
    options: &'static [&'static str],
    /// The functions that few visits run, as `tests/browser/tools/rare.mjs` found them.
    rare: &'static str,
}

/// LLVM leaves functions apart that need a place on the stack of more bytes than this. Otherwise a function that has
/// one caller becomes a part of it, and what is seldom run is loaded with what always is.
const INLINED_STACK: &str = "-Cllvm-args=-inline-max-stacksize=16";

/// cargo's profile of the shipped build.
pub const PROFILE: &str = "wasm";

/// The features that rustc emits for this target with our flags; anything newer would lock out a browser that the
/// project supports.
const WASM_FEATURES: &[&str] = &[
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-call-indirect-overlong",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
    "--enable-simd",
];

/// wasm-opt aims at a small compressed size; rustc's work makes the important code fast. A function that has one caller
/// stays a function, because in a body of a hundred kilobytes with thousands of locals gzip finds few repetitions. For
/// the same reason values are not kept in one more local to be used twice. Again: each run finds code that the
/// one before laid bare.
const OPTIMISE: &[&str] = &[
    "--one-caller-inline-max-function-size=0",
    // Nor do functions that are longer than a call of them. Measured: 3 and 9 make a page larger.
    "--always-inline-max-function-size=6",
    "--flexible-inline-max-function-size=0",
    // No address is below 1,024: the stack ends there, and the data comes after it. So the sum of an address and a
    // number may be a load's own offset.
    "--low-memory-unused",
    "--skip-pass=local-cse",
    // rustc's loads, stores and divisions never trap: what could is checked before, and ends in `unreachable`.
    "--ignore-implicit-traps",
    "-Oz",
    "-Oz",
    "--gufa-optimizing",
    "-Oz",
    "--strip-producers",
    // The names of functions stay for the split, which drops them.
    "--debuginfo",
    "--minify-imports-and-exports-and-modules",
];

/// The module of these functions, beside the other.
const REST: &str = "piecework_rest.wasm";

/// Builds the engine for the page
#[derive(clap::Args)]
pub struct Wasm {
    /// Build fast and unoptimised, with names for the debugger
    #[arg(long)]
    dev: bool,
    /// Make modules that note which of their functions ran, for tests/browser/tools/rare.mjs
    #[arg(long, conflicts_with = "dev")]
    counting: bool,
    /// The engine tells the page its core's inputs and outputs
    #[arg(skip)]
    tracing: bool,
}

impl Wasm {
    /// The module that is shipped.
    pub const SHIPPED: Self = Self {
        dev: false,
        counting: false,
        tracing: false,
    };

    /// A module that records its core's inputs and outputs; never shipped.
    pub const TRACING: Self = Self {
        dev: true,
        counting: false,
        tracing: true,
    };

    /// Builds what changed and prints the sizes.
    pub fn run(&self) -> Result<(), Failure> {
        if self.tracing {
            return self.make(&Edition {
                features: "payments,trace",
                ..FULL
            });
        }
        self.make(&FULL)?;
        self.make(&FREE)
    }

    fn make(&self, edition: &Edition) -> Result<(), Failure> {
        let built = stage("wasm: compile", || self.compile(edition))?;
        let output = paths::root().join(edition.output);
        let rare = paths::root().join(edition.rare);
        let stamp = Inputs::default()
            .file(&built)
            .word(match (self.dev, self.counting) {
                (true, _) => "dev",
                (_, true) => "counting",
                _ => "shipped",
            })
            .word(&locked_version("wasm-bindgen-cli-support")?)
            .file(&paths::root().join("xtask/tools/package-lock.json"))
            .file(&paths::root().join("xtask/bindgen/src/order.rs"))
            .file(&paths::root().join("xtask/bindgen/src/split.rs"))
            .file(&rare)
            .word(&WASM_FEATURES.join(" "))
            .word(&OPTIMISE.join(" "))
            .stamp(output.join(".stamp"));
        let module = output.join("piecework_bg.wasm");
        if stamp.is_current() && module.is_file() {
            say("wasm-bindgen, wasm-opt: unchanged");
        } else {
            stamp.clear();
            let bound = paths::target().join("wasm-bindgen");
            stage("wasm: bind", || bind(&built, &bound))?;
            add_rest(&bound.join("piecework.js"))?;
            let bound_module = bound.join("piecework_bg.wasm");
            if !self.dev {
                stage("wasm: optimise", || optimise(&bound_module))?;
                stage("wasm: split", || {
                    if self.counting {
                        let names = bound.join("names.txt");
                        shell::run(bindgen().arg("--count").arg(&bound_module).arg(names))
                    } else {
                        split(&bound_module, &rare)
                    }
                })?;
            }
            publish(&bound, &output)?;
            stamp.set()?;
        }
        for name in ["piecework_bg.wasm", REST] {
            print_size(&output.join(name))?;
        }
        Ok(())
    }

    fn compile(&self, edition: &Edition) -> Result<std::path::PathBuf, Failure> {
        let toolchain = WasmToolchain::find_or_install()?;
        let (profile, folder) = if self.dev {
            ("dev", "debug")
        } else {
            (PROFILE, PROFILE)
        };
        let mut cargo = if self.dev {
            toolchain.build()
        } else {
            toolchain.build_small()
        };
        cargo.args([
            "--package",
            "piecework",
            "--lib",
            "--no-default-features",
            "--features",
            edition.features,
            "--profile",
            profile,
        ]);
        cargo.args(edition.options);
        if !self.dev {
            cargo.args(["--", INLINED_STACK]);
        }
        shell::run(&mut cargo)?;
        Ok(toolchain
            .target_folder()
            .join(TARGET)
            .join(folder)
            .join("piecework.wasm"))
    }
}

fn bind(built: &Path, bound: &Path) -> Result<(), Failure> {
    shell::run(shell::cargo().args(["build", "--package", "xtask-bindgen"]))?;
    if bound.exists() {
        fs::remove_dir_all(bound).map_err(Failure::io("empty", bound))?;
    }
    fs::create_dir_all(bound).map_err(Failure::io("make", bound))?;
    shell::run(bindgen().arg(built).arg(bound))
}

fn bindgen() -> Command {
    shell::command(paths::target().join("debug/xtask-bindgen"))
}

fn optimise(module: &Path) -> Result<(), Failure> {
    node::require()?;
    node::install("xtask/tools")?;
    let smaller = module.with_extension("opt");
    let tool = paths::root().join("xtask/tools/node_modules/binaryen/bin/wasm-opt");
    let mut command = node::node();
    command
        .arg(tool)
        .arg(module)
        .args(OPTIMISE)
        .args(WASM_FEATURES)
        .arg("-o")
        .arg(&smaller);
    say(format_args!("$ {}", shell::line_of(&command)));
    let renamed = shell::answer(&mut command)
        .and_then(|text| serde_json::from_str(&text).ok())
        .ok_or_else(|| Failure::failed("wasm-opt failed: run the line above to see why"))?;
    rename(&module.with_file_name("piecework.js"), &renamed)?;
    fs::rename(&smaller, module).map_err(Failure::io("replace", module))
}

fn split(module: &Path, rare: &Path) -> Result<(), Failure> {
    let rest = module.with_file_name(REST);
    shell::run(bindgen().arg("--split").arg(module).arg(rare).arg(rest))
}

/// In the bindings, the import by which the module loads its rest: `setRest` says how. The load gets JavaScript's
/// functions and the module's exports, which the rest imports.
fn add_rest(bindings: &Path) -> Result<(), Failure> {
    let text = fs::read_to_string(bindings).map_err(Failure::io("read", bindings))?;
    let end = "\n    return {\n        __proto__: null,\n";
    let (before, after) = text.split_once(end).ok_or_else(|| {
        Failure::failed(format!(
            "{} has no object of imports: wasm-bindgen writes it in another form now",
            bindings.display()
        ))
    })?;
    let added = "\n    import0.rest = () => loadRest(import0, wasm);";
    let said = "\nlet loadRest;\nexport function setRest(load) { loadRest = load; }\n";
    fs::write(bindings, format!("{before}{added}{end}{after}{said}"))
        .map_err(Failure::io("write", bindings))?;
    let types = bindings.with_extension("d.ts");
    let mut text = fs::read_to_string(&types).map_err(Failure::io("read", &types))?;
    text.push_str(
        "\n/** How the module loads its rest: it imports JavaScript's functions and the module's exports. */\n\
         type Imports = WebAssembly.ModuleImports;\n\
         export function setRest(load: (functions: Imports, first: Imports) => void): void;\n",
    );
    fs::write(&types, text).map_err(Failure::io("write", &types))
}

/// The names that wasm-opt changes: under `imports` module, name and new name, under `exports` name and new name.
type Renamed = HashMap<String, Vec<Vec<String>>>;

/// In the bindings, calls each renamed function by its new name.
fn rename(bindings: &Path, renamed: &Renamed) -> Result<(), Failure> {
    let mut text = fs::read_to_string(bindings).map_err(Failure::io("read", bindings))?;
    let list = |key: &str| renamed.get(key).map(Vec::as_slice).unwrap_or_default();
    let mut exports = HashMap::new();
    for export in list("exports") {
        if let [name, new] = export.as_slice() {
            exports.insert(name.as_str(), new.as_str());
        }
    }
    for import in list("imports") {
        let [module, name, new] = import.as_slice() else {
            continue;
        };
        // A member of the object of imports; wasm-opt calls the one module there is `a`.
        for (old, new) in [
            (format!("\n        {name}: "), format!("\n        {new}: ")),
            (format!("\"{module}\": "), "\"a\": ".to_owned()),
        ] {
            if !text.contains(&old) && !text.contains(&new) {
                return Err(Failure::failed(format!(
                    "{} does not say {old:?}: wasm-bindgen writes its imports in another form now",
                    bindings.display()
                )));
            }
            text = text.replace(&old, &new);
        }
    }
    let mut parts = text.split("wasm.");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        out.push_str("wasm.");
        out.push_str(exports.get(name).unwrap_or(&name));
        out.push_str(rest);
    }
    fs::write(bindings, out).map_err(Failure::io("write", bindings))
}

/// Copies exactly the files that were made: a file of an earlier build would be shipped by mistake.
fn publish(bound: &Path, output: &Path) -> Result<(), Failure> {
    if output.exists() {
        fs::remove_dir_all(output).map_err(Failure::io("empty", output))?;
    }
    copy_folder(bound, output)
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to).map_err(Failure::io("make", to))?;
    for entry in fs::read_dir(from).map_err(Failure::io("list", from))? {
        let source = entry.map_err(Failure::io("list", from))?.path();
        let Some(name) = source.file_name() else {
            continue;
        };
        if source.is_dir() {
            copy_folder(&source, &to.join(name))?;
        } else {
            fs::copy(&source, to.join(name)).map_err(Failure::io("copy", &source))?;
        }
    }
    Ok(())
}

/// The version of a package in Cargo.lock.
fn locked_version(package: &str) -> Result<String, Failure> {
    let path = paths::root().join("Cargo.lock");
    let text = fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
    let name = format!("name = \"{package}\"");
    let mut lines = text.lines().skip_while(|line| *line != name).skip(1);
    lines
        .next()
        .map(str::to_owned)
        .ok_or_else(|| Failure::failed(format!("Cargo.lock does not name {package}")))
}

fn print_size(module: &Path) -> Result<(), Failure> {
    if !module.exists() {
        return Ok(());
    }
    let raw = fs::metadata(module)
        .map_err(Failure::io("read", module))?
        .len();
    let gzip = Command::new("gzip")
        .args(["-9", "--stdout"])
        .arg(module)
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success());
    let gzip = gzip.map_or_else(
        || "gzip is not installed".to_owned(),
        |output| format!("{} bytes gzip -9", output.stdout.len()),
    );
    say(format_args!(
        "{}: {raw} bytes, {gzip}",
        module
            .strip_prefix(paths::root())
            .unwrap_or(module)
            .display()
    ));
    Ok(())
}
