//! Every message of `pw_pay` in every state of a payee: one table says what comes of it. It is exhaustive, for the
//! compiler sees to it: no `match` over messages or states here has a wildcard.

use std::collections::BTreeSet;

use crate::hand::*;
use crate::payee_scene::{Kind, PAID, Scene, State, message, scene};
use piecework::payment::{PayAction, PayEvent};
use piecework::wire::pay::{PayMessage, RejectCode};

/// What came of a message, in words, and how many blocks' worth was earned by it.
fn observe(scene: &mut Scene, kind: Kind) -> (String, u128) {
    let message = message(kind, scene);
    let earned = scene.s.payee.totals().earned.0;
    let (payee, now) = (&mut scene.s.payee, scene.now);
    payee.message(now, A, message);
    payee.end_of_batch(now);
    let mut words: Vec<String> = Vec::new();
    while let Some(action) = payee.poll() {
        let word = match &action {
            PayAction::Send { message, .. } => match message {
                PayMessage::Terms(_) => "TERMS".to_owned(),
                PayMessage::Ack { credit_blocks, .. } => format!("ACK {credit_blocks}"),
                PayMessage::Reject { code, .. } => format!("REJECT {}", code.code()),
                PayMessage::Need { reason, .. } => format!("NEED {}", reason.code()),
                PayMessage::Seen { .. } => "SEEN".to_owned(),
                PayMessage::State { .. } => "STATE".to_owned(),
                PayMessage::Bye { .. } => "BYE".to_owned(),
                PayMessage::Held { .. } => "HELD".to_owned(),
                other @ (PayMessage::Commit { .. }
                | PayMessage::Pay { .. }
                | PayMessage::Reconcile { .. }) => {
                    panic!("a payee does not say {other:?}")
                }
            },
            PayAction::PutRecord { .. } => "stores".to_owned(),
            PayAction::ReadState { .. } => "reads".to_owned(),
            PayAction::Unchoke { .. } => "unchokes".to_owned(),
            PayAction::Choke { .. } => "chokes".to_owned(),
            PayAction::CloseConnection { .. } => "closes".to_owned(),
            PayAction::Event(PayEvent::Conflict { .. }) => "conflict".to_owned(),
            PayAction::Event(PayEvent::WalkedAway { .. }) => "walks away".to_owned(),
            PayAction::Event(
                PayEvent::Rejected { .. }
                | PayEvent::Earned { .. }
                | PayEvent::BuyerAttached { .. },
            ) => continue,
            other => panic!("{other:?} is not expected of any message here"),
        };
        words.push(word);
        if let PayAction::ReadState {
            effect, account, ..
        } = action
        {
            scene.accounts.insert(effect, account);
        }
        scene.waiting.take(action, &mut scene.s.store);
    }
    let moved = scene.s.payee.totals().earned.0 - earned;
    (words.join(", "), moved / UNIT.0)
}

