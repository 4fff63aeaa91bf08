//! The chain client against the real vault on a real node.
//!
//! Needs `contracts/node_modules` (anvil) and `contracts/out` (artifacts), which `cargo xtask test`
//! makes; `PIECEWORK_CONTRACTS` names another folder that has them.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod native_common;

use alloy_primitives::{Address, B256, U256};
use native_common::{BOND, DEPOSIT, TRANCHE, World};
use piecework::native::chain::{Chain, ChainConfig, ChainError};
use piecework::native::rpc::Rpc;
use piecework::payment::voucher::account_id;
use piecework::types::TokenUnits;
use serde_json::json;

#[test]
#[ignore = "needs contracts/node_modules and contracts/out"]
fn a_payee_is_paid_to_the_last_token_unit_and_only_once() {
    let world = World::new();
    let chain = world.chain();
    chain.check().unwrap();
    assert_eq!(chain.token(), Ok(world.token));
    assert_eq!(chain.decimals(world.token), Ok(6));

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
    let redemption = chain.redeem(&claims, &world.payee, to).unwrap();
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

    let again = chain.redeem(&claims, &world.payee, to);
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
            .redeem(&[claim], &world.payee, to)
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
