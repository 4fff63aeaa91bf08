//! The compiler that makes wasm: rustup's or Debian's, both with std built from its source, or rustup's with the std
//! that it ships.
//!
//! std is built from source because that makes a page's download smaller by a fifth: without the text of panics,
//! without the machinery that prints it, and with rarely used code optimised for size. That takes `RUSTC_BOOTSTRAP=1`,
//! since the flags are not stable yet. rustup's own std works as well, is larger, and is taken when no source can be
//! had.
//!
//! The ordinary way is tried first and bounded in time. A refusal is remembered for the toolchain at hand, so that the
//! next run does not wait again. `PIECEWORK_WASM_TOOLCHAIN=rustup`, `=debian` or `=shipped-std` settles the question.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{debian, failure::Failure, paths, rustup, shell, stage::say, stamp::Inputs};

/// The target triple of everything a page loads.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// std without the text of panics, and of `{:?}`, which no message for people uses; it stops at once where it would
/// have printed.
const SMALL: &str = r#"target.wasm32-unknown-unknown.rustflags=["-Zunstable-options", "-Cpanic=immediate-abort", "-Zlocation-detail=none", "-Zfmt-debug=none"]"#;
/// The component that brings std's source.
const SOURCE: &str = "rust-src";

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_CLIPPY: &str = "/usr/bin/cargo-clippy";
const DEBIAN_RUSTDOC: &str = "/usr/bin/rustdoc";
const DEBIAN_PACKAGES: &[&str] = &[
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "rust-web-clippy",
    "lld-19",
];

/// A compiler that can build for [`TARGET`].
pub enum WasmToolchain {
    /// The toolchain in use, which builds std from the source that rustup brought.
    Rustup,
    /// Debian's rustc-web, which builds std from its source package; with the linker to use.
    Debian {
        /// `rust-lld` of the rustup toolchain, or `wasm-ld` of Debian's lld.
        linker: PathBuf,
    },
    /// The toolchain in use, with the wasm std that rustup ships.
    ShippedStd,
}

impl WasmToolchain {
    /// Finds a compiler, installs its missing parts, and prints which way was taken.
    pub fn find_or_install() -> Result<Self, Failure> {
        let asked = env::var("PIECEWORK_WASM_TOOLCHAIN").ok();
        let may = |way: &str| asked.as_deref().is_none_or(|asked| asked == way);
        if may("rustup") && (rustup_brings("component", SOURCE, has_source)?) {
            say("wasm compiler: rustup's, which builds std from its source");
            return Ok(Self::Rustup);
        }
        if may("debian") {
            if !debian_is_complete() && debian::is_debian() {
                debian::install(
                    DEBIAN_PACKAGES,
                    "a Rust compiler with std's source, because rustup could not bring the source",
                )?;
            }
            if debian_is_complete() {
                let linker = find_linker()?;
                let version =
                    shell::answer(Command::new(DEBIAN_RUSTC).arg("--version")).unwrap_or_default();
                say(format_args!(
                    "wasm compiler: Debian's {version}, which builds std from source; linker {}",
                    linker.display()
                ));
                return Ok(Self::Debian { linker });
            }
        }
        if may("shipped-std") && rustup_brings("target", TARGET, has_wasm_std)? {
            say(
                "wasm compiler: rustup's, with the wasm std it ships: what a page loads is larger by a fifth",
            );
            return Ok(Self::ShippedStd);
        }
        Err(Failure::Missing {
            what: format!("a compiler that makes {TARGET}"),
            line: format!("rustup component add {SOURCE}"),
        })
    }

    /// Its own target folder: two compilers in one would rebuild each other's work.
    pub fn target_folder(&self) -> PathBuf {
        match self {
            Self::Rustup | Self::ShippedStd => paths::target().join("wasm"),
            Self::Debian { .. } => paths::target().join("wasm-debian"),
        }
    }

    /// Whether the module that it makes is as small as it can be.
    pub fn builds_std(&self) -> bool {
        !matches!(self, Self::ShippedStd)
    }

    /// `cargo rustc` for wasm as it is shipped; the caller adds package, profile and features, and may add the
    /// compiler's options for this one package.
    pub fn build_small(&self) -> Command {
        self.small(self.build())
    }

    /// `cargo rustc` for wasm; the caller adds package, profile and features.
    pub fn build(&self) -> Command {
        let mut command = match self {
            Self::Rustup | Self::ShippedStd => shell::cargo(),
            Self::Debian { linker } => debian_command(DEBIAN_CARGO, linker),
        };
        command.arg("rustc");
        self.add_target(command)
    }

