//! The command line.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use clap::{Args, Parser, Subcommand};

use super::manual::{CompletionsArgs, ManArgs};
use super::output::{CliError, complain, parse_size, parse_tokens};
use super::owner_args::{ClaimArgs, DepositArgs, ExitArgs, TopUpArgs, VaultArgs, WithdrawArgs};
use super::serve_args::{CtlArgs, ServeArgs};
use super::title_args::{PublishArgs, RegistryArgs, SplitterArgs, TitleArgs};
use super::web_seeds::WebSeedArgs;
use crate::metainfo::{TrackerUrl, TrackerUrlError};
use crate::native::chain::ChainConfig;
use crate::native::deployment::read_address;
use crate::native::folder::STATE_DIR;
use crate::native::ice_server::IceServer;
use crate::native::keys::{KeyError, KeyPair};
use crate::native::session_key::{SessionKey, key_of_records};
use crate::native::transport::{TransportConfig, TransportError};

/// A BitTorrent peer that pays for each block it takes and is paid for each block it gives.
#[derive(Parser, Debug)]
#[command(name = "piecework", version, about, arg_required_else_help = true)]
#[command(after_help = "Examples:
  piecework create film.mp4 --tracker wss://tracker.example
  piecework seed film.mp4.torrent --data . --tracker wss://tracker.example
  piecework get 'magnet:?xt=urn:btih:...' -o downloads

Exit codes: 0 done, 1 failed, 2 invalid input, 130 interrupted.")]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Subcommand, Debug)]
pub(super) enum Verb {
    /// Make a .torrent file of a file or folder.
    Create(CreateArgs),
    /// Show what a .torrent file or magnet link says, and whether it is valid.
    Info(InfoArgs),
    /// Serve torrents, for free or for money.
    Seed(SeedArgs),
    /// Fetch a torrent; goes on where it was stopped.
    Get(GetArgs),
    /// Run many torrents with their prices, as a file says, and take commands over HTTP.
    Serve(ServeArgs),
    /// Give a command to a running `serve`.
    Ctl(CtlArgs),
    /// Redeem what was earned, when no seeder is running.
    Redeem(RedeemArgs),
    /// Show what is earned, held and deposited.
    Balance(BalanceArgs),
    /// Show what was bought, sold, redeemed and paid for gas, by day, title and peer.
    History(HistoryArgs),
    /// Make or show key files.
    Key(KeyArgs),
    /// Open the account of a session key with a deposit.
    Deposit(DepositArgs),
    /// Add to the deposit of an account.
    Topup(TopUpArgs),
    /// Ask for the deposit back; after the vault's delay it can be withdrawn.
    Exit(ExitArgs),
    /// Get the deposit back, after an exit.
    Withdraw(WithdrawArgs),
    /// Get what the vault credited: bounties, fees, royalties.
    Claim(ClaimArgs),
    /// Sign a torrent's title, and register it.
    Publish(PublishArgs),
    /// Change a registration of one's own.
    Title(TitleArgs),
    /// Divide what a title brings between several.
    Splitter(SplitterArgs),
    /// Put a vault on a chain.
    Vault(VaultArgs),
    /// Print what a shell needs to complete commands and flags.
    Completions(CompletionsArgs),
    /// Print the manual page, or write the page of each command into a folder.
    Man(ManArgs),
}

