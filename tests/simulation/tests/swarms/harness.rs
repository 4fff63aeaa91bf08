//! The simulated world itself: the other tests rely on it.

use alloy_primitives::{Address, B256, U256};
use bytes::Bytes;
use piecework::client::{
    Claim, Effect, EffectError, EffectResult, RECORDS_GATHER, RedeemOutcome, StorageOp,
};
use piecework::payment::voucher::{Vault, Voucher};
use piecework::time::Timestamp;
use piecework::types::{Durability, FineUnits, TokenUnits};
use piecework_simulation::{Content, Deposit, Disk, Random, SessionKey, SimVault};

fn vectors() -> serde_json::Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/vouchers.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn b256(value: &serde_json::Value) -> B256 {
    value.as_str().unwrap().parse().unwrap()
}

fn address(value: &serde_json::Value) -> Address {
    value.as_str().unwrap().parse().unwrap()
}

fn number(value: &serde_json::Value) -> u128 {
    let text = value.as_str().map(str::to_owned);
    text.unwrap_or_else(|| value.to_string()).parse().unwrap()
}

fn voucher(value: &serde_json::Value) -> Voucher {
    Voucher {
        owner: address(&value["owner"]),
        payee: address(&value["payee"]),
        first: number(&value["first"]) as u32,
        count: number(&value["count"]) as u16,
        content: b256(&value["content"]),
        base: FineUnits(number(&value["base"])),
        unit: FineUnits(number(&value["unit"])),
        steps: number(&value["steps"]) as u16,
        root: b256(&value["root"]),
        luck: b256(&value["luck"]),
    }
}

#[test]
fn the_vault_and_the_key_agree_with_the_shared_vectors() {
    let vectors = vectors();
    for vector in vectors["vectors"].as_array().unwrap() {
        let v = voucher(&vector["voucher"]);
        let mut vault = SimVault::new();
        vault.address = address(&vector["vault"]);
        vault.chain_id = number(&vector["chain_id"]) as u64;
        let words = [
            B256::left_padding_from(v.owner.as_slice()),
            B256::left_padding_from(v.payee.as_slice()),
            B256::from(U256::from(v.first)),
            B256::from(U256::from(v.count)),
            v.content,
            B256::from(U256::from(v.base.0)),
            B256::from(U256::from(v.unit.0)),
            B256::from(U256::from(v.steps)),
            v.root,
            v.luck,
        ];
        let digest = vault.voucher_digest(&words);
        assert_eq!(digest, b256(&vector["digest"]), "{}", vector["name"]);
        let key = SessionKey::new(b256(&vector["session_key"]).0);
        assert_eq!(key.address(), address(&vector["session_address"]));
        let signature = key.sign(digest);
        assert_eq!(signature.r, b256(&vector["signature"]["r"]));
        assert_eq!(signature.vs, b256(&vector["signature"]["vs"]));
    }
}

/// A vault with one account, and a claim of `k` of 100 steps of 10 token units each on serials 5 and 6.
fn claim(k: u16) -> (SimVault, Address, Claim) {
    let mut vault = SimVault::new();
    let key = SessionKey::new([7; 32]);
    let (owner, payee) = (Address::repeat_byte(2), Address::repeat_byte(3));
    vault.deposit(Deposit {
        owner,
        key: key.address(),
        amount: 10_000,
        tranche: 100,
        bond: 1,
    });
    let chain = piecework::payment::chain::HashChain::generate(B256::repeat_byte(9), 100);
    let voucher = Voucher {
        owner,
        payee,
        first: 5,
        count: 2,
        content: B256::ZERO,
        base: FineUnits(0),
        unit: TokenUnits(10).fine(),
        steps: 100,
        root: chain.root(),
        luck: B256::ZERO,
    };
    let at = Vault {
        address: vault.address,
        chain_id: vault.chain_id,
    };
    let signature = key.sign(voucher.digest(&at));
    let claim = voucher.claim(&signature, k, chain.link(k).unwrap());
    (vault, payee, claim)
}

fn paid(outcome: RedeemOutcome) -> Vec<(u32, TokenUnits)> {
    match outcome {
        RedeemOutcome::Mined { paid, .. } => paid,
        RedeemOutcome::Failed { .. } | RedeemOutcome::Unknown { .. } => Vec::new(),
    }
}

