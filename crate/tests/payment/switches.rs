//! A buyer that turns to another account, and back, while something of the first is under way.

use crate::hand::*;
use piecework::payment::PayAction;
use piecework::payment::payer::AccountInfo;
use piecework::payment::record::{Key, PayerAccountRecord, PayerRangeRecord};
use piecework::payment::voucher::account_id;
use piecework::time::Timestamp;
use piecework::types::TokenUnits;
use piecework::wire::pay::PayMessage;

fn is_put(action: &PayAction) -> bool {
    matches!(action, PayAction::PutRecord { .. })
}

/// Selects an account of another owner.
fn turn_away(b: &mut Buying, now: Timestamp) {
    let other = AccountInfo {
        owner: alloy_primitives::Address::repeat_byte(0x23),
        session_key: session_address(),
        tranche: Q,
        balance: TokenUnits(2_000_000),
        bond: TokenUnits(2_500_000),
        consumed: 1,
        exit_at: 0,
    };
    b.payer.set_account(now, other);
    b.run(now);
    b.payer.disconnected(now, A);
    b.run(now);
}

/// A seller that is known by name, and whose quote is in.
fn comes(b: &mut Buying, now: Timestamp) {
    b.payer.connected(now, B, info(1));
    (b.payer).want(now, B, V1, true, MAX_UNIT);
    let quote = PayMessage::Terms(terms(UNIT));
    b.payer.message(now, B, quote);
}

#[test]
fn nothing_is_signed_before_it_is_durable_though_the_account_changed_and_came_back_meanwhile() {
    // The store has not answered yet, or it refused while the other account was selected.
    for refused in [false, true] {
        let mut b = Buying::new();
        b.payer.connected(ms(0), A, info(1));
        (b.payer).want(ms(0), A, V1, true, MAX_UNIT);
        let quote = PayMessage::Terms(terms(UNIT));
        b.payer.message(ms(0), A, quote);
        let first = b.run_to(ms(0), is_put);
        assert!(!first.puts.is_empty());
        // What was not stored is not there.
        b.store.clear();
        turn_away(&mut b, ms(100));
        if refused {
            for effect in &first.puts {
                b.payer.stored(ms(200), *effect, false);
            }
        }
        b.account(ms(300));
        comes(&mut b, ms(20_000));
        let id = account_id(OWNER, session_address());
        let is_sign = |action: &PayAction| matches!(action, PayAction::Sign { .. });
        let done = b.run_to(ms(20_000), |action| is_put(action) || is_sign(action));
        assert!(done.signs.is_empty(), "refused: {refused}");
        for effect in done.puts {
            b.payer.stored(ms(20_100), effect, true);
        }
        let v = b.run(ms(20_100)).commit();
        let record = |key: Key| b.store.get(&key.text(&vault())).unwrap();
        let next = PayerAccountRecord::decode(record(Key::PayerAccount(id)))
            .unwrap()
            .next;
        let range = PayerRangeRecord::decode(record(Key::PayerRange(id, v.first))).unwrap();
        assert!(next >= u64::from(v.first) + u64::from(v.count));
        assert_eq!((range.payee, range.count), (PAYEE, v.count));
    }
}