impl Verb {
    /// Where the verb finds its money, if it has to do with money.
    pub(super) fn chain(&mut self) -> Option<&mut ChainArgs> {
        match self {
            Verb::Seed(args) => Some(&mut args.chain),
            Verb::Get(args) => Some(&mut args.chain),
            Verb::Redeem(args) => Some(&mut args.chain),
            Verb::Balance(args) => Some(&mut args.chain),
            Verb::Deposit(args) => Some(&mut args.owner.chain),
            Verb::Topup(args) => Some(&mut args.owner.chain),
            Verb::Exit(args) => Some(&mut args.owner.chain),
            Verb::Withdraw(args) => Some(&mut args.owner.chain),
            Verb::Claim(args) => Some(&mut args.owner.chain),
            Verb::Create(_)
            | Verb::Info(_)
            | Verb::Serve(_)
            | Verb::Ctl(_)
            | Verb::History(_)
            | Verb::Key(_)
            | Verb::Publish(_)
            | Verb::Title(_)
            | Verb::Splitter(_)
            | Verb::Vault(_)
            | Verb::Completions(_)
            | Verb::Man(_) => None,
        }
    }
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework create film.mp4 --tracker ws://127.0.0.1:8000 --json
  piecework create album/ -o album.torrent --piece-length 256K --private")]
pub(super) struct CreateArgs {
    /// A file or a folder. Links, keys and records of piecework, and files that systems leave in folders are left out,
    /// and named.
    pub(super) path: PathBuf,
    /// Where to write [default: NAME.torrent in this folder].
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Overwrite the output.
    #[arg(long)]
    pub(super) force: bool,
    /// Tracker to name in it; may be repeated. Browsers can use ws:// and wss:// alone.
    #[arg(long, value_name = "URL", value_parser = any_tracker)]
    pub(super) tracker: Vec<String>,
    /// Web server with the files, to name in it (BEP 19); may be repeated. The URL of the file itself, or of the folder
    /// that holds what the torrent is named after.
    #[arg(long, value_name = "URL", value_parser = super::web_seeds::usable)]
    pub(super) web_seed: Vec<String>,
    /// Take in the files that systems leave in folders, too: .DS_Store, Thumbs.db, desktop.ini, .git and the like.
    #[arg(long)]
    pub(super) system_files: bool,
    /// Take in key files and records of piecework, too: anybody who fetches the torrent then can take the money.
    #[arg(long)]
    pub(super) private_files: bool,
    /// Bytes per piece, such as 256K [default: by size].
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub(super) piece_length: Option<u64>,
    /// Free text.
    #[arg(long)]
    pub(super) comment: Option<String>,
    /// Peers only from its trackers (BEP 27).
    #[arg(long)]
    pub(super) private: bool,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework info film.mp4.torrent
  piecework info 'magnet:?xt=urn:btih:...' --json
  piecework info film.mp4.torrent --deployment deployments/10.json --rpc https://rpc.example

Shows who signed the title, if somebody did. With --deployment it looks up the registration, and
whether somebody else registered the same content earlier; without it no chain is asked.
Ends with 0 if it is valid, and with 2 and the reason if not, or if a signature does not fit.")]
pub(super) struct InfoArgs {
    /// A .torrent file, a magnet link, or an info hash.
    #[arg(value_name = "FILE_OR_MAGNET")]
    pub(super) torrent: String,
    #[command(flatten)]
    pub(super) at: RegistryArgs,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework seed film.mp4.torrent --data . --tracker ws://127.0.0.1:8000
  piecework seed film.mp4.torrent --data /srv/films --price 10 --vault 0x... \\
      --chain-id 8453 --rpc https://rpc.example --payee-key payee.key

Prints `seeding INFO_HASH MAGNET` for each torrent that is complete. Ctrl-C says goodbye, makes
everything durable and ends with 0; a redemption under way is ended where it stands. With
--stdin-commands it takes one command per line and answers each with one line of JSON:
stats | history | price TOKENS_PER_GB | redeem | quit.")]
pub(super) struct SeedArgs {
    /// .torrent files and magnet links.
    #[arg(required = true, value_name = "FILE_OR_MAGNET")]
    pub(super) torrents: Vec<String>,
    /// Folder with the data.
    #[arg(long, alias = "folder", value_name = "DIR")]
    pub(super) data: PathBuf,
    /// Price: tokens per GB (10^9 bytes); 0 is free and never contacts a chain.
    #[arg(long, default_value = "0", value_name = "TOKENS_PER_GB")]
    pub(super) price: String,
    /// Most bytes per second sent, such as 1M [default: no limit].
    #[arg(long, value_name = "BYTES", value_parser = parse_rate)]
    pub(super) upload_limit: Option<u64>,
    /// Most connections at once.
    #[arg(long, default_value_t = 200, value_parser = parse_connections)]
    pub(super) max_connections: usize,
    /// Most bytes that all torrents of this state folder may take, such as 20G. It stops only the fetches of --repair:
    /// the data of a torrent that does not fit is still served.
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub(super) storage_limit: Option<u64>,
    /// Hash all data again instead of trusting the records.
    #[arg(long)]
    pub(super) recheck: bool,
    /// Fetch the missing or wrong pieces, and write them into the files that are there. Without it the files are served
    /// as they are, and nothing is made but the records and the torrent's empty files.
    #[arg(long)]
    pub(super) repair: bool,
    /// Take commands from stdin.
    #[arg(long)]
    pub(super) stdin_commands: bool,
    #[command(flatten)]
    pub(super) payee: PayeeArgs,
    #[command(flatten)]
    pub(super) chain: ChainArgs,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    #[command(flatten)]
    pub(super) web_seeds: WebSeedArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework get film.mp4.torrent -o downloads
  piecework get 'magnet:?xt=urn:btih:...' -o downloads --max-price 10 --budget 2 --vault 0x... \\
      --chain-id 8453 --rpc https://rpc.example --owner 0x... --session-key session.key

