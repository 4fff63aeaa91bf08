//! Every message of `pw_pay` in every state of a payer: one table says what comes of it. It is
//! exhaustive, for the compiler sees to it: no `match` over messages or states here has a wildcard.

use std::collections::BTreeSet;

use crate::hand::*;
use alloy_primitives::{Address, B256};
use piecework::payment::chain::HashChain;
use piecework::payment::payer::PayerConnState;
use piecework::payment::{EndReason, PayAction, PayEvent, TitleKind};
use piecework::time::{Duration, Timestamp};
use piecework::types::FineUnits;
use piecework::wire::pay::{ByeReason, NeedReason, PayMessage, RejectCode, VoucherBody};

/// How things stand with the seller when the message comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A connection the payer was never told of, or was told is gone.
    NoConnection,
    /// The remote is on another chain.
    OtherChain,
    AwaitingTerms,
    /// Quoted; the metadata is not complete.
    Quoted,
    /// Quoted above the ceiling.
    TooDear,
    /// The first range is being stored.
    Storing,
    /// The first voucher is being signed.
    Signing,
    /// COMMIT sent.
    Committed,
    /// REJECT 13 came; the identical COMMIT waits for its time.
    Pending,
    /// A range is attached, nothing is owed.
    Attached,
    /// Attached; a verified block is not paid yet, another is on its way.
    Owing,
    /// Three quarters of the chain are used: the fold is being stored.
    FoldStoring,
    /// The fold is being signed.
    FoldSigning,
    /// The fold was sent; the new chain is in use, the old one is kept.
    Folded,
    /// The payee asked for the next range: its COMMIT was sent.
    SecondCommitted,
    /// The payer stopped buying here and said BYE.
    Stopped,
    /// Ended by a final refusal.
    Refused,
    /// The account is exiting; nothing was committed.
    Exiting,
}

impl State {
    const ALL: [State; 18] = [
        State::NoConnection,
        State::OtherChain,
        State::AwaitingTerms,
        State::Quoted,
        State::TooDear,
        State::Storing,
        State::Signing,
        State::Committed,
        State::Pending,
        State::Attached,
        State::Owing,
        State::FoldStoring,
        State::FoldSigning,
        State::Folded,
        State::SecondCommitted,
        State::Stopped,
        State::Refused,
        State::Exiting,
    ];
}

/// What a message says, beyond its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A quote that can be taken.
    Terms,
    /// At price 0.
    TermsFree,
    /// With a lottery, which this version does not speak.
    TermsLottery,
    /// Above the ceiling.
    TermsTooDear,
    /// From somebody else than before.
    TermsOtherPayee,
    /// Speaks to a payee.
    Commit,
    /// Speaks to a payee.
    Pay,
    /// Of the voucher sent last.
    Ack,
    /// Of a voucher that was never sent.
    AckUnknown,
    /// A refusal of the voucher sent last.
    Reject(RejectCode),
    /// A refusal of a range that does not exist.
    RejectUnknown,
    Need(NeedReason),
    /// An own signature for a serial not assigned yet, to somebody else.
    SeenOwn,
    /// Somebody else's signature.
    SeenForeign,
    /// The payee holds a link of a voucher of ours that the record does not know.
    StateAhead,
    /// The voucher sent last, without a link: what we said ourselves.
    StateAtStart,
    /// Signed by somebody else.
    StateForged,
    /// Its link is not on the chain.
    StateBadLink,
    /// The remote stops selling.
    ByeSelling,
    /// The remote stops buying: speaks to a payee.
    ByeBuying,
    /// The payee shows a voucher of ours, with a link, that no record knows.
    Held,
    /// The same with somebody else's signature.
    HeldForged,
    /// Speaks to a payee.
    Reconcile,
}

