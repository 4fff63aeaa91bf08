//! Payers that cheat, beside one that does not. The seller answers each cheat with its code, loses no more than a
//! credit window, and goes on serving the honest one.

use crate::scene::*;
use alloy_primitives::{Address, B256};
use piecework::time::Duration;
use piecework::types::FineUnits;
use piecework::wire::pay::{PayMessage, RejectCode, VoucherBody};
use piecework_simulation::{Hand, Overheard, Tamper, for_seeds, overheard, vouchers};

const SEEDS: u64 = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cheat {
    /// Pays for some blocks and then for none.
    StopsPaying,
    /// Sends an old link under a new number.
    ReusesPreimages,
    /// Claims more steps than its link is worth.
    SkipsPreimages,
    /// Past what its deposit covers.
    PromisesUncovered,
    /// Redeemed long ago.
    PromisesConsumed,
    /// Over serials of an earlier range.
    PromisesOverlapping,
    /// The honest buyer's.
    ReplaysCommits,
    /// Resumes below what it paid.
    FoldsDown,
    NamesAnotherPrice,
    NamesAnotherContent,
    SignsForAnotherVault,
    SignsForAnotherChain,
    /// Its owner takes the deposit out.
    Exits,
}

const CHEATS: [Cheat; 13] = [
    Cheat::StopsPaying,
    Cheat::ReusesPreimages,
    Cheat::SkipsPreimages,
    Cheat::PromisesUncovered,
    Cheat::PromisesConsumed,
    Cheat::PromisesOverlapping,
    Cheat::ReplaysCommits,
    Cheat::FoldsDown,
    Cheat::NamesAnotherPrice,
    Cheat::NamesAnotherContent,
    Cheat::SignsForAnotherVault,
    Cheat::SignsForAnotherChain,
    Cheat::Exits,
];

/// A serial that was redeemed before the run, far beyond what is used in it.
const CONSUMED: u64 = 200;

fn pays(mut change: impl FnMut(u16, B256) -> Option<(u16, B256)> + Send + 'static) -> Tamper {
    Box::new(move |_, message| match message {
        PayMessage::Pay { first, tag, k, w } => change(k, w)
            .map(|(k, w)| PayMessage::Pay { first, tag, k, w })
            .into_iter()
            .collect(),
        other => vec![other],
    })
}

fn signed_elsewhere(
    mut sign: impl FnMut(&Hand, VoucherBody) -> VoucherBody + Send + 'static,
) -> Tamper {
    Box::new(move |hand, message| match message {
        PayMessage::Commit { quote_id, voucher } => {
            let voucher = sign(hand, voucher);
            vec![PayMessage::Commit { quote_id, voucher }]
        }
        other => vec![other],
    })
}

fn tamper(cheat: Cheat, heard: &Overheard) -> Option<Tamper> {
    Some(match cheat {
        Cheat::StopsPaying => {
            let mut paid = 0;
            pays(move |k, w| {
                paid += 1;
                (paid <= 3).then_some((k, w))
            })
        }
        Cheat::ReusesPreimages => {
            let mut first = None;
            pays(move |k, w| Some((k, *first.get_or_insert(w))))
        }
        Cheat::SkipsPreimages => pays(|k, w| Some((k + 1, w))),
        Cheat::PromisesUncovered => vouchers(|v| v.first += 100_000),
        Cheat::PromisesConsumed => vouchers(|v| (v.first, v.count) = (CONSUMED as u32, 1)),
        Cheat::PromisesOverlapping => {
            let mut honest = None;
            signed_elsewhere(move |hand, mut v| {
                // All but its first range begin one serial too early.
                if *honest.get_or_insert(v.first) != v.first {
                    (v.first, v.count) = (v.first - 1, v.count + 1);
                }
                hand.sign(v)
            })
        }
        Cheat::ReplaysCommits => {
            let heard = heard.clone();
            Box::new(move |_, message| match message {
                PayMessage::Commit { quote_id, .. } => {
                    let stolen = heard.lock().unwrap().back().copied();
                    let Some(PayMessage::Commit { voucher, .. }) = stolen else {
                        return Vec::new();
                    };
                    vec![PayMessage::Commit { quote_id, voucher }]
                }
                other => vec![other],
            })
        }
        Cheat::FoldsDown => vouchers(|v| v.base = FineUnits(0)),
        Cheat::NamesAnotherPrice => vouchers(|v| v.unit.0 -= 1),
        Cheat::NamesAnotherContent => vouchers(|v| v.content = B256::repeat_byte(7)),
        Cheat::SignsForAnotherVault => signed_elsewhere(|hand, voucher| {
            let (elsewhere, chain) = (Address::repeat_byte(0x66), hand.vault.chain_id);
            hand.sign_for(voucher, elsewhere, chain)
        }),
        Cheat::SignsForAnotherChain => {
            signed_elsewhere(|hand, voucher| hand.sign_for(voucher, hand.vault.address, 1))
        }
        Cheat::Exits => return None,
    })
}

