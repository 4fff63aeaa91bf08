//! The command line of an account's owner, and of who deploys a vault.

use std::path::PathBuf;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use clap::{Args, Subcommand};

use super::args::{ChainArgs, parse_address, parse_gwei};
use crate::native::deployment::EXIT_DELAYS;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework key new owner.key
  piecework key new --session session.key
  piecework deposit 5 --session-key session.key --owner-key owner.key \\
      --deployment deployments/10.json --dry-run
  piecework get film.torrent -o . --max-price 10 --budget 5 --session-key session.key \\
      --owner $(piecework key address owner.key) --deployment deployments/10.json

Prints what it will do, then does it: it allows the vault to take exactly deposit and bond, and
opens the account. A session key serves one account, once. The bond is lost if the key ever
promises one serial to two sellers: never copy a session key.")]
pub(super) struct DepositArgs {
    /// What can be spent, in tokens.
    pub(super) amount: String,
    /// Key file of the new account's session key, made by `piecework key new --session`.
    #[arg(long, value_name = "FILE")]
    pub(super) session_key: PathBuf,
    /// Collateral, in tokens [default: 1.25 times the amount, the least that sellers ask for].
    #[arg(long, value_name = "TOKENS")]
    pub(super) bond: Option<String>,
    /// Tokens that are promised at once; the deposit is cut into so many slices, and it stays so for the account's life
    /// [default: 0.01, or ten units of a token with few decimals].
    #[arg(long, value_name = "TOKENS")]
    pub(super) tranche: Option<String>,
    #[command(flatten)]
    pub(super) owner: OwnerArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework topup 5 --session-key session.key --owner-key owner.key --deployment deployments/10.json")]
pub(super) struct TopUpArgs {
    /// What can be spent besides, in tokens.
    pub(super) amount: String,
    #[command(flatten)]
    pub(super) session: SessionArgs,
    /// Collateral besides, in tokens [default: 1.25 times the amount].
    #[arg(long, value_name = "TOKENS")]
    pub(super) bond: Option<String>,
    #[command(flatten)]
    pub(super) owner: OwnerArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework exit --session-key session.key --owner-key owner.key --deployment deployments/10.json
  piecework exit --session 0x... --owner-key owner.key --deployment deployments/10.json

Nothing stops an exit, and sellers sell nothing more to the account. The session key's file is not
needed, only its address: so a deposit comes back also when the key is lost.")]
pub(super) struct ExitArgs {
    #[command(flatten)]
    pub(super) session: SessionArgs,
    #[command(flatten)]
    pub(super) owner: OwnerArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework withdraw --session-key session.key --owner-key owner.key --deployment deployments/10.json

Sends what is left of deposit and bond. Before the vault's delay after `piecework exit` is over it
sends nothing, and says when it will be.")]
pub(super) struct WithdrawArgs {
    #[command(flatten)]
    pub(super) session: SessionArgs,
    /// Address that receives the tokens [default: the owner].
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(super) to: Option<Address>,
    #[command(flatten)]
    pub(super) owner: OwnerArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework claim --owner-key owner.key --deployment deployments/10.json
  piecework claim --splitter 0x... --owner-key owner.key --deployment deployments/10.json

The vault credits bounties for double promises that were shown to it, fees of relayers, royalties,
and the sink's share of burned bonds. What a seller earned is redeemed with `piecework redeem`.")]
pub(super) struct ClaimArgs {
    /// Address that receives the tokens [default: the owner].
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, conflicts_with = "splitter")]
    pub(super) to: Option<Address>,
    /// Bring the credit of this splitter to its recipients instead: it is collected, and each gets what is due to it.
    /// Anybody may do so, and pays the gas.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(super) splitter: Option<Address>,
    /// Of the splitter's recipients pay the owner alone.
    #[arg(long, requires = "splitter")]
    pub(super) own: bool,
    #[command(flatten)]
    pub(super) owner: OwnerArgs,
}

/// An account that is there.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct SessionArgs {
    /// Key file of the account's session key.
    #[arg(long, value_name = "FILE")]
    pub(super) session_key: Option<PathBuf>,
    /// Address of the account's session key, if its file is lost.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(super) session: Option<Address>,
}

/// Whose money it is, where, and what may be paid for gas.
#[derive(Args, Debug)]
pub(super) struct OwnerArgs {
    /// Key file of the owner: it holds the tokens, and pays for gas in the chain's coin.
    #[arg(long, value_name = "FILE")]
    pub(super) owner_key: PathBuf,
    /// Only print what would be done; nothing is sent.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) fees: FeeArgs,
    #[command(flatten)]
    pub(super) chain: ChainArgs,
}

/// What a transaction may cost, in gas and in time.
#[derive(Args, Debug)]
pub(super) struct FeeArgs {
    /// Most to pay for each gas, in gwei, whatever the RPC server asks. No transaction costs more than 0.02 of the
    /// chain's coin, and no deployment more than 0.1.
    #[arg(long, default_value = "10", value_name = "GWEI", value_parser = parse_gwei)]
    pub(super) max_fee_per_gas: u128,
    /// Seconds that a transaction is waited for.
    #[arg(
        long,
        default_value_t = 180,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    wait: u64,
}

impl FeeArgs {
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.wait)
    }
}

