//! The messages that a session key signs, and the worth of a claim (docs/protocol.md, "The voucher" and "The vault").
//!
//! Owns the EIP-712 types, digests, EIP-2098 signatures and the arithmetic of amounts; checked
//! field by field against `tests/vectors/vouchers.json`. Never holds a key.

use alloy_primitives::{Address, B256, U256, aliases::U96, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, SolValue, eip712_domain};
use k256::ecdsa::{RecoveryId, Signature as K256Signature, VerifyingKey};

use super::chain;
use crate::types::{FineUnits, TokenUnits};
use crate::wire::pay::{self, VoucherBody};

/// The ABI's own types, as the contract names them.
#[allow(missing_docs)]
pub mod abi {
    alloy_sol_types::sol! {
        #[derive(Debug)]
        struct Voucher {
            address owner;
            address payee;
            uint32 first;
            uint16 count;
            bytes32 content;
            uint96 base;
            uint96 unit;
            uint16 steps;
            bytes32 root;
            bytes32 luck;
        }

        #[derive(Debug)]
        struct Redeem {
            bytes32 claims;
            address to;
            address relayer;
            uint256 fee;
            uint256 deadline;
        }

        #[derive(Debug)]
        struct Claim {
            address owner;
            uint32 first;
            uint16 count;
            bytes32 content;
            uint96 base;
            uint96 unit;
            uint16 steps;
            uint16 k;
            bytes32 w;
            bytes32 salt;
            bytes32 r;
            bytes32 vs;
        }
    }
}

/// Most serials in one range, and serials per bitmap word of the vault.
pub const MAX_COUNT: u16 = 256;
/// Most claims in one redemption.
pub const MAX_CLAIMS: usize = 128;
/// The largest amount a voucher can name.
pub const MAX_FINE: FineUnits = FineUnits((1 << 96) - 1);

/// The contract and chain at which vouchers are worth something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vault {
    /// The contract.
    pub address: Address,
    /// Its chain.
    pub chain_id: u64,
}

impl Vault {
    /// The EIP-712 domain.
    pub fn domain(&self) -> Eip712Domain {
        eip712_domain! {
            name: "PieceworkVault",
            version: "1",
            chain_id: self.chain_id,
            verifying_contract: self.address,
        }
    }
}

/// `keccak256(abi.encode(owner, sessionKey address))`.
pub fn account_id(owner: Address, session_key: Address) -> B256 {
    keccak256((owner, session_key).abi_encode())
}

/// The promise of one range, as the session key signs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// The wallet that deposited.
    pub owner: Address,
    /// The address that is paid.
    pub payee: Address,
    /// First serial.
    pub first: u32,
    /// Serials in the range, `first` among them; at most [`MAX_COUNT`] in a well-formed voucher.
    pub count: u16,
    /// Registry id of the title, or zero.
    pub content: B256,
    /// Owed at step 0; at most [`MAX_FINE`].
    pub base: FineUnits,
    /// Owed per step; at most [`MAX_FINE`].
    pub unit: FineUnits,
    /// Length of the chain.
    pub steps: u16,
    /// `w_0`.
    pub root: B256,
    /// Zero.
    pub luck: B256,
}

impl Voucher {
    /// The first four bytes of the root.
    pub fn tag(&self) -> [u8; 4] {
        pay::tag(&self.root)
    }

    /// The serial after the last one.
    pub fn end(&self) -> u64 {
        u64::from(self.first) + u64::from(self.count)
    }

    /// 1 to 256 serials inside one word, serial 0 not among them, at most 256 steps.
    pub fn is_well_formed(&self) -> bool {
        range_is_well_formed(self.first, self.count) && self.steps <= chain::MAX_STEPS
    }

    /// Owed at step `k` as the contract counts it, uncapped.
    pub fn owed_at(&self, k: u16) -> FineUnits {
        FineUnits(
            self.base
                .0
                .saturating_add(self.unit.0.saturating_mul(u128::from(k))),
        )
    }

    /// The vault's payment for step `k`: `min(count*q, (base + unit*k) >> 24)`.
    pub fn due(&self, k: u16, tranche: TokenUnits) -> TokenUnits {
        self.owed_at(k)
            .floor()
            .min(range_worth(self.count, tranche))
    }

    /// EIP-712 digest, which the session key signs.
    pub fn digest(&self, vault: &Vault) -> B256 {
        self.to_abi().eip712_signing_hash(&vault.domain())
    }

    /// The contract's own struct.
    pub fn to_abi(self) -> abi::Voucher {
        abi::Voucher {
            owner: self.owner,
            payee: self.payee,
            first: self.first,
            count: self.count,
            content: self.content,
            base: u96(self.base),
            unit: u96(self.unit),
            steps: self.steps,
            root: self.root,
            luck: self.luck,
        }
    }

    /// The form on the wire.
    pub fn to_body(self, signature: &Signature) -> VoucherBody {
        VoucherBody {
            owner: self.owner,
            first: self.first,
            count: self.count,
            content: self.content,
            base: self.base,
            unit: self.unit,
            steps: self.steps,
            root: self.root,
            luck: self.luck,
            r: signature.r,
            vs: signature.vs,
        }
    }