/// The refusal that the seller must have sent; `None`: it refuses nothing.
fn refusal(cheat: Cheat) -> Option<RejectCode> {
    match cheat {
        Cheat::StopsPaying => Some(RejectCode::OverCredit),
        Cheat::ReusesPreimages | Cheat::SkipsPreimages => Some(RejectCode::BadPreimage),
        Cheat::PromisesUncovered => Some(RejectCode::NotCovered),
        Cheat::PromisesConsumed => Some(RejectCode::ConsumedOrClosed),
        Cheat::PromisesOverlapping => Some(RejectCode::Conflict),
        Cheat::NamesAnotherPrice => Some(RejectCode::PriceOrQuote),
        Cheat::NamesAnotherContent => Some(RejectCode::Content),
        // Another signer is found, whose account the chain does not know.
        Cheat::SignsForAnotherVault | Cheat::SignsForAnotherChain => Some(RejectCode::ChainPending),
        Cheat::Exits => Some(RejectCode::Exiting),
        // No credit before a higher link; STATE.
        Cheat::ReplaysCommits | Cheat::FoldsDown => None,
    }
}

/// Whether it can get anything at all.
fn gets_blocks(cheat: Cheat) -> bool {
    match cheat {
        Cheat::StopsPaying
        | Cheat::ReusesPreimages
        | Cheat::SkipsPreimages
        | Cheat::PromisesOverlapping
        | Cheat::FoldsDown
        | Cheat::Exits => true,
        Cheat::PromisesUncovered
        | Cheat::PromisesConsumed
        | Cheat::ReplaysCommits
        | Cheat::NamesAnotherPrice
        | Cheat::NamesAnotherContent
        | Cheat::SignsForAnotherVault
        | Cheat::SignsForAnotherChain => false,
    }
}

#[test]
fn a_payer_that_cheats_is_refused_with_the_reason_and_costs_at_most_its_credit() {
    for_seeds(SEEDS, |seed| {
        let cheat = CHEATS[seed as usize % CHEATS.len()];
        let mut net = net(seed);
        let content = content(seed);
        let shop = seller(&mut net, 1, &content);
        let honest = buyer(&mut net);
        let heard = Overheard::default();
        net.set_tamper(honest, overheard(&heard));
        let bad = buyer(&mut net);
        let account = net.account_of(bad);
        if cheat == Cheat::PromisesConsumed {
            // Its own client has looked at the chain before: it would promise nothing beside a serial that it does not
            // know.
            net.run_for(Duration::from_secs(5));
            net.vault.consume(account, CONSUMED);
        }
        if let Some(tamper) = tamper(cheat, &heard) {
            // A buyer that folds down must have paid before.
            if cheat != Cheat::FoldsDown {
                net.set_tamper(bad, tamper);
            }
        }
        net.leech(honest, &content);
        if cheat == Cheat::ReplaysCommits {
            let begun = net.run_until(Duration::from_secs(60), |net| {
                net.watch.commits.iter().any(|c| c.from == honest)
            });
            assert!(begun, "seed {seed}");
        }
        net.leech(bad, &content);
        match cheat {
            Cheat::Exits | Cheat::FoldsDown => {
                let paid =
                    net.run_until(Duration::from_secs(120), |net| revealed(net, bad, 1) >= 2);
                assert!(paid, "seed {seed}: {}", story(&net, bad, &content));
            }
            _ => {}
        }
        match cheat {
            Cheat::Exits => net.exit(bad),
            Cheat::FoldsDown => {
                // The last links are on their way when the page is closed.
                net.vanish(bad, Duration::from_secs(3));
                net.set_tamper(bad, tamper(cheat, &heard).unwrap());
                net.run_for(Duration::from_secs(1));
                reopen(&mut net, bad, &content);
            }
            _ => {}
        }
        assert!(
            until_complete(&mut net, honest, &content, 300),
            "seed {seed}, {cheat:?}: the honest one: {}",
            story(&net, honest, &content)
        );
        net.run_for(Duration::from_secs(60));

        let refused = net.watch.books.rejects.get(&(shop, bad)).cloned();
        let refused = refused.unwrap_or_default();
        if let Some(code) = refusal(cheat) {
            assert!(
                refused.contains(&code),
                "seed {seed}, {cheat:?}: {refused:?}: {}",
                story(&net, bad, &content)
            );
        }
        if cheat == Cheat::FoldsDown {
            let states = net.watch.books.states.get(&(shop, bad)).copied();
            assert!(states >= Some(1), "seed {seed}: the seller holds more");
        }
        let got = sent(&net, shop, bad, &content);
        if !gets_blocks(cheat) {
            assert_eq!(got, 0, "seed {seed}, {cheat:?}");
        }
        // The honest one was refused nothing but for a moment.
        let final_codes = (net
            .watch
            .books
            .rejects
            .get(&(shop, honest))
            .into_iter()
            .flatten())
        .filter(|code| !matches!(code, RejectCode::Rate | RejectCode::ChainPending))
        .count();
        assert_eq!(final_codes, 0, "seed {seed}, {cheat:?}");
        assert_eq!(
            revealed(&net, honest, 1),
            sent(&net, shop, honest, &content),
            "seed {seed}, {cheat:?}: every block once: {}",
            story(&net, honest, &content)
        );
        audit_buyer(&net, honest, &[1], &content);
        let window = match gets_blocks(cheat) {
            true => CREDIT0.max(BLOCKS / 4) * 2,
            false => 0,
        };
        // The cheat goes on for ever; nothing of it may come in while the seller redeems.
        net.crash(bad);
        net.run_for(Duration::from_secs(10));
        audit_seller(&mut net, shop, 1, &[honest, bad], &content, window);
    });
}
