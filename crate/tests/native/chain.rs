//! The chain client against the real vault on a real node.
//!
//! Needs `contracts/node_modules` (anvil) and `contracts/out` (artifacts), which `cargo xtask test`
//! makes; `PIECEWORK_CONTRACTS` names another folder that has them.

use crate::common::{BOND, DEPOSIT, Ended, TRANCHE, World, piecework};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolEvent, SolValue};
use piecework::native::chain::{Chain, ChainConfig, ChainError};
use piecework::native::keys::KeyPair;
use piecework::native::rpc::Rpc;
use piecework::payment::chain::HashChain;
use piecework::payment::voucher::{Signature, Voucher, account_id};
use piecework::types::{FineUnits, TokenUnits};
use serde_json::json;

/// Of anvil's third account, known to the whole world.
const REPORTER_KEY: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a\n";
/// Wei for each gas: far above what the node asks.
const MAX_FEE: u128 = 10_000_000_000;

#[test]
#[ignore = "needs contracts/node_modules and contracts/out"]
fn a_payee_is_paid_to_the_last_token_unit_and_only_once() {
    let world = World::new();
    let chain = world.chain();
    chain.check().unwrap();
    assert_eq!(chain.token(), Ok(world.token));
    assert_eq!(chain.check_decimals(6), Ok(()));
    assert!(matches!(
        chain.check_decimals(18),
        Err(ChainError::WrongDecimals { actual: 6, .. })
    ));

    let id = account_id(world.owner, world.session.address());
    let account = chain.account(id, U256::ZERO).unwrap();
    assert!(account.known);
    assert_eq!(account.balance, TokenUnits(u128::from(DEPOSIT)));
    assert_eq!(account.bond, TokenUnits(u128::from(BOND)));
    assert_eq!(account.tranche, TokenUnits(u128::from(TRANCHE)));
    assert_eq!((account.consumed, account.exit_at), (1, 0));
    assert_eq!(account.spent_word, U256::ONE);
    assert_eq!(account.chain_id, 31337);

    let (one, one_due) = world.claim(1, 100);
    let (two, two_due) = world.claim(3, 256);
    // A preimage that leads nowhere.
    let (mut forged, _) = world.claim(5, 10);
    forged.w = B256::repeat_byte(9);
    let claims = [one, forged, two];
    let to = Address::repeat_byte(0x77);
    let redemption = chain.redeem(&claims, &world.payee, to, MAX_FEE).unwrap();
    assert_eq!(redemption.paid, [(0, one_due), (2, two_due)]);
    assert_eq!(redemption.skipped, [(1, 4)]);
    assert!(redemption.gas_used > 21_000);
    assert_eq!(
        chain.token_balance(world.token, to).unwrap(),
        TokenUnits(one_due.0 + two_due.0)
    );
    let account = chain.account(id, U256::ZERO).unwrap();
    assert_eq!(account.consumed, 5);
    assert_eq!(account.spent_word, U256::from(0b11111));

    let again = chain.redeem(&claims, &world.payee, to, MAX_FEE);
    assert_eq!(again.unwrap_err(), ChainError::NothingDue);
}

#[test]
#[ignore = "needs contracts/node_modules and contracts/out"]
fn what_does_not_fit_is_named_before_anything_is_sent() {
    let world = World::new();
    let with = |change: fn(&mut ChainConfig)| {
        let mut config = world.config();
        change(&mut config);
        let (claim, _) = world.claim(1, 1);
        let to = world.payee.address();
        Chain::new(&config)
            .unwrap()
            .redeem(&[claim], &world.payee, to, MAX_FEE)
    };
    assert!(matches!(
        with(|c| c.chain_id = 1),
        Err(ChainError::WrongChain {
            expected: 1,
            actual: 31337,
            ..
        })
    ));
    let nobody = Address::repeat_byte(0x99);
    assert!(matches!(
        with(|c| c.vault = Address::repeat_byte(0x99)),
        Err(ChainError::NoVault(address)) if address == nobody
    ));
    assert!(matches!(
        with(|c| c.token = Some(Address::ZERO)),
        Err(ChainError::WrongToken { .. })
    ));
    let mut config = world.config();
    config.vault = world.token;
    let not_a_vault = Chain::new(&config).unwrap().account(B256::ZERO, U256::ZERO);
    assert!(not_a_vault.is_err());

    let gas = json!([world.payee.address(), "0x1"]);
    world.anvil.call("anvil_setBalance", &gas);
    assert!(matches!(
        with(|_| ()),
        Err(ChainError::NoGas { balance: 1, .. } | ChainError::Rpc(_))
    ));
    let nonce = Rpc::new(&world.anvil.url)
        .unwrap()
        .nonce(world.payee.address());
    assert_eq!(nonce, Ok(0), "something was sent");
}

