//! The vault's rules, written from their description.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256, keccak256};
use k256::ecdsa::{RecoveryId, SigningKey, VerifyingKey};
use piecework::payment::ChainState;
use piecework::payment::voucher::{Signature, abi};
use piecework::types::TokenUnits;

use super::TRANCHE;

#[derive(Clone, Debug)]
pub struct Deposit {
    pub balance: u128,
    pub bond: u128,
    pub consumed: u64,
    pub exit_at: u64,
    pub spent: BTreeMap<u64, U256>,
}

#[derive(Default)]
pub struct Chain {
    pub accounts: BTreeMap<B256, Deposit>,
}

impl Chain {
    pub fn state(&self, account: B256, word: u64) -> ChainState {
        let found = self.accounts.get(&account);
        ChainState {
            balance: TokenUnits(found.map_or(0, |a| a.balance)),
            tranche: TokenUnits(if found.is_some() { TRANCHE } else { 0 }),
            consumed: found.map_or(0, |a| a.consumed),
            known: found.is_some(),
            bond: TokenUnits(found.map_or(0, |a| a.bond)),
            exit_at: found.map_or(0, |a| a.exit_at),
            spent_word: found
                .and_then(|a| a.spent.get(&word).copied())
                .unwrap_or_default(),
            chain_id: 31_337,
            block_number: 1,
            timestamp: 1,
        }
    }

    /// `redeem` of one claim, called by `payee`: what it pays, or the reason to skip it.
    pub fn redeem(&mut self, payee: Address, c: &abi::Claim) -> Result<u128, u8> {
        let pad = |bytes: &[u8]| {
            let mut out = [0u8; 32];
            out[32 - bytes.len()..].copy_from_slice(bytes);
            out
        };
        if c.count == 0
            || c.count > 256
            || c.first == 0
            || (c.first & 255) + u32::from(c.count) > 256
        {
            return Err(1);
        }
        if c.k > c.steps || c.steps > 256 {
            return Err(2);
        }
        let mut root = c.w;
        for _ in 0..c.k {
            root = keccak256(root);
        }
        let type_hash = keccak256(
            "Voucher(address owner,address payee,uint32 first,uint16 count,bytes32 content,uint96 base,uint96 unit,uint16 steps,bytes32 root,bytes32 luck)",
        );
        let mut encoded = type_hash.to_vec();
        encoded.extend(pad(c.owner.as_slice()));
        encoded.extend(pad(payee.as_slice()));
        encoded.extend(pad(&c.first.to_be_bytes()));
        encoded.extend(pad(&c.count.to_be_bytes()));
        encoded.extend(c.content.0);
        encoded.extend(pad(&c.base.to_be_bytes::<12>()));
        encoded.extend(pad(&c.unit.to_be_bytes::<12>()));
        encoded.extend(pad(&c.steps.to_be_bytes()));
        encoded.extend(root.0);
        encoded.extend([0u8; 32]);
        let mut domain = keccak256(
            "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)",
        )
        .to_vec();
        domain.extend(keccak256("PieceworkVault").0);
        domain.extend(keccak256("1").0);
        domain.extend(pad(&31_337u64.to_be_bytes()));
        domain.extend(pad(&[0x44; 20]));
        let mut message = vec![0x19, 0x01];
        message.extend(keccak256(domain).0);
        message.extend(keccak256(encoded).0);
        let digest = keccak256(message);
        let mut s = c.vs.0;
        let odd = s[0] & 0x80 != 0;
        s[0] &= 0x7f;
        let signature = k256::ecdsa::Signature::from_scalars(c.r.0, s).map_err(|_| 3u8)?;
        if signature.normalize_s().is_some() {
            return Err(3);
        }
        let key = VerifyingKey::recover_from_prehash(
            digest.as_slice(),
            &signature,
            RecoveryId::new(odd, false),
        )
        .map_err(|_| 3u8)?;
        let mut id = pad(c.owner.as_slice()).to_vec();
        id.extend(pad(address_of(&key).as_slice()));
        let account = self.accounts.get_mut(&keccak256(id)).ok_or(4u8)?;
        if u128::from(c.first) + u128::from(c.count)
            > u128::from(account.consumed) + account.balance / TRANCHE
        {
            return Err(5);
        }
        let word = account.spent.entry(u64::from(c.first >> 8)).or_default();
        let bits = (c.first & 255..(c.first & 255) + u32::from(c.count))
            .fold(U256::ZERO, |bits, bit| bits | (U256::from(1u8) << bit));
        if *word & bits != U256::ZERO {
            return Err(6);
        }
        let owed: u128 = c.base.to::<u128>() + c.unit.to::<u128>() * u128::from(c.k);
        let paid = (owed >> 24).min(u128::from(c.count) * TRANCHE);
        if paid == 0 {
            return Err(7);
        }
        *word |= bits;
        account.balance -= paid;
        account.consumed += u64::from(c.count);
        Ok(paid)
    }
}

pub fn address_of(key: &VerifyingKey) -> Address {
    Address::from_slice(&keccak256(&key.to_encoded_point(false).as_bytes()[1..])[12..])
}

pub fn sign(key: &SigningKey, digest: &B256) -> Signature {
    let (signature, recovery) = key.sign_prehash_recoverable(digest.as_slice()).unwrap();
    let bytes = signature.to_bytes();
    let mut vs = B256::from_slice(&bytes[32..]);
    vs.0[0] |= if recovery.is_y_odd() { 0x80 } else { 0 };
    Signature {
        r: B256::from_slice(&bytes[..32]),
        vs,
    }
}
