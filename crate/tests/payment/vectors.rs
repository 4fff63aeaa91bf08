//! Vouchers, signatures, amounts and redemptions agree with an independent implementation
//! (`tests/vectors/vouchers.json`), field by field.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolStruct;
use k256::ecdsa::SigningKey;
use piecework::payment::chain::{HashChain, walk};
use piecework::payment::voucher::{
    RecoverError, Signature, Vault, Voucher, abi, account_id, claims_hash, encode_claims,
    redeem_digest,
};
use piecework::types::{FineUnits, TokenUnits};
use piecework::wire::pay::PayMessage;
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/vectors/vouchers.json")).unwrap()
}

fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v[key].as_str().unwrap_or_else(|| panic!("{key} in {v}"))
}

fn address(v: &Value, key: &str) -> Address {
    text(v, key).parse().unwrap()
}

fn word(v: &Value, key: &str) -> B256 {
    text(v, key).parse().unwrap()
}

fn number(v: &Value, key: &str) -> u128 {
    match &v[key] {
        Value::String(s) => s.parse().unwrap(),
        other => other.as_u64().unwrap().into(),
    }
}

fn vault(v: &Value) -> Vault {
    Vault {
        address: address(v, "vault"),
        chain_id: number(v, "chain_id") as u64,
    }
}

fn voucher(v: &Value) -> Voucher {
    let v = &v["voucher"];
    Voucher {
        owner: address(v, "owner"),
        payee: address(v, "payee"),
        first: number(v, "first") as u32,
        count: number(v, "count") as u16,
        content: word(v, "content"),
        base: FineUnits(number(v, "base")),
        unit: FineUnits(number(v, "unit")),
        steps: number(v, "steps") as u16,
        root: word(v, "root"),
        luck: word(v, "luck"),
    }
}

fn signature(v: &Value) -> Signature {
    Signature {
        r: word(&v["signature"], "r"),
        vs: word(&v["signature"], "vs"),
    }
}

fn sign(key: B256, digest: B256) -> Signature {
    let key = SigningKey::from_slice(key.as_slice()).unwrap();
    let (signature, recovery) = key.sign_prehash_recoverable(digest.as_slice()).unwrap();
    let bytes = signature.to_bytes();
    let mut vs = B256::from_slice(&bytes[32..]);
    vs.0[0] |= if recovery.is_y_odd() { 0x80 } else { 0 };
    Signature {
        r: B256::from_slice(&bytes[..32]),
        vs,
    }
}

#[test]
fn every_voucher_vector_agrees_in_every_field() {
    let all = vectors();
    let list = all["vectors"].as_array().unwrap();
    assert!(list.len() >= 7);
    for v in list {
        let name = text(v, "name");
        let (vault, voucher, sig) = (vault(v), voucher(v), signature(v));
        let session = address(v, "session_address");
        let chain = HashChain::generate(word(v, "chain_tip"), voucher.steps);
        let (k, w) = (
            number(&v["preimage_at"], "k") as u16,
            word(&v["preimage_at"], "w"),
        );
        assert!(voucher.is_well_formed(), "{name}");
        assert_eq!(chain.root(), voucher.root, "{name}: root");
        assert_eq!(chain.link(k), Some(w), "{name}: w_k");
        assert_eq!(walk(w, k), voucher.root, "{name}: walk");
        assert_eq!(
            account_id(voucher.owner, session),
            word(v, "account_id"),
            "{name}: account"
        );
        assert_eq!(
            voucher.to_abi().eip712_type_hash(),
            word(v, "type_hash"),
            "{name}: type hash"
        );
        assert_eq!(
            vault.domain().separator(),
            word(v, "domain_separator"),
            "{name}: domain"
        );
        assert_eq!(
            voucher.to_abi().eip712_hash_struct(),
            word(v, "struct_hash"),
            "{name}: struct"
        );
        let digest = voucher.digest(&vault);
        assert_eq!(digest, word(v, "digest"), "{name}: digest");
        assert_eq!(
            sign(word(v, "session_key"), digest),
            sig,
            "{name}: RFC 6979 signature"
        );
        assert_eq!(sig.recover(&digest), Ok(session), "{name}: signer");
        let q = TokenUnits(number(v, "tranche"));
        assert_eq!(
            voucher.due(k, q),
            TokenUnits(number(v, "due_token_units")),
            "{name}: due"
        );
        let (back, back_sig) = Voucher::from_body(&voucher.to_body(&sig), voucher.payee);
        assert_eq!((back, back_sig), (voucher, sig), "{name}: wire");
    }
    let fields: Vec<String> = all["type"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        abi::Voucher::eip712_root_type(),
        format!("Voucher({})", fields.join(","))
    );
}

#[test]
fn the_wire_vectors_carry_the_first_voucher() {
    let all = vectors();
    let first = &all["vectors"][0];
    let (expected, sig) = (voucher(first), signature(first));
    for (name, index) in [("COMMIT", 1), ("SEEN", 6), ("STATE", 7)] {
        let hex = text(&all["wire"][index], "hex");
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
            .collect();
        let body = match PayMessage::decode(&bytes).unwrap().unwrap() {
            PayMessage::Commit { voucher, .. }
            | PayMessage::Seen { voucher, .. }
            | PayMessage::State { voucher, .. } => voucher,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(
            Voucher::from_body(&body, expected.payee),
            (expected, sig),
            "{name}"
        );
    }
}

#[test]
fn the_relayed_redemption_agrees() {
    let all = vectors();
    let redeem = &all["redeem"];
    let claims: Vec<abi::Claim> = [0, 2]
        .iter()
        .map(|i| {
            let v = &all["vectors"][*i];
            let (k, w) = (
                number(&v["preimage_at"], "k") as u16,
                word(&v["preimage_at"], "w"),
            );
            voucher(v).claim(&signature(v), k, w)
        })
        .collect();
    let encoded: String = encode_claims(&claims)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(format!("0x{encoded}"), text(redeem, "claims_abi_encoded"));
    assert_eq!(claims_hash(&claims), word(redeem, "claims_hash"));
    let digest = redeem_digest(
        &vault(redeem),
        &claims,
        address(redeem, "to"),
        address(redeem, "relayer"),
        U256::from(number(redeem, "fee")),
        U256::from(number(redeem, "deadline")),
    );
    assert_eq!(digest, word(redeem, "digest"));
    assert_eq!(
        keccak256(abi::Redeem::eip712_root_type().as_bytes()),
        word(redeem, "type_hash")
    );
    let sig = signature(redeem);
    assert_eq!(sign(word(redeem, "payee_key"), digest), sig);
    assert_eq!(sig.recover(&digest), Ok(address(redeem, "payee_address")));
}

#[test]
fn a_signature_with_high_s_or_of_another_digest_names_nobody_we_know() {
    let all = vectors();
    let v = &all["vectors"][0];
    let (digest, sig) = (word(v, "digest"), signature(v));
    let session = address(v, "session_address");
    // The least s that EIP-2 forbids: (n + 1) / 2.
    let high: B256 = "0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1"
        .parse()
        .unwrap();
    for parity in [0u8, 0x80] {
        let mut vs = high;
        vs.0[0] |= parity;
        assert_eq!(
            Signature { r: sig.r, vs }.recover(&digest),
            Err(RecoverError::Malformed)
        );
    }
    assert_ne!(sig.recover(&keccak256(digest)), Ok(session));
    for bad in [B256::ZERO, B256::repeat_byte(0xff)] {
        assert!(Signature { r: bad, vs: sig.vs }.recover(&digest).is_err());
        assert!(Signature { r: sig.r, vs: bad }.recover(&digest).is_err());
    }
}
