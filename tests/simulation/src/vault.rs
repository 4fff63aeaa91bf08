//! A vault in memory that pays by the rules of docs/protocol.md, "The vault", with its own EIP-712 encoding,
//! its own walk and its own recovery, so that an error of the client's is not repeated here.

use core::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use alloy_primitives::{Address, B256, U256, keccak256};
use k256::ecdsa::{RecoveryId, Signature as Ecdsa, SigningKey, VerifyingKey};
use piecework::client::{AccountState, Claim, RedeemOutcome, Signature};
use piecework::time::{Duration, Timestamp};
use piecework::types::{FineUnits, TokenUnits};
use piecework::wire::pay::VoucherBody;

use crate::tamper::fields;

const DOMAIN_TYPE: &str =
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const VOUCHER_TYPE: &str = "Voucher(address owner,address payee,uint32 first,uint16 count,\
    bytes32 content,uint96 base,uint96 unit,uint16 steps,bytes32 root,bytes32 luck)";

/// The key that a client's [`piecework::client::Effect::Sign`] signs with.
#[derive(Clone)]
pub struct SessionKey(SigningKey);

impl core::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SessionKey({})", self.address())
    }
}

impl SessionKey {
    /// From 32 bytes, nearly all of which are a key.
    pub fn new(secret: [u8; 32]) -> SessionKey {
        SessionKey(SigningKey::from_slice(&secret).unwrap())
    }

    /// Its address.
    pub fn address(&self) -> Address {
        address(self.0.verifying_key())
    }

    /// EIP-2098, low s.
    pub fn sign(&self, digest: B256) -> Signature {
        let (signature, id) = self.0.sign_prehash_recoverable(digest.as_slice()).unwrap();
        let (r, s) = signature.split_bytes();
        let mut vs: [u8; 32] = s.into();
        assert!(vs[0] < 0x80, "k256 signs with low s");
        vs[0] |= u8::from(id.is_y_odd()) << 7;
        Signature {
            r: B256::from_slice(&r),
            vs: vs.into(),
        }
    }
}

/// A wallet's deposit.
#[derive(Clone, Copy, Debug)]
pub struct Deposit {
    /// The wallet.
    pub owner: Address,
    /// The session key's address.
    pub key: Address,
    /// Token units that the account's balance rises by.
    pub amount: u128,
    /// Token units per serial.
    pub tranche: u128,
    /// Token units that the account's bond rises by.
    pub bond: u128,
}

#[derive(Debug)]
struct Account {
    balance: u128,
    tranche: u128,
    consumed: u64,
    bond: u128,
    exit_at: u64,
    spent: BTreeMap<U256, U256>,
}

/// A `Redeemed` event: the whole signed voucher is in it.
#[derive(Clone, Copy, Debug)]
pub struct Redemption {
    /// Id of the account that paid.
    pub account: B256,
    /// The address that was paid.
    pub payee: Address,
    /// The promise that was paid.
    pub voucher: VoucherBody,
    /// Token units that left the account's balance for the payee.
    pub gross: TokenUnits,
}

/// A `Slashed` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slashing {
    /// Id of the account that lost its bond.
    pub account: B256,
    /// To the sink.
    pub burned: TokenUnits,
    /// To the reporter.
    pub bounty: TokenUnits,
}

/// The vault's accounts and payments, with a log of its `Redeemed` events.
#[derive(Debug)]
pub struct SimVault {
    /// Where it is.
    pub address: Address,
    /// EIP-155.
    pub chain_id: u64,
    /// Reads fail while this is set.
    pub down: bool,
    /// Pages that take claims are closed at once, while this is set: nothing is sent, and nobody reports it.
    pub unanswered: bool,
    accounts: BTreeMap<B256, Account>,
    paid: BTreeMap<Address, u128>,
    credit: BTreeMap<Address, u128>,
    log: Vec<Redemption>,
    block: u64,
    /// Who signed what, for each signature that was made or recovered: both take longer than all else in a run.
    signers: RefCell<HashMap<Signed, Option<Address>>>,
}

/// A digest, and the two words of its signature.
type Signed = (B256, B256, B256);

impl SimVault {
    /// Between `exit` and `withdraw`.
    pub const EXIT_DELAY: Duration = Duration::from_secs(72 * 3_600);