mod slash {
    alloy_sol_types::sol! {
        struct Signed {
            address owner; address payee; uint32 first; uint16 count; bytes32 content; uint96 base; uint96 unit;
            uint16 steps; bytes32 root; bytes32 luck;
        }
        function slash(Signed x, bytes32 rx, bytes32 vx, Signed y, bytes32 ry, bytes32 vy) external;
        function credit(address account) external view returns (uint256);
        event Redeemed(
            bytes32 indexed id, address indexed payee, address indexed owner, uint256 packed, bytes32 content,
            bytes32 root, bytes32 luck, bytes32 r, bytes32 vs, uint256 gross, uint256 cut
        );
    }
    /// `slash` takes the vault's `Voucher`.
    pub const SIGNATURE: &str = "slash((address,address,uint32,uint16,bytes32,uint96,uint96,uint16,bytes32,bytes32),\
        bytes32,bytes32,(address,address,uint32,uint16,bytes32,uint96,uint96,uint16,bytes32,bytes32),bytes32,bytes32)";
}

fn signed(v: &Voucher) -> slash::Signed {
    slash::Signed {
        owner: v.owner,
        payee: v.payee,
        first: v.first,
        count: v.count,
        content: v.content,
        base: v.base.0.try_into().unwrap(),
        unit: v.unit.0.try_into().unwrap(),
        steps: v.steps,
        root: v.root,
        luck: v.luck,
    }
}

/// The call's bytes: the struct has another name here, so the selector is made from the vault's own signature.
fn slash_call(x: (&Voucher, &Signature), y: (&Voucher, &Signature)) -> Vec<u8> {
    let arguments = (signed(x.0), x.1.r, x.1.vs, signed(y.0), y.1.r, y.1.vs).abi_encode_params();
    let selector = alloy_primitives::keccak256(slash::SIGNATURE);
    [&selector[..4], &arguments].concat()
}

/// The whole voucher is in the event: `packed = first<<224 | count<<208 | steps<<192 | base<<96 | unit`.
fn voucher_in(event: &slash::Redeemed) -> (Voucher, Signature) {
    let packed = event.packed;
    let low96 = |value: U256| -> u128 {
        (value.to_be_bytes::<32>()[20..])
            .iter()
            .fold(0, |n, b| n << 8 | u128::from(*b))
    };
    let voucher = Voucher {
        owner: event.owner,
        payee: event.payee,
        first: (packed >> 224u32).to::<u64>() as u32,
        count: ((packed >> 208u32) & U256::from(u16::MAX)).to::<u64>() as u16,
        steps: ((packed >> 192u32) & U256::from(u16::MAX)).to::<u64>() as u16,
        base: FineUnits(low96(packed >> 96u32)),
        unit: FineUnits(low96(packed)),
        content: event.content,
        root: event.root,
        luck: event.luck,
    };
    let signature = Signature {
        r: event.r,
        vs: event.vs,
    };
    (voucher, signature)
}