  piecework get film.mp4.torrent -o downloads --max-price 10 --budget 2 --owner 0x... \\
      --session-key session.key --deployment deployments/10.json --seed --resell 50 --payee-key payee.key

Run it again to go on where it was stopped. Ends with 0 when every piece was verified, now or by an
earlier run; --recheck hashes all of it again.")]
pub(super) struct GetArgs {
    /// A .torrent file, a magnet link, or an info hash (with --tracker).
    #[arg(value_name = "FILE_OR_MAGNET")]
    pub(super) torrent: String,
    /// Folder to fetch into.
    #[arg(short, long, value_name = "DIR")]
    pub(super) output: PathBuf,
    /// Most to pay: tokens per GB (10^9 bytes); 0 takes only free blocks.
    #[arg(long, default_value = "0", value_name = "TOKENS_PER_GB")]
    pub(super) max_price: String,
    /// Most to spend in all, in tokens.
    #[arg(long, default_value = "0", value_name = "TOKENS")]
    pub(super) budget: String,
    /// Address that opened the account.
    #[arg(long, value_name = "ADDRESS", requires = "session_key", value_parser = parse_address)]
    pub(super) owner: Option<Address>,
    /// Key file of the account's session key; see `piecework key`. Its promises are remembered in FILE.state, by one
    /// process at a time: never copy a key file, and move both together.
    #[arg(long, value_name = "FILE", requires = "owner")]
    pub(super) session_key: Option<PathBuf>,
    /// Fetch these files alone: indices as `piecework info` lists them, such as 0,2,4-6. Later runs do so too.
    #[arg(long, value_name = "INDICES")]
    pub(super) files: Option<String>,
    /// The same by path, with or without the torrent's folder: `*` stays within a folder, `**` does not; may be
    /// repeated. '**' selects all again.
    #[arg(long, value_name = "PATTERN")]
    pub(super) select: Vec<String>,
    /// Go on serving when complete.
    #[arg(long)]
    pub(super) seed: bool,
    /// Sell what is here for so many tokens per GB (10^9 bytes), while it is fetched and with --seed afterwards.
    #[arg(long, value_name = "TOKENS_PER_GB", requires = "payee_key")]
    pub(super) sell_price: Option<String>,
    /// Sell what is here for so many percent of the price that was paid for it, 1 to 255. What came for free is given
    /// away.
    #[arg(
        long,
        value_name = "PERCENT",
        requires = "payee_key",
        conflicts_with = "sell_price",
        value_parser = clap::value_parser!(u8).range(1..)
    )]
    pub(super) resell: Option<u8>,
    /// Most bytes per second sent, such as 1M; 0 sends nothing [default: no limit].
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub(super) upload_limit: Option<u64>,
    /// Most bytes that all torrents of this state folder may take, such as 20G; one that does not fit is not fetched.
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub(super) storage_limit: Option<u64>,
    /// Hash the data again instead of trusting the records.
    #[arg(long)]
    pub(super) recheck: bool,
    /// Write also into files that piecework did not make, where they differ from the torrent. Without it such a file is
    /// never written to: if it is right it is used, and if not, nothing is fetched.
    #[arg(long)]
    pub(super) repair: bool,
    #[command(flatten)]
    pub(super) payee: PayeeArgs,
    #[command(flatten)]
    pub(super) chain: ChainArgs,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
    #[command(flatten)]
    pub(super) web_seeds: WebSeedArgs,
    #[command(flatten)]
    pub(super) common: CommonArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework redeem --state .piecework --vault 0x... --chain-id 8453 --rpc https://rpc.example \\
      --payee-key payee.key --dry-run

A running seeder holds its state folder: give it the command `redeem` (seed --stdin-commands), or
start it with --redeem-on-exit.")]
pub(super) struct RedeemArgs {
    /// The seeder's state folder (seed --state; by default .piecework in its data folder).
    #[arg(long, value_name = "DIR")]
    pub(super) state: PathBuf,
    /// Key file of the payee.
    #[arg(long, value_name = "FILE")]
    pub(super) payee_key: PathBuf,
    /// Address that receives the tokens [default: the payee].
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(super) to: Option<Address>,
    /// Only print what could be redeemed; no range is closed and nothing is sent.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) gas: GasArgs,
    #[command(flatten)]
    pub(super) chain: ChainArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework balance --vault 0x... --chain-id 8453 --rpc https://rpc.example --payee-key payee.key \\
      --state .piecework
  piecework balance --vault 0x... --chain-id 8453 --rpc https://rpc.example --owner 0x... \\
      --session-key session.key")]
pub(super) struct BalanceArgs {
    /// Key file of the payee.
    #[arg(long, value_name = "FILE")]
    pub(super) payee_key: Option<PathBuf>,
    /// A seeder's state folder, for earnings that are not redeemed.
    #[arg(long, value_name = "DIR", requires = "payee_key")]
    pub(super) state: Option<PathBuf>,
    /// Address that opened an account.
    #[arg(long, value_name = "ADDRESS", requires = "session_key", value_parser = parse_address)]
    pub(super) owner: Option<Address>,
    /// Key file of the account's session key.
    #[arg(long, value_name = "FILE", requires = "owner")]
    pub(super) session_key: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) chain: ChainArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework history --state .piecework --deployment deployments/10.json
  piecework history --session-key session.key --csv > spent.csv

`sold` is earned, and `redeemed` came to the wallet. A line is a day's for two months, then a month's. In
JSON, `amount` is in token units, `amount_fine` in 2^-24 of one, and `amount_wei` in wei. It needs no
chain. A running seeder holds its state folder: give it the command `history` (seed --stdin-commands).")]
pub(super) struct HistoryArgs {
    /// A seeder's state folder (seed --state; by default .piecework in its data folder).
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Key file of a session key, for what was bought with it.
    #[arg(long, value_name = "FILE")]
    pub(super) session_key: Option<PathBuf>,
    /// Only the last so many days, by the calendar of UTC; lines of months and of the time before are left out.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) days: Option<u32>,
    /// File of `piecework vault deploy`: shows what was paid at its vault alone, in the token's decimals and by its
    /// symbol.
    #[arg(long, value_name = "FILE", conflicts_with = "decimals")]
    pub(super) deployment: Option<PathBuf>,
    /// Decimals of the token, for the amounts; the records do not say them.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u8).range(0..=24))]
    pub(super) decimals: u8,
    /// Comma-separated values (RFC 4180) for a spreadsheet.
    #[arg(long, conflicts_with = "json")]
    pub(super) csv: bool,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    pub(super) verb: KeyVerb,
}

#[derive(Subcommand, Debug)]
pub(super) enum KeyVerb {
    /// Make a key file that only you can read, and print its address.
    New {
        /// The file; must not exist.
        file: PathBuf,
        /// For a session key (get --session-key): makes its records in FILE.state, too, so that a copy of the key file
        /// alone is of no use. Two copies of a session key promise the same money twice, which costs the bond.
        #[arg(long)]
        session: bool,
    },
    /// Print the address of a key file.
    Address {
        /// The file.
        file: PathBuf,
    },
}

/// Where money is. Never taken from a torrent, tracker or peer.
#[derive(Args, Debug)]
#[command(next_help_heading = "Chain")]
pub(super) struct ChainArgs {
    /// File of `piecework vault deploy` that names vault, chain, token and decimals, in place of these flags. --rpc may
    /// name another node.
    #[arg(long, value_name = "FILE")]
    pub(super) deployment: Option<PathBuf>,
    /// The vault contract.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(super) vault: Option<Address>,
    /// EIP-155 id of the vault's chain.
    #[arg(long, value_name = "N")]
    pub(super) chain_id: Option<u64>,
    /// JSON-RPC URL of a node of that chain.
    #[arg(long, value_name = "URL")]
    pub(super) rpc: Option<String>,
    /// The token that the vault must hold; checked if given.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(super) token: Option<Address>,
    /// Decimals of the token, for amounts on this command line; checked where money is at stake [default: 6].
    #[arg(long = "decimals", value_name = "N", value_parser = clap::value_parser!(u8).range(0..=24))]
    pub(super) given_decimals: Option<u8>,
    /// Those of the flag or of the file.
    #[arg(skip = DEFAULT_DECIMALS)]
    pub(super) decimals: u8,
    /// The token's name for itself, if the file has it.
    #[arg(skip)]
    pub(super) symbol: Option<String>,
    /// The registry of titles, if the file has one.
    #[arg(skip)]
    pub(super) registry: Option<Address>,
    /// What makes splitters, if the file has it.
    #[arg(skip)]
    pub(super) splitters: Option<Address>,
}

/// Those of the dollar tokens that vaults are made for.
const DEFAULT_DECIMALS: u8 = 6;

impl ChainArgs {
    /// `None` if no chain is configured.
    pub(super) fn config(&self) -> Option<ChainConfig> {
        Some(ChainConfig {
            vault: self.vault?,
            chain_id: self.chain_id?,
            rpc_url: self.rpc.clone()?,
            token: self.token,
        })
    }