#[test]
fn the_vault_pays_each_serial_once_and_never_beyond_its_worth() {
    let (mut vault, payee, first) = claim(7);
    assert_eq!(
        paid(vault.redeem(payee, core::slice::from_ref(&first))),
        [(0, TokenUnits(70))]
    );
    assert!(paid(vault.redeem(payee, &[first])).is_empty(), "consumed");
    assert_eq!(vault.paid_to(payee), TokenUnits(70));
    let (mut vault, payee, all) = claim(100);
    assert_eq!(paid(vault.redeem(payee, &[all])), [(0, TokenUnits(200))]);
}

#[test]
fn the_vault_pays_nobody_else_and_nothing_that_was_changed() {
    let (mut vault, payee, good) = claim(7);
    let other = Address::repeat_byte(8);
    assert!(paid(vault.redeem(other, core::slice::from_ref(&good))).is_empty());
    let mut more = good.clone();
    more.k = 8;
    let mut unit = good.clone();
    unit.steps = 99;
    let mut range = good.clone();
    range.first = 7;
    let mut zero = good.clone();
    zero.count = 0;
    assert!(paid(vault.redeem(payee, &[more, unit, range, zero])).is_empty());
    assert_eq!(paid(vault.redeem(payee, &[good])).len(), 1);
}

fn open(disk: &mut Disk, content: &Content) -> EffectResult {
    let files = (content.metainfo.files.iter())
        .map(|f| (f.path.components().to_vec(), f.length))
        .collect();
    let name = "x".into();
    let op = StorageOp::Open { name, files };
    let info_hash = content.info_hash();
    let open = Effect::Storage { info_hash, op };
    disk.run(open, Timestamp::default()).unwrap()
}

#[test]
fn a_crash_keeps_what_was_flushed_and_only_luck_keeps_the_rest() {
    let content = Content::file(1, 100_000, 32_768);
    let info_hash = content.info_hash();
    let mut lost = 0;
    for seed in 0..20 {
        let now = Timestamp::default();
        let mut disk = Disk::default();
        open(&mut disk, &content);
        let write = |offset: u64, length: u64| StorageOp::Write {
            spans: content.spans(offset, length),
            chunks: vec![content.file_bytes(0, offset..offset + length)],
        };
        for op in [write(0, 50_000), StorageOp::Flush, write(50_000, 50_000)] {
            disk.run(Effect::Storage { info_hash, op }, now).unwrap();
        }
        assert!(disk.holds(&content));
        disk.crash(&mut Random::new(seed), now);
        lost += usize::from(!disk.holds(&content));
        open(&mut disk, &content);
        let spans = content.spans(0, 50_000);
        let op = StorageOp::Read { spans };
        let Ok(EffectResult::Read(bytes)) = disk.run(Effect::Storage { info_hash, op }, now) else {
            panic!("what was flushed is there");
        };
        assert_eq!(bytes, content.file_bytes(0, 0..50_000));
    }
    assert!(lost > 5 && lost < 20, "{lost} of 20 lost something");
}

#[test]
fn a_read_past_what_was_written_is_an_error() {
    let content = Content::file(1, 100_000, 32_768);
    let mut disk = Disk::default();
    open(&mut disk, &content);
    let read = Effect::Storage {
        info_hash: content.info_hash(),
        op: StorageOp::Read {
            spans: content.spans(0, 10),
        },
    };
    let read = disk.run(read, Timestamp::default());
    assert!(matches!(read, Err(EffectError::Missing(_))));
}

#[test]
fn records_outlive_a_crash_when_they_gathered_or_something_lasting_followed() {
    let put = |disk: &mut Disk, key: &str, durability, at| {
        let records = vec![(key.to_owned(), Some(Bytes::new()))];
        disk.run(
            Effect::PutRecords {
                records,
                durability,
            },
            at,
        )
        .unwrap();
    };
    let start = Timestamp::default();
    let after = start + RECORDS_GATHER;
    let mut lost = 0;
    for seed in 0..20 {
        let mut disk = Disk::default();
        put(&mut disk, "before", Durability::Process, start);
        put(&mut disk, "lasting", Durability::PowerLoss, start);
        put(&mut disk, "gathered", Durability::Process, start);
        put(&mut disk, "new", Durability::Process, after);
        disk.crash(&mut Random::new(seed), after);
        let mut left: Vec<String> = disk.records().into_iter().map(|(key, _)| key).collect();
        lost += usize::from(!left.contains(&"new".to_owned()));
        left.retain(|key| key != "new");
        assert_eq!(left, ["before", "gathered", "lasting"]);
    }
    assert!(lost > 5 && lost < 20, "{lost} of 20 lost the last one");
}