    /// An empty one.
    pub fn new() -> SimVault {
        SimVault {
            address: Address::repeat_byte(0x44),
            chain_id: 31_337,
            down: false,
            unanswered: false,
            accounts: BTreeMap::new(),
            paid: BTreeMap::new(),
            credit: BTreeMap::new(),
            log: Vec::new(),
            block: 1,
            signers: RefCell::default(),
        }
    }

    /// `open`, or `topUp` if the account is there.
    pub fn deposit(&mut self, deposit: Deposit) -> B256 {
        let id = account_id(deposit.owner, deposit.key);
        self.block += 1;
        let account = self.accounts.entry(id).or_insert_with(|| Account {
            balance: 0,
            tranche: deposit.tranche,
            consumed: 1,
            bond: 0,
            exit_at: 0,
            spent: BTreeMap::from([(U256::ZERO, U256::from(1))]),
        });
        account.balance += deposit.amount;
        account.bond += deposit.bond;
        id
    }

    /// `state(id, word)`.
    pub fn state(&self, id: B256, word: U256, now: Timestamp) -> AccountState {
        let account = self.accounts.get(&id);
        let or_zero = |f: fn(&Account) -> u128| TokenUnits(account.map_or(0, f));
        AccountState {
            balance: or_zero(|a| a.balance),
            tranche: or_zero(|a| a.tranche),
            consumed: account.map_or(0, |a| a.consumed),
            known: account.is_some(),
            bond: or_zero(|a| a.bond),
            exit_at: account.map_or(0, |a| a.exit_at),
            spent_word: account
                .and_then(|a| a.spent.get(&word))
                .copied()
                .unwrap_or_default(),
            chain_id: self.chain_id,
            block_number: self.block,
            timestamp: now.as_secs(),
        }
    }

    /// Token units that a payee was paid in all.
    pub fn paid_to(&self, payee: Address) -> TokenUnits {
        TokenUnits(self.paid.get(&payee).copied().unwrap_or_default())
    }

    /// Token units left in an account.
    pub fn balance(&self, id: B256) -> TokenUnits {
        TokenUnits(self.accounts.get(&id).map_or(0, |a| a.balance))
    }

    /// `redeem`, sent by `payee`.
    pub fn redeem(&mut self, payee: Address, claims: &[Claim]) -> RedeemOutcome {
        assert!(claims.len() <= 128, "a batch of {}", claims.len());
        self.block += 1;
        let (mut paid, mut skipped) = (Vec::new(), Vec::new());
        for (index, claim) in claims.iter().enumerate() {
            match self.redeem_one(payee, claim) {
                Ok(amount) => paid.push((index as u32, TokenUnits(amount))),
                Err(reason) => skipped.push((index as u32, reason)),
            }
        }
        if paid.is_empty() {
            return RedeemOutcome::Failed {
                reason: format!("NothingDue; skipped: {skipped:?}"),
            };
        }
        RedeemOutcome::Mined { paid, skipped }
    }

    fn redeem_one(&mut self, payee: Address, claim: &Claim) -> Result<u128, u8> {
        let (first, count) = (u64::from(claim.first), u64::from(claim.count));
        if !is_range(first, count) {
            return Err(1);
        }
        if claim.k > claim.steps || claim.steps > 256 {
            return Err(2);
        }
        let voucher = voucher_of(claim);
        let digest = self.voucher_digest(&fields(payee, &voucher));
        let key = self.signer(digest, claim.r, claim.vs).ok_or(3)?;
        let id = account_id(claim.owner, key);
        let account = self.accounts.get_mut(&id).ok_or(4)?;
        // No tranche: it was withdrawn.
        let tranches = account.balance.checked_div(account.tranche).ok_or(5)?;
        if first + count > account.consumed + tranches as u64 {
            return Err(5);
        }
        let word = account.spent.entry(U256::from(first / 256)).or_default();
        let bits = (first..first + count).map(|serial| (serial % 256) as usize);
        if bits.clone().any(|bit| word.bit(bit)) {
            return Err(6);
        }
        let cap = u128::from(count) * account.tranche;
        let owed = (voucher.base.0 + voucher.unit.0 * u128::from(claim.k)) >> 24;
        let amount = if voucher.luck.is_zero() {
            owed.min(cap)
        } else if claim.k == 0 {
            0
        } else if wins(claim, voucher.unit.0, cap) {
            cap
        } else {
            return Err(8);
        };
        if amount == 0 {
            return Err(7);
        }
        bits.for_each(|bit| word.set_bit(bit, true));
        account.balance -= amount;
        account.consumed += count;
        *self.paid.entry(payee).or_default() += amount;
        self.log.push(Redemption {
            account: id,
            payee,
            voucher,
            gross: TokenUnits(amount),
        });
        Ok(amount)
    }

