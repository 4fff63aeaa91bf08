#![allow(clippy::unwrap_used, clippy::panic)]

use alloy_primitives::{Address, B256, U256};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::payment::record::{PayeeRangeLife, PayerRangeLife};
use crate::payment::voucher::{Signature, Voucher};
use crate::sorted::Set;

const DAY: u64 = SECONDS_OF_A_DAY * 1_000_000;

fn vault() -> Vault {
    Vault {
        address: Address::repeat_byte(0x44),
        chain_id: 31_337,
    }
}

fn at(day: u64) -> Timestamp {
    Timestamp::from_micros(day * DAY + DAY / 2)
}

fn title(n: u8) -> InfoHash {
    InfoHash([n; 20])
}

fn bought(first: u32, payee: u8, paid: u128) -> (String, Bytes) {
    let record = PayerRangeRecord {
        first,
        count: 1,
        payee: Address::repeat_byte(payee),
        content: B256::ZERO,
        unit: FineUnits(10),
        paid: FineUnits(paid),
        life: PayerRangeLife::Usable,
    };
    let key = Key::PayerRange(B256::repeat_byte(1), first);
    (key.text(&vault()), record.encode())
}

fn sold(account: u8, first: u32, owner: u8, steps: u16) -> (String, Bytes) {
    let record = PayeeRangeRecord {
        session_key: Address::repeat_byte(9),
        voucher: Voucher {
            owner: Address::repeat_byte(owner),
            payee: Address::repeat_byte(8),
            first,
            count: 1,
            content: B256::ZERO,
            base: FineUnits(0),
            unit: FineUnits(10),
            steps: 256,
            root: B256::repeat_byte(3),
            luck: B256::ZERO,
        },
        signature: Signature {
            r: B256::repeat_byte(4),
            vs: B256::repeat_byte(5),
        },
        k: steps,
        w: B256::repeat_byte(6),
        tranche: TokenUnits(1),
        life: PayeeRangeLife::Open,
    };
    let key = Key::PayeeRange(B256::repeat_byte(account), first);
    (key.text(&vault()), record.encode())
}

fn facts(account: u8, redeemed: u128) -> (String, Bytes) {
    let record = PayeeFactsRecord {
        redeemed: TokenUnits(redeemed),
        ..PayeeFactsRecord::default()
    };
    let key = Key::PayeeFacts(B256::repeat_byte(account));
    (key.text(&vault()), record.encode())
}

/// A store that takes batches, and forgets the last ones when it is killed.
#[derive(Default)]
struct Disk {
    batches: Vec<Changes>,
}

impl Disk {
    fn records(&self) -> Map<String, Bytes> {
        let mut all = Map::new();
        for (key, value) in self.batches.iter().flatten() {
            match value {
                Some(value) => all.insert(key.clone(), value.clone()),
                None => all.remove(key),
            };
        }
        all
    }

    fn start(&self) -> Receipts {
        Receipts::new(vault(), self.records().iter())
    }

    fn put(
        &mut self,
        receipts: &mut Receipts,
        now: Timestamp,
        (key, value): (String, Bytes),
        of: Option<u8>,
    ) {
        let of = of.map(|n| (title(n), "film"));
        let mut batch = receipts.follow(now, &key, Some(&value), of);
        batch.push((key, Some(value)));
        self.batches.push(batch);
    }
}

fn sums(receipts: &Receipts) -> [u128; 4] {
    let mut sums = [0; 4];
    for line in receipts.lines() {
        match line.sum {
            Sum::Bought(sum) => sums[0] += sum.0,
            Sum::Sold(sum) => sums[1] += sum.0,
            Sum::Redeemed(sum) => sums[2] += sum.0,
            Sum::Fees(sum) => sums[3] += sum,
        }
    }
    sums
}