    pub(super) fn required(&self, why: &str) -> Result<ChainConfig, CliError> {
        self.config().ok_or_else(|| {
            CliError::Invalid(format!(
                "{why} needs --deployment FILE, or --vault, --chain-id and --rpc"
            ))
        })
    }
}

/// Who is paid for what is sold, and when what was earned is redeemed.
#[derive(Args, Debug)]
#[command(next_help_heading = "Selling")]
pub(super) struct PayeeArgs {
    /// Key file of the payee; see `piecework key`.
    #[arg(long, alias = "payee-key-file", value_name = "FILE")]
    pub(super) payee_key: Option<PathBuf>,
    /// Address that receives the redeemed tokens [default: the payee].
    #[arg(long, value_name = "ADDRESS", requires = "payee_key", value_parser = parse_address)]
    pub(super) to: Option<Address>,
    /// Least bond of a payer, in percent of its balance.
    #[arg(
        long,
        default_value_t = 125,
        value_name = "PERCENT",
        requires = "payee_key"
    )]
    pub(super) min_bond_percent: u16,
    /// Sell also where buyers can withdraw within less than a day, before everything is sure to be redeemed.
    #[arg(long, requires = "payee_key")]
    pub(super) accept_short_exit: bool,
    /// Least worth, in tokens, of a range that is sold and that is redeemed without a command [default: with
    /// --coin-price as much as lets the gas of one claim be --max-gas-percent of it, at the lowest price of gas of the
    /// run; else 0.01, or ten units of a token with few decimals]. Name it, or --coin-price, where a token is not worth
    /// about a dollar.
    #[arg(long, value_name = "TOKENS", requires = "payee_key")]
    pub(super) min_redeem: Option<String>,
    /// Least sum, in tokens, that is worth a transaction of --redeem-every [default: with --coin-price its gas alone
    /// decides; else five times --min-redeem; without both 0.05, or ten units of a token with few decimals].
    #[arg(
        long = "min-redeem-sum",
        alias = "redeem-min",
        value_name = "TOKENS",
        requires = "payee_key"
    )]
    pub(super) redeem_min: Option<String>,
    /// What a coin of the chain, in which gas is paid, costs in tokens, such as 3000. Then --redeem-every sends nothing
    /// whose gas costs more than --max-gas-percent of the sum. The fee that a rollup takes for its data on the chain
    /// below is not in it. Without it a sum is not compared with its gas.
    #[arg(long, value_name = "TOKENS", requires = "payee_key")]
    pub(super) coin_price: Option<String>,
    /// The part of a sum that its gas may cost at the fee of the moment; a command redeems anything.
    #[arg(
        long,
        default_value_t = 10,
        value_name = "PERCENT",
        value_parser = clap::value_parser!(u8).range(1..=100),
        requires = "coin_price"
    )]
    pub(super) max_gas_percent: u8,
    #[command(flatten)]
    pub(super) gas: GasArgs,
    /// Redeem everything at the end.
    #[arg(long, requires = "payee_key")]
    pub(super) redeem_on_exit: bool,
    /// Seconds between looks for ranges that are worth a redemption. These are ranges of --min-redeem or more that are
    /// full, long without a buyer, or of a buyer that owes much. Of a buyer that owes all that it may, or that
    /// withdraws, ranges that are worth the gas of a claim count, which is a tenth of --min-redeem where --coin-price
    /// does not say it. Together they must come to --min-redeem-sum. Ranges that become due in
    /// between are redeemed at once, but not within 15 seconds of the redemption before. A redemption that fails is
    /// tried again after 15 seconds, and then after ever longer, up to 15 minutes. 0: redeem on command only.
    #[arg(
        long,
        default_value_t = 60,
        value_name = "SECONDS",
        requires = "payee_key"
    )]
    pub(super) redeem_every: u64,
}

