//! The vault's ABI: the bytes of its calls, and of its answers (docs/protocol.md, "Calls").
//!
//! Almost every argument is a single word, so calls are put together and answers taken apart by hand: the page carries
//! no code of an ABI library for it. Nothing here sends anything or decides anything. The vectors of docs/protocol.md
//! and a fuzz target hold it to an independent encoder.

use alloy_primitives::{Address, B256, U256, keccak256};

use super::ChainState;
use super::voucher::abi::Claim;
use super::voucher::{self, Signature, Vault};
use crate::types::TokenUnits;

const REDEEM: &str = "redeem((address,uint32,uint16,bytes32,uint96,uint96,uint16,uint16,bytes32,bytes32,\
    bytes32,bytes32)[],address)";
const REDEEM_FOR: &str = "redeemFor(address,(address,uint32,uint16,bytes32,uint96,uint96,uint16,\
    uint16,bytes32,bytes32,bytes32,bytes32)[],address,uint256,uint256,bytes32,bytes32)";
const REDEEMED: &str = "Redeemed(bytes32,address,address,uint256,bytes32,bytes32,bytes32,bytes32,\
    bytes32,uint256,uint256)";
const SKIPPED: &str = "Skipped(uint256,uint8)";
const NOTHING_DUE: &str = "NothingDue()";

/// A payee's order to a relayer: `Redeem` of the vault.
#[derive(Clone, Debug)]
pub struct Redemption<'a> {
    /// The payee, which signs.
    pub payee: Address,
    /// At most 128.
    pub claims: &'a [Claim],
    /// The address that is paid.
    pub to: Address,
    /// The relayer, which sends the transaction.
    pub relayer: Address,
    /// Unix seconds after which it is void.
    pub deadline: u64,
}

impl Redemption<'_> {
    /// The EIP-712 digest, with a fee of 0.
    pub fn digest(&self, vault: &Vault) -> B256 {
        let deadline = U256::from(self.deadline);
        voucher::redeem_digest(
            vault,
            self.claims,
            self.to,
            self.relayer,
            U256::ZERO,
            deadline,
        )
    }

    /// Call data of `redeemFor`.
    pub fn call(&self, signature: Signature) -> Vec<u8> {
        let mut call = Words::call(REDEEM_FOR);
        call.address(self.payee)
            .word(U256::from(7 * 32))
            .address(self.to)
            .word(U256::ZERO)
            .word(U256::from(self.deadline))
            .bytes(signature.r)
            .bytes(signature.vs);
        call.claims(self.claims);
        call.0
    }
}

/// Call data of `redeem(claims, to)`.
pub fn redeem_call(claims: &[Claim], to: Address) -> Vec<u8> {
    let mut call = Words::call(REDEEM);
    call.word(U256::from(2 * 32)).address(to).claims(claims);
    call.0
}

/// EIP-712 domain separator of a contract with all four usual fields.
pub fn domain_separator(name: &str, version: &str, contract: Address, chain_id: u64) -> B256 {
    let mut words = Words::new();
    words
        .bytes(keccak256(
            "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)",
        ))
        .bytes(keccak256(name))
        .bytes(keccak256(version))
        .word(U256::from(chain_id))
        .address(contract);
    keccak256(words.0)
}

/// Call data of `state(id, word)`.
pub fn state_call(account: B256, word: U256) -> Vec<u8> {
    let mut call = Words::call("state(bytes32,uint256)");
    call.bytes(account).word(word);
    call.0
}

/// Call data of `exitDelay()`.
pub fn exit_delay_call() -> Vec<u8> {
    Words::call("exitDelay()").0
}

/// Call data of `token()`.
pub fn token_call() -> Vec<u8> {
    Words::call("token()").0
}

/// The address in an answer of one word.
pub fn address_answer(answer: &[u8]) -> Option<Address> {
    let word = B256::try_from(answer.get(..32)?).ok()?;
    (word[..12] == [0; 12]).then(|| Address::from_word(word))
}

/// The number in an answer of one word.
pub fn number_answer(answer: &[u8]) -> Option<U256> {
    Some(U256::from_be_slice(answer.get(..32)?))
}

/// A call that reverts because nothing in it pays answers so.
pub fn is_nothing_due(revert_data: &[u8]) -> bool {
    revert_data.starts_with(&keccak256(NOTHING_DUE)[..4])
}