#[test]
fn each_day_title_and_peer_has_a_line_and_both_sides_have_their_own() {
    let (mut disk, mut r) = (Disk::default(), Disk::default().start());
    disk.put(&mut r, at(20_000), bought(1, 7, 100), Some(1));
    disk.put(&mut r, at(20_000), bought(1, 7, 130), Some(1));
    disk.put(&mut r, at(20_000), bought(2, 6, 50), Some(2));
    disk.put(&mut r, at(20_001), bought(1, 7, 150), Some(1));
    disk.put(&mut r, at(20_001), sold(2, 1, 5, 4), Some(1));
    disk.put(&mut r, at(20_001), facts(2, 3), None);
    let batch = r.fee(at(20_001), Side::Seller, B256::ZERO, 21_000);
    disk.batches.push(batch);
    let line = |day, of: Option<u8>, peer: Option<u8>, count, sum| Receipt {
        period: Period::Day(day),
        title: of.map(title),
        peer: peer.map(Address::repeat_byte),
        count,
        sum,
    };
    let expected = vec![
        line(20_000, Some(1), Some(7), 13, Sum::Bought(FineUnits(130))),
        line(20_000, Some(2), Some(6), 5, Sum::Bought(FineUnits(50))),
        line(20_001, Some(1), Some(7), 2, Sum::Bought(FineUnits(20))),
        line(20_001, None, None, 1, Sum::Fees(21_000)),
        line(20_001, None, Some(5), 1, Sum::Redeemed(TokenUnits(3))),
        line(20_001, Some(1), Some(5), 4, Sum::Sold(FineUnits(40))),
    ];
    assert_eq!(r.lines(), expected);
    assert_eq!(disk.start().lines(), expected, "and after a restart");
    assert_eq!(r.of_title(title(1)), (FineUnits(150), FineUnits(40)));
    assert_eq!(r.of_title(title(3)), (FineUnits(0), FineUnits(0)));
    let names = disk.start().names();
    let film = |n| (title(n), "film".to_owned());
    assert_eq!(names, [film(1), film(2), film(1)], "each side has its own");
}

#[test]
fn a_range_without_a_connection_counts_for_the_title_that_it_had_last() {
    let (mut disk, mut r) = (Disk::default(), Disk::default().start());
    disk.put(&mut r, at(1), bought(1, 7, 10), Some(1));
    disk.put(&mut r, at(1), bought(1, 7, 30), None);
    assert_eq!(r.of_title(title(1)).0, FineUnits(30));
    // After a restart nobody knows: the sum is in no title's line, but it is there.
    let mut r = disk.start();
    disk.put(&mut r, at(1), bought(1, 7, 35), None);
    assert_eq!(r.of_title(title(1)).0, FineUnits(30));
    assert_eq!(sums(&r)[0], 35);
}

#[test]
fn a_redemption_that_the_chain_forgot_is_taken_out_of_the_newest_lines() {
    let (mut disk, mut r) = (Disk::default(), Disk::default().start());
    disk.put(&mut r, at(1), sold(2, 1, 5, 4), Some(1));
    disk.put(&mut r, at(1), facts(2, 10), None);
    disk.put(&mut r, at(2), facts(2, 16), None);
    disk.put(&mut r, at(3), facts(2, 8), None);
    assert_eq!(sums(&r), [0, 40, 8, 0]);
    let of_days: Vec<_> = (r.lines().into_iter())
        .filter_map(|line| match line.sum {
            Sum::Redeemed(sum) => Some((line.period, sum.0)),
            _ => None,
        })
        .collect();
    assert_eq!(of_days, [(Period::Day(1), 8), (Period::Day(2), 0)]);
}

#[test]
fn an_account_that_the_seller_forgot_counts_from_the_beginning_when_it_is_back() {
    let (mut disk, mut r) = (Disk::default(), Disk::default().start());
    for (day, redeemed) in [(1, 10), (2, 16)] {
        disk.put(&mut r, at(day), sold(2, 1, 5, 4), Some(1));
        disk.put(&mut r, at(day), facts(2, redeemed), None);
    }
    assert_eq!(sums(&r)[2], 16);
    let before = r.accounts();
    r.forget(B256::repeat_byte(2));
    assert_eq!(r.accounts(), before - 1);
    // The seller's facts of it begin anew: that takes nothing out of the lines.
    disk.put(&mut r, at(3), sold(2, 2, 5, 4), Some(1));
    disk.put(&mut r, at(3), facts(2, 5), None);
    assert_eq!(sums(&r)[2], 21);
    let owners: Set<_> = (r.lines().iter())
        .filter(|line| matches!(line.sum, Sum::Redeemed(_)))
        .map(|line| line.peer)
        .collect();
    let owner = Some(Address::repeat_byte(5));
    assert_eq!(owners.iter().collect::<Vec<_>>(), [&owner]);
}

