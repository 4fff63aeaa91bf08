//! The calls of an account's owner: `open`, `topUp`, `exit`, `withdraw`, `claimCredit`, and the token's `approve`.
//!
//! Owns their bytes. Invariant: the vault is allowed exactly the sum that it is about to take. Decides no sum and
//! checks no account; what the vault would refuse costs no gas, because the estimate of the gas fails before.

use alloy_primitives::aliases::{U96, U112};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall, SolError};

use super::answers::RpcError;
use super::chain::{Chain, ChainError};
use super::keys::KeyPair;
use super::sending::{GasCap, Sent};
use super::splitting;
use crate::client::SellConfig;
use crate::types::TokenUnits;

mod abi {
    #![allow(missing_docs)]

    alloy_sol_types::sol! {
        struct Permit { uint256 deadline; uint8 v; bytes32 r; bytes32 s; }
        function open(address key, uint96 tranche, uint112 amount, uint112 bond, Permit permit) external
            returns (bytes32 id);
        function topUp(address key, uint112 amount, uint112 bond, Permit permit) external;
        function exit(address key) external;
        function withdraw(address key, address to) external;
        function claimCredit(address to) external returns (uint256 amount);
        function credit(address account) external view returns (uint256);
        function approve(address spender, uint256 amount) external returns (bool);
        error AccountExists(bytes32 id);
        error NoSuchAccount(bytes32 id);
        error AlreadyExiting(bytes32 id, uint48 exitAt);
        error NotExiting(bytes32 id);
        error TooEarly(uint48 exitAt);
        error WrongDeposit(uint256 expected, uint256 received);
        error BadRecipient(address to);
    }
}

/// A sum of the vault's type is below this.
const MAX_SUM: u128 = 1 << 112;
/// A tranche is below this.
const MAX_TRANCHE: u128 = 1 << 96;

/// A deposit: what vouchers can spend, and the collateral.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deposit {
    /// Token units that vouchers can spend.
    pub amount: TokenUnits,
    /// Token units of collateral.
    pub bond: TokenUnits,
}

impl Deposit {
    /// The sum that the vault takes; `None` if the vault holds no such sum.
    pub fn total(&self) -> Option<TokenUnits> {
        let total = self.amount.0.checked_add(self.bond.0)?;
        (total < MAX_SUM).then_some(TokenUnits(total))
    }
}

/// The least bond that sellers ask for where they are not told otherwise: 125 percent of the deposit, rounded up
/// (docs/protocol.md, "Constants").
pub fn bond_for(amount: TokenUnits) -> Option<TokenUnits> {
    let bond = amount.0.checked_mul(125)?.div_ceil(100);
    (bond < MAX_SUM).then_some(TokenUnits(bond))
}

/// A tranche where the owner names none: what sellers sell at least, where they are not told otherwise.
pub fn tranche_for(decimals: u8) -> TokenUnits {
    SellConfig::dust_of(decimals)
}

/// Whether the vault takes such a tranche.
pub fn is_tranche(tranche: TokenUnits) -> bool {
    (1..MAX_TRANCHE).contains(&tranche.0)
}

/// An owner at a vault. Calls block; run them off the async threads.
#[derive(Clone, Debug)]
pub struct Owner {
    chain: Chain,
    key: KeyPair,
    cap: GasCap,
}

impl Owner {
    /// Contacts nobody yet.
    pub fn new(chain: Chain, key: KeyPair, cap: GasCap) -> Owner {
        Owner { chain, key, cap }
    }

