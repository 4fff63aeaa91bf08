//! The registry of titles on its chain: what an edge reads of it, and a publisher's calls.
//!
//! Owns the reading of the node's answers; the registry's ABI is in `title`. Invariant: an answer is within bounds and
//! agrees with itself, or it is an error; a node that lies within them is believed (docs/security.md). Never decides
//! what to register.

use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall, SolError};

use super::answers::RpcError;
use super::chain::{Chain, ChainError};
use super::keys::KeyPair;
use super::sending::{GasCap, Sent};
use crate::title::{BPS, Title, abi};
use crate::types::InfoHash;

/// Registrations of one content that are read: the earliest. Anybody may add to the list.
pub const MAX_LISTED: usize = 16;
/// Bytes of a contact record.
pub const MAX_CONTACT: usize = 2_048;
/// Before this second no registration was made: 2020.
const EARLIEST: u64 = 1_577_836_800;
/// After this one none is believed: the year 2200. The registry's own field is longer.
const LATEST: u64 = 7_258_118_400;

/// The reason why a registry was of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The node, the chain, or a transaction.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Another contract, or a node that lies.
    #[error(
        "the contract at {registry} does not answer {call} like the registry of titles: check --deployment and --rpc"
    )]
    Answer {
        /// The contract that was called.
        registry: Address,
        /// The call that was made.
        call: &'static str,
    },
    /// The vault asks another registry, so nothing that is registered here is paid there.
    #[error(
        "the vault {vault} asks the registry {asks}, not {named}: the deployment file is wrong"
    )]
    OtherRegistry {
        /// The vault of the file.
        vault: Address,
        /// The registry of the file.
        named: Address,
        /// By the vault's own word.
        asks: Address,
    },
    /// The contract would refuse it, and nothing was sent.
    #[error("the registry would refuse it: {0}")]
    Refused(&'static str),
}

impl From<RpcError> for RegistryError {
    fn from(error: RpcError) -> RegistryError {
        RegistryError::Chain(error.into())
    }
}

/// One registration, by a node's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: B256,
    /// Who is credited now.
    pub creator: Address,
    /// The share now, in hundredths of a percent.
    pub bps: u16,
    /// Seconds since 1970.
    pub registered_at: u64,
    /// Who registered it.
    pub publisher: Address,
    /// The struct hash of the title as it was registered.
    pub title_hash: B256,
}

/// Registrations of one content, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// All of them.
    pub count: u64,
    /// The first [`MAX_LISTED`].
    pub first: Vec<Record>,
}

impl Listing {
    /// The earliest registration that somebody else made before `own`, or ever, where `own` is none of the list.
    pub fn earlier_by_other(&self, publisher: Address, own: B256) -> Option<&Record> {
        let before = self.first.iter().take_while(|record| record.id != own);
        let mut others = before.filter(|record| record.publisher != publisher);
        others.next()
    }
}

/// The registry that a vault asks. Calls block; run them off the async threads.
#[derive(Clone, Debug)]
pub struct Titles {
    chain: Chain,
    registry: Address,
}

impl Titles {
    /// Contacts nobody yet.
    pub fn new(chain: Chain, registry: Address) -> Titles {
        Titles { chain, registry }
    }

    /// The contract.
    pub fn address(&self) -> Address {
        self.registry
    }

    /// Checks that the node serves the chain, that the vault is there, and that it asks this registry.
    ///
    /// # Errors
    /// The error names the part that does not fit.
    pub fn check(&self) -> Result<(), RegistryError> {
        self.chain.check()?;
        let vault = self.chain.vault();
        let asks = (self.chain).ask(vault, &vault_abi::registryCall {}, "registry")?;
        match asks == self.registry {
            true => Ok(()),
            false => Err(RegistryError::OtherRegistry {
                vault,
                named: self.registry,
                asks,
            }),
        }
    }