    /// From the wire, for the payee that it is meant for.
    pub fn from_body(body: &VoucherBody, payee: Address) -> (Voucher, Signature) {
        (
            Voucher {
                owner: body.owner,
                payee,
                first: body.first,
                count: body.count,
                content: body.content,
                base: body.base,
                unit: body.unit,
                steps: body.steps,
                root: body.root,
                luck: body.luck,
            },
            Signature {
                r: body.r,
                vs: body.vs,
            },
        )
    }

    /// The claim of step `k`, whose link is `w`.
    pub fn claim(&self, signature: &Signature, k: u16, w: B256) -> abi::Claim {
        abi::Claim {
            owner: self.owner,
            first: self.first,
            count: self.count,
            content: self.content,
            base: u96(self.base),
            unit: u96(self.unit),
            steps: self.steps,
            k,
            w,
            salt: B256::ZERO,
            r: signature.r,
            vs: signature.vs,
        }
    }
}

/// Whether serials `[first, first+count)` can be a range: 1 to 256, in one word, without serial 0.
pub fn range_is_well_formed(first: u32, count: u16) -> bool {
    first >= 1
        && (1..=MAX_COUNT).contains(&count)
        && (first & 255) + u32::from(count) <= u32::from(MAX_COUNT)
}

/// Whether two ranges share a serial.
pub fn overlap(a_first: u32, a_count: u16, b_first: u32, b_count: u16) -> bool {
    let (a, b) = (u64::from(a_first), u64::from(b_first));
    a < b + u64::from(b_count) && b < a + u64::from(a_count)
}

/// `count * q`.
pub fn range_worth(count: u16, tranche: TokenUnits) -> TokenUnits {
    TokenUnits(tranche.0.saturating_mul(u128::from(count)))
}

/// `(count * q) << 24`, capped to the largest amount of a voucher.
pub fn range_cap(count: u16, tranche: TokenUnits) -> FineUnits {
    let worth = range_worth(count, tranche);
    FineUnits(worth.0.min(MAX_FINE.0 >> 24) << 24)
}

/// Whole steps of `unit` that fit between `base` and the range's cap; none is partly capped.
pub fn usable_steps(count: u16, tranche: TokenUnits, base: FineUnits, unit: FineUnits) -> u64 {
    if unit.0 == 0 {
        return 0;
    }
    let left = range_cap(count, tranche).0.saturating_sub(base.0);
    u64::try_from(left / unit.0).unwrap_or(u64::MAX)
}

/// `steps = min(256, maxSteps, floor((((count*q) << 24) - base) / unit))`.
pub fn chain_steps(
    count: u16,
    tranche: TokenUnits,
    base: FineUnits,
    unit: FineUnits,
    max_steps: u16,
) -> u16 {
    let usable = usable_steps(count, tranche, base, unit);
    usable
        .min(u64::from(max_steps))
        .min(u64::from(chain::MAX_STEPS)) as u16
}

/// `keccak256(abi.encode(cs))`, as `Redeem` names it.
pub fn claims_hash(claims: &[abi::Claim]) -> B256 {
    keccak256(encode_claims(claims))
}

/// `abi.encode(cs)` of a `Claim[]`.
pub fn encode_claims(claims: &[abi::Claim]) -> Vec<u8> {
    claims.abi_encode()
}

/// EIP-712 digest of `Redeem(claims, to, relayer, fee, deadline)`, which the payee's key signs.
pub fn redeem_digest(
    vault: &Vault,
    claims: &[abi::Claim],
    to: Address,
    relayer: Address,
    fee: U256,
    deadline: U256,
) -> B256 {
    abi::Redeem {
        claims: claims_hash(claims),
        to,
        relayer,
        fee,
        deadline,
    }
    .eip712_signing_hash(&vault.domain())
}

fn u96(amount: FineUnits) -> U96 {
    U96::saturating_from(amount.0)
}

/// A signature without a signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// `s` lies in the upper half of the group order (EIP-2), or `r` or `s` is out of range.
    #[error("the signature is not in low-s EIP-2098 form")]
    Malformed,
    /// No public key gives this signature for this digest.
    #[error("the signature belongs to no key")]
    NoKey,
}

/// A secp256k1 signature in EIP-2098 form: `vs` carries the parity in its top bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// `r`.
    pub r: B256,
    /// `yParity << 255 | s`.
    pub vs: B256,
}

impl Signature {
    /// The signer of `digest`.
    ///
    /// # Errors
    /// When it is malformed (also: high s) or belongs to no key.
    pub fn recover(&self, digest: &B256) -> Result<Address, RecoverError> {
        let mut s = self.vs.0;
        let parity = s[0] >> 7 == 1;
        s[0] &= 0x7f;
        let signature =
            K256Signature::from_scalars(self.r.0, s).map_err(|_| RecoverError::Malformed)?;
        if signature.normalize_s().is_some() {
            return Err(RecoverError::Malformed);
        }
        let key = VerifyingKey::recover_from_prehash(
            digest.as_slice(),
            &signature,
            RecoveryId::new(parity, false),
        )
        .map_err(|_| RecoverError::NoKey)?;
        Ok(address_of(&key))
    }
}

fn address_of(key: &VerifyingKey) -> Address {
    let point = key.to_encoded_point(false);
    let hash = keccak256(point.as_bytes().get(1..).unwrap_or_default());
    Address::from_slice(&hash[12..])
}
