//! The command line of a publisher: `publish`, `title` and `splitter`, and where a registry is.

use std::path::PathBuf;

use alloy_primitives::{Address, B256};
use clap::{Args, Subcommand};

use super::args::parse_address;
use super::output::parse_tokens;
use super::owner_args::{FeeArgs, parse_salt};
use crate::title::{BPS, MAX_TEXT};
use crate::types::is_shown;

/// Where a registry is, for those who only look.
#[derive(Args, Debug)]
pub(super) struct RegistryArgs {
    /// File of `piecework vault deploy`, which names chain and registry.
    #[arg(long, value_name = "FILE")]
    pub(super) deployment: Option<PathBuf>,
    /// JSON-RPC URL of a node of that chain, if the file names none, or another one.
    #[arg(long, value_name = "URL", requires = "deployment")]
    pub(super) rpc: Option<String>,
}

/// Who sends a transaction beside the vault, where, and at what cost.
#[derive(Args, Debug)]
pub(super) struct SenderArgs {
    /// Key file that sends, and pays for gas in the chain's coin.
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// File of `piecework vault deploy`, which names chain, registry and factory of splitters.
    #[arg(long, value_name = "FILE")]
    pub(super) deployment: PathBuf,
    /// JSON-RPC URL of a node of that chain, if the file names none, or another one.
    #[arg(long, value_name = "URL")]
    pub(super) rpc: Option<String>,
    /// Only print what would be done; nothing is sent.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) fees: FeeArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework publish film.torrent --key publisher.key --licence CC-BY-4.0
  piecework publish film.torrent --key publisher.key --share 5 --register \\
      --deployment deployments/10.json --rpc https://rpc.example --dry-run
  piecework publish film.torrent --key publisher.key --share 5 --creator 0x... --register \\
      --deployment deployments/10.json --rpc https://rpc.example -o film.torrent --force

Signs a title of the torrent with the key, and writes the torrent with it. With --register it is
registered first: then buyers of this .torrent or link pay under its id, and the vault credits the
creator with the share of every redemption. The share can only be lowered later. A second run
with the same words finds the registration and sends nothing.
Ends with 0, and prints the magnet link that names the publisher.")]
pub(super) struct PublishArgs {
    /// The .torrent file.
    #[arg(value_name = "FILE")]
    pub(super) torrent: PathBuf,
    /// Key file of the publisher, who signs; with --register it pays for gas in the chain's coin.
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// Name for people to read [default: the torrent's].
    #[arg(long, value_parser = parse_text)]
    pub(super) name: Option<String>,
    /// Address that is credited with the share: a person, or a splitter [default: the publisher].
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(super) creator: Option<Address>,
    /// The creator's share of every sale, in percent, with up to two decimals.
    #[arg(long, default_value = "0", value_name = "PERCENT", value_parser = parse_share)]
    pub(super) share: u16,
    /// SPDX identifier or URL of a licence [default: none is granted].
    #[arg(long, value_parser = parse_text)]
    pub(super) licence: Option<String>,
    /// Id of the registered edition that this one follows.
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub(super) previous: Option<B256>,
    /// 32 bytes as 0x and 64 hexadecimal digits, for a second registration of the same content.
    #[arg(long, value_name = "HEX", default_value_t = B256::ZERO, value_parser = parse_salt)]
    pub(super) salt: B256,
    /// Register the title with the registry of --deployment.
    #[arg(long, requires = "deployment")]
    pub(super) register: bool,
    #[command(flatten)]
    pub(super) at: RegistryArgs,
    /// Where to write [default: NAME.signed.torrent beside NAME.torrent]; may be FILE itself, with --force.
    #[arg(short, long, value_name = "OUT")]
    pub(super) output: Option<PathBuf>,
    /// Write over an earlier .torrent of that name.
    #[arg(long)]
    pub(super) force: bool,
    /// Only print what would be done; nothing is sent or written.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Answer in JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) fees: FeeArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework title lower-share 0x... 3 --key publisher.key --deployment deployments/10.json --dry-run
  piecework title set-creator 0x... 0x... --key publisher.key --deployment deployments/10.json
  piecework title set-contact 0x... wss://tracker.example --key publisher.key \
      --deployment deployments/10.json

The id is what `piecework publish` prints. Nothing else of a registration can be changed, and nobody
but its publisher changes it.")]
pub(super) struct TitleArgs {
    #[command(subcommand)]
    pub(super) verb: TitleVerb,
}

#[derive(Subcommand, Debug)]
pub(super) enum TitleVerb {
    /// Take a smaller share of every sale from now on. It never rises again.
    LowerShare {
        /// Id of the registration.
        #[arg(value_name = "ID", value_parser = parse_id)]
        id: B256,
        /// The new share in percent, with up to two decimals.
        #[arg(value_name = "PERCENT", value_parser = parse_share)]
        share: u16,
        #[command(flatten)]
        sender: SenderArgs,
    },
    /// Credit another address from now on. Credit that is in a vault already stays where it is.
    SetCreator {
        /// Id of the registration.
        #[arg(value_name = "ID", value_parser = parse_id)]
        id: B256,
        /// The new creator: a person, or a splitter.
        #[arg(value_name = "ADDRESS", value_parser = parse_address)]
        creator: Address,
        #[command(flatten)]
        sender: SenderArgs,
    },
    /// Say where peers of the title are found; without any URL the record is emptied.
    SetContact {
        /// Id of the registration.
        #[arg(value_name = "ID", value_parser = parse_id)]
        id: B256,
        /// Trackers and direct peers; 2,048 bytes in all.
        #[arg(value_name = "URL", value_parser = parse_contact)]
        urls: Vec<String>,
        #[command(flatten)]
        sender: SenderArgs,
    },
}

impl TitleVerb {
    pub(super) fn parts(&self) -> (B256, &SenderArgs) {
        match self {
            TitleVerb::LowerShare { id, sender, .. }
            | TitleVerb::SetCreator { id, sender, .. }
            | TitleVerb::SetContact { id, sender, .. } => (*id, sender),
        }
    }
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework splitter create --share 0x...=70 --share 0x...=30 --key publisher.key \
      --deployment deployments/10.json")]
pub(super) struct SplitterArgs {
    #[command(subcommand)]
    pub(super) verb: SplitterVerb,
}

#[derive(Subcommand, Debug)]
pub(super) enum SplitterVerb {
    /// Put a splitter on the chain, and print its address.
    Create(SplitterCreateArgs),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  piecework splitter create --share 0x...=70 --share 0x...=30 --key publisher.key \\
      --deployment deployments/10.json --rpc https://rpc.example

The shares never change, and nobody owns a splitter. Its address follows from the recipients and
their shares in their order: a second run finds it there. Give it as --creator of a title; what
the vault credits it, `piecework claim --splitter` brings to the recipients.")]
pub(super) struct SplitterCreateArgs {
    /// A recipient and its part, a whole number; may be repeated. A recipient of 70 gets as much as 70 of 1.
    #[arg(long = "share", value_name = "ADDRESS=PART", required = true, value_parser = parse_part)]
    pub(super) shares: Vec<(Address, u32)>,
    #[command(flatten)]
    pub(super) sender: SenderArgs,
}

/// A share in percent as hundredths of a percent.
pub(super) fn parse_share(text: &str) -> Result<u16, String> {
    parse_tokens(text, 2)
        .and_then(|hundredths| u16::try_from(hundredths.0).ok())
        .filter(|bps| *bps <= BPS)
        .ok_or_else(|| "write percent from 0 to 100, such as 5 or 2.75".to_owned())
}

pub(super) fn parse_id(text: &str) -> Result<B256, String> {
    parse_salt(text)
}

fn parse_part(text: &str) -> Result<(Address, u32), String> {
    let form = || "write ADDRESS=PART, such as 0x...=70, with a whole part above 0".to_owned();
    let (address, part) = text.split_once('=').ok_or_else(form)?;
    let address = parse_address(address)?;
    let part = part.parse().ok().filter(|part| *part > 0);
    Ok((address, part.ok_or_else(form)?))
}

fn parse_contact(text: &str) -> Result<String, String> {
    match text.contains("://") && text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("write a URL, such as wss://tracker.example".to_owned()),
    }
}

/// Text of a title.
fn parse_text(text: &str) -> Result<String, String> {
    match (1..=MAX_TEXT).contains(&text.len()) && text.chars().all(is_shown) {
        true => Ok(text.to_owned()),
        false => Err(format!("write 1 to {MAX_TEXT} bytes of visible text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_percent_with_two_decimals_and_never_more_than_the_whole() {
        for (text, bps) in [
            ("0", 0),
            ("5", 500),
            ("2.75", 275),
            (".5", 50),
            ("100", BPS),
        ] {
            assert_eq!(parse_share(text), Ok(bps), "{text}");
        }
        for bad in [
            "",
            "-1",
            "100.01",
            "5%",
            "0.001",
            "1e2",
            "99999999999999999999",
        ] {
            assert!(parse_share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_part_names_a_recipient_and_a_whole_number() {
        const WHO: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        assert_eq!(
            parse_part(&format!("{WHO}=70")).map(|(_, part)| part),
            Ok(70)
        );
        for bad in [
            "",
            "=70",
            WHO,
            &format!("{WHO}=0"),
            &format!("{WHO}=1.5"),
            &format!("{WHO}=4294967296"),
        ] {
            assert!(parse_part(bad).is_err(), "{bad}");
        }
        // A wrong digit.
        assert!(parse_part(&format!("{}=1", WHO.replace("92266", "92267"))).is_err());
    }
}
