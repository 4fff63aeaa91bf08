//! The command lines of every program that the demo starts, and the lines by which each reports that it is ready.
//!
//! The one place to change when a flag of `piecework`, `piecework-signaling` or anvil changes.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    demo::chain::{Account, EXIT_DELAY_SECONDS, Token},
    failure::Failure,
    node, paths, shell,
};

/// The headless play-through; reads the file named by [`CONFIG_VARIABLE`].
pub const PLAY_THROUGH: &str = "tests/browser/tools/demo.mjs";
/// Names the JSON file with the play-through's whole configuration (see `demo::write_config`).
pub const CONFIG_VARIABLE: &str = "PIECEWORK_DEMO_CONFIG";

/// The built binaries of the workspace.
pub fn binary(name: &str) -> PathBuf {
    paths::target().join("debug").join(name)
}

/// The local chain, on any free port; ready by `chain::Opening`. The command is the binary itself, because the binary
/// would outlive a wrapper; where npm has none for this system, the one on the `PATH`.
pub fn anvil() -> Result<Command, Failure> {
    let scope = paths::root().join("contracts/node_modules/@foundry-rs");
    let packages = fs::read_dir(&scope).into_iter().flatten().flatten();
    let program = packages
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("anvil-"))
        .map(|entry| entry.path().join("bin/anvil"))
        .find(|path| path.is_file())
        .or_else(|| shell::find_on_path("anvil"))
        .ok_or_else(|| Failure::Missing {
            what: "anvil, the local chain".to_owned(),
            line: "install Foundry: see getfoundry.sh".to_owned(),
        })?;
    let mut command = shell::command(program);
    command.args(["--host", "127.0.0.1", "--port", "0"]);
    Ok(command)
}

/// The signaling server, on any free port; ready by [`listen_address`].
pub fn signaling() -> Command {
    let mut command = shell::command(binary("piecework-signaling"));
    command.args(["--listen", "127.0.0.1:0"]);
    command
}

/// The tracker address that a server at `address` has.
pub fn tracker_url(address: SocketAddr) -> String {
    format!("ws://{address}/")
}

/// The first word of a line that is a socket address, bare or inside a URL.
pub fn listen_address(line: &str) -> Option<SocketAddr> {
    line.split(|c: char| c.is_whitespace() || matches!(c, '"' | ',' | '=' | '/'))
        .find_map(|word| word.parse().ok())
}

/// Makes a .torrent of `content`; prints the magnet link, read by [`magnet_in`].
pub fn create(content: &Path, tracker: &str, torrent: &Path) -> Command {
    let mut command = shell::command(binary("piecework"));
    command
        .arg("create")
        .arg(content)
        .args(["--force", "--tracker", tracker, "--output"])
        .arg(torrent);
    command
}

/// The magnet link in the output of `create` or `publish`.
pub fn magnet_in(text: &str) -> Option<&str> {
    text.split_whitespace()
        .find(|word| word.starts_with("magnet:?"))
}

/// The id of the title that a link names.
pub fn title_id_in(magnet: &str) -> Option<&str> {
    let (_, rest) = magnet.split_once("&pw.content=")?;
    rest.split('&').next()
}

/// Deploys the registry of titles, the factory of splitters and a vault of this token; writes the file that names them
/// into `folder`.
pub fn deploy(
    rpc: SocketAddr,
    key_file: &Path,
    token: &Token,
    sink: &Account,
    folder: &Path,
) -> Command {
    let mut command = shell::command(binary("piecework"));
    command.args(["vault", "deploy", "--rpc", &rpc_url(rpc), "--write-rpc"]);
    command.arg("--key").arg(key_file);
    command.args(["--token", &token.address, "--sink", &sink.address]);
    command.args(["--exit-delay", &EXIT_DELAY_SECONDS.to_string()]);
    command.arg("--output").arg(folder);
    command
}

/// What a publisher says of the demo's film, besides its name.
pub struct Title<'a> {
    /// File with the publisher's private key.
    pub key_file: &'a Path,
    /// Who is credited.
    pub creator: &'a Account,
    /// The creator's share of every sale, in percent.
    pub share: &'a str,
    /// The contracts' file, for a title that is to be registered.
    pub register: Option<&'a Path>,
}

/// Signs a title of `torrent` and writes `signed` with it; prints the magnet link, read by [`magnet_in`].
pub fn publish(torrent: &Path, title: &Title<'_>, signed: &Path) -> Command {
    let mut command = shell::command(binary("piecework"));
    command.arg("publish").arg(torrent);
    command.arg("--key").arg(title.key_file);
    command.args(["--creator", &title.creator.address, "--share", title.share]);
    command.args(["--licence", "CC-BY-4.0", "--force"]);
    if let Some(deployment) = title.register {
        command
            .arg("--register")
            .arg("--deployment")
            .arg(deployment);
    }
    command.arg("--output").arg(signed);
    command
}

