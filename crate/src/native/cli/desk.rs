//! One command of a publisher at a registry: its chain, what it will do, and what it did.
//!
//! Invariant: what will be done is said before anything is sent, and each transaction is waited for with an end.

use std::path::Path;

use serde_json::{Value, json};

use super::args::load_key;
use super::deploy::{note_dir, say_sent, sent_json};
use super::deployment;
use super::output::{CliError, complain};
use super::owner_args::FeeArgs;
use super::title_args::SenderArgs;
use crate::native::chain::{Chain, ChainConfig, ChainError};
use crate::native::deployment::Deployment;
use crate::native::keys::KeyPair;
use crate::native::registry::{Call, RegistryError, Titles};
use crate::native::sending::{GasCap, Sent};

/// The chain of a deployment file, by the node that the file or the flag names. Asks nobody.
pub(super) fn chain_of(
    file: &Path,
    deployment: &Deployment,
    rpc: Option<&str>,
) -> Result<Chain, CliError> {
    let Some(rpc) = rpc.or(deployment.rpc.as_deref()) else {
        return Err(CliError::Invalid(format!(
            "{} names no RPC server: give one of chain {} by --rpc",
            file.display(),
            deployment.chain_id
        )));
    };
    Chain::new(&ChainConfig {
        vault: deployment.vault.address,
        chain_id: deployment.chain_id,
        rpc_url: rpc.to_owned(),
        token: Some(deployment.token.address),
    })
    .map_err(|e| CliError::Invalid(e.to_string()))
}

/// The registry of a deployment file.
pub(super) fn titles_of(
    file: &Path,
    deployment: &Deployment,
    chain: Chain,
) -> Result<Titles, CliError> {
    match deployment.registry {
        Some(registry) => Ok(Titles::new(chain, registry.address)),
        None => Err(CliError::Invalid(format!(
            "{} names no registry of titles: its vault pays no royalties; `piecework vault deploy` makes one that does",
            file.display()
        ))),
    }
}

/// Who sends, where, and what was done.
pub(super) struct Desk {
    pub(super) deployment: Deployment,
    pub(super) chain: Chain,
    pub(super) key: KeyPair,
    pub(super) cap: GasCap,
    file: std::path::PathBuf,
    dry_run: bool,
    plan: Vec<String>,
    done: Vec<Value>,
}

impl Desk {
    /// Reads file and key. Asks nobody.
    pub(super) fn open(
        file: &Path,
        rpc: Option<&str>,
        key_file: &Path,
        fees: &FeeArgs,
        dry_run: bool,
    ) -> Result<Desk, CliError> {
        let deployment = deployment::named(file)?;
        let key = load_key(key_file)?;
        let chain = chain_of(file, &deployment, rpc)?
            .waiting(fees.patience())
            .remembering(note_dir(key_file), key.address())
            .map_err(|e| CliError::Invalid(e.to_string()))?;
        Ok(Desk {
            chain,
            key,
            cap: GasCap::of_call(fees.max_fee_per_gas),
            file: file.to_owned(),
            deployment,
            dry_run,
            plan: Vec::new(),
            done: Vec::new(),
        })
    }

    pub(super) fn of(args: &SenderArgs) -> Result<Desk, CliError> {
        let (rpc, dry_run) = (args.rpc.as_deref(), args.dry_run);
        Desk::open(&args.deployment, rpc, &args.key, &args.fees, dry_run)
    }

    /// The registry, once the vault asks it.
    pub(super) fn titles(&self) -> Result<Titles, CliError> {
        let titles = titles_of(&self.file, &self.deployment, self.chain.clone())?;
        titles.check().map_err(refused)?;
        Ok(titles)
    }

    /// Says what will be done.
    pub(super) fn will(&mut self, line: String) {
        complain(&line);
        self.plan.push(line);
    }

    /// Whether a call would be sent. Nothing is.
    pub(super) fn rehearse(&self, titles: &Titles, call: &Call) -> Result<(), CliError> {
        let from = self.key.address();
        titles.rehearse(call, from, self.cap).map_err(refused)
    }

    /// One call of the registry; a dry run only looks whether it would be sent.
    pub(super) fn call(&mut self, titles: &Titles, call: &Call) -> Result<(), CliError> {
        if self.dry_run {
            self.rehearse(titles, call)?;
            complain("this is a dry run: nothing is sent");
            return Ok(());
        }
        let sent = titles.send(call, &self.key, self.cap).map_err(refused)?;
        self.note(call.name, &sent);
        Ok(())
    }

    pub(super) fn note(&mut self, what: &str, sent: &Sent) {
        say_sent(what, sent);
        self.done.push(sent_json(what, sent));
    }

    /// For JSON.
    pub(super) fn json(&self, more: Value) -> Value {
        let mut all = json!({
            "dry_run": self.dry_run,
            "sender": self.key.address().to_string(),
            "plan": self.plan,
            "transactions": self.done,
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
        all
    }
}

pub(super) fn refused(error: RegistryError) -> CliError {
    CliError::Failed(error.to_string())
}

pub(super) fn failed(error: ChainError) -> CliError {
    CliError::Failed(error.to_string())
}