    /// The registration of an id; `None` if there is none.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn record(&self, id: B256) -> Result<Option<Record>, RegistryError> {
        let call = "record(bytes32)";
        let one = self.ask(&abi::recordCall { id }, call)?;
        if one.registeredAt.is_zero() && one.publisher.is_zero() {
            return Ok(None);
        }
        checked(id, &one).map(Some).ok_or(self.answer(call))
    }

    /// The registration of a title, whatever its words; `None` if there is none.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn record_of(&self, title: &Title) -> Result<Option<Record>, RegistryError> {
        match self.record(title.id())? {
            // The id is a hash of the publisher, too.
            Some(record) if record.publisher != title.publisher => {
                Err(self.answer("record(bytes32)"))
            }
            record => Ok(record),
        }
    }

    /// The registrations of a content.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn listing(&self, content: InfoHash) -> Result<Listing, RegistryError> {
        let hash = content.0.into();
        let count = self.ask(&abi::countOfCall { infoHash: hash }, "countOf(bytes20)")?;
        let count = u64::try_from(count).map_err(|_| self.answer("countOf(bytes20)"))?;
        let name = "titlesOf(bytes20,uint256,uint256)";
        let call = abi::titlesOfCall {
            infoHash: hash,
            first: U256::ZERO,
            count: U256::from(MAX_LISTED),
        };
        let answer = self.ask(&call, name)?;
        let first = listed(&answer.ids, &answer.records).ok_or(self.answer(name))?;
        // Others may register while we ask.
        match first.len() as u64 >= count.min(MAX_LISTED as u64) {
            true => Ok(Listing {
                count: count.max(first.len() as u64),
                first,
            }),
            false => Err(self.answer(name)),
        }
    }

    /// Whether [`Titles::send`] would send a call, as things are. Nothing is sent.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn rehearse(&self, call: &Call, from: Address, cap: GasCap) -> Result<(), RegistryError> {
        (self.chain.sender())
            .rehearse(from, Some(self.registry), &call.data, cap)
            .map_err(said_by_the_registry)
    }

    /// Sends a publisher's call, and waits for its block.
    ///
    /// # Errors
    /// See [`super::sending::Sender::transact`].
    pub fn send(&self, call: &Call, key: &KeyPair, cap: GasCap) -> Result<Sent, RegistryError> {
        (self.chain.sender())
            .transact(key, Some(self.registry), &call.data, cap)
            .map_err(said_by_the_registry)
    }

    fn ask<C: SolCall>(&self, call: &C, name: &'static str) -> Result<C::Return, RegistryError> {
        let answer = match self.chain.rpc().read(self.registry, &call.abi_encode()) {
            Err(error) if error.is_revert() => return Err(self.answer(name)),
            answer => answer?,
        };
        C::abi_decode_returns_validate(&answer).map_err(|_| self.answer(name))
    }

    fn answer(&self, call: &'static str) -> RegistryError {
        RegistryError::Answer {
            registry: self.registry,
            call,
        }
    }
}

mod vault_abi {
    #![allow(missing_docs)]

    alloy_sol_types::sol! {
        function registry() external view returns (address);
    }
}

/// What a publisher asks of the registry.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name in the contract.
    pub name: &'static str,
    data: Vec<u8>,
}

impl Call {
    /// Registers a title of the caller's own.
    pub fn register(title: &Title) -> Call {
        let call = abi::registerCall {
            title: title.to_abi(),
        };
        Call::of("register", &call)
    }

    /// Takes a smaller share from now on, in hundredths of a percent.
    pub fn lower_share(id: B256, bps: u16) -> Call {
        Call::of("lowerShare", &abi::lowerShareCall { id, bps })
    }

    /// Credits another address from now on.
    pub fn set_creator(id: B256, creator: Address) -> Call {
        Call::of("setCreator", &abi::setCreatorCall { id, creator })
    }

    /// Where peers of the title are found: one URL a line, at most [`MAX_CONTACT`] bytes.
    pub fn set_contact(id: B256, contact: String) -> Call {
        Call::of("setContact", &abi::setContactCall { id, contact })
    }

    fn of(name: &'static str, call: &impl SolCall) -> Call {
        Call {
            name,
            data: call.abi_encode(),
        }
    }
}

/// A registration, unless no registry says so.
fn checked(id: B256, one: &abi::Record) -> Option<Record> {
    let registered_at: u64 = one.registeredAt.to();
    let holds = one.bps <= BPS
        && !one.creator.is_zero()
        && !one.publisher.is_zero()
        && (EARLIEST..=LATEST).contains(&registered_at);
    holds.then_some(Record {
        id,
        creator: one.creator,
        bps: one.bps,
        registered_at,
        publisher: one.publisher,
        title_hash: one.titleHash,
    })
}

/// A list, unless no registry says so: of no more than was asked for, each once, none before an earlier one.
fn listed(ids: &[B256], records: &[abi::Record]) -> Option<Vec<Record>> {
    if ids.len() != records.len() || ids.len() > MAX_LISTED {
        return None;
    }
    let all: Option<Vec<Record>> = (ids.iter().zip(records))
        .map(|(id, record)| checked(*id, record))
        .collect();
    let all = all?;
    let distinct: BTreeSet<B256> = all.iter().map(|record| record.id).collect();
    let in_order = all.is_sorted_by_key(|record| record.registered_at);
    (distinct.len() == all.len() && in_order).then_some(all)
}

