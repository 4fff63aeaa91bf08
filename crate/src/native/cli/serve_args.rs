//! The command line of the daemon, and of who commands it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework serve --example > serve.toml
  piecework serve serve.toml --check
  piecework serve serve.toml

docs/serve.md has every key of the file, the HTTP interface, the metrics and a unit for systemd.
Ctrl-C and SIGTERM say goodbye, make everything durable and end it with 0.")]
pub(super) struct ServeArgs {
    /// The configuration (TOML). Paths in it are below its folder.
    #[arg(value_name = "CONFIG", required_unless_present = "example")]
    pub(super) config: Option<PathBuf>,
    /// Only check the configuration, with its keys and torrents. Asks no chain, and makes no file.
    #[arg(long, conflicts_with = "example")]
    pub(super) check: bool,
    /// Print a configuration with every key, to begin with.
    #[arg(long)]
    pub(super) example: bool,
    /// Seconds between lines of statistics.
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) stats: u64,
    /// Events as lines of JSON.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework ctl --config serve.toml list
  piecework ctl --config serve.toml add film.torrent --price 10
  piecework ctl --config serve.toml price INFO_HASH 12
  piecework ctl --url http://127.0.0.1:7070 --token-file serve.token stats

The token file is readable to the daemon's user alone: run this as that user.")]
pub(super) struct CtlArgs {
    /// The daemon's configuration, which names its address and its token file.
    #[arg(long, value_name = "FILE", global = true, conflicts_with_all = ["url", "token_file"])]
    pub(super) config: Option<PathBuf>,
    /// The daemon's address, such as http://127.0.0.1:7070.
    #[arg(long, value_name = "URL", global = true, requires = "token_file")]
    pub(super) url: Option<String>,
    /// The daemon's token file.
    #[arg(long, value_name = "FILE", global = true, requires = "url")]
    pub(super) token_file: Option<PathBuf>,
    /// Print the daemon's answer as it is: JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) verb: CtlVerb,
}

#[derive(Subcommand, Debug)]
pub(super) enum CtlVerb {
    /// List the torrents.
    List,
    /// Add a torrent. It stays over restarts.
    Add {
        /// A .torrent file, a magnet link, or an info hash.
        #[arg(value_name = "FILE_OR_MAGNET")]
        torrent: String,
        /// Folder of its data [default: `data` of the configuration].
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Price: tokens per GB (10^9 bytes) [default: `sell.price` of the configuration].
        #[arg(long, value_name = "TOKENS_PER_GB")]
        price: Option<String>,
        /// Most to pay for it: tokens per GB [default: `buy.max_price` of the configuration].
        #[arg(long, value_name = "TOKENS_PER_GB")]
        max_price: Option<String>,
        /// Serve what is there, and fetch nothing.
        #[arg(long)]
        no_fetch: bool,
    },
    /// Stop a torrent and forget it. Its data stays.
    Remove {
        /// Its info hash, as `list` shows it.
        info_hash: String,
        /// Delete the files that piecework made for it, too.
        #[arg(long)]
        delete_data: bool,
    },
    /// Ask another price from now on, also after restarts.
    Price {
        /// Its info hash, as `list` shows it.
        info_hash: String,
        /// Tokens per GB (10^9 bytes); 0 is free.
        #[arg(value_name = "TOKENS_PER_GB")]
        price: String,
    },
    /// Redeem everything that was earned, whatever the gas costs.
    Redeem,
    /// Show rates, trackers and money.
    Stats,
}