/// The limits of a redemption's cost.
#[derive(Args, Debug)]
pub(super) struct GasArgs {
    /// Most to pay for each gas, in gwei, whatever the RPC server asks; a redemption never costs more than 0.02 of the
    /// chain's coin, and takes fewer ranges where all of them would.
    #[arg(long, default_value = "10", value_name = "GWEI", value_parser = parse_gwei)]
    pub(super) max_fee_per_gas: u128,
}

/// See [`read_address`].
pub(super) fn parse_address(text: &str) -> Result<Address, String> {
    read_address(text).map_err(str::to_owned)
}

/// A decimal number of gwei as wei.
pub(super) fn parse_gwei(text: &str) -> Result<u128, String> {
    parse_tokens(text, 9)
        .map(|wei| wei.0)
        .filter(|wei| *wei > 0)
        .ok_or_else(|| "write a number of gwei above 0, such as 10 or 0.05".to_owned())
}

/// A limit of serving: nothing at all is no limit.
fn parse_rate(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("nothing would be served: leave the option out for no limit".to_owned()),
        rate => Ok(rate),
    }
}

fn parse_connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("write a number from 1 on, such as 200".to_owned()),
        Ok(most) => Ok(most),
    }
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Network")]
pub(super) struct NetworkArgs {
    /// Tracker besides those of the torrents, ws:// or wss://; may be repeated.
    #[arg(long, value_name = "URL", value_parser = usable_tracker)]
    pub(super) tracker: Vec<String>,
    /// STUN or TURN server: stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT, also without :PORT; may be
    /// repeated. The user may hold colons; a colon in the password is written %3A. Only UDP: turns: and
    /// ?transport=tcp are for browsers, and left out here. Servers that the --tracker ones name come after these
    /// [default: stun:stun.l.google.com:19302 and stun:stun.cloudflare.com:3478, which see this machine's address].
    #[arg(long, value_name = "URL")]
    pub(super) ice_server: Vec<IceServer>,
    /// Ask no STUN server but those of the trackers: for machines that all peers can reach.
    #[arg(long, conflicts_with = "ice_server")]
    pub(super) no_stun: bool,
    /// Connect only by way of TURN servers: one at least of --ice-server.
    #[arg(long)]
    pub(super) relay_only: bool,
    /// Address that others see, behind a NAT that maps ports one to one.
    #[arg(long, value_name = "IP")]
    pub(super) external_ip: Option<IpAddr>,
    /// One UDP port for all connections [default: any free port for each]. Two peers that both have one share one
    /// torrent at a time.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) udp_port: Option<u16>,
    /// Offer loopback addresses too [default: only if a tracker is on this machine].
    #[arg(long)]
    pub(super) loopback: bool,
}

