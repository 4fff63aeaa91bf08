//! The few contract calls that the browser makes, as bytes (Solidity ABI; docs/protocol.md, "Calls").
//!
//! Every argument but one is a single word, so they are put together by hand; the claims are encoded by
//! the core. Runs on every target, so that the shared vectors test it.

use alloy_primitives::{Address, B256, U256, keccak256};

use crate::io::{AccountState, Claim, Signature};
use crate::payment::voucher::{self, Vault};
use crate::types::TokenUnits;

const REDEEM_FOR: &str = "redeemFor(address,(address,uint32,uint16,bytes32,uint96,uint96,uint16,\
    uint16,bytes32,bytes32,bytes32,bytes32)[],address,uint256,uint256,bytes32,bytes32)";
const REDEEMED: &str = "Redeemed(bytes32,address,address,uint256,bytes32,bytes32,bytes32,bytes32,\
    bytes32,uint256,uint256)";
const SKIPPED: &str = "Skipped(uint256,uint8)";

/// What a payee signs for a relayer: `Redeem` of the vault.
#[derive(Clone, Debug)]
pub struct Redemption<'a> {
    /// Who earned it and signs.
    pub payee: Address,
    /// At most 128.
    pub claims: &'a [Claim],
    /// Who is paid.
    pub to: Address,
    /// Who sends the transaction.
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
        // Alone, the array is encoded behind its offset (one word); here the offset is in the head.
        call.0
            .extend_from_slice(&voucher::encode_claims(self.claims)[32..]);
        call.0
    }
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

/// The answer of `state`; `None` if it is not ten words in the range of their types.
pub fn state_answer(answer: &[u8]) -> Option<AccountState> {
    let word = |index: usize| -> Option<U256> {
        let bytes = answer.get(index * 32..(index + 1) * 32)?;
        Some(U256::from_be_slice(bytes))
    };
    let uint = |index: usize, bits: usize| word(index).filter(|word| word.bit_len() <= bits);
    let small = |index, bits| u64::try_from(uint(index, bits)?).ok();
    let amount = |index, bits| u128::try_from(uint(index, bits)?).ok().map(TokenUnits);
    Some(AccountState {
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
    /// Who emitted it.
    pub address: Address,
    /// The event's hash and its indexed fields.
    pub topics: Vec<B256>,
    /// The other fields.
    pub data: Vec<u8>,
}

/// What paid and what was skipped, as indices into the claims.
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

/// 0x and lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(2 + bytes.len() * 2);
    out.push_str("0x");
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// From 0x and an even number of digits, at most `max` bytes.
pub fn from_hex(text: &str, max: usize) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    if digits.len() % 2 != 0 || digits.len() / 2 > max {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            Some((high * 16 + low) as u8)
        })
        .collect()
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_sol_types::SolValue;
    use serde_json::Value;

    fn vectors() -> Value {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/vectors/vouchers.json"
        );
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn text<'a>(value: &'a Value, key: &str) -> &'a str {
        value[key].as_str().unwrap()
    }

    fn claims(redeem: &Value) -> (Vec<u8>, Vec<Claim>) {
        let encoded = from_hex(text(redeem, "claims_abi_encoded"), 1 << 20).unwrap();
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
    fn the_domain_separator_is_that_of_the_vectors() {
        let voucher = &vectors()["vectors"][0];
        let separator = domain_separator(
            "PieceworkVault",
            "1",
            text(voucher, "vault").parse().unwrap(),
            voucher["chain_id"].as_u64().unwrap(),
        );
        assert_eq!(
            to_hex(separator.as_slice()),
            text(voucher, "domain_separator")
        );
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

    #[test]
    fn the_report_finds_each_claim_by_its_signature() {
        let (_, claims) = claims(&vectors()["redeem"]);
        let (vault, payee) = (Address::repeat_byte(0x44), Address::repeat_byte(0x77));
        let mut data = Words::new();
        let range = U256::from(claims[1].first) << 16 | U256::from(claims[1].count);
        data.word(range << 208);
        for _ in 0..3 {
            data.word(U256::ZERO);
        }
        data.bytes(claims[1].r).bytes(claims[1].vs);
        data.word(U256::from(100)).word(U256::from(3));
        let paid = Log {
            address: vault,
            topics: vec![
                keccak256(REDEEMED),
                B256::ZERO,
                payee.into_word(),
                claims[1].owner.into_word(),
            ],
            data: data.0,
        };
        let mut data = Words::new();
        data.word(U256::ZERO).word(U256::from(6));
        let skipped = Log {
            address: vault,
            topics: vec![keccak256(SKIPPED)],
            data: data.0,
        };
        let stranger = Log {
            address: Address::ZERO,
            ..paid.clone()
        };
        let mut of_another = paid.clone();
        of_another.topics[2] = B256::repeat_byte(1);
        let logs = [
            of_another,
            paid.clone(),
            skipped.clone(),
            stranger,
            paid,
            skipped,
        ];
        assert_eq!(
            redeem_report(vault, payee, &claims, &logs),
            RedeemReport {
                paid: vec![(1, TokenUnits(97))],
                skipped: vec![(0, 6)],
            }
        );
    }
}