/// The vault's reason for skipping a claim, in words.
pub fn skip_reason(code: u8) -> &'static str {
    match code {
        1 => "bad range",
        2 => "bad step",
        3 => "bad signature",
        4 => "no such account",
        5 => "not covered",
        6 => "redeemed before",
        7 => "nothing due",
        8 => "lottery lost",
        _ => "unknown reason",
    }
}

/// The answer of `state`; `None` if it is not ten words in the range of their types.
pub fn state_answer(answer: &[u8]) -> Option<ChainState> {
    let word = |index: usize| -> Option<U256> {
        let bytes = answer.get(index * 32..(index + 1) * 32)?;
        Some(U256::from_be_slice(bytes))
    };
    let uint = |index: usize, bits: usize| word(index).filter(|word| word.bit_len() <= bits);
    let small = |index, bits| u64::try_from(uint(index, bits)?).ok();
    let amount = |index, bits| u128::try_from(uint(index, bits)?).ok().map(TokenUnits);
    Some(ChainState {
        balance: amount(0, 112)?,
        tranche: amount(1, 96)?,
        consumed: small(2, 40)?,
        known: small(3, 1)? == 1,
        bond: amount(4, 112)?,
        exit_at: small(5, 48)?,
        spent_word: word(6)?,
        chain_id: small(7, 64)?,
        block_number: small(8, 64)?,
        timestamp: small(9, 64)?,
    })
}

/// One log of a transaction's receipt.
#[derive(Clone, Debug)]
pub struct Log {
    /// The contract that emitted it.
    pub address: Address,
    /// The event's hash and its indexed fields.
    pub topics: Vec<B256>,
    /// The other fields.
    pub data: Vec<u8>,
}

/// The claims that paid and those that were skipped, as indices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedeemReport {
    /// Index and token units that the payee was paid.
    pub paid: Vec<(u32, TokenUnits)>,
    /// Index and reason (docs/protocol.md, "Redeeming").
    pub skipped: Vec<(u32, u8)>,
}

/// Reads the vault's events of a redemption of these claims by this payee. A claim is known by its owner,
/// range and signature; each is counted once.
pub fn redeem_report(
    vault: Address,
    payee: Address,
    claims: &[Claim],
    logs: &[Log],
) -> RedeemReport {
    let (redeemed, skipped) = (keccak256(REDEEMED), keccak256(SKIPPED));
    let mut report = RedeemReport::default();
    let mut seen = vec![false; claims.len()];
    for log in logs.iter().filter(|log| log.address == vault) {
        let word = |index: usize| log.data.get(index * 32..(index + 1) * 32);
        let Some(event) = log.topics.first() else {
            continue;
        };
        if *event == redeemed {
            let [_, _, to, owner] = log.topics.as_slice() else {
                continue;
            };
            // packed, content, root, luck, r, vs, gross, cut
            let (Some(packed), Some(r), Some(vs), Some(gross), Some(cut)) =
                (word(0), word(4), word(5), word(6), word(7))
            else {
                continue;
            };
            let range = U256::from_be_slice(packed) >> 208;
            let claim = claims.iter().enumerate().position(|(index, claim)| {
                *to == payee.into_word()
                    && *owner == claim.owner.into_word()
                    && range == (U256::from(claim.first) << 16 | U256::from(claim.count))
                    && claim.r.as_slice() == r
                    && claim.vs.as_slice() == vs
                    && !seen[index]
            });
            let net = U256::from_be_slice(gross).checked_sub(U256::from_be_slice(cut));
            if let (Some(claim), Some(Ok(net))) = (claim, net.map(u128::try_from)) {
                seen[claim] = true;
                report.paid.push((claim as u32, TokenUnits(net)));
            }
        } else if *event == skipped && log.topics.len() == 1 {
            let (Some(index), Some(reason)) = (word(0), word(1)) else {
                continue;
            };
            let index = u32::try_from(U256::from_be_slice(index));
            let reason = u8::try_from(U256::from_be_slice(reason));
            if let (Ok(index), Ok(reason)) = (index, reason)
                && let Some(seen) = seen.get_mut(index as usize)
                && !core::mem::replace(seen, true)
            {
                report.skipped.push((index, reason));
            }
        }
    }
    report
}

struct Words(Vec<u8>);