/// Every code there is, and one that is not.
fn codes() -> Vec<RejectCode> {
    let codes: Vec<_> = (1..=17).map(RejectCode::from_code).collect();
    for code in &codes {
        match code {
            RejectCode::Version
            | RejectCode::ChainOrVault
            | RejectCode::Signature
            | RejectCode::NotCovered
            | RejectCode::ConsumedOrClosed
            | RejectCode::Conflict
            | RejectCode::Exiting
            | RejectCode::BondTooLow
            | RejectCode::PriceOrQuote
            | RejectCode::Content
            | RejectCode::BadPreimage
            | RejectCode::OverCredit
            | RejectCode::ChainPending
            | RejectCode::Rate
            | RejectCode::ShuttingDown
            | RejectCode::RangeTooSmall
            | RejectCode::Other(_) => {}
        }
    }
    codes
}

fn reasons() -> Vec<NeedReason> {
    let reasons: Vec<_> = (1..=6).map(NeedReason::from_code).collect();
    for reason in &reasons {
        match reason {
            NeedReason::Fold
            | NeedReason::NextRange
            | NeedReason::LotteryWin
            | NeedReason::PriceChanged
            | NeedReason::RangeClosed
            | NeedReason::Other(_) => {}
        }
    }
    reasons
}

fn kinds() -> Vec<Kind> {
    let mut kinds = vec![
        Kind::Terms,
        Kind::TermsFree,
        Kind::TermsLottery,
        Kind::TermsTooDear,
        Kind::TermsOtherPayee,
        Kind::Commit,
        Kind::Pay,
        Kind::Ack,
        Kind::AckUnknown,
        Kind::RejectUnknown,
        Kind::SeenOwn,
        Kind::SeenForeign,
        Kind::StateAhead,
        Kind::StateAtStart,
        Kind::StateForged,
        Kind::StateBadLink,
        Kind::ByeSelling,
        Kind::ByeBuying,
        Kind::Held,
        Kind::HeldForged,
        Kind::Reconcile,
    ];
    kinds.extend(codes().into_iter().map(Kind::Reject));
    kinds.extend(reasons().into_iter().map(Kind::Need));
    kinds
}

struct Scene {
    b: Buying,
    /// The voucher sent last; one that was never sent where there is none.
    last: VoucherBody,
    now: Timestamp,
    /// Blocks that were received and verified.
    held: u32,
    /// Effects that are not answered yet.
    waiting: Done,
}

fn scene(state: State) -> Scene {
    let mut b = Buying::new();
    let mut now = ms(5_000);
    let mut held = 0;
    let mut waiting = Done::default();
    let never_sent = body(&voucher(77, FineUnits(0), 0x77).0);
    let mut last = never_sent;
    let is_put = |a: &PayAction| matches!(a, PayAction::PutRecord { .. });
    let is_sign = |a: &PayAction| matches!(a, PayAction::Sign { .. });
    let terms_come = |b: &mut Buying, unit| {
        b.payer.connected(now, A, info(1));
        b.payer.want(now, A, V1, true, MAX_UNIT);
        b.payer.message(now, A, PayMessage::Terms(terms(unit)));
    };
    match state {
        State::NoConnection => {}
        State::OtherChain => {
            let mut other = info(1);
            other.handshake.as_mut().unwrap().chain_id = 1;
            b.payer.connected(now, A, other);
            b.payer.want(now, A, V1, true, MAX_UNIT);
            b.run(now);
        }
        State::AwaitingTerms => {
            b.payer.connected(now, A, info(1));
            b.payer.want(now, A, V1, true, MAX_UNIT);
            b.run(now);
        }
        State::Quoted => {
            b.connect(now, A, TitleKind::Unknown);
        }
        State::TooDear => {
            terms_come(&mut b, FineUnits(UNIT.0 * 3));
            b.run(now);
        }
        State::Storing => {
            terms_come(&mut b, UNIT);
            waiting = b.run_to(now, is_put);
        }
        State::Signing => {
            terms_come(&mut b, UNIT);
            waiting = b.run_to(now, is_sign);
        }
        State::Committed => last = b.connect(now, A, V1).commit(),
        State::Pending => {
            last = b.connect(now, A, V1).commit();
            b.reject(now, &last, RejectCode::ChainPending, 0);
        }
        State::Attached
        | State::Owing
        | State::FoldStoring
        | State::FoldSigning
        | State::Folded
        | State::SecondCommitted
        | State::Stopped => {
            last = b.connect(now, A, V1).commit();
            b.ack(now, A, &last, 0);
        }
        State::Refused => {
            last = b.connect(now, A, V1).commit();
            b.reject(now, &last, RejectCode::BondTooLow, 0);
        }
        State::Exiting => {
            b.state.exit_at = 9;
            b.exiting(now);
            b.connect(now, A, V1);
        }
    }
    match state {
        State::Owing => {
            for n in 0..2 {
                b.payer.request_sent(A);
                if n == 0 {
                    b.payer.block_received(A, block(n));
                    b.payer.payable(now, A, verified(block(n)));
                }
            }
            held = 1;
        }
        State::FoldStoring | State::FoldSigning | State::Folded => {
            for start in (0..144).step_by(48) {
                b.buy(now, start..start + 48);
            }
            now = ms(8_000);
            for n in 144..192 {
                b.payer.request_sent(A);
                b.payer.block_received(A, block(n));
                b.payer.payable(now, A, verified(block(n)));
            }
            held = 192;
            match state {
                State::FoldStoring => waiting = b.run_to(now, is_put),
                State::FoldSigning => waiting = b.run_to(now, is_sign),
                _ => last = b.run(now).commit(),
            }
        }
        State::SecondCommitted => {
            b.buy(now, 0..8);
            held = 8;
            now = ms(8_000);
            let reason = NeedReason::NextRange;
            last = b
                .say(now, A, PayMessage::Need { reason, first: 1 })
                .commit();
        }
        State::Stopped => {
            b.payer.stop(now, A);
            b.run(now);
        }
        State::NoConnection
        | State::OtherChain
        | State::AwaitingTerms
        | State::Quoted
        | State::TooDear
        | State::Storing
        | State::Signing
        | State::Committed
        | State::Pending
        | State::Attached
        | State::Refused
        | State::Exiting => {}
    }
    Scene {
        b,
        last,
        now,
        held,
        waiting,
    }
}