/// What comes of a message, and how many blocks' worth is earned by it.
fn table(kind: Kind, state: State) -> (&'static str, u128) {
    use State::*;
    match kind {
        Kind::Terms
        | Kind::Ack
        | Kind::Reject
        | Kind::Need
        | Kind::State
        | Kind::ByeSelling
        | Kind::Held
        | Kind::PayWrongRange
        | Kind::SeenForeign => match state {
            NoConnection | OtherChain | NotSelling | Quoted | Reading | Storing | Attached
            | OverCredit | FoldStoring | Replayed | Suspended | Closing | Ready | Claimed
            | Redeemed | BuyerLeft | Stopped | ShutDown | Exiting => ("", 0),
        },
        Kind::CommitAgain => match state {
            NoConnection | OtherChain | Reading | Storing | FoldStoring => ("", 0),
            NotSelling => ("REJECT 9", 0),
            Quoted | Replayed | Suspended => ("reads", 0),
            Attached | OverCredit | BuyerLeft | Stopped => ("ACK 4", 0),
            Closing | Ready | Claimed | Redeemed => ("REJECT 5", 0),
            ShutDown => ("REJECT 15", 0),
            Exiting => ("REJECT 7", 0),
        },
        Kind::Fold => match state {
            NoConnection | OtherChain => ("", 0),
            NotSelling => ("REJECT 9", 0),
            Quoted | Replayed | Suspended => ("reads", 0),
            Reading | Storing | FoldStoring => ("REJECT 14", 0),
            Attached | OverCredit | BuyerLeft | Stopped => ("stores", 0),
            Closing | Ready | Claimed | Redeemed => ("REJECT 5", 0),
            ShutDown => ("REJECT 15", 0),
            Exiting => ("REJECT 7", 0),
        },
        Kind::FoldDown => match state {
            NoConnection | OtherChain => ("", 0),
            NotSelling => ("REJECT 9", 0),
            Quoted => ("reads", 0),
            Reading | Storing => ("REJECT 14", 0),
            Attached | OverCredit | FoldStoring | Replayed | Suspended | BuyerLeft | Stopped => {
                ("STATE", 0)
            }
            Closing | Ready | Claimed | Redeemed => ("REJECT 5", 0),
            ShutDown => ("REJECT 15", 0),
            Exiting => ("REJECT 7", 0),
        },
        Kind::CommitNext | Kind::CommitUncovered | Kind::CommitConsumed => match state {
            NoConnection | OtherChain => ("", 0),
            NotSelling | Stopped => ("REJECT 9", 0),
            Quoted | Attached | OverCredit | FoldStoring | Replayed | Suspended | Closing
            | Ready | Claimed | Redeemed | BuyerLeft => ("reads", 0),
            Reading | Storing => ("REJECT 14", 0),
            ShutDown => ("REJECT 15", 0),
            Exiting => ("REJECT 7", 0),
        },
        Kind::CommitQuote | Kind::CommitPrice | Kind::CommitLottery => match state {
            NoConnection | OtherChain => ("", 0),
            NotSelling | Stopped => ("REJECT 9", 0),
            Quoted | Attached | OverCredit | FoldStoring | Replayed | Suspended | Closing
            | Ready | Claimed | Redeemed | BuyerLeft | Exiting => ("REJECT 9, TERMS", 0),
            Reading | Storing => ("REJECT 14", 0),
            ShutDown => ("REJECT 15", 0),
        },
        Kind::CommitContent => match state {
            NoConnection | OtherChain => ("", 0),
            NotSelling | Stopped => ("REJECT 9", 0),
            Quoted | Attached | OverCredit | FoldStoring | Replayed | Suspended | Closing
            | Ready | Claimed | Redeemed | BuyerLeft | Exiting => ("REJECT 10", 0),
            Reading | Storing => ("REJECT 14", 0),
            ShutDown => ("REJECT 15", 0),
        },
        Kind::CommitMalformed => match state {
            NoConnection | OtherChain => ("", 0),
            NotSelling | Stopped => ("REJECT 9", 0),
            Quoted | Attached | OverCredit | FoldStoring | Replayed | Suspended | Closing
            | Ready | Claimed | Redeemed | BuyerLeft | Exiting => ("REJECT 4", 0),
            Reading | Storing => ("REJECT 14", 0),
            ShutDown => ("REJECT 15", 0),
        },
        Kind::CommitNoSteps => match state {
            NoConnection | OtherChain => ("", 0),
            NotSelling | Stopped => ("REJECT 9", 0),
            Quoted | Attached | OverCredit | FoldStoring | Replayed | Suspended | Closing
            | Ready | Claimed | Redeemed | BuyerLeft | Exiting => ("REJECT 16", 0),
            Reading | Storing => ("REJECT 14", 0),
            ShutDown => ("REJECT 15", 0),
        },
        Kind::CommitUnsigned => match state {
            NoConnection | OtherChain => ("", 0),
            NotSelling | Stopped => ("REJECT 9", 0),
            Quoted | Attached | OverCredit | FoldStoring | Replayed | Suspended | Closing
            | Ready | Claimed | Redeemed | BuyerLeft | Exiting => ("REJECT 3", 0),
            Reading | Storing => ("REJECT 14", 0),
            ShutDown => ("REJECT 15", 0),
        },
        Kind::CommitVault | Kind::CommitChain | Kind::CommitStranger => match state {
            NoConnection | OtherChain => ("", 0),
            NotSelling | Stopped => ("REJECT 9", 0),
            Quoted => ("reads", 0),
            Reading | Storing => ("REJECT 14", 0),
            Attached | OverCredit | FoldStoring | Replayed | Suspended | Closing | Ready
            | Claimed | Redeemed | BuyerLeft | Exiting => ("REJECT 3", 0),
            ShutDown => ("REJECT 15", 0),
        },
        Kind::CommitOverlap => match state {
            NoConnection | OtherChain => ("", 0),
            NotSelling | Stopped => ("REJECT 9", 0),
            Quoted => ("reads", 0),
            Reading | Storing => ("REJECT 14", 0),
            Attached | OverCredit | FoldStoring | Replayed | Suspended | Closing | Ready
            | Claimed | Redeemed | BuyerLeft => ("SEEN, REJECT 6", 0),
            ShutDown => ("REJECT 15", 0),
            Exiting => ("REJECT 7", 0),
        },
        Kind::Pay => match state {
            NoConnection | OtherChain | NotSelling | Quoted | Reading | Storing | FoldStoring => {
                ("", 0)
            }
            // Nothing changes for the payer: the ACK can wait for more of them.
            Attached | Closing | Ready | BuyerLeft | Stopped | ShutDown => ("", 1),
            OverCredit | Suspended => ("ACK 4, unchokes", 1),
            Replayed => ("stores, chokes, stores, ACK 4, unchokes", 1),
            Claimed | Redeemed => ("REJECT 5", 0),
            Exiting => ("ACK 0", 1),
        },
        Kind::PaySkipping => match state {
            NoConnection | OtherChain | NotSelling | Quoted | Reading | Storing | FoldStoring => {
                ("", 0)
            }
            Attached | Closing | Ready | BuyerLeft | Stopped | ShutDown => ("", 4),
            OverCredit | Suspended => ("ACK 4, unchokes", 4),
            Replayed => ("stores, chokes, stores, ACK 4, unchokes", 4),
            Claimed | Redeemed => ("REJECT 5", 0),
            Exiting => ("ACK 0", 4),
        },
        Kind::PayAgain | Kind::PayLower | Kind::PayWrongTag => match state {
            NoConnection | OtherChain | NotSelling | Quoted | Reading | Storing | Attached
            | OverCredit | FoldStoring | Replayed | Suspended | Closing | Ready | BuyerLeft
            | Stopped | ShutDown | Exiting => ("", 0),
            Claimed | Redeemed => ("REJECT 5", 0),
        },
        Kind::PayReused | Kind::PayTooFar => match state {
            NoConnection | OtherChain | NotSelling | Quoted | Reading | Storing => ("", 0),
            Attached | OverCredit | FoldStoring | Replayed | Suspended | Closing | Ready
            | BuyerLeft | Stopped | ShutDown | Exiting => ("REJECT 11", 0),
            Claimed | Redeemed => ("REJECT 5", 0),
        },
        Kind::SeenConflict => match state {
            NoConnection | OtherChain | NotSelling | Quoted | Reading | Storing => ("", 0),
            Attached | OverCredit | FoldStoring | Replayed | Suspended | Closing | Ready
            | Claimed | Redeemed | BuyerLeft | Stopped | ShutDown | Exiting => ("conflict", 0),
        },
        Kind::ByeBuying => match state {
            NoConnection | OtherChain | NotSelling | Quoted | Reading | Storing | OverCredit
            | Replayed | Suspended | Claimed | Redeemed | BuyerLeft | Stopped | ShutDown
            | Exiting => ("", 0),
            Attached | FoldStoring | Closing | Ready => ("chokes", 0),
        },
        // The range leaves the connection that had it.
        Kind::Reconcile => match state {
            NoConnection | OtherChain | NotSelling | Quoted | Reading | Storing | FoldStoring
            | ShutDown => ("", 0),
            Attached | Replayed | Ready => ("chokes, stores, stores", 0),
            OverCredit => ("walks away, stores, stores", 0),
            Suspended | BuyerLeft | Stopped => ("stores, stores", 0),
            Exiting => ("stores", 0),
            Closing | Claimed | Redeemed => ("HELD", 0),
        },
    }
}

