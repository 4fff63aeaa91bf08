//! What a title may cost: the word that was said of it last.

use alloy_primitives::Address;
use piecework::client::{
    AddOptions, BuyConfig, Client, Command, Config, Input, Output, PaymentConfig, Source,
};
use piecework::time::Timestamp;
use piecework::types::{FineUnits, InfoHash, TokenUnits};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const HASH: InfoHash = InfoHash([0x61; 20]);
/// Of all titles.
const CEILING: FineUnits = FineUnits(1 << 30);

fn client() -> Client {
    let payment = PaymentConfig {
        vault: Address::repeat_byte(0x44),
        chain_id: 31_337,
        buy: Some(BuyConfig {
            max_price: CEILING,
            budget: TokenUnits(1_000_000),
            loss_budget_pieces: 4,
        }),
        sell: None,
    };
    let config = Config {
        trackers: vec!["wss://tracker.example/".to_owned()],
        payment: Some(payment),
        ..Config::default()
    };
    Client::new(config, [7; 32], [], NOW)
}

/// Takes the title up, or takes it up again; what may be paid for a block then.
fn add(client: &mut Client, max_price: Option<FineUnits>) -> FineUnits {
    let add = Command::Add {
        tag: 1,
        source: Source::Magnet(format!("magnet:?xt=urn:btih:{HASH}")),
        options: AddOptions {
            max_price,
            ..AddOptions::default()
        },
    };
    client.handle_input(NOW, Input::Command(add));
    while !matches!(client.poll_output(), Output::Timeout(_)) {}
    client.torrent(HASH).unwrap().max_price
}

#[test]
fn the_most_that_an_add_allows_holds_for_a_title_that_is_in_use_already() {
    let mut client = client();
    assert_eq!(add(&mut client, None), CEILING);
    for most in [FineUnits(7), FineUnits(0), FineUnits(9)] {
        assert_eq!(add(&mut client, Some(most)), most);
        assert_eq!(
            add(&mut client, None),
            most,
            "who says nothing of it changes nothing"
        );
    }
    assert_eq!(add(&mut client, Some(FineUnits(CEILING.0 + 1))), CEILING);
}