    /// `cargo clippy` for wasm as it is shipped, so that std is built once for both; the caller adds package, profile
    /// and features.
    pub fn clippy(&self) -> Command {
        let mut command = match self {
            Self::Rustup | Self::ShippedStd => shell::cargo(),
            // Run directly: cargo prefers the `cargo-clippy` in its home folder, which is rustup's.
            Self::Debian { linker } => debian_command(DEBIAN_CLIPPY, linker),
        };
        command.arg("clippy");
        self.small(self.add_target(command))
    }

    /// `cargo doc` for wasm as it is shipped; the caller adds package, profile and features.
    pub fn doc(&self) -> Command {
        let mut command = match self {
            Self::Rustup | Self::ShippedStd => shell::cargo(),
            Self::Debian { linker } => {
                let mut command = debian_command(DEBIAN_CARGO, linker);
                command.env("RUSTDOC", DEBIAN_RUSTDOC);
                command
            }
        };
        command.arg("doc");
        self.small(self.add_target(command))
    }

    fn small(&self, mut command: Command) -> Command {
        if self.builds_std() {
            command.args(["-Zbuild-std-features=optimize_for_size", "--config", SMALL]);
        }
        command
    }

    fn add_target(&self, mut command: Command) -> Command {
        command
            .args(["--target", TARGET, "--target-dir"])
            .arg(self.target_folder());
        if self.builds_std() {
            command
                .env("RUSTC_BOOTSTRAP", "1")
                .arg("-Zbuild-std=std,panic_abort");
        }
        command
    }
}

/// True when rustup has, or now brought, the file that `is_there` looks for in the toolchain's folder. A refusal is
/// remembered, not reported as a failure.
fn rustup_brings(
    kind: &str,
    name: &str,
    is_there: impl Fn(&Path) -> bool,
) -> Result<bool, Failure> {
    let sysroot = shell::answer(shell::command("rustc").args(["--print", "sysroot"]))
        .map(PathBuf::from)
        .ok_or_else(|| {
            Failure::failed(
                "`rustc --print sysroot` does not answer: is rustup's bin folder on the PATH?",
            )
        })?;
    if is_there(&sysroot) {
        return Ok(true);
    }
    let refused = Inputs::default()
        .word(&sysroot.to_string_lossy())
        .stamp(paths::memory().join(format!("rustup-refused-{name}")));
    if refused.is_current() {
        return Ok(false);
    }
    Ok(rustup::bring(name, &[kind, "add", name], &refused)? && is_there(&sysroot))
}

fn has_source(sysroot: &Path) -> bool {
    sysroot
        .join("lib/rustlib/src/rust/library/std/Cargo.toml")
        .is_file()
}

fn has_wasm_std(sysroot: &Path) -> bool {
    sysroot
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib")
        .is_dir()
}

fn debian_is_complete() -> bool {
    let Some(sysroot) = shell::answer(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]))
    else {
        return false;
    };
    let source = Path::new(&sysroot).join("lib/rustlib/src/rust/library/std/Cargo.toml");
    [Path::new(DEBIAN_CARGO), Path::new(DEBIAN_CLIPPY), &source]
        .iter()
        .all(|path| path.exists())
}

fn find_linker() -> Result<PathBuf, Failure> {
    let in_sysroot = shell::answer(shell::command("rustc").args(["--print", "target-libdir"]))
        .and_then(|libdir| {
            Path::new(&libdir)
                .parent()
                .map(|host| host.join("bin/rust-lld"))
        })
        .filter(|path| path.is_file());
    in_sysroot
        .or_else(|| {
            ["wasm-ld-19", "wasm-ld"]
                .iter()
                .find_map(|name| shell::find_on_path(name))
        })
        .ok_or_else(|| Failure::Missing {
            what: "a linker for wasm (rust-lld or wasm-ld)".to_owned(),
            line: "sudo apt-get install --yes lld-19".to_owned(),
        })
}

fn debian_command(program: &str, linker: &Path) -> Command {
    let mut command = shell::command(program);
    // The variables of rustup's proxy and `cargo run` would lead Debian's compiler to rustup's libraries.
    for name in [
        "RUSTUP_TOOLCHAIN",
        "LD_LIBRARY_PATH",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
    ] {
        command.env_remove(name);
    }
    command
        .env("CARGO", DEBIAN_CARGO)
        .env("RUSTC", DEBIAN_RUSTC)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    command
}