/// The registry's refusal in words, where the node hands it on.
fn said_by_the_registry(error: ChainError) -> RegistryError {
    let said = match &error {
        ChainError::Rpc(RpcError::Refused {
            data: Some(data), ..
        }) => data.get(..4).and_then(words_of),
        _ => None,
    };
    said.map_or(RegistryError::Chain(error), RegistryError::Refused)
}

fn words_of(selector: &[u8]) -> Option<&'static str> {
    let known: [([u8; 4], &'static str); 8] = [
        (
            abi::NotThePublisher::SELECTOR,
            "somebody else published the title, and only its publisher may change it: check --key",
        ),
        (
            abi::AlreadyRegistered::SELECTOR,
            "this publisher registered this content before: give another --salt for a second registration",
        ),
        (
            abi::NoSuchTitle::SELECTOR,
            "nobody registered such a title: check the id",
        ),
        (abi::BadInfoHash::SELECTOR, "the info hash is zero"),
        (
            abi::BadCreator::SELECTOR,
            "the zero address cannot be credited: give another creator",
        ),
        (
            abi::BadShare::SELECTOR,
            "a share is at most 100 percent, and only falls: give one below that which stands",
        ),
        (
            abi::TooLong::SELECTOR,
            "a name or a licence has at most 256 bytes, and a contact 2048",
        ),
        (
            abi::NotAnEdition::SELECTOR,
            "the earlier edition is not registered, or by somebody else: check --previous",
        ),
    ];
    let mut known = known.iter().filter(|(of, _)| of == selector);
    known.next().map(|(_, words)| *words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::aliases::U48;

    const NOW: u64 = 1_750_000_000;

    fn record(publisher: u8, at: u64) -> abi::Record {
        abi::Record {
            creator: Address::repeat_byte(1),
            bps: 500,
            registeredAt: U48::from(at),
            publisher: Address::repeat_byte(publisher),
            titleHash: B256::ZERO,
        }
    }

    fn id(byte: u8) -> B256 {
        B256::repeat_byte(byte)
    }

    #[test]
    fn a_list_that_no_registry_gives_is_refused() {
        let (one, two) = (record(7, NOW), record(8, NOW + 1));
        let good = listed(&[id(1), id(2)], &[one.clone(), two.clone()]).unwrap();
        assert_eq!(good.len(), 2);
        assert!(listed(&[], &[]).unwrap().is_empty());
        let many: Vec<B256> = (0..=MAX_LISTED as u8).map(id).collect();
        for (ids, records) in [
            (&[id(1)][..], &[][..]),
            (&[id(1), id(1)], &[one.clone(), two.clone()]),
            (&[id(1), id(2)], &[two.clone(), one.clone()]),
            (&many, &vec![one.clone(); many.len()]),
            (
                &[id(1)],
                &[abi::Record {
                    bps: 10_001,
                    ..one.clone()
                }],
            ),
            (
                &[id(1)],
                &[abi::Record {
                    creator: Address::ZERO,
                    ..one.clone()
                }],
            ),
            (&[id(1)], &[record(0, NOW)]),
            (&[id(1)], &[record(7, 0)]),
            (&[id(1)], &[record(7, (1 << 48) - 1)]),
        ] {
            assert_eq!(listed(ids, records), None, "{records:?}");
        }
    }

    #[test]
    fn an_earlier_registration_is_of_somebody_else_and_stands_before_the_own() {
        let first = listed(
            &[id(1), id(2), id(3), id(4)],
            &[
                record(7, NOW),
                record(8, NOW),
                record(7, NOW + 1),
                record(9, NOW + 2),
            ],
        );
        let listing = Listing {
            count: 4,
            first: first.unwrap(),
        };
        let earlier = |publisher, own| {
            let publisher = Address::repeat_byte(publisher);
            let found = listing.earlier_by_other(publisher, own);
            found.map(|record| record.id)
        };
        assert_eq!(earlier(7, id(1)), None);
        assert_eq!(earlier(8, id(2)), Some(id(1)));
        // Its own earlier registration is not somebody else's.
        assert_eq!(earlier(7, id(3)), Some(id(2)));
        // What is not registered came after all of them.
        assert_eq!(earlier(7, id(9)), Some(id(2)));
    }
}
