//! The contracts beside a vault: the registry of titles that it asks, and the factory of splitters.
//!
//! Invariant: a registry that is taken answers as one, and what is there is not made anew.

use alloy_primitives::Address;

use super::deploy::{failed, find_block, say_sent};
use super::output::{CliError, complain};
use super::owner_args::DeployArgs;
use crate::native::deploying::{Beside, Deployer};
use crate::native::deployment::{DeployedContract, Deployment};

/// Both, as they are planned or as they are.
pub(super) struct Contracts {
    parts: Vec<Part>,
    deterministic: bool,
}

struct Part {
    which: Beside,
    /// Where it is or will be; `None`: by CREATE, once it is made.
    place: Option<Address>,
    is_there: bool,
    /// Its block, where it is known.
    block: Option<u64>,
}

impl Part {
    fn name(&self) -> &'static str {
        match self.which {
            Beside::Registry => "the registry of titles",
            Beside::Splitters => "the factory of splitters",
        }
    }
}

impl Contracts {
    /// Looks for them on the chain. Sends nothing.
    pub(super) fn look(
        args: &DeployArgs,
        deployer: &Deployer,
        deterministic: bool,
        before: Option<&Deployment>,
    ) -> Result<Contracts, CliError> {
        let mut parts = Vec::new();
        let both = [Beside::Registry, Beside::Splitters];
        for which in both.into_iter().filter(|_| !args.no_registry) {
            let named = before.and_then(|before| match which {
                Beside::Registry => before.registry,
                Beside::Splitters => before.splitters,
            });
            let given = args.registry.filter(|_| which == Beside::Registry);
            let usual = match deterministic {
                true => Some(which.address().map_err(failed)?),
                // By plain CREATE only the file knows where it is.
                false => named.map(|named| named.address),
            };
            let mut part = Part {
                which,
                place: given.or(usual),
                is_there: given.is_some(),
                block: None,
            };
            if let Some(place) = part.place {
                part.is_there |= deployer.is_there(place).map_err(failed)?;
                part.block = named
                    .filter(|named| named.address == place)
                    .map(|named| named.block);
                if part.is_there && which == Beside::Registry {
                    deployer.check_registry(place).map_err(failed)?;
                }
            }
            // A file of a chain that began anew.
            if !part.is_there && !deterministic {
                part.place = None;
            }
            parts.push(part);
        }
        Ok(Contracts {
            parts,
            deterministic,
        })
    }

    /// The registry that the vault asks: zero for none, and `None` where its place is not known before it is made.
    pub(super) fn registry(&self) -> Option<Address> {
        match self.part(Beside::Registry) {
            Some(part) => part.place,
            None => Some(Address::ZERO),
        }
    }

    /// Whether those that are missing would be sent. Nothing is.
    pub(super) fn rehearse(&self, deployer: &Deployer) -> Result<(), CliError> {
        for part in &self.parts {
            match (part.is_there, part.place) {
                (true, place) => {
                    let place = place.unwrap_or_default();
                    complain(&format!("{} is there already: {place}", part.name()));
                    continue;
                }
                (false, Some(place)) => {
                    complain(&format!("{} would be deployed to {place}", part.name()));
                }
                (false, None) => complain(&format!("{} would be deployed", part.name())),
            }
            deployer
                .rehearse_beside(part.which, self.deterministic)
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Makes those that are missing.
    pub(super) fn make(&mut self, deployer: &Deployer) -> Result<(), CliError> {
        for part in &mut self.parts {
            if !part.is_there {
                let placed = deployer
                    .beside(part.which, self.deterministic)
                    .map_err(failed)?;
                if let Some(sent) = &placed.sent {
                    say_sent(&format!("deployed {}", part.name()), sent);
                    part.block = Some(sent.block());
                }
                (part.place, part.is_there) = (Some(placed.address), true);
            }
            if let (None, Some(place)) = (part.block, part.place) {
                part.block = Some(find_block(deployer, place)?);
            }
        }
        Ok(())
    }

    /// For the file, once it is made.
    pub(super) fn deployed(&self, which: Beside) -> Option<DeployedContract> {
        let part = self.part(which)?;
        Some(DeployedContract {
            address: part.place?,
            block: part.block?,
        })
    }

    fn part(&self, which: Beside) -> Option<&Part> {
        self.parts.iter().find(|part| part.which == which)
    }
}