fn message(kind: Kind, last: &VoucherBody) -> PayMessage {
    let (first, tag) = (last.first, last.tag());
    let (mut unknown, chain) = voucher(40, FineUnits(0), 5);
    match kind {
        Kind::Terms => PayMessage::Terms(terms(UNIT)),
        Kind::TermsFree => PayMessage::Terms(terms(FineUnits(0))),
        Kind::TermsLottery => {
            let mut t = terms(UNIT);
            t.luck = B256::repeat_byte(1);
            PayMessage::Terms(t)
        }
        Kind::TermsTooDear => PayMessage::Terms(terms(FineUnits(UNIT.0 * 3))),
        Kind::TermsOtherPayee => {
            let mut t = terms(UNIT);
            t.payee = Address::repeat_byte(0x98);
            PayMessage::Terms(t)
        }
        Kind::Commit => PayMessage::Commit {
            quote_id: 77,
            voucher: body(&unknown),
        },
        Kind::Pay => pay(&unknown, &chain, 3),
        Kind::Ack => PayMessage::Ack {
            first,
            tag,
            k: 0,
            owed_blocks: 0,
            credit_blocks: 64,
        },
        Kind::AckUnknown => PayMessage::Ack {
            first: 99,
            tag: [9; 4],
            k: 5,
            owed_blocks: 0,
            credit_blocks: 64,
        },
        Kind::Reject(code) => PayMessage::Reject {
            code,
            first,
            tag,
            aux: 700,
        },
        Kind::RejectUnknown => PayMessage::Reject {
            code: RejectCode::NotCovered,
            first: 99,
            tag: [9; 4],
            aux: 0,
        },
        Kind::Need(reason) => PayMessage::Need { reason, first },
        Kind::SeenOwn => {
            unknown.payee = Address::repeat_byte(0x98);
            PayMessage::Seen {
                payee: unknown.payee,
                voucher: body(&unknown),
            }
        }
        Kind::SeenForeign => {
            unknown.payee = Address::repeat_byte(0x98);
            let mut voucher = body(&unknown);
            voucher.owner = Address::repeat_byte(0x99);
            PayMessage::Seen {
                payee: unknown.payee,
                voucher,
            }
        }
        Kind::StateAhead => state(&unknown, &chain, 30),
        Kind::StateAtStart => PayMessage::State {
            payee: PAYEE,
            voucher: *last,
            k: 0,
            w: last.root,
        },
        Kind::Held => held(&unknown, &chain, 30),
        Kind::HeldForged => {
            let mut forged = held(&unknown, &chain, 30);
            if let PayMessage::Held { voucher, .. } = &mut forged {
                voucher.base = FineUnits(1 << 30);
            }
            forged
        }
        Kind::Reconcile => sum(&unknown, UNIT),
        Kind::StateForged => {
            let mut forged = state(&unknown, &chain, 30);
            if let PayMessage::State { voucher, .. } = &mut forged {
                voucher.base = FineUnits(1 << 30);
            }
            forged
        }
        Kind::StateBadLink => {
            let other = HashChain::generate(B256::repeat_byte(6), 256);
            state(&unknown, &other, 30)
        }
        Kind::ByeSelling => PayMessage::Bye {
            selling: true,
            reason: ByeReason::Done,
        },
        Kind::ByeBuying => PayMessage::Bye {
            selling: false,
            reason: ByeReason::Done,
        },
    }
}