/// What the vault takes, and what the file may say (docs/deployment.md, "The file").
fn parse_exit_delay(text: &str) -> Result<u64, String> {
    (text.parse().ok())
        .filter(|seconds| EXIT_DELAYS.contains(seconds))
        .ok_or_else(|| {
            let (least, most) = (EXIT_DELAYS.start(), EXIT_DELAYS.end());
            format!("write seconds from {least} (an hour) to {most} (thirty days), such as 259200 for three days")
        })
}

pub(super) fn parse_salt(text: &str) -> Result<B256, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    (Some(digits).filter(|digits| digits.len() == 64))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| "write 0x and 64 hexadecimal digits, which are 32 bytes".to_owned())
}

#[derive(Args, Debug)]
pub(super) struct VaultArgs {
    #[command(subcommand)]
    pub(super) verb: VaultVerb,
}

#[derive(Subcommand, Debug)]
pub(super) enum VaultVerb {
    /// Put a vault for a token on the chain of a node, and write the file that names it.
    Deploy(DeployArgs),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework vault deploy --rpc https://rpc.example --key deployer.key --token 0x... --dry-run
  piecework vault deploy --rpc http://127.0.0.1:8545 --key owner.key --demo-token

Deploys the registry of titles and the factory of splitters too, which serve every vault of a chain,
and a vault that asks this registry for royalties. Writes DIR/CHAINID.json, which --deployment and
the page take, and DIR/CHAINID.vault.standard.json and DIR/CHAINID.registry.standard.json, with which
a block explorer verifies the source. Where the usual deterministic deployer is on the chain, the
same token, registry, sink, delay and salt have the same address on every chain, and a second run
finds all there and only writes the files. None of them has an owner: the key only pays for gas.")]
pub(super) struct DeployArgs {
    /// JSON-RPC URL of a node of the chain.
    #[arg(long, value_name = "URL")]
    pub(super) rpc: String,
    /// Key file that pays for gas.
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// EIP-155 id that the node's chain must have; checked if given.
    #[arg(long, value_name = "N")]
    pub(super) chain_id: Option<u64>,
    /// The token that the vault holds: an ordinary ERC-20 token, that takes no fee and moves no balance by itself.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, required_unless_present = "demo_token")]
    pub(super) token: Option<Address>,
    /// For tests alone: deploys play money that anybody can make, and makes 10,000 of it for the key. Only on a chain
    /// of this machine.
    #[arg(long, conflicts_with = "token")]
    pub(super) demo_token: bool,
    /// Seconds between a buyer's exit and its withdrawal, in which sellers redeem: one hour to thirty days.
    #[arg(
        long,
        default_value_t = 259_200,
        value_name = "SECONDS",
        value_parser = parse_exit_delay
    )]
    pub(super) exit_delay: u64,
    /// Deploy also with an exit delay of less than a day, with which sellers do not sell by themselves.
    #[arg(long)]
    pub(super) accept_short_exit: bool,
    /// Address that is credited with nine tenths of burned bonds [default: 0x...dEaD, whose key nobody holds].
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(super) sink: Option<Address>,
    /// Registry of titles that is there, for the vault to ask [default: the one that this command deploys].
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(super) registry: Option<Address>,
    /// Make a vault that asks no registry, and pays no royalties.
    #[arg(long, conflicts_with = "registry")]
    pub(super) no_registry: bool,
    /// 32 bytes as 0x and 64 hexadecimal digits, for another address of the same vault.
    #[arg(long, value_name = "HEX", default_value_t = B256::ZERO, value_parser = parse_salt)]
    pub(super) salt: B256,
    /// Folder of the files.
    #[arg(short, long, value_name = "DIR", default_value = "deployments")]
    pub(super) output: PathBuf,
    /// Overwrite the file of another vault.
    #[arg(long)]
    pub(super) force: bool,
    /// Write the RPC URL into the file, too. Not by default: providers put secret keys into it, and the file is public.
    #[arg(long)]
    pub(super) write_rpc: bool,
    /// Only print what would be done; nothing is sent or written.
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) fees: FeeArgs,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
}
