//! `--deployment`: a file in place of the flags that name chain, vault and token; and its files on disk.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::args::ChainArgs;
use super::output::CliError;
use crate::native::deploying::{REGISTRY_STANDARD_JSON, VAULT_STANDARD_JSON};
use crate::native::deployment::{Deployment, MAX_FILE_LEN};
use crate::native::storage::sync_dir;

/// Takes from the file what no flag says. A flag that says something else is refused, but for --rpc.
pub(super) fn resolve(args: &mut ChainArgs) -> Result<(), CliError> {
    let Some(path) = &args.deployment else {
        args.decimals = args.given_decimals.unwrap_or(args.decimals);
        return all_or_none(args);
    };
    let file = named(path)?;
    let agree = |flag, given: Option<String>, named: String| match given {
        Some(given) if given != named => Err(CliError::Invalid(format!(
            "{flag} {given} contradicts {}, which names {named}: leave out {flag} or --deployment",
            path.display()
        ))),
        _ => Ok(()),
    };
    agree(
        "--vault",
        args.vault.map(|vault| vault.to_string()),
        file.vault.address.to_string(),
    )?;
    agree(
        "--chain-id",
        args.chain_id.map(|id| id.to_string()),
        file.chain_id.to_string(),
    )?;
    agree(
        "--token",
        args.token.map(|token| token.to_string()),
        file.token.address.to_string(),
    )?;
    agree(
        "--decimals",
        args.given_decimals.map(|decimals| decimals.to_string()),
        file.token.decimals.to_string(),
    )?;
    if args.rpc.is_none() && file.rpc.is_none() {
        return Err(CliError::Invalid(format!(
            "{} names no RPC server: give one of chain {} by --rpc",
            path.display(),
            file.chain_id
        )));
    }
    args.rpc = args.rpc.take().or(file.rpc);
    args.vault = Some(file.vault.address);
    args.chain_id = Some(file.chain_id);
    args.token = Some(file.token.address);
    args.decimals = file.token.decimals;
    args.symbol = Some(file.token.symbol);
    args.registry = file.registry.map(|registry| registry.address);
    args.splitters = file.splitters.map(|splitters| splitters.address);
    Ok(())
}

fn all_or_none(args: &ChainArgs) -> Result<(), CliError> {
    let given = [
        ("--vault", args.vault.is_some()),
        ("--chain-id", args.chain_id.is_some()),
        ("--rpc", args.rpc.is_some()),
    ];
    let any = args.token.is_some() || given.iter().any(|(_, is_given)| *is_given);
    let missing: Vec<&str> = given
        .iter()
        .filter(|(_, is_given)| !is_given)
        .map(|(flag, _)| *flag)
        .collect();
    match any && !missing.is_empty() {
        true => Err(CliError::Invalid(format!(
            "give --vault, --chain-id and --rpc together, or --deployment FILE: without {} the vault is not known",
            missing.join(" and ")
        ))),
        false => Ok(()),
    }
}

/// The file that --deployment names.
pub(super) fn named(path: &Path) -> Result<Deployment, CliError> {
    read(path)?.ok_or_else(|| {
        CliError::Invalid(format!(
            "{} is not there: check --deployment, or make one with `piecework vault deploy`",
            path.display()
        ))
    })
}

/// A deployment file; `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Deployment>, CliError> {
    let cannot = |e: std::io::Error| {
        CliError::Invalid(format!(
            "the deployment file {} cannot be read: {e}",
            path.display()
        ))
    };
    let file = match File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(cannot)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_LEN as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    Deployment::parse(&bytes).map(Some).map_err(|e| {
        CliError::Invalid(format!(
            "the deployment file {}: {e}; `piecework vault deploy` makes one",
            path.display()
        ))
    })
}

/// Where a chain's files lie.
pub(super) struct Files {
    pub(super) deployment: PathBuf,
    pub(super) standard_json: PathBuf,
    pub(super) registry_json: PathBuf,
}

impl Files {
    pub(super) fn of(dir: &Path, chain_id: u64) -> Files {
        Files {
            deployment: dir.join(format!("{chain_id}.json")),
            standard_json: dir.join(format!("{chain_id}.vault.standard.json")),
            registry_json: dir.join(format!("{chain_id}.registry.standard.json")),
        }
    }

    /// Writes them, each whole or not at all; the registry's input where there is a registry.
    pub(super) fn write(&self, deployment: &Deployment) -> Result<(), CliError> {
        write_whole(&self.standard_json, VAULT_STANDARD_JSON.as_bytes())?;
        if deployment.registry.is_some() {
            write_whole(&self.registry_json, REGISTRY_STANDARD_JSON.as_bytes())?;
        }
        write_whole(&self.deployment, deployment.to_json().as_bytes())
    }
}

/// A file that is there as a whole or as it was before, also after a loss of power.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let write = || {
        fs::create_dir_all(dir)?;
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_dir(dir)
    };
    write().map_err(|e| CliError::Failed(format!("{} cannot be written: {e}", path.display())))
}