#[test]
#[ignore = "needs contracts/node_modules and contracts/out"]
fn the_event_of_a_serial_promised_twice_and_the_own_voucher_burn_the_bond() {
    let world = World::new();
    let chain = world.chain();
    let id = account_id(world.owner, world.session.address());
    // The same serials to somebody else, who redeems first.
    let other = KeyPair::from_bytes(&[0x53; 32]).unwrap();
    let gas = json!([other.address(), "0xde0b6b3a7640000"]);
    world.anvil.call("anvil_setBalance", &gas);
    let links = HashChain::generate(B256::repeat_byte(0x77), 60);
    let (mine, _) = world.claim(1, 100);
    let theirs = Voucher {
        owner: world.owner,
        payee: other.address(),
        first: 2,
        count: 1,
        content: B256::ZERO,
        base: FineUnits(0),
        unit: FineUnits::per_block_from_per_gb(10_000_000),
        steps: 60,
        root: links.root(),
        luck: B256::ZERO,
    };
    let signature = world.session.sign(theirs.digest(&world.vault)).unwrap();
    let claim = theirs.claim(&signature, 9, links.link(9).unwrap());
    let paid = chain
        .redeem(&[claim], &other, other.address(), MAX_FEE)
        .unwrap();
    assert_eq!(paid.paid.len(), 1);
    // The honest payee comes too late ...
    let late = chain.redeem(
        std::slice::from_ref(&mine),
        &world.payee,
        world.payee.address(),
        MAX_FEE,
    );
    assert_eq!(late.unwrap_err(), ChainError::NothingDue);

    // ... and finds the other's voucher in the log.
    let filter = json!([{
        "address": world.vault.address, "fromBlock": "0x0", "toBlock": "latest",
        "topics": [slash::Redeemed::SIGNATURE_HASH, id],
    }]);
    let logs = world.anvil.call("eth_getLogs", &filter);
    let log = &logs.as_array().unwrap()[0];
    let topics: Vec<B256> = serde_json::from_value(log["topics"].clone()).unwrap();
    let data: Bytes = serde_json::from_value(log["data"].clone()).unwrap();
    let event = slash::Redeemed::decode_raw_log_validate(topics, &data).unwrap();
    let (found, found_signature) = voucher_in(&event);
    assert_eq!((found, found_signature), (theirs, signature));

    // Its own, as its record holds it.
    let own_chain = HashChain::generate(B256::repeat_byte(1), 256);
    let own = Voucher {
        owner: world.owner,
        payee: world.payee.address(),
        first: 1,
        count: 2,
        content: B256::ZERO,
        base: FineUnits(1_000),
        unit: FineUnits::per_block_from_per_gb(10_000_000),
        steps: 256,
        root: own_chain.root(),
        luck: B256::ZERO,
    };
    let own_signature = Signature {
        r: mine.r,
        vs: mine.vs,
    };
    assert_eq!(
        own_signature.recover(&own.digest(&world.vault)),
        Ok(world.session.address())
    );

    let reporter = world.anvil.accounts[2];
    let call = slash_call((&found, &found_signature), (&own, &own_signature));
    world.anvil.send(reporter, Some(world.vault.address), &call);
    let account = chain.account(id, U256::ZERO).unwrap();
    assert_eq!(account.bond, TokenUnits(0), "the bond burned");
    let credit = slash::creditCall { account: reporter };
    let data = alloy_primitives::hex::encode_prefixed(credit.abi_encode());
    let call = json!([{"to": world.vault.address, "data": data}, "latest"]);
    let bounty: U256 = serde_json::from_value(world.anvil.call("eth_call", &call)).unwrap();
    assert_eq!(bounty, U256::from(BOND / 10), "a tenth to who told");

    // Who told gets it by the command line.
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("reporter.key");
    KeyPair::create(&key).unwrap();
    std::fs::write(&key, REPORTER_KEY).unwrap();
    assert_eq!(KeyPair::load(&key).unwrap().address(), reporter);
    let (vault, token) = (world.vault.address.to_string(), world.token.to_string());
    let claim = [
        "claim",
        "--owner-key",
        "reporter.key",
        "--vault",
        &vault,
        "--token",
        &token,
    ];
    let claim = [
        &claim[..],
        &["--chain-id", "31337", "--rpc", &world.anvil.url],
    ]
    .concat();
    let planned = Ended::of(&piecework(
        dir.path(),
        &[&claim[..], &["--dry-run"]].concat(),
    ));
    planned.assert_code(0, "gets its credit of 0.25 tokens");
    Ended::of(&piecework(dir.path(), &claim)).assert_code(0, "claimed     0.25 tokens");
    let held = chain.token_balance(world.token, reporter).unwrap();
    assert_eq!(held, TokenUnits(u128::from(BOND / 10)));
    let nothing = Ended::of(&piecework(dir.path(), &claim));
    nothing.assert_refused(1, &["credits nothing"]);
}
