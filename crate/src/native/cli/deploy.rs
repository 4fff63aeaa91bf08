//! `vault deploy`: a vault on the chain of a node, and the files that name it.

use std::net::IpAddr;
use std::path::Path;

use alloy_primitives::Address;
use serde_json::{Value, json};

use super::args::load_key;
use super::beside::Contracts;
use super::deployment::{self, Files};
use super::output::{CliError, complain, say, say_json};
use super::owner_args::{DeployArgs, VaultArgs, VaultVerb};
use crate::native::answers::RpcError;
use crate::native::chain::MIN_EXIT_DELAY_SECS;
use crate::native::deploying::{
    self, Beside, DEFAULT_SINK, DeployError, Deployer, Placed, VaultOrder,
};
use crate::native::deployment::{DeployedVault, Deployment};
use crate::native::rpc::Rpc;
use crate::native::sending::{GasCap, Sender, Sent};

/// Play money that a test begins with, in token units: 10,000 tokens of 6 decimals.
const DEMO_UNITS: u128 = 10_000_000_000;
/// The demo token's name for itself.
const DEMO_SYMBOL: &str = "pwUSD";

/// `piecework vault`
pub(super) fn vault(args: &VaultArgs) -> Result<(), CliError> {
    let VaultVerb::Deploy(args) = &args.verb;
    deploy(args)
}

fn deploy(args: &DeployArgs) -> Result<(), CliError> {
    if args.exit_delay < MIN_EXIT_DELAY_SECS && !args.accept_short_exit {
        return Err(CliError::Invalid(format!(
            "--exit-delay {} leaves sellers less than a day ({MIN_EXIT_DELAY_SECS} s) to redeem, and they do not sell there by themselves: take a longer one, or this one with --accept-short-exit",
            args.exit_delay
        )));
    }
    let key = load_key(&args.key)?;
    let rpc = Rpc::new(&args.rpc).map_err(|e| CliError::Invalid(e.to_string()))?;
    if args.demo_token && !is_here(rpc.host()) {
        return Err(CliError::Invalid(format!(
            "--demo-token is for tests on a chain of this machine, and --rpc names {}: give a --token",
            rpc.host()
        )));
    }
    let chain_id = rpc.chain_id().map_err(failed)?;
    if let Some(expected) = args.chain_id.filter(|id| *id != chain_id) {
        return Err(CliError::Failed(format!(
            "the RPC server {} serves chain {chain_id}, not {expected}: check --rpc and --chain-id",
            rpc.host()
        )));
    }
    let files = Files::of(&args.output, chain_id);
    let before = match deployment::read(&files.deployment) {
        Err(_) if args.force => None,
        before => before?,
    };
    let sender = Sender::new(rpc, chain_id)
        .waiting(args.fees.patience())
        .remembering(note_dir(&args.key), key.address())
        .map_err(|e| CliError::Invalid(e.to_string()))?;
    let payer = key.address();
    let cap = GasCap::of_deployment(args.fees.max_fee_per_gas);
    let deployer = Deployer::new(sender, key, cap);

    complain(&format!("chain {chain_id}, gas is paid by {payer}"));
    let deterministic = deployer.is_deterministic().map_err(failed)?;
    if !deterministic {
        complain(
            "the deterministic deployer is not on this chain: the vault gets an address that it has on no other chain",
        );
    }
    let beside = Contracts::look(args, &deployer, deterministic, before.as_ref())?;
    let mut work = Work {
        args,
        beside,
        deployer,
        deterministic,
        before,
        file: &files.deployment,
    };
    let token = match args.token {
        Some(token) => Some(token),
        None => work.demo_token()?,
    };
    let Some(token) = token else {
        complain("a demo token for tests, and a vault for it, would be deployed; nothing was sent");
        return Ok(());
    };
    let token = work.deployer.token(token).map_err(failed)?;
    let mut order = work.order(token.address);
    complain(&format!(
        "a vault for {} ({}, {} decimals), exit delay {} s, burned bonds go to {}",
        token.symbol, token.address, token.decimals, order.exit_delay, order.sink
    ));
    let known = work.known(&order)?;
    if args.dry_run {
        work.beside.rehearse(&work.deployer)?;
        return work.say_plan(&order, known.as_ref());
    }
    work.beside.make(&work.deployer)?;
    order = work.order(token.address);
    let (placed, found) = match known {
        Some(placed) => (placed, true),
        None => {
            let placed = work.deployer.vault(&order, deterministic).map_err(failed)?;
            let found = placed.sent.is_none();
            (placed, found)
        }
    };
    if let Some(sent) = &placed.sent {
        say_sent("deployed", sent);
    } else {
        complain(&format!("the vault is there already: {}", placed.address));
    }
    let same = work
        .before
        .as_ref()
        .filter(|before| before.vault.address == placed.address);
    let block = match (&placed.sent, same) {
        (Some(sent), _) => sent.block(),
        (None, Some(before)) => before.vault.block,
        (None, None) => find_block(&work.deployer, placed.address)?,
    };
    let deployment = Deployment {
        chain_id,
        rpc: match args.write_rpc {
            true => Some(args.rpc.clone()),
            false => same.and_then(|before| before.rpc.clone()),
        },
        vault: DeployedVault {
            address: placed.address,
            block,
            tx_hash: match &placed.sent {
                Some(sent) => Some(sent.hash),
                None => same.and_then(|before| before.vault.tx_hash),
            },
            deployer: placed.deployer,
            salt: placed.salt,
            exit_delay: order.exit_delay,
        },
        token,
        registry: work.beside.deployed(Beside::Registry),
        splitters: work.beside.deployed(Beside::Splitters),
        compiler: deploying::compiler().map_err(failed)?,
    };
    files.write(&deployment)?;
    complain(&format!(
        "wrote {}, and {} for block explorers",
        files.deployment.display(),
        match deployment.registry {
            Some(_) => format!(
                "{} and {}",
                files.standard_json.display(),
                files.registry_json.display()
            ),
            None => files.standard_json.display().to_string(),
        }
    ));
    if args.json {
        say_json(&json!({
            "chain_id": chain_id,
            "vault": placed.address.to_string(),
            "found": found,
            "deterministic": placed.salt.is_some(),
            "block": block,
            "transaction": placed.sent.as_ref().map(|sent| sent.hash.to_string()),
            "gas_used": placed.sent.as_ref().map(|sent| sent.receipt.gas_used.saturating_to::<u64>()),
            "token": deployment.token.address.to_string(),
            "registry": deployment.registry.map(|registry| registry.address.to_string()),
            "splitters": deployment.splitters.map(|splitters| splitters.address.to_string()),
            "symbol": deployment.token.symbol,
            "decimals": deployment.token.decimals,
            "file": files.deployment.display().to_string(),
            "standard_json": files.standard_json.display().to_string(),
            "registry_standard_json": deployment.registry.map(|_| files.registry_json.display().to_string()),
        }));
    } else {
        say(&placed.address.to_string());
    }
    Ok(())
}

