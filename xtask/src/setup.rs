//! `cargo xtask setup`: everything the other commands need, checked or installed.

use crate::{
    chromium, debian,
    failure::Failure,
    firefox, libtorrent, node, shell,
    stage::{say, stage},
    wasm_toolchain::WasmToolchain,
};

/// Installs what is missing: wasm compiler, Node packages, Chromium, Firefox, geckodriver, ffmpeg, coturn, libtorrent
/// (on Debian as root; elsewhere names the line)
#[derive(clap::Args)]
pub struct Setup {}

/// The things that are set up, and how.
type Step = (&'static str, fn() -> Result<(), Failure>);

const COMPILERS: [Step; 2] = [
    ("rust", rust),
    ("wasm", || WasmToolchain::find_or_install().map(drop)),
];

const OTHERS: [Step; 8] = [
    ("node", || {
        node::require().and_then(|()| node::install_all())
    }),
    ("chromium", || chromium::require().map(drop)),
    ("firefox", || firefox::require().map(drop)),
    ("geckodriver", || firefox::require_driver().map(drop)),
    ("ffmpeg", ffmpeg),
    ("coturn", coturn),
    ("network namespaces", namespaces),
    ("libtorrent", || libtorrent::require().map(drop)),
];

impl Setup {
    /// Checks everything, and installs what is missing; reports all that it could not install, not only the first.
    pub fn run() -> Result<(), Failure> {
        each(COMPILERS.iter().chain(&OTHERS))
    }

    /// The tools that the checks need.
    pub fn compilers() -> Result<(), Failure> {
        each(COMPILERS.iter())
    }

    /// The tools that only other commands need.
    pub fn others() -> Result<(), Failure> {
        each(OTHERS.iter())
    }
}

fn each<'a>(steps: impl Iterator<Item = &'a Step>) -> Result<(), Failure> {
    let mut failures = steps
        .filter_map(|(name, work)| stage(&format!("setup: {name}"), work).err())
        .collect::<Vec<_>>();
    match failures.pop() {
        None => Ok(()),
        Some(last) => {
            for failure in &failures {
                say(failure);
            }
            Err(last)
        }
    }
}

/// The components that the checks use; rustup's minimal profile lacks them.
fn rust() -> Result<(), Failure> {
    let lacking = ["fmt", "clippy"]
        .into_iter()
        .filter(|command| shell::answer(shell::cargo().args([*command, "--version"])).is_none());
    let components = lacking
        .map(|command| {
            if command == "fmt" {
                "rustfmt"
            } else {
                "clippy"
            }
        })
        .collect::<Vec<_>>();
    if components.is_empty() {
        say(shell::answer(shell::command("rustc").arg("--version")).unwrap_or_default());
        return Ok(());
    }
    let line = format!("rustup component add {}", components.join(" "));
    if shell::find_on_path("rustup").is_none() {
        return Err(Failure::Missing {
            what: format!("cargo's {}", components.join(" and ")),
            line,
        });
    }
    shell::run(
        shell::command("rustup")
            .args(["component", "add"])
            .args(&components),
    )
    .map_err(|failure| Failure::Missing {
        what: failure.to_string(),
        line,
    })
}

/// Makes the demo's video.
pub fn ffmpeg() -> Result<(), Failure> {
    if shell::find_on_path("ffmpeg").is_none() {
        debian::install(&["ffmpeg"], "ffmpeg, to make the video")?;
    }
    let version = shell::answer(shell::command("ffmpeg").arg("-version"))
        .ok_or_else(|| Failure::failed("ffmpeg is installed and does not run"))?;
    say(version.lines().next().unwrap_or_default());
    Ok(())
}

/// What makes the networks behind NATs: `ip` and `nft`. Whether the machine lets them is another matter.
pub fn namespaces() -> Result<(), Failure> {
    if shell::find_on_path("ip").is_none() || shell::find_on_path("nft").is_none() {
        debian::install(
            &["iproute2", "nftables"],
            "ip and nft, to test peers behind NATs",
        )?;
    }
    let version = shell::answer(shell::command("nft").arg("--version"))
        .ok_or_else(|| Failure::failed("nft is installed and does not run"))?;
    say(version);
    Ok(())
}

/// The TURN server that the browser tests relay through; they start one of their own.
pub fn coturn() -> Result<(), Failure> {
    if shell::find_on_path("turnserver").is_none() {
        debian::install(&["coturn"], "coturn, to test relayed connections")?;
    }
    let version = shell::answer(shell::command("turnserver").arg("--version"))
        .ok_or_else(|| Failure::failed("turnserver is installed and does not run"))?;
    say(format_args!(
        "coturn {}",
        version.lines().last().unwrap_or_default()
    ));
    Ok(())
}