    /// The `Redeemed` events so far.
    pub fn log(&self) -> &[Redemption] {
        &self.log
    }

    /// `slash`: two vouchers of one account for one serial and two payees.
    ///
    /// # Errors
    /// The contract's revert.
    pub fn slash(
        &mut self,
        reporter: Address,
        x: (Address, &VoucherBody),
        y: (Address, &VoucherBody),
    ) -> Result<Slashing, &'static str> {
        let range = |v: &VoucherBody| (u64::from(v.first), u64::from(v.count));
        let ((a, a_count), (b, b_count)) = (range(x.1), range(y.1));
        let conflict = x.1.owner == y.1.owner
            && x.0 != y.0
            && is_range(a, a_count)
            && is_range(b, b_count)
            && a < b + b_count
            && b < a + a_count;
        let signer = |(payee, v): (Address, &VoucherBody)| {
            self.signer(self.voucher_digest(&fields(payee, v)), v.r, v.vs)
        };
        let key = signer(x).filter(|key| conflict && signer(y) == Some(*key));
        let id = account_id(x.1.owner, key.ok_or("NotConflicting")?);
        let account = self.accounts.get_mut(&id).filter(|a| a.bond > 0);
        let bond = core::mem::take(&mut account.ok_or("NoBond")?.bond);
        self.block += 1;
        let bounty = bond / 10;
        *self.credit.entry(reporter).or_default() += bounty;
        Ok(Slashing {
            account: id,
            burned: TokenUnits(bond - bounty),
            bounty: TokenUnits(bounty),
        })
    }

    /// Somebody redeemed one serial for a single token unit, long ago.
    pub fn consume(&mut self, id: B256, serial: u64) {
        let account = self.accounts.get_mut(&id).expect("an account");
        let word = account.spent.entry(U256::from(serial / 256)).or_default();
        assert!(!word.bit((serial % 256) as usize), "consumed before");
        word.set_bit((serial % 256) as usize, true);
        account.consumed += 1;
        account.balance -= 1;
    }

    /// The sum that `claimCredit` would pay.
    pub fn credit(&self, who: Address) -> TokenUnits {
        TokenUnits(self.credit.get(&who).copied().unwrap_or_default())
    }

    /// Collateral of an account.
    pub fn bond(&self, id: B256) -> TokenUnits {
        TokenUnits(self.accounts.get(&id).map_or(0, |a| a.bond))
    }

    /// `exit`, sent by the owner: withdrawal is possible after [`SimVault::EXIT_DELAY`].
    pub fn exit(&mut self, id: B256, now: Timestamp) {
        self.block += 1;
        let account = self.accounts.get_mut(&id).expect("an account");
        assert!(account.exit_at == 0 && account.tranche > 0, "exits once");
        account.exit_at = (now + SimVault::EXIT_DELAY).as_secs();
    }

    /// `withdraw`, sent by the owner; answers the sum.
    ///
    /// # Errors
    /// The contract's revert.
    pub fn withdraw(&mut self, id: B256, now: Timestamp) -> Result<TokenUnits, &'static str> {
        let account = self.accounts.get_mut(&id).ok_or("NoSuchAccount")?;
        if account.tranche == 0 {
            return Err("NoSuchAccount");
        }
        if account.exit_at == 0 {
            return Err("NotExiting");
        }
        if now.as_secs() < account.exit_at {
            return Err("TooEarly");
        }
        self.block += 1;
        let amount = account.balance + account.bond;
        (account.balance, account.tranche, account.bond) = (0, 0, 0);
        Ok(TokenUnits(amount))
    }

    /// The signer of a digest, if there is one.
    pub(crate) fn signer(&self, digest: B256, r: B256, vs: B256) -> Option<Address> {
        let mut signers = self.signers.borrow_mut();
        *(signers.entry((digest, r, vs))).or_insert_with(|| recover(digest, r, vs))
    }

    /// This key's signature, whose recovery would find its address.
    pub(crate) fn sign(&self, key: &SessionKey, digest: B256) -> Signature {
        let signature = key.sign(digest);
        let signed = (digest, signature.r, signature.vs);
        (self.signers.borrow_mut()).insert(signed, Some(key.address()));
        signature
    }

    /// The EIP-712 digest of a voucher whose fields are given as 32-byte words.
    pub fn voucher_digest(&self, fields: &[B256; 10]) -> B256 {
        let domain = keccak256(
            [
                keccak256(DOMAIN_TYPE),
                keccak256("PieceworkVault"),
                keccak256("1"),
                word(&self.chain_id.to_be_bytes()),
                word(self.address.as_slice()),
            ]
            .concat(),
        );
        let message = keccak256(
            [&[keccak256(VOUCHER_TYPE)], fields.as_slice()]
                .concat()
                .concat(),
        );
        keccak256([&[0x19, 0x01], domain.as_slice(), message.as_slice()].concat())
    }
}