struct Work<'a> {
    args: &'a DeployArgs,
    beside: Contracts,
    deployer: Deployer,
    deterministic: bool,
    before: Option<Deployment>,
    /// Where `before` was read.
    file: &'a Path,
}

impl Work<'_> {
    /// The demo token's address; `None` in a dry run that finds none. A file that names another vault is refused before
    /// anything is sent.
    fn demo_token(&self) -> Result<Option<Address>, CliError> {
        complain("the demo token is for tests alone: anybody can make any sum of it");
        let place = match (self.deterministic, &self.before) {
            (true, _) => {
                let place = deploying::demo_token_address(self.args.salt).map_err(failed)?;
                self.known(&self.order(place))?;
                Some(place)
            }
            // By plain CREATE only the file knows where it is.
            (false, Some(before)) if before.token.symbol == DEMO_SYMBOL => {
                Some(before.token.address)
            }
            (false, Some(before)) if !self.args.force => return Err(self.another(before)),
            (false, _) => None,
        };
        let mut there = false;
        if let Some(place) = place {
            there = self.deployer.is_there(place).map_err(failed)?;
        }
        let token = match place.filter(|_| there) {
            Some(token) => {
                complain(&format!("the demo token is there already: {token}"));
                token
            }
            None if self.args.dry_run => {
                (self.deployer)
                    .rehearse_demo_token(self.args.salt, self.deterministic)
                    .map_err(failed)?;
                return Ok(None);
            }
            None => {
                let placed = self
                    .deployer
                    .demo_token(self.args.salt, self.deterministic)
                    .map_err(failed)?;
                if let Some(sent) = &placed.sent {
                    say_sent("deployed the demo token", sent);
                }
                placed.address
            }
        };
        if !self.args.dry_run && self.deployer.holds_nothing(token).map_err(failed)? {
            let minted = self.deployer.mint(token, DEMO_UNITS).map_err(failed)?;
            say_sent("made 10,000 demo tokens", &minted);
        }
        Ok(Some(token))
    }

    fn order(&self, token: Address) -> VaultOrder {
        VaultOrder {
            token,
            registry: self.beside.registry().unwrap_or_default(),
            sink: self.args.sink.unwrap_or(DEFAULT_SINK),
            exit_delay: self.args.exit_delay,
            salt: self.args.salt,
        }
    }

    fn another(&self, before: &Deployment) -> CliError {
        let mut said = format!(
            "{} names another vault, {}: write to another folder with -o, or over it with --force",
            self.file.display(),
            before.vault.address
        );
        if before.registry.is_none() && !self.args.no_registry {
            said.push_str("; that one asks no registry of titles, and --no-registry keeps it");
        }
        CliError::Invalid(said)
    }

    /// The vault of the order, if it is on the chain as far as is known: at its place, or where the file says. A file
    /// that names another vault is refused, before anything is sent.
    fn known(&self, order: &VaultOrder) -> Result<Option<Placed>, CliError> {
        // No vault asks a registry that is not there yet.
        if self.beside.registry().is_none() {
            return match &self.before {
                Some(before) if !self.args.force => Err(self.another(before)),
                _ => Ok(None),
            };
        }
        let place = order.address().map_err(failed)?;
        let there = self.deterministic && self.deployer.is_there(place).map_err(failed)?;
        let at_place = there.then_some(Placed {
            address: place,
            deployer: deploying::DETERMINISTIC_DEPLOYER,
            salt: Some(order.salt),
            sent: None,
        });
        if let Some(placed) = &at_place {
            (self.deployer.check_vault(placed.address, order)).map_err(failed)?;
        }
        let Some(deployment) = &self.before else {
            return Ok(at_place);
        };
        let before = &deployment.vault;
        if self.deterministic && before.address == place {
            return Ok(at_place);
        }
        let is_ours = self.deployer.is_there(before.address).map_err(failed)?
            && match self.deployer.check_vault(before.address, order) {
                Ok(()) => true,
                Err(DeployError::AnotherVault { .. }) => false,
                Err(error) => return Err(failed(error)),
            };
        match is_ours {
            // Made by CREATE: where the deterministic deployer is not, or was not then.
            true if before.salt.is_none() => Ok(Some(Placed {
                address: before.address,
                deployer: before.deployer,
                salt: None,
                sent: None,
            })),
            _ if self.args.force => Ok(at_place),
            _ => Err(self.another(deployment)),
        }
    }

    fn say_plan(&self, order: &VaultOrder, known: Option<&Placed>) -> Result<(), CliError> {
        let place = match (known, self.deterministic) {
            (Some(placed), _) => Some(placed.address),
            (None, true) => Some(order.address().map_err(failed)?),
            (None, false) => None,
        };
        if known.is_none() {
            (self.deployer)
                .rehearse_vault(order, self.deterministic)
                .map_err(failed)?;
        }
        if self.args.json {
            say_json(&json!({
                "dry_run": true,
                "registry": self.beside.registry().filter(|place| !place.is_zero()).map(|place| place.to_string()),
                "vault": place.map(|place| place.to_string()),
                "found": known.is_some(),
                "deterministic": self.deterministic,
            }));
            return Ok(());
        }
        say(&match (place, known.is_some()) {
            (Some(place), true) => format!("{place} is there already; the files would be written"),
            (Some(place), false) => format!("it would be deployed to {place}; nothing was sent"),
            (None, _) => "it would be deployed; nothing was sent".to_owned(),
        });
        Ok(())
    }
}