#[test]
fn gas_that_several_pages_report_counts_once() {
    let mut r = Disk::default().start();
    let hash = |n: usize| B256::from(U256::from(n));
    for _ in 0..3 {
        r.fee(at(1), Side::Buyer, hash(1), 21_000);
    }
    r.fee(at(1), Side::Seller, hash(2), 30_000);
    assert_eq!(sums(&r)[3], 51_000);
    // Only the last ones are known.
    for n in 0..MAX_COUNTED {
        r.fee(at(1), Side::Buyer, hash(100 + n), 1);
    }
    assert_eq!(r.counted.len(), MAX_COUNTED);
    assert!(r.fee(at(1), Side::Buyer, hash(100), 1).is_empty());
}

#[test]
fn the_lines_of_a_failed_batch_are_in_the_next_one() {
    let mut r = Disk::default().start();
    let put = |r: &mut Receipts, n: u64, day, record: (String, Bytes)| {
        let lines = r.follow(
            at(day),
            &record.0,
            Some(&record.1),
            Some((title(1), "film")),
        );
        r.leave(EffectId(n), Side::Buyer, &lines);
        lines
    };
    let lost = put(&mut r, 1, 1, bought(1, 7, 10));
    assert_eq!(lost.len(), 2, "the line and the name");
    r.ended(EffectId(1), false);
    // The machine puts the same record again, which says no more than before.
    assert_eq!(put(&mut r, 2, 1, bought(1, 7, 10)), lost);
    r.ended(EffectId(2), true);
    assert!(
        put(&mut r, 3, 1, bought(1, 7, 10)).is_empty(),
        "it is stored"
    );
    // Of two batches under way the one that failed goes again.
    let [first, second] = [(4, 20), (5, 30)].map(|(n, paid)| put(&mut r, n, 2, bought(1, 7, paid)));
    r.ended(EffectId(5), true);
    r.ended(EffectId(4), false);
    assert_eq!(first[0].0, second[0].0);
    assert_eq!(
        put(&mut r, 6, 2, bought(1, 7, 30)),
        second,
        "as it is by now"
    );
}

#[test]
fn a_failed_fold_is_done_again_whole() {
    let (mut disk, mut r) = (Disk::default(), Disk::default().start());
    disk.put(&mut r, at(1), bought(1, 7, 10), Some(1));
    disk.put(&mut r, at(1), bought(1, 7, 30), Some(1));
    // The first payment two months later folds the day, and its batch fails.
    let later = 1 + u64::from(DAYS);
    let record = bought(2, 7, 5);
    let lines = r.follow(at(later), &record.0, Some(&record.1), None);
    let folded = lines.iter().filter(|(_, value)| value.is_none()).count();
    assert_eq!(folded, 1, "the day's line goes");
    assert_eq!(
        lines.len(),
        lines.iter().map(|(key, _)| key).collect::<Set<_>>().len()
    );
    r.leave(EffectId(1), Side::Buyer, &lines);
    r.ended(EffectId(1), false);
    // The next one comes on another day.
    disk.put(&mut r, at(later + 1), record, None);
    assert_eq!(disk.start().lines(), r.lines());
    assert_eq!(sums(&disk.start())[0], 35);
}

#[test]
fn days_become_months_and_months_one_sum() {
    let (mut disk, mut r) = (Disk::default(), Disk::default().start());
    // 31 December 2023, 1 January and 29 February 2024, 1 March 2024.
    let days: [(u64, u32); 4] = [
        (19_722, 2_023 * 12 + 11),
        (19_723, 2_024 * 12),
        (19_782, 2_024 * 12 + 1),
        (19_783, 2_024 * 12 + 2),
    ];
    for (n, (day, month)) in days.into_iter().enumerate() {
        assert_eq!(Period::month(day as u32), month, "{day}");
        disk.put(&mut r, at(day), bought(n as u32 + 1, 7, 10), Some(1));
    }
    let periods = |r: &Receipts| -> Vec<Period> { r.lines().iter().map(|l| l.period).collect() };
    let last = 19_783 + u64::from(DAYS) - 1;
    disk.put(&mut r, at(last), bought(5, 7, 10), Some(1));
    assert_eq!(
        periods(&r),
        [
            Period::Month(2_023 * 12 + 11),
            Period::Month(2_024 * 12),
            Period::Month(2_024 * 12 + 1),
            Period::Day(19_783),
            Period::Day(last as u32)
        ]
    );
    assert_eq!(disk.start().lines(), r.lines());
    // Ten years later.
    disk.put(&mut r, at(last + 3_653), bought(6, 7, 10), Some(1));
    assert_eq!(periods(&r).first(), Some(&Period::Earlier));
    assert_eq!(disk.start().lines(), r.lines());
    assert_eq!(sums(&r)[0], 60);
    for side in [Side::Buyer, Side::Seller] {
        let batch = r.clear(side);
        disk.batches.push(batch);
    }
    assert!(disk.records().keys().all(|key| key.starts_with("pay/")));
}