/// What came of a message, in words: what was stored, signed and sent, what was told, how things stand then.
fn observe(scene: &mut Scene, kind: Kind) -> (String, u128) {
    let (b, now) = (&mut scene.b, scene.now);
    let before = b.payer.status(A);
    let spent = b.payer.totals().spent;
    b.payer.message(now, A, message(kind, &scene.last));
    let mut words: Vec<String> = Vec::new();
    while let Some(action) = b.payer.poll() {
        let word = match &action {
            PayAction::Send { message, .. } => match message {
                PayMessage::Pay { .. } => "pays".to_owned(),
                PayMessage::Commit { .. } => "commits".to_owned(),
                PayMessage::Bye { .. } => "says bye".to_owned(),
                PayMessage::Reconcile { .. } => "names a sum".to_owned(),
                other @ (PayMessage::Terms(_)
                | PayMessage::Ack { .. }
                | PayMessage::Reject { .. }
                | PayMessage::Need { .. }
                | PayMessage::Seen { .. }
                | PayMessage::State { .. }
                | PayMessage::Held { .. }) => panic!("a payer does not say {other:?}"),
            },
            PayAction::PutRecord { key, .. } if key.ends_with("/account") => {
                "stores next".to_owned()
            }
            PayAction::PutRecord { .. } => "stores range".to_owned(),
            PayAction::Sign { .. } => "signs".to_owned(),
            PayAction::Event(PayEvent::Quoted { .. }) => "quoted".to_owned(),
            PayAction::Event(PayEvent::Refused { why, .. }) => format!("refuses {why:?}"),
            PayAction::Event(PayEvent::RangeOpened { .. }) => "opened".to_owned(),
            PayAction::Event(PayEvent::AccountUnusable { .. }) => "holds".to_owned(),
            PayAction::Event(PayEvent::Rejected { .. }) => "told".to_owned(),
            PayAction::Event(PayEvent::Asked { .. }) => "asked".to_owned(),
            PayAction::Event(PayEvent::Ended { .. } | PayEvent::Paid { .. }) => continue,
            other => panic!("{other:?} is not expected of any message here"),
        };
        words.push(word);
        scene.waiting.take(action, &mut b.store);
    }
    let after = b.payer.status(A);
    if after != before {
        words.push(match (after, kind) {
            (PayerConnState::Ended(EndReason::Rejected(code)), Kind::Reject(said))
                if code == said =>
            {
                "-> refused".to_owned()
            }
            _ => format!("-> {after:?}"),
        });
    }
    (
        words.join(", "),
        (b.payer.totals().spent.0 - spent.0) / UNIT.0,
    )
}