/// The block of a contract that was there already.
pub(super) fn find_block(deployer: &Deployer, address: Address) -> Result<u64, CliError> {
    let found = deployer.first_block(address).map_err(failed)?;
    if found.is_none() {
        complain(&format!(
            "the RPC server keeps no states of old blocks, so the block of {address} is written as 0: a search of its events begins at the first block"
        ));
    }
    Ok(found.unwrap_or(0))
}

/// A transaction's end, for the operator.
pub(super) fn say_sent(what: &str, sent: &Sent) {
    let gas: u64 = sent.receipt.gas_used.saturating_to();
    complain(&format!(
        "{what}: transaction {} in block {}, {gas} gas",
        sent.hash,
        sent.block()
    ));
}

pub(super) fn failed(error: impl Into<DeployError>) -> CliError {
    match error.into() {
        DeployError::Chain(crate::native::chain::ChainError::Rpc(error @ RpcError::Url(_))) => {
            CliError::Invalid(error.to_string())
        }
        error => CliError::Failed(error.to_string()),
    }
}

/// The folder of a key file: the note of what the key sent lies beside it.
pub(super) fn note_dir(key_file: &Path) -> &Path {
    match key_file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Whether a host, with or without a port, is this machine.
fn is_here(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// A transaction's end, for JSON.
pub(super) fn sent_json(what: &str, sent: &Sent) -> Value {
    json!({
        "what": what,
        "transaction": sent.hash.to_string(),
        "block": sent.block(),
        "gas_used": sent.receipt.gas_used.saturating_to::<u64>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_here() {
        for here in [
            "localhost",
            "localhost:1",
            "127.0.0.1:8545",
            "[::1]:8545",
            "127.9.9.9",
        ] {
            assert!(is_here(here), "{here}");
        }
        for away in [
            "rpc.example",
            "127.0.0.1.example:80",
            "10.0.0.1:8545",
            "[::2]",
            "",
        ] {
            assert!(!is_here(away), "{away}");
        }
    }
}