#[test]
fn titles_and_peers_beyond_the_bounds_share_a_line() {
    let (mut disk, mut r) = (Disk::default(), Disk::default().start());
    for n in 1..=200u32 {
        let many = (n % 200) as u8 + 1;
        disk.put(&mut r, at(1), bought(n, many, 10), Some(1));
        disk.put(&mut r, at(1), bought(1_000 + n, 7, 10), Some(many));
    }
    assert_eq!(sums(&r)[0], 4_000);
    let lines = r.lines();
    let of_title = |of: Option<InfoHash>| lines.iter().filter(|l| l.title == of).count();
    assert_eq!(of_title(Some(title(1))), MAX_PEERS + 1);
    let titles: Set<_> = lines.iter().filter_map(|l| l.title).collect();
    assert_eq!(titles.len(), MAX_TITLES);
    assert_eq!(of_title(None), 1);
    assert_eq!(disk.start().lines(), lines);
}

#[test]
fn every_day_since_1970_is_in_the_month_of_the_calendar() {
    let mut day = 0u32;
    for year in 1_970..2_170u32 {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let february = if leap { 29 } else { 28 };
        let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (month, length) in (0u32..).zip(lengths) {
            for of_month in 1..=length {
                assert_eq!(Period::month(day), year * 12 + month, "day {day}");
                let date = format!("{year}-{:02}-{of_month:02}", month + 1);
                assert_eq!(Period::Day(day).to_string(), date);
                day += 1;
            }
        }
    }
}

proptest! {
    /// Over any payments and any kills the lines say what the stored ranges say, and never panic at foreign records.
    #[test]
    fn lines_are_the_sums_of_the_stored_ranges(
        steps in proptest::collection::vec((0u8..12, 1u32..6, 1u16..20, 0u64..100), 1..80),
    ) {
        let (mut disk, mut r) = (Disk::default(), Disk::default().start());
        let (mut paid, mut earned) = ([0u128; 6], [0u16; 6]);
        let mut day = 20_000;
        for (what, first, more, days) in steps {
            let n = first as usize;
            let of = (what % 3 > 0).then_some(what % 3);
            match what {
                0..=4 => {
                    paid[n] += u128::from(more);
                    disk.put(&mut r, at(day), bought(first, 7, paid[n]), of);
                }
                5..=9 => {
                    earned[n] = (earned[n] + more).min(256);
                    disk.put(&mut r, at(day), sold(first as u8, first, 5, earned[n]), of);
                }
                10 => day += days,
                _ => {
                    let kept = disk.batches.len().saturating_sub(usize::from(more) % 4);
                    disk.batches.truncate(kept);
                    r = disk.start();
                    (paid, earned) = ([0; 6], [0; 6]);
                    for (key, value) in &disk.records() {
                        match Key::parse(key, &vault()) {
                            Some(Key::PayerRange(_, first)) => {
                                paid[first as usize] = PayerRangeRecord::decode(value).unwrap().paid.0;
                            }
                            Some(Key::PayeeRange(_, first)) => {
                                earned[first as usize] = PayeeRangeRecord::decode(value).unwrap().k;
                            }
                            _ => {}
                        }
                    }
                }
            }
            let expected = [
                paid.iter().sum::<u128>(),
                earned.iter().map(|k| 10 * u128::from(*k)).sum(),
            ];
            prop_assert_eq!(&sums(&r)[..2], &expected[..]);
            prop_assert_eq!(disk.start().lines(), r.lines());
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic_and_what_is_read_is_canonical(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        version in any::<bool>(),
    ) {
        if let (true, Some(first)) = (version, bytes.first_mut()) {
            *first = VERSION;
        }
        if let Some(lines) = decode(&bytes) {
            prop_assert_eq!(&encode(&lines)[..], &bytes[..]);
        }
    }
}