impl NetworkArgs {
    /// Whether the flags can be used together; said before anything is read or started.
    pub(super) fn check(&self) -> Result<(), CliError> {
        let relays = |server: &IceServer| server.is_turn() && server.is_usable();
        match self.relay_only && !self.ice_server.iter().any(relays) {
            true => Err(CliError::Invalid(TransportError::NoRelay.to_string())),
            false => Ok(()),
        }
    }

    /// Names those of the operator's servers that are left out.
    fn ice_servers(&self) -> Vec<IceServer> {
        for server in self.ice_server.iter().filter(|server| !server.is_usable()) {
            complain(&format!(
                "warning: {} is not used: the native peer speaks with STUN and TURN servers over UDP alone",
                server.url
            ));
        }
        match self.ice_server.is_empty() && !self.no_stun {
            true => IceServer::defaults(),
            false => self.ice_server.clone(),
        }
    }

    /// `trackers` are those of the torrents.
    pub(super) fn transport(&self, trackers: &[String]) -> TransportConfig {
        let loopback = self.loopback || self.tracker.iter().chain(trackers).any(|t| is_local(t));
        TransportConfig {
            ice_servers: self.ice_servers(),
            relay_only: self.relay_only,
            external_ip: self.external_ip,
            udp_port: self.udp_port,
            loopback,
        }
    }
}