/// Where a COMMIT to a seller that only quoted ends, once the chain and the store have answered.
fn verdict(kind: Kind) -> Option<Result<(), RejectCode>> {
    use RejectCode::*;
    match kind {
        Kind::CommitAgain | Kind::Fold | Kind::FoldDown | Kind::CommitNext => Some(Ok(())),
        Kind::CommitQuote | Kind::CommitPrice | Kind::CommitLottery => Some(Err(PriceOrQuote)),
        Kind::CommitContent => Some(Err(RejectCode::Content)),
        Kind::CommitMalformed | Kind::CommitUncovered => Some(Err(NotCovered)),
        Kind::CommitNoSteps => Some(Err(RangeTooSmall)),
        Kind::CommitUnsigned => Some(Err(Signature)),
        // Another signer is found, and with it an account that the chain does not know.
        Kind::CommitVault | Kind::CommitChain | Kind::CommitStranger => Some(Err(ChainPending)),
        Kind::CommitOverlap => Some(Ok(())),
        Kind::CommitConsumed => Some(Err(ConsumedOrClosed)),
        Kind::Terms
        | Kind::Ack
        | Kind::Reject
        | Kind::Need
        | Kind::State
        | Kind::ByeSelling
        | Kind::Pay
        | Kind::PaySkipping
        | Kind::PayAgain
        | Kind::PayLower
        | Kind::PayReused
        | Kind::PayTooFar
        | Kind::PayWrongTag
        | Kind::PayWrongRange
        | Kind::SeenConflict
        | Kind::SeenForeign
        | Kind::ByeBuying
        | Kind::Reconcile
        | Kind::Held => None,
    }
}