impl Words {
    fn new() -> Words {
        Words(Vec::new())
    }

    fn call(signature: &str) -> Words {
        Words(keccak256(signature)[..4].to_vec())
    }

    fn word(&mut self, word: U256) -> &mut Words {
        self.0.extend_from_slice(&word.to_be_bytes::<32>());
        self
    }

    fn bytes(&mut self, word: B256) -> &mut Words {
        self.0.extend_from_slice(word.as_slice());
        self
    }

    fn address(&mut self, address: Address) -> &mut Words {
        self.bytes(address.into_word())
    }

    /// The array, whose offset is in the head. Encoded alone, it stands behind one word, its offset.
    fn claims(&mut self, claims: &[Claim]) {
        let encoded = voucher::encode_claims(claims);
        self.0
            .extend_from_slice(encoded.get(32..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::aliases::U96;
    use alloy_primitives::hex;
    use alloy_sol_types::{SolError, SolEvent, SolValue};
    use serde_json::Value;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../../tests/vectors/vouchers.json")).unwrap()
    }

    fn text<'a>(value: &'a Value, key: &str) -> &'a str {
        value[key].as_str().unwrap()
    }

    fn claims(redeem: &Value) -> (Vec<u8>, Vec<Claim>) {
        let encoded = hex::decode(text(redeem, "claims_abi_encoded")).unwrap();
        let claims = Vec::<Claim>::abi_decode(&encoded).unwrap();
        assert!(claims.len() >= 2);
        (encoded, claims)
    }

    #[test]
    fn a_redemption_call_carries_the_claims_as_the_independent_encoder_wrote_them() {
        let redeem = &vectors()["redeem"];
        let (encoded, claims) = claims(redeem);
        let redemption = Redemption {
            payee: text(redeem, "payee_address").parse().unwrap(),
            claims: &claims,
            to: text(redeem, "to").parse().unwrap(),
            relayer: text(redeem, "relayer").parse().unwrap(),
            deadline: text(redeem, "deadline").parse().unwrap(),
        };
        let call = redemption.call(Signature {
            r: B256::repeat_byte(1),
            vs: B256::repeat_byte(2),
        });
        // Selector, seven words, then the array as `abi.encode` writes it after its offset.
        assert_eq!(call[4 + 7 * 32..], encoded[32..]);
        assert_eq!(call[4 + 12..4 + 32], *redemption.payee.as_slice());
        assert_eq!(U256::from_be_slice(&call[36..68]), U256::from(7 * 32));
        assert_eq!(U256::from_be_slice(&call[100..132]), U256::ZERO);
        assert_eq!(call[4 + 6 * 32..4 + 7 * 32], [2; 32]);
    }

    #[test]
    fn redeem_is_encoded_as_the_abi_says() {
        let (_, claims) = claims(&vectors()["redeem"]);
        let to = Address::repeat_byte(0x55);
        let theirs = (claims.clone(), to).abi_encode_params();
        assert_eq!(redeem_call(&claims, to)[4..], theirs[..]);
    }

    #[test]
    fn an_answer_of_one_word_is_read_in_the_range_of_its_type() {
        let mut words = Words::new();
        words.address(Address::repeat_byte(7));
        assert_eq!(address_answer(&words.0), Some(Address::repeat_byte(7)));
        assert_eq!(number_answer(&words.0[..31]), None);
        assert_eq!(address_answer(&words.0[..31]), None);
        words.0[11] = 1;
        assert_eq!(address_answer(&words.0), None, "no address is so long");
        words.0[..31].fill(0);
        assert_eq!(number_answer(&words.0), Some(U256::from(7)));
    }

    #[test]
    fn the_domain_separator_is_that_of_the_vectors() {
        let voucher = &vectors()["vectors"][0];
        let separator = domain_separator(
            "PieceworkVault",
            "1",
            text(voucher, "vault").parse().unwrap(),
            voucher["chain_id"].as_u64().unwrap(),
        );
        assert_eq!(separator.to_string(), text(voucher, "domain_separator"));
    }