/// The address of a tracker that browsers' peers can be met at, in its one form.
fn usable_tracker(text: &str) -> Result<String, TrackerUrlError> {
    TrackerUrl::parse(text).map(|url| url.to_string())
}

/// Any tracker: a torrent may name some for clients that speak no WebRTC, too.
fn any_tracker(text: &str) -> Result<String, TrackerUrlError> {
    match usable_tracker(text) {
        Err(TrackerUrlError::UnsupportedScheme) => Ok(text.trim().to_owned()),
        result => result,
    }
}

fn is_local(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    host.starts_with("localhost") || host.starts_with("127.") || host.starts_with("[::1]")
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Records and output")]
pub(super) struct CommonArgs {
    /// Records of this peer [default: .piecework in the data folder]; one process at a time.
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Seconds between lines of statistics.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) stats: u64,
    /// Events as lines of JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl CommonArgs {
    pub(super) fn state_dir(&self, data_dir: &Path) -> PathBuf {
        self.state
            .clone()
            .unwrap_or_else(|| data_dir.join(STATE_DIR))
    }

    /// A key's records are no place for those of downloads.
    pub(super) fn check_state(&self) -> Result<(), CliError> {
        match self.state.as_deref().and_then(key_of_records) {
            Some(key) => Err(CliError::Invalid(format!(
                "--state is where the records of the session key {} are: choose another folder",
                key.display()
            ))),
            None => Ok(()),
        }
    }
}

