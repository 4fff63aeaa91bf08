//! The README's lines for an operator, as they stand there, except for the values that belong to a machine: addresses,
//! ports, the chain.

use std::{fs, process::Command, time::Duration};

use crate::{
    demo::{
        chain::{self, Account, Deployment},
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

/// Creates, announces and seeds for money, in a folder of its own.
pub fn run() -> Result<(), Failure> {
    let readme = paths::root().join("README.md");
    let text = fs::read_to_string(&readme).map_err(Failure::io("read", &readme))?;
    let [create, seed, signaling] = <[Line; 3]>::try_from(lines_in(&text))
        .map_err(|lines| Failure::failed(format!("README.md has {} lines there", lines.len())))?;
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
    let (rpc, payee, deployment) = chain(&mut children)?;
    programs::write_key(&payee, &folder.join("payee.key"))?;
    let server = typed(&signaling, &[("--listen", "127.0.0.1:0")]);
    let server = children.start("signaling", &server, false)?;
    let address = children.wait_ready(server, LIMIT, programs::listen_address)?;
    let tracker = programs::tracker_url(address);
    shell::run(&mut typed(&create, &[("--tracker", &tracker)]))?;
    let seeder = typed(
        &seed,
        &[
            ("--vault", &deployment.vault),
            ("--token", &deployment.token),
            ("--chain-id", &deployment.chain_id.to_string()),
            ("--rpc", &rpc),
        ],
    );
    let seeder = children.start("seeder", &seeder, false)?;
    children.wait_ready(seeder, LIMIT, programs::is_seeding)
}

/// A chain with token and vault: its address, one of its accounts, and the contracts on it.
fn chain(children: &mut Children) -> Result<(String, Account, Deployment), Failure> {
    let anvil = children.start("anvil", &programs::anvil()?, false)?;
    let mut opening = chain::Opening::default();
    let (rpc, accounts) = children.wait_ready(anvil, LIMIT, |line| opening.read(line))?;
    let [deployer, sink, payee, ..] = accounts.as_slice() else {
        return Err(Failure::failed("anvil made too few accounts"));
    };
    let artifacts = paths::root().join("contracts/out");
    let deployment = chain::deploy(rpc, &artifacts, deployer, sink, &[])?;
    Ok((programs::rpc_url(rpc), payee.clone(), deployment))
}

/// The lines of the first shell block under the heading; one that ends with a backslash goes on in the next.
fn lines_in(readme: &str) -> Vec<Line> {
    let section = readme.split(HEADING).nth(1).unwrap_or_default();
    let block = section.split("```sh\n").nth(1).unwrap_or_default();
    let block = block.split("```").next().unwrap_or_default();
    let lines = block.replace("\\\n", " ");
    lines
        .lines()
        .map(|line| line.split_whitespace().map(ToOwned::to_owned).collect())
        .collect()
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
        let readme = "# x\n## For an operator\n\n```sh\npiecework seed a.torrent --price 10 --rpc https://…\n```\n";
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