/// Says who published a torrent, by a chain too if the contracts' file is given.
pub fn info(torrent: &Path, deployment: Option<&Path>) -> Command {
    let mut command = shell::command(binary("piecework"));
    command.arg("info").arg(torrent);
    if let Some(deployment) = deployment {
        command.arg("--deployment").arg(deployment);
    }
    command
}

/// Brings a creator what the vault credited.
pub fn claim(key_file: &Path, deployment: &Path) -> Command {
    let mut command = shell::command(binary("piecework"));
    command.arg("claim").arg("--owner-key").arg(key_file);
    command.arg("--deployment").arg(deployment);
    command
}

/// A seeder's options.
pub struct Seeder<'a> {
    /// The .torrent file.
    pub torrent: &'a Path,
    /// The folder that holds its content.
    pub folder: &'a Path,
    /// Its records: a folder of this run, because their chain is new each time.
    pub state: &'a Path,
    /// Dollars per gigabyte, as typed.
    pub price: &'a str,
    /// Most bytes per second sent, as typed.
    pub upload_limit: Option<&'a str>,
    /// File with the payee's private key.
    pub key_file: &'a Path,
    /// The contracts' file.
    pub deployment: &'a Path,
}

/// The native seeder; ready when [`is_seeding`]. It takes commands from its stdin and answers with lines of JSON on
/// stdout.
pub fn seed(seeder: &Seeder<'_>) -> Command {
    let mut command = shell::command(binary("piecework"));
    command.arg("seed").arg(seeder.torrent);
    command.arg("--data").arg(seeder.folder);
    command.arg("--state").arg(seeder.state);
    command.args(["--no-stun", "--json", "--stdin-commands"]);
    command.args(["--price", seeder.price]);
    if let Some(limit) = seeder.upload_limit {
        command.args(["--upload-limit", limit]);
    }
    command.arg("--payee-key").arg(seeder.key_file);
    // Its ledger is held against the chain when it redeems on command.
    command.args(["--redeem-every", "0"]);
    command.arg("--deployment").arg(seeder.deployment);
    command
}

/// Whether the seeder reports that it announces and serves.
pub fn is_seeding(line: &str) -> Option<()> {
    line.to_lowercase().contains("seeding").then_some(())
}

/// The chain's address, as clients want it.
pub fn rpc_url(rpc: SocketAddr) -> String {
    format!("http://{rpc}")
}

/// The headless play-through.
pub fn play_through(config: &Path) -> Command {
    let mut command = node::node();
    command.arg(PLAY_THROUGH).env(CONFIG_VARIABLE, config);
    command
}

/// A named pipe for a program's commands, made anew. It is open for both directions, so it never ends when a writer
/// closes it.
pub fn command_pipe(path: &Path) -> Result<fs::File, Failure> {
    if path.exists() {
        fs::remove_file(path).map_err(Failure::io("remove", path))?;
    }
    shell::answer(shell::command("mkfifo").arg(path))
        .ok_or_else(|| Failure::failed(format!("`mkfifo {}` failed", path.display())))?;
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .open(path)
        .map_err(Failure::io("open", path))
}

/// Writes a private key to a file that only its owner reads.
pub fn write_key(account: &Account, path: &Path) -> Result<(), Failure> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(Failure::io("write", path))?;
    writeln!(file, "{}", account.private_key).map_err(Failure::io("write", path))
}

/// The line that moves the local chain's clock past the exit delay.
pub fn pass_exit_delay(rpc: SocketAddr, seconds: u64) -> String {
    let calls = serde_json::json!([
        { "jsonrpc": "2.0", "id": 1, "method": "evm_increaseTime", "params": [seconds + 1] },
        { "jsonrpc": "2.0", "id": 2, "method": "evm_mine", "params": [] },
    ]);
    format!(
        "curl -s -H 'content-type: application/json' -d '{calls}' {}",
        rpc_url(rpc)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_bare_and_in_a_url() {
        let expected = "127.0.0.1:4711".parse().ok();
        assert_eq!(listen_address("listening on 127.0.0.1:4711"), expected);
        assert_eq!(
            listen_address("INFO listening url=\"ws://127.0.0.1:4711/\""),
            expected
        );
        assert_eq!(listen_address("starting 1.0"), None);
    }

    #[test]
    fn a_registered_titles_link_names_its_id() {
        let link = "magnet:?xt=urn:btih:00&pw.content=0a1b&pw.by=00";
        assert_eq!(title_id_in(link), Some("0a1b"));
        assert_eq!(title_id_in("magnet:?xt=urn:btih:00&pw.by=00"), None);
    }

    #[test]
    fn a_magnet_link_is_found_among_other_lines() {
        assert_eq!(
            magnet_in("info hash 00\nmagnet: magnet:?xt=urn:btih:00\n"),
            Some("magnet:?xt=urn:btih:00")
        );
    }
}