impl Default for SimVault {
    fn default() -> Self {
        SimVault::new()
    }
}

/// `keccak256(abi.encode(owner, key))`.
pub(crate) fn account_id(owner: Address, key: Address) -> B256 {
    keccak256([word(owner.as_slice()), word(key.as_slice())].concat())
}

/// The signer of a digest, if there is one.
fn recover(digest: B256, r: B256, vs: B256) -> Option<Address> {
    let mut s = vs.0;
    let odd = s[0] >= 0x80;
    s[0] &= 0x7f;
    let signature = Ecdsa::from_scalars(r.0, s).ok()?;
    if signature.normalize_s().is_some() {
        return None;
    }
    let id = RecoveryId::new(odd, false);
    let key = VerifyingKey::recover_from_prehash(digest.as_slice(), &signature, id).ok()?;
    Some(address(&key))
}

pub(crate) fn address(key: &VerifyingKey) -> Address {
    let point = key.to_encoded_point(false);
    Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..])
}

/// Left-padded to 32 bytes.
pub(crate) fn word(bytes: &[u8]) -> B256 {
    B256::left_padding_from(bytes)
}

pub(crate) fn fine_word(amount: FineUnits) -> B256 {
    word(&amount.0.to_be_bytes())
}

fn low16(bytes: [u8; 12]) -> [u8; 16] {
    let mut out = [0; 16];
    out[4..].copy_from_slice(&bytes);
    out
}

fn is_range(first: u64, count: u64) -> bool {
    count != 0 && count <= 256 && (first & 255) + count <= 256
}

/// The voucher that a claim is about: its root is found by the walk, its luck by the salt.
fn voucher_of(claim: &Claim) -> VoucherBody {
    let mut root = claim.w;
    for _ in 0..claim.k {
        root = keccak256(root);
    }
    let luck = if claim.salt.is_zero() {
        B256::ZERO
    } else {
        keccak256(claim.salt)
    };
    VoucherBody {
        owner: claim.owner,
        first: claim.first,
        count: claim.count,
        content: claim.content,
        base: FineUnits(u128::from_be_bytes(low16(claim.base.to_be_bytes()))),
        unit: FineUnits(u128::from_be_bytes(low16(claim.unit.to_be_bytes()))),
        steps: claim.steps,
        root,
        luck,
        r: claim.r,
        vs: claim.vs,
    }
}

/// Whether the ticket of a lottery voucher's step wins.
fn wins(claim: &Claim, unit: u128, cap: u128) -> bool {
    let ticket = keccak256([claim.w, claim.salt].concat());
    U256::from_be_bytes(ticket.0) % (U256::from(cap) << 24) < U256::from(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_who_made_it_and_of_nothing_else() {
        let (vault, key) = (SimVault::new(), SessionKey::new([7; 32]));
        for digest in (1..20).map(B256::repeat_byte) {
            let signature = vault.sign(&key, digest);
            let (r, vs) = (signature.r, signature.vs);
            assert_eq!(recover(digest, r, vs), Some(key.address()));
            assert_eq!(vault.signer(digest, r, vs), Some(key.address()));
            let other = B256::repeat_byte(0xee);
            assert_ne!(vault.signer(other, r, vs), Some(key.address()));
            assert_eq!(vault.signer(other, r, vs), recover(other, r, vs));
        }
    }
}