/// What comes of a message, and how many blocks' worth is revealed (or found to have been revealed) for it.
fn table(kind: Kind, state: State) -> (&'static str, u128) {
    use State::*;
    match kind {
        Kind::Terms | Kind::TermsOtherPayee => match state {
            NoConnection | OtherChain => ("", 0),
            AwaitingTerms | TooDear => ("quoted, stores next, stores range, -> Opening", 0),
            Quoted | Storing | Signing | Committed | Pending | Attached | Owing | FoldStoring
            | FoldSigning | Folded | SecondCommitted | Stopped | Refused => ("quoted", 0),
            Exiting => ("quoted, refuses NoAccount", 0),
        },
        Kind::TermsFree
        | Kind::Commit
        | Kind::Pay
        | Kind::AckUnknown
        | Kind::SeenForeign
        | Kind::HeldForged
        | Kind::Reconcile
        | Kind::ByeBuying => match state {
            NoConnection | OtherChain | AwaitingTerms | Quoted | TooDear | Storing | Signing
            | Committed | Pending | Attached | Owing | FoldStoring | FoldSigning | Folded
            | SecondCommitted | Stopped | Refused | Exiting => ("", 0),
        },
        Kind::TermsLottery => match state {
            NoConnection | OtherChain | Stopped | Refused => ("", 0),
            AwaitingTerms | Quoted | TooDear | Storing | Signing | Committed | Pending
            | Attached | Owing | FoldStoring | FoldSigning | Folded | SecondCommitted | Exiting => {
                ("-> Ended(Unsupported)", 0)
            }
        },
        Kind::TermsTooDear => match state {
            NoConnection | OtherChain => ("", 0),
            AwaitingTerms => (
                "quoted, refuses OverCeiling, -> Quoted(Some(OverCeiling))",
                0,
            ),
            Quoted | Storing | Signing | Committed | Pending | Attached | Owing | FoldStoring
            | FoldSigning | Folded | SecondCommitted | Stopped | Refused => ("quoted", 0),
            TooDear => ("quoted, refuses OverCeiling", 0),
            Exiting => ("quoted, refuses NoAccount", 0),
        },
        Kind::Ack => match state {
            NoConnection | OtherChain | AwaitingTerms | Quoted | TooDear | Storing | Signing
            | Attached | Owing | FoldStoring | FoldSigning | Folded | Stopped | Refused
            | Exiting => ("", 0),
            Committed | Pending => ("opened, -> Attached", 0),
            SecondCommitted => ("opened", 0),
        },
        Kind::RejectUnknown => match state {
            NoConnection | OtherChain => ("", 0),
            AwaitingTerms | Quoted | TooDear | Storing | Signing | Committed | Pending
            | Attached | Owing | FoldStoring | FoldSigning | Folded | SecondCommitted | Stopped
            | Refused | Exiting => ("told", 0),
        },
        Kind::SeenOwn => match state {
            NoConnection | OtherChain => ("", 0),
            AwaitingTerms | Quoted | TooDear | Committed | Pending | Attached | Owing
            | FoldStoring | FoldSigning | Folded | SecondCommitted | Stopped | Refused
            | Exiting => ("holds, stores next", 0),
            // What was not promised yet never is.
            Storing | Signing => ("holds, stores next, -> Quoted(None)", 0),
        },
        Kind::Held => match state {
            NoConnection | OtherChain | AwaitingTerms => ("", 0),
            Quoted | TooDear | Committed | Pending | Attached | Owing | FoldStoring
            | FoldSigning | Folded | SecondCommitted | Stopped | Refused | Exiting => {
                ("holds, stores next", 0)
            }
            Storing | Signing => ("holds, stores next, -> Quoted(None)", 0),
        },
        Kind::StateAhead => match state {
            NoConnection | OtherChain | AwaitingTerms | Quoted | TooDear | Stopped | Refused
            | Exiting => ("", 0),
            Storing | Signing | Committed | Pending | Attached | Owing | FoldStoring
            | FoldSigning | Folded => ("holds, stores next, stores next, stores range", 30),
            SecondCommitted => ("holds, stores next, stores range", 30),
        },
        // Of one that was never sent, the signature alone says that the records are behind.
        Kind::StateAtStart if matches!(state, Storing | Signing) => {
            ("holds, stores next, -> Ended(Inconsistent)", 0)
        }
        Kind::StateAtStart | Kind::StateForged | Kind::StateBadLink => match state {
            NoConnection | OtherChain | AwaitingTerms | Quoted | TooDear | Stopped | Refused
            | Exiting => ("", 0),
            Storing | Signing | Committed | Pending | Attached | Owing | FoldStoring
            | FoldSigning | Folded => ("-> Ended(Inconsistent)", 0),
            SecondCommitted => ("stores range, -> Ended(Inconsistent)", 0),
        },
        Kind::ByeSelling => match state {
            NoConnection | OtherChain | Stopped | Refused => ("", 0),
            AwaitingTerms | Quoted | TooDear | Storing | Signing | Committed | Pending
            | Attached | FoldStoring | FoldSigning | Folded | SecondCommitted | Exiting => {
                ("-> Ended(RemoteStopped)", 0)
            }
            Owing => ("pays, -> Ended(RemoteStopped)", 1),
        },
        Kind::Reject(code) => match code {
            RejectCode::BadPreimage | RejectCode::ChainPending | RejectCode::Rate => match state {
                NoConnection | OtherChain => ("", 0),
                AwaitingTerms | Quoted | TooDear | Storing | Signing | Committed | Pending
                | Attached | Owing | FoldStoring | FoldSigning | Folded | SecondCommitted
                | Stopped | Refused | Exiting => ("told", 0),
            },
            RejectCode::Version | RejectCode::ChainOrVault | RejectCode::ShuttingDown => {
                match state {
                    NoConnection | OtherChain => ("", 0),
                    AwaitingTerms | Quoted | TooDear | Storing | Signing | Committed | Pending
                    | Attached | FoldStoring | FoldSigning | Folded | Exiting => {
                        ("told, -> refused", 0)
                    }
                    Owing => ("told, pays, stores range, -> refused", 1),
                    SecondCommitted => ("told, stores range, -> refused", 0),
                    Stopped | Refused => ("told", 0),
                }
            }
            RejectCode::Signature
            | RejectCode::NotCovered
            | RejectCode::Exiting
            | RejectCode::BondTooLow
            | RejectCode::Content
            | RejectCode::RangeTooSmall
            | RejectCode::Other(_) => match state {
                NoConnection | OtherChain => ("", 0),
                AwaitingTerms | Quoted | TooDear | Storing | Signing | Stopped | Refused
                | Exiting => ("told", 0),
                Committed | Pending | Attached | Owing | FoldStoring | FoldSigning | Folded
                | SecondCommitted => ("told, -> refused", 0),
            },
            RejectCode::ConsumedOrClosed => match state {
                NoConnection | OtherChain => ("", 0),
                AwaitingTerms | Quoted | TooDear | Storing | Signing | Stopped | Refused
                | Exiting => ("told", 0),
                // Who sold nothing on a range closes it for itself alone: that is on no record.
                Committed | Pending | Attached | Owing | SecondCommitted => ("told, -> refused", 0),
                FoldStoring | FoldSigning | Folded => (
                    "told, stores range, stores next, stores range, -> Opening",
                    0,
                ),
            },
            RejectCode::Conflict => match state {
                NoConnection | OtherChain => ("", 0),
                AwaitingTerms | Quoted | TooDear | Storing | Signing | Stopped | Refused
                | Exiting => ("told", 0),
                Committed | Pending | Attached | Owing | SecondCommitted => ("told, -> refused", 0),
                FoldStoring | FoldSigning | Folded => ("told, stores range, -> refused", 0),
            },
            RejectCode::PriceOrQuote => match state {
                NoConnection | OtherChain => ("", 0),
                AwaitingTerms | Quoted | TooDear | Storing | Signing | Attached | Owing
                | FoldStoring | FoldSigning | Folded | SecondCommitted | Stopped | Refused
                | Exiting => ("told", 0),
                Committed | Pending => ("told, -> AwaitingTerms", 0),
            },
            RejectCode::OverCredit => match state {
                NoConnection | OtherChain => ("", 0),
                AwaitingTerms | Quoted | TooDear | Storing | Signing | Committed | Pending
                | Attached | SecondCommitted | Exiting => ("told, -> Ended(PhantomDebt)", 0),
                Owing => ("told, pays", 1),
                FoldStoring | FoldSigning | Folded | Stopped | Refused => ("told", 0),
            },
        },
        Kind::Need(reason) => match reason {
            NeedReason::Fold => match state {
                NoConnection | OtherChain | Committed | Pending | Attached | Owing
                | FoldStoring | FoldSigning | Folded | SecondCommitted | Stopped => ("", 0),
                AwaitingTerms | Quoted | TooDear | Storing | Signing | Refused | Exiting => {
                    ("asked", 0)
                }
            },
            NeedReason::NextRange => match state {
                NoConnection | OtherChain | AwaitingTerms | Quoted | TooDear | Storing
                | Signing | Committed | Pending | Attached | Owing | SecondCommitted | Stopped
                | Refused | Exiting => ("", 0),
                FoldStoring | FoldSigning | Folded => ("stores next, stores range", 0),
            },
            NeedReason::LotteryWin | NeedReason::PriceChanged | NeedReason::Other(_) => match state
            {
                NoConnection | OtherChain => ("", 0),
                AwaitingTerms | Quoted | TooDear | Storing | Signing | Committed | Pending
                | Attached | Owing | FoldStoring | FoldSigning | Folded | SecondCommitted
                | Stopped | Refused | Exiting => ("asked", 0),
            },
            NeedReason::RangeClosed => match state {
                NoConnection | OtherChain => ("", 0),
                AwaitingTerms | Quoted | TooDear | Storing | Signing | Refused | Exiting => {
                    ("asked", 0)
                }
                Committed | Pending | Attached => ("-> Quoted(None)", 0),
                Owing => ("pays, stores range, stores range, -> Quoted(None)", 1),
                FoldStoring | FoldSigning | Folded => {
                    ("stores range, stores next, stores range, -> Opening", 0)
                }
                SecondCommitted | Stopped => ("", 0),
            },
        },
    }
}

