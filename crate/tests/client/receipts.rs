//! The account of what was sold, of a client that has sold to very many.

use alloy_primitives::{Address, B256, U256};
use bytes::Bytes;
use piecework::client::{
    Client, Config, Credit, Input, Output, PaymentConfig, ResalePrice, SellConfig,
};
use piecework::payment::payee::MAX_PAST;
use piecework::payment::record::{Key, PayeeFactsRecord};
use piecework::payment::voucher::Vault;
use piecework::time::Timestamp;
use piecework::types::{FineUnits, TokenUnits};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const VAULT: Vault = Vault {
    address: Address::repeat_byte(0x44),
    chain_id: 31_337,
};

/// A seller with the records of so many accounts that left.
fn seller(accounts: usize) -> Client {
    let records = (0..accounts).map(|n| {
        let facts = PayeeFactsRecord {
            redeemed: TokenUnits(100),
            ..PayeeFactsRecord::default()
        };
        let key = Key::PayeeFacts(B256::from(U256::from(n)));
        (key.text(&VAULT), facts.encode())
    });
    let payment = PaymentConfig {
        vault: VAULT.address,
        chain_id: VAULT.chain_id,
        buy: None,
        sell: Some(SellConfig {
            payee: Address::repeat_byte(0x88),
            price: ResalePrice::Fixed(FineUnits(1 << 20)),
            min_bond_percent: 125,
            credit: Credit::default(),
            dust: SellConfig::dust_of(6),
        }),
    };
    let config = Config {
        payment: Some(payment),
        ..Config::default()
    };
    let records: Vec<(String, Bytes)> = records.collect();
    let mut client = Client::new(config, [7; 32], records, NOW);
    client.handle_input(NOW, Input::Tick);
    while !matches!(client.poll_output(), Output::Timeout(_)) {}
    client
}

#[test]
fn the_receipts_know_the_accounts_that_the_seller_remembers_and_no_more() {
    assert_eq!(seller(3).load().receipt_accounts, 3);
    let accounts = seller(MAX_PAST + 3).load().receipt_accounts;
    assert_eq!(accounts, MAX_PAST);
}