    /// The owner's address.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// The sums that the vault has to be allowed, one transaction each, before it can take `total` of `token`. None, if
    /// it may take as much already. Where it may take less but not nothing, it is first allowed nothing: some tokens
    /// refuse to change one sum into another.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn approvals(
        &self,
        token: Address,
        total: TokenUnits,
    ) -> Result<Vec<TokenUnits>, ChainError> {
        let allowed = self.chain.allowance(token, self.address())?;
        Ok(if allowed >= U256::from(total.0) {
            Vec::new()
        } else if allowed.is_zero() {
            vec![total]
        } else {
            vec![TokenUnits(0), total]
        })
    }

    /// Lets the vault take this sum of the owner's tokens.
    ///
    /// # Errors
    /// See [`super::sending::Sender::transact`].
    pub fn approve(&self, token: Address, sum: TokenUnits) -> Result<Sent, ChainError> {
        let call = abi::approveCall {
            spender: self.chain.vault(),
            amount: U256::from(sum.0),
        };
        self.send(token, &call)
    }

    /// Opens the account of a session key.
    ///
    /// # Errors
    /// See [`super::sending::Sender::transact`].
    pub fn open(
        &self,
        session_key: Address,
        tranche: TokenUnits,
        deposit: Deposit,
    ) -> Result<Sent, ChainError> {
        let call = abi::openCall {
            key: session_key,
            tranche: U96::saturating_from(tranche.0),
            amount: U112::saturating_from(deposit.amount.0),
            bond: U112::saturating_from(deposit.bond.0),
            permit: no_permit(),
        };
        self.send(self.chain.vault(), &call)
    }

    /// Adds to the account of a session key.
    ///
    /// # Errors
    /// See [`super::sending::Sender::transact`].
    pub fn top_up(&self, session_key: Address, deposit: Deposit) -> Result<Sent, ChainError> {
        let call = abi::topUpCall {
            key: session_key,
            amount: U112::saturating_from(deposit.amount.0),
            bond: U112::saturating_from(deposit.bond.0),
            permit: no_permit(),
        };
        self.send(self.chain.vault(), &call)
    }

    /// Starts the exit of an account. Nothing stops it.
    ///
    /// # Errors
    /// See [`super::sending::Sender::transact`].
    pub fn exit(&self, session_key: Address) -> Result<Sent, ChainError> {
        let key = session_key;
        self.send(self.chain.vault(), &abi::exitCall { key })
    }

    /// After the delay, sends balance and bond of an account to `to`.
    ///
    /// # Errors
    /// See [`super::sending::Sender::transact`].
    pub fn withdraw(&self, session_key: Address, to: Address) -> Result<Sent, ChainError> {
        let key = session_key;
        self.send(self.chain.vault(), &abi::withdrawCall { key, to })
    }

    /// The owner's credit: royalties, fees, bounties, the sink's share.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn credit(&self) -> Result<TokenUnits, ChainError> {
        self.credit_of(self.address())
    }

    /// The credit of any account.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn credit_of(&self, account: Address) -> Result<TokenUnits, ChainError> {
        let vault = self.chain.vault();
        let credit = self
            .chain
            .ask(vault, &abi::creditCall { account }, "credit")?;
        let credit = u128::try_from(credit).map(TokenUnits);
        credit.map_err(|_| ChainError::NotAVault {
            address: vault,
            what: "credit",
        })
    }

    /// Takes a splitter's credit out of the vault, to the splitter.
    ///
    /// # Errors
    /// See [`super::sending::Sender::transact`].
    pub fn collect(&self, splitter: Address) -> Result<Sent, ChainError> {
        self.send(splitter, &splitting::collect_call(self.chain.vault()))
    }

    /// Pays a splitter's recipient what is due to it.
    ///
    /// # Errors
    /// See [`super::sending::Sender::transact`].
    pub fn release(
        &self,
        splitter: Address,
        token: Address,
        to: Address,
    ) -> Result<Sent, ChainError> {
        self.send(splitter, &splitting::release_call(token, to))
    }

    /// Sends the credit to `to`.
    ///
    /// # Errors
    /// See [`super::sending::Sender::transact`].
    pub fn claim_credit(&self, to: Address) -> Result<Sent, ChainError> {
        self.send(self.chain.vault(), &abi::claimCreditCall { to })
    }

    fn send(&self, to: Address, call: &impl SolCall) -> Result<Sent, ChainError> {
        let sender = self.chain.sender();
        sender
            .transact(&self.key, Some(to), &call.abi_encode(), self.cap)
            .map_err(said_by_the_vault)
    }
}

/// A deposit goes by an approval: every token has one.
fn no_permit() -> abi::Permit {
    abi::Permit {
        deadline: U256::ZERO,
        v: 0,
        r: B256::ZERO,
        s: B256::ZERO,
    }
}

/// The vault's refusal in words, where the node hands it on.
fn said_by_the_vault(error: ChainError) -> ChainError {
    let ChainError::Rpc(RpcError::Refused {
        data: Some(data), ..
    }) = &error
    else {
        return error;
    };
    let said = data.get(..4).and_then(|selector| match selector {
        _ if selector == abi::AccountExists::SELECTOR => {
            Some("this owner has used this session key before: make a fresh one")
        }
        _ if selector == abi::NoSuchAccount::SELECTOR => {
            Some("the account was never opened, or was withdrawn")
        }
        _ if selector == abi::AlreadyExiting::SELECTOR => Some("the account is on its way out"),
        _ if selector == abi::NotExiting::SELECTOR => Some("the account did not exit yet"),
        _ if selector == abi::TooEarly::SELECTOR => Some("the exit delay still runs"),
        _ if selector == abi::WrongDeposit::SELECTOR => {
            Some("the token takes a fee of each transfer, and no vault holds such a token")
        }
        _ if selector == abi::BadRecipient::SELECTOR => {
            Some("tokens cannot go to the zero address or to the vault itself")
        }
        _ => None,
    });
    said.map_or(error, ChainError::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bond_is_what_sellers_ask_and_the_tranche_a_hundredth_of_a_token() {
        let bond = |amount| bond_for(TokenUnits(amount)).map(|bond| bond.0);
        assert_eq!(bond(0), Some(0));
        assert_eq!(bond(1), Some(2));
        assert_eq!(bond(4), Some(5));
        assert_eq!(bond(2_000_000), Some(2_500_000));
        assert_eq!(bond(u128::MAX), None);
        assert_eq!(bond(MAX_SUM), None);
        for (decimals, units) in [(0, 10), (1, 10), (2, 10), (6, 10_000), (18, 10u128.pow(16))] {
            assert_eq!(tranche_for(decimals), TokenUnits(units), "{decimals}");
            assert!(is_tranche(tranche_for(decimals)));
        }
        assert!(!is_tranche(TokenUnits(0)));
        assert!(!is_tranche(TokenUnits(MAX_TRANCHE)));
    }

    #[test]
    fn a_deposit_that_no_vault_holds_has_no_sum() {
        let total = |amount, bond| {
            let (amount, bond) = (TokenUnits(amount), TokenUnits(bond));
            Deposit { amount, bond }.total()
        };
        assert_eq!(total(4, 5), Some(TokenUnits(9)));
        assert_eq!(total(MAX_SUM - 1, 1), None);
        assert_eq!(total(u128::MAX, 1), None);
    }
}
