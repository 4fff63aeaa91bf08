//! Payments.

use alloy_primitives::{Address, B256};

/// One range as the vault's `redeem` takes it (payments.md, section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Claim {
    pub owner: Address,
    pub first: u32,
    pub count: u16,
    pub content: B256,
    pub base: u128,
    pub unit: u128,
    pub steps: u16,
    pub k: u16,
    pub w: B256,
    pub salt: B256,
    pub r: B256,
    pub vs: B256,
}

/// EIP-2098 signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Signature {
    pub r: B256,
    pub vs: B256,
}