#[test]
fn every_message_in_every_state_does_what_the_table_says() {
    let mut wrong = Vec::new();
    for state in State::ALL {
        for kind in Kind::ALL {
            let (words, blocks) = observe(&mut scene(state), kind);
            let (said, moved) = table(kind, state);
            if (words.as_str(), blocks) != (said, moved) {
                wrong.push(format!(
                    "{kind:?} in {state:?}: {words:?}, {blocks}; the table: {said:?}, {moved}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let attached = scene(State::Attached);
    let types: BTreeSet<u8> = (Kind::ALL.into_iter())
        .map(|kind| type_of(&message(kind, &attached)))
        .collect();
    assert_eq!(types, (1..=11).collect(), "each message has its rows");
}

#[test]
fn the_chain_and_the_store_decide_on_a_commit_as_the_table_says() {
    for kind in Kind::ALL {
        let mut scene = scene(State::Quoted);
        observe(&mut scene, kind);
        let done = scene.settle();
        let rejected = done
            .sent
            .iter()
            .chain(&scene.waiting.sent)
            .find_map(|(_, m)| match m {
                PayMessage::Reject { code, .. } => Some(*code),
                _ => None,
            });
        let reached = match verdict(kind) {
            None => (false, None),
            Some(Ok(())) => (true, None),
            Some(Err(code)) => (false, Some(code)),
        };
        assert_eq!((scene.s.payee.is_paying(A), rejected), reached, "{kind:?}");
    }
}

/// Whatever came: no link counts twice, and no more blocks leave unpaid than the credit.
#[test]
fn after_any_message_no_more_is_sent_than_the_credit_and_no_link_counts_twice() {
    for state in State::ALL {
        for kind in Kind::ALL {
            let mut scene = scene(state);
            observe(&mut scene, kind);
            let named = format!("{kind:?} in {state:?}");
            let mut written = u128::from(scene.written);
            for _ in 0..80 {
                scene.settle();
                written += u128::from(scene.s.write(scene.now, A, 300));
                scene.later(500);
            }
            let totals = scene.s.payee.totals();
            let most = u128::from(scene.best.2)
                + 4
                + if state == State::FoldStoring {
                    u128::from(PAID)
                } else {
                    0
                };
            let earned = totals.earned.0 / UNIT.0;
            assert!(earned <= most, "{named}: {earned} blocks earned");
            let unpaid = written.saturating_sub(u128::from(totals.paid_blocks));
            // The first credit; and what the connection that the range left has lost.
            assert!(unpaid <= 8, "{named}: {unpaid} blocks written and not paid");
        }
    }
}
