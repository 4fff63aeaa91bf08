//! The plain values under both machines: a seller's books, its records, and what a refusal says.

use alloy_primitives::B256;
use piecework::payment::ledger::SellerLedger;
use piecework::payment::record::{PayeeFactsRecord, PayeeRangeLife, PayeeRangeRecord};
use piecework::payment::voucher::Signature;
use piecework::types::{ConnectionId, FineUnits, TokenUnits};

use crate::hand::*;

#[test]
fn of_what_was_lost_the_first_credit_and_a_32nd_of_what_was_paid_are_forgiven() {
    for (paid_total, debt) in [
        (0, 16),
        (31, 16),
        (32, 15),
        (64, 14),
        (512, 0),
        (1 << 40, 0),
    ] {
        let ledger = SellerLedger::new(PayeeFactsRecord {
            lost: 20,
            paid_total,
            ..PayeeFactsRecord::default()
        });
        assert_eq!(ledger.debt(4), debt, "{paid_total} paid");
    }
}

#[test]
fn a_payment_is_counted_once_over_all_connections() {
    let third = ConnectionId(3);
    let mut ledger = SellerLedger::default();
    for (conn, blocks) in [(A, 2), (B, 3), (third, 5)] {
        (0..blocks).for_each(|_| ledger.written(conn));
    }
    ledger.paid(A, 6);
    let unpaid = [A, B, third].map(|conn| ledger.unpaid_on(conn));
    assert_eq!(unpaid, [0, 0, 4]);
}

#[test]
fn a_sellers_record_is_read_only_whole_with_serials_and_a_step_that_its_voucher_has() {
    let (v, chain) = voucher(7, FineUnits(0), 1);
    let record = PayeeRangeRecord {
        session_key: session_address(),
        voucher: v,
        signature: Signature {
            r: B256::repeat_byte(4),
            vs: B256::repeat_byte(5),
        },
        k: v.steps,
        w: chain.link(v.steps).unwrap(),
        tranche: TokenUnits(Q.0),
        life: PayeeRangeLife::Open,
    };
    let sound = |record: &PayeeRangeRecord| PayeeRangeRecord::decode(&record.encode());
    assert_eq!(sound(&record), Some(record));
    let bytes = record.encode();
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(PayeeRangeRecord::decode(&longer), None);
    let shorter = &bytes[..bytes.len() - 1];
    assert_eq!(PayeeRangeRecord::decode(shorter), None);
    let mut beyond = record;
    beyond.k += 1;
    assert_eq!(sound(&beyond), None);
    let mut first_serial = record;
    first_serial.voucher.first = 0;
    assert_eq!(sound(&first_serial), None);
}

#[test]
fn a_seller_that_is_refused_for_its_own_sake_is_of_no_use_and_for_ours_it_is() {
    let mut b = Buying::new();
    b.payer.set_ceiling(ms(0), FineUnits(UNIT.0 - 1));
    b.connect(ms(0), A, V1);
    assert!(!b.payer.is_of_use(A), "its price is too high");
    let mut b = Buying::new();
    b.payer.set_budget(ms(0), TokenUnits(0));
    b.connect(ms(0), A, V1);
    assert!(b.payer.is_of_use(A), "the budget may be raised");
}

#[test]
fn a_seller_holds_to_the_least_worth_that_it_was_set() {
    let config = Selling::new().config.with_dust(TokenUnits(77));
    assert_eq!(config.dust, TokenUnits(77));
    assert_eq!(config.min_range, TokenUnits(77).fine());
}