#[test]
fn every_message_in_every_state_does_what_the_table_says() {
    let mut wrong = Vec::new();
    for state in State::ALL {
        for kind in kinds() {
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
    let last = scene(State::Attached).last;
    let types: BTreeSet<u8> = (kinds().into_iter())
        .map(|kind| type_of(&message(kind, &last)))
        .collect();
    assert_eq!(types, (1..=11).collect(), "each message has its rows");
}

/// Whatever came, afterwards nobody was paid for nothing, what ended stays ended, and with a remote that says no
/// more nothing waits for ever.
#[test]
fn after_any_message_no_block_is_paid_twice_and_nothing_hangs() {
    for state in State::ALL {
        for kind in kinds() {
            let mut scene = scene(state);
            let named = format!("{kind:?} in {state:?}");
            let (_, moved) = observe(&mut scene, kind);
            let adopted = if kind == Kind::StateAhead { moved } else { 0 };
            let ended = matches!(scene.b.payer.status(A), PayerConnState::Ended(_));
            let mut now = scene.now;
            let mut first_vouchers = 0;
            let Buying { payer, .. } = &mut scene.b;
            for effect in std::mem::take(&mut scene.waiting.puts) {
                payer.stored(now, effect, true);
            }
            for (effect, digest) in std::mem::take(&mut scene.waiting.signs) {
                payer.signed(now, effect, Ok(sign(&key(), digest)));
            }
            for _ in 0..300 {
                let done = scene.b.run(now);
                first_vouchers += done.sent.iter().filter(|(_, m)| {
                    matches!(m, PayMessage::Commit { voucher, .. } if voucher.first != scene.last.first)
                }).count();
                scene.b.payer.tick(now);
                now = now + Duration::from_millis(500);
            }
            scene.b.run(now);
            let spent = scene.b.payer.totals().spent.0 / UNIT.0;
            assert!(
                spent <= u128::from(scene.held) + adopted,
                "{named}: {spent} paid for {} blocks",
                scene.held
            );
            if ended {
                assert_eq!(
                    first_vouchers, 0,
                    "{named}: a range is promised to a peer with whom buying ended"
                );
            }
            assert_ne!(scene.b.payer.status(A), PayerConnState::Opening, "{named}");
        }
    }
}