    #[test]
    fn a_state_answer_is_read_whole_or_not_at_all() {
        let mut words = Words::new();
        for value in 1..=10u64 {
            words.word(U256::from(if value == 4 { 1 } else { value }));
        }
        let state = state_answer(&words.0).unwrap();
        assert_eq!(state.balance, TokenUnits(1));
        assert!(state.known);
        assert_eq!(state.exit_at, 6);
        assert_eq!(state.spent_word, U256::from(7));
        assert_eq!(state.timestamp, 10);
        assert_eq!(state_answer(&words.0[..319]), None);
        words.0[0] = 1; // a balance no uint112 holds
        assert_eq!(state_answer(&words.0), None);
    }

    alloy_sol_types::sol! {
        event Redeemed(
            bytes32 indexed id, address indexed payee, address indexed owner, uint256 packed, bytes32 content,
            bytes32 root, bytes32 luck, bytes32 r, bytes32 vs, uint256 gross, uint256 cut
        );
        event Skipped(uint256 index, uint8 reason);
        error NothingDue();
    }

    const VAULT: Address = Address::repeat_byte(0x44);
    const PAYEE: Address = Address::repeat_byte(0x77);

    fn claim(first: u32, owner: u8) -> Claim {
        Claim {
            owner: Address::repeat_byte(owner),
            first,
            count: 4,
            content: B256::ZERO,
            base: U96::from(5),
            unit: U96::from(7),
            steps: 256,
            k: 3,
            w: B256::repeat_byte(1),
            salt: B256::ZERO,
            r: B256::repeat_byte(first as u8),
            vs: B256::repeat_byte(9),
        }
    }

    fn log(event: &impl SolEvent) -> Log {
        let data = event.encode_log_data();
        Log {
            address: VAULT,
            topics: data.topics().to_vec(),
            data: data.data.to_vec(),
        }
    }

    fn redeemed(claim: &Claim, payee: Address, gross: u64) -> Log {
        log(&Redeemed {
            id: B256::ZERO,
            payee,
            owner: claim.owner,
            packed: U256::from(claim.first) << 224 | U256::from(claim.count) << 208,
            content: B256::ZERO,
            root: B256::ZERO,
            luck: B256::ZERO,
            r: claim.r,
            vs: claim.vs,
            gross: U256::from(gross),
            cut: U256::ONE,
        })
    }

    fn skipped(index: U256) -> Log {
        log(&Skipped { index, reason: 6 })
    }

    #[test]
    fn the_report_finds_each_claim_by_owner_range_and_signature() {
        let claims = [claim(1, 2), claim(1, 3), claim(9, 2)];
        let changed = |change: fn(&mut Claim)| {
            let mut other = claims[0].clone();
            change(&mut other);
            redeemed(&other, PAYEE, 999)
        };
        let foreign = Log {
            address: Address::repeat_byte(0x99),
            ..redeemed(&claims[0], PAYEE, 999)
        };
        let without_topics = Log {
            topics: Vec::new(),
            ..foreign.clone()
        };
        let mut cut_off = redeemed(&claims[0], PAYEE, 999);
        cut_off.data.truncate(7 * 32);
        let logs = [
            foreign,
            without_topics,
            cut_off,
            changed(|c| c.first = 2),
            changed(|c| c.count = 5),
            changed(|c| c.r = B256::ZERO),
            changed(|c| c.vs = B256::ZERO),
            changed(|c| c.owner = Address::ZERO),
            redeemed(&claims[0], PAYEE, 0),
            redeemed(&claims[1], PAYEE, 11),
            redeemed(&claims[1], PAYEE, 11),
            redeemed(&claims[2], Address::ZERO, 11),
            redeemed(&claims[2], PAYEE, 21),
            skipped(U256::ZERO),
            skipped(U256::ZERO),
            skipped(U256::from(2)),
            skipped(U256::from(1_000)),
            skipped(U256::MAX),
        ];
        assert_eq!(
            redeem_report(VAULT, PAYEE, &claims, &logs),
            RedeemReport {
                paid: vec![(1, TokenUnits(10)), (2, TokenUnits(20))],
                skipped: vec![(0, 6)],
            }
        );
    }

    #[test]
    fn the_errors_and_events_are_known_by_the_hashes_of_the_abi() {
        assert_eq!(keccak256(REDEEMED), Redeemed::SIGNATURE_HASH);
        assert_eq!(keccak256(SKIPPED), Skipped::SIGNATURE_HASH);
        assert!(is_nothing_due(&NothingDue::SELECTOR));
        assert!(!is_nothing_due(&[0, 0, 0, 0]) && !is_nothing_due(&[]));
    }
}
