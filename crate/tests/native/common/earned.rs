//! Sellers with something to redeem.

use std::path::Path;

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use piecework::native::keys::KeyPair;
use piecework::native::records::Records;
use piecework::payment::record::{Key, PayeeRangeLife, PayeeRangeRecord};
use piecework::payment::voucher::{Signature, Vault, Voucher, account_id};
use piecework::types::{EffectId, FineUnits, TokenUnits};

use super::{CHAIN_ID, Film, Node, Program, VAULT, content};

/// A film whose seller earned something of so many buyers, and has not redeemed it.
pub fn earned(buyers: u8) -> Film {
    let film = Film::named("film.mp4", content(20_000), "ws://127.0.0.1:9");
    let payee = KeyPair::create(&film.dir.path().join("payee.key")).unwrap();
    let (results, _ended) = tokio::sync::mpsc::channel(8);
    let (records, _) = Records::open(&film.dir.path().join(".piecework"), results).unwrap();
    let vault = Vault {
        address: VAULT,
        chain_id: CHAIN_ID,
    };
    let claim = |buyer| claim_of(buyer, &vault, payee.address(), PayeeRangeLife::Open);
    let ranges = (1..=buyers).map(claim);
    records.submit(EffectId(1), ranges.collect()).unwrap();
    records.finish();
    film
}

/// The record of one range that this buyer paid a part of: 6,400 token units, if it is open.
pub fn claim_of(
    buyer: u8,
    vault: &Vault,
    payee: Address,
    life: PayeeRangeLife,
) -> (String, Option<Bytes>) {
    let (owner, session_key) = (Address::repeat_byte(buyer), Address::repeat_byte(0xee));
    let record = PayeeRangeRecord {
        session_key,
        voucher: Voucher {
            owner,
            payee,
            first: 7,
            count: 1,
            content: B256::ZERO,
            base: FineUnits(0),
            unit: FineUnits(1 << 30),
            steps: 256,
            root: B256::repeat_byte(3),
            luck: B256::ZERO,
        },
        signature: Signature {
            r: B256::repeat_byte(buyer),
            vs: B256::repeat_byte(5),
        },
        k: 100,
        w: B256::repeat_byte(6),
        tranche: TokenUnits(10_000),
        life,
    };
    let key = Key::PayeeRange(account_id(owner, session_key), 7).text(vault);
    (key, Some(record.encode()))
}

/// A seller or a redemption, with its chain.
pub fn paid_run(dir: &Path, node: &Node, args: &[&str]) -> Program {
    let key = ["--payee-key", "payee.key", "--json"];
    let all = args.iter().chain(&key).map(|arg| (*arg).to_owned());
    let all: Vec<String> = all.chain(node.options()).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    Program::start_in(dir, &all)
}