pub(super) fn load_session_key(path: &Path) -> Result<SessionKey, CliError> {
    Ok(SessionKey::load(path)?)
}

pub(super) fn load_key(path: &Path) -> Result<KeyPair, CliError> {
    KeyPair::load(path).map_err(|e: KeyError| CliError::Invalid(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::collections::BTreeSet;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_flag_stands_under_the_heading_of_its_own_group() {
        let group = |command: clap::Command| {
            let ids = command.get_arguments().map(|arg| arg.get_id().to_string());
            ids.collect::<BTreeSet<String>>()
        };
        let none = || clap::Command::new("none");
        let gas = group(GasArgs::augment_args(none()));
        let payee: BTreeSet<String> = (group(PayeeArgs::augment_args(none())))
            .difference(&gas)
            .cloned()
            .collect();
        let groups = [
            ("Selling", payee),
            ("Chain", group(ChainArgs::augment_args(none()))),
            ("Network", group(NetworkArgs::augment_args(none()))),
            ("Web seeds", group(WebSeedArgs::augment_args(none()))),
            (
                "Records and output",
                group(CommonArgs::augment_args(none())),
            ),
        ];
        let mut seen = BTreeSet::new();
        for verb in Cli::command().get_subcommands() {
            for arg in verb.get_arguments() {
                let id = arg.get_id().to_string();
                let Some(heading) = arg.get_help_heading() else {
                    continue;
                };
                // A limit of redemptions stands with them.
                let fits = |(name, ids): &&(&str, BTreeSet<String>)| {
                    *name == heading
                        && (ids.contains(&id) || heading == "Selling" && gas.contains(&id))
                };
                let found = groups.iter().find(fits);
                assert!(
                    found.is_some(),
                    "{}: --{id} under {heading}",
                    verb.get_name()
                );
                seen.insert(heading.to_owned());
            }
        }
        assert_eq!(seen.len(), groups.len(), "{seen:?}");
    }

    #[test]
    fn an_address_with_a_wrong_digit_is_refused_where_its_letters_show_it() {
        const GOOD: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        let address = GOOD.parse::<Address>();
        for same in [
            GOOD,
            &GOOD[2..],
            &GOOD.to_lowercase(),
            &GOOD.to_uppercase().replace('X', "x"),
        ] {
            assert_eq!(parse_address(same).ok(), address.ok(), "{same}");
        }
        // A digit for another one, a letter in the wrong case, two digits exchanged.
        for wrong in [
            GOOD.replace("92266", "92267"),
            GOOD.replace("fd6", "fD6").replace("Fd6", "FD6"),
            GOOD.replace("88F6", "8F86"),
        ] {
            assert_ne!(wrong, GOOD);
            let said = parse_address(&wrong).unwrap_err();
            assert!(said.contains("copy it again"), "{wrong}: {said}");
        }
        for none in ["", "0x", &GOOD[..41], "payee.key"] {
            assert!(parse_address(none).is_err(), "{none}");
        }
        for args in [
            ["redeem", "--to"],
            ["seed", "--to"],
            ["get", "--owner"],
            ["balance", "--owner"],
            ["get", "--vault"],
            ["redeem", "--token"],
        ] {
            let wrong = GOOD.replace("92266", "92267");
            let line = ["piecework", args[0], args[1], &wrong];
            let said = Cli::try_parse_from(line).unwrap_err().to_string();
            assert!(said.contains("copy it again"), "{args:?}: {said}");
        }
    }

    #[test]
    fn trackers_are_websockets_and_local_ones_are_known() {
        assert!(usable_tracker("wss://tracker.example/announce").is_ok());
        assert!(usable_tracker("udp://tracker.example:80").is_err());
        assert!(usable_tracker("ws://").is_err());
        assert!(any_tracker("udp://tracker.example:80").is_ok());
        assert!(any_tracker("not a url").is_err());
        assert!(is_local("ws://127.0.0.1:8000"));
        assert!(is_local("ws://[::1]:8000"));
        assert!(!is_local("wss://tracker.example"));
    }
}
