//! The README's lines for an operator, as they stand there, except for the values that belong to a machine: addresses,
//! ports, the chain.

use std::{fs, net::SocketAddr, process::Command, time::Duration};

use serde_json::json;

use crate::{
    demo::{
        chain::{self, Account},
        children::Children,
        programs,
    },
    failure::Failure,
    paths, shell,
};

const HEADING: &str = "## For an operator";
const LIMIT: Duration = Duration::from_secs(60);
/// Not a film, but as long as a small one.
const FILM: &[u8] = &[7; 300_000];

/// A line of the README: the program, and its words.
type Line = Vec<String>;

/// Deploys, creates, publishes, announces and seeds for money, buys, and gets the rest of the deposit back, in a folder
/// of its own. Every line is typed.
pub fn run() -> Result<(), Failure> {
    let readme = paths::root().join("README.md");
    let text = fs::read_to_string(&readme).map_err(Failure::io("read", &readme))?;
    let mut lines = Lines(lines_in(&text));
    let folder = paths::target().join("commands/operator");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Failure::io("remove", &folder))?;
    }
    fs::create_dir_all(&folder).map_err(Failure::io("make", &folder))?;
    let film = folder.join("film.mp4");
    fs::write(&film, FILM).map_err(Failure::io("write", &film))?;
    let typed = |line: &Line, own: &[(&str, &str)]| {
        let mut command = command(line, own);
        command.current_dir(&folder);
        command
    };

    let mut children = Children::new(paths::target().join("commands/logs"))?;
    let chain = Chain::start(&mut children)?;
    programs::write_key(&chain.owner, &folder.join("owner.key"))?;
    programs::write_key(&chain.payee, &folder.join("payee.key"))?;
    let rpc = programs::rpc_url(chain.rpc);
    let on_chain = [
        ("--rpc", rpc.as_str()),
        ("--token", &chain.token),
        ("--owner", &chain.owner.address),
    ];
    let server = typed(
        &lines.take("piecework-signaling")?,
        &[("--listen", "127.0.0.1:0")],
    );
    let server = children.start("signaling", &server, false)?;
    let address = children.wait_ready(server, LIMIT, programs::listen_address)?;
    let tracker = programs::tracker_url(address);
    let create = lines.take("create")?;
    shell::run(&mut typed(&create, &[("--tracker", &tracker)]))?;
    for verb in ["vault", "publish", "info"] {
        shell::run(&mut typed(&lines.take(verb)?, &on_chain))?;
    }
    let seeder = typed(&lines.take("seed")?, &on_chain);
    let seeder = children.start("seeder", &seeder, false)?;
    children.wait_ready(seeder, LIMIT, programs::is_seeding)?;
    for verb in ["key", "deposit", "get", "topup", "exit"] {
        shell::run(&mut typed(&lines.take(verb)?, &on_chain))?;
    }
    let got = folder.join("downloads/film.mp4");
    if fs::read(&got).map_err(Failure::io("read", &got))? != FILM {
        return Err(Failure::failed("what was bought is not the film"));
    }
    chain.pass(chain::EXIT_DELAY_SECONDS)?;
    shell::run(&mut typed(&lines.take("withdraw")?, &on_chain))?;
    match lines.0.first() {
        None => Ok(()),
        Some(line) => Err(Failure::failed(format!(
            "`{}` was not typed",
            line.join(" ")
        ))),
    }
}

/// The lines that are not typed yet.
struct Lines(Vec<Line>);

impl Lines {
    /// The line of a program, or of a command of `piecework`.
    fn take(&mut self, name: &str) -> Result<Line, Failure> {
        let is_it = |line: &Line| line.iter().take(2).any(|word| word == name);
        let at = self.0.iter().position(is_it);
        at.map(|at| self.0.remove(at))
            .ok_or_else(|| Failure::failed(format!("README.md has no line of {name} there")))
    }
}

/// A chain with the number that the README's lines name, a token, and two accounts: of the owner, who has some of it,
/// and of the payee.
struct Chain {
    rpc: SocketAddr,
    owner: Account,
    payee: Account,
    token: String,
}

impl Chain {
    fn start(children: &mut Children) -> Result<Self, Failure> {
        let mut anvil = programs::anvil()?;
        anvil.args(["--chain-id", "10"]);
        let anvil = children.start("anvil", &anvil, false)?;
        let mut opening = chain::Opening::default();
        let (rpc, accounts) = children.wait_ready(anvil, LIMIT, |line| opening.read(line))?;
        let [deployer, payee, owner, ..] = accounts.as_slice() else {
            return Err(Failure::failed("anvil made too few accounts"));
        };
        let artifacts = paths::root().join("contracts/out");
        // Only the token of it: the README's own line deploys the vault.
        let decimals = chain::DOLLAR_DECIMALS;
        let token = chain::deploy_token(rpc, &artifacts, deployer, &[owner], decimals)?.address;
        Ok(Self {
            rpc,
            owner: owner.clone(),
            payee: payee.clone(),
            token,
        })
    }

    fn pass(&self, seconds: u64) -> Result<(), Failure> {
        chain::call(self.rpc, "evm_increaseTime", json!([seconds]))?;
        chain::call(self.rpc, "evm_mine", json!([]))?;
        Ok(())
    }
}

/// The lines of the shell blocks under the heading; one that ends with a backslash goes on in the next.
fn lines_in(readme: &str) -> Vec<Line> {
    let section = readme.split(HEADING).nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut found = Vec::new();
    for block in section.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        let lines = block.replace("\\\n", " ");
        found.extend(
            lines
                .lines()
                .map(|line| line.split_whitespace().map(ToOwned::to_owned).collect()),
        );
    }
    found
}

/// The line with this machine's values for those options. An option that the line does not have stays out.
fn command(line: &Line, own: &[(&str, &str)]) -> Command {
    let (program, words) = line.split_first().map_or(("", &[][..]), |(p, w)| (p, w));
    let mut command = shell::command(programs::binary(program));
    let mut previous = "";
    for word in words {
        let value = own.iter().find(|(option, _)| *option == previous);
        command.arg(value.map_or(word.as_str(), |(_, value)| value));
        previous = word;
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_typed_with_our_own_values() {
        let readme = "# x\n## For an operator\n\n```sh\npiecework seed a.torrent --price 10 --rpc https://…\n```\n\n## y\n\n```sh\nls\n```\n";
        let lines = lines_in(readme);
        assert_eq!(lines.len(), 1);
        let command = command(
            &lines[0],
            &[("--rpc", "http://127.0.0.1:1"), ("--vault", "0x1")],
        );
        let words: Vec<_> = command.get_args().collect();
        let expected = [
            "seed",
            "a.torrent",
            "--price",
            "10",
            "--rpc",
            "http://127.0.0.1:1",
        ];
        assert_eq!(words, expected);
    }
}
