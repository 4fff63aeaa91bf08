//! A payee in each of its states, and each thing that can be said to it.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use piecework::payment::chain::HashChain;
use piecework::payment::payee::RedeemScope;
use piecework::payment::voucher::{Voucher, account_id};
use piecework::payment::{PayAction, PayEffect};
use piecework::time::{Duration, Timestamp};
use piecework::types::FineUnits;
use piecework::wire::pay::{ByeReason, NeedReason, PayMessage, RejectCode};

use crate::hand::*;

/// How things stand with the buyer when the message comes. From `Attached` on it has paid five blocks of range 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A connection the payee was never told of, or was told is gone.
    NoConnection,
    /// The remote is on another chain.
    OtherChain,
    /// This side asks no price.
    NotSelling,
    Quoted,
    /// A COMMIT waits for the chain.
    Reading,
    /// A COMMIT waits for its record.
    Storing,
    Attached,
    /// The credit was used up for ten seconds: REJECT 12, choked.
    OverCredit,
    /// A fold waits for its record.
    FoldStoring,
    /// The range is attached elsewhere; its COMMIT was replayed here.
    Replayed,
    /// The chain does not know the account any more.
    Suspended,
    /// The range is being closed to be redeemed.
    Closing,
    /// Closed; its claim may leave.
    Ready,
    /// Its claim left.
    Claimed,
    /// Its claim was paid.
    Redeemed,
    /// The buyer said BYE.
    BuyerLeft,
    /// This side stopped selling here.
    Stopped,
    /// This side shut down.
    ShutDown,
    /// The account is exiting.
    Exiting,
}

impl State {
    pub const ALL: [State; 19] = [
        State::NoConnection,
        State::OtherChain,
        State::NotSelling,
        State::Quoted,
        State::Reading,
        State::Storing,
        State::Attached,
        State::OverCredit,
        State::FoldStoring,
        State::Replayed,
        State::Suspended,
        State::Closing,
        State::Ready,
        State::Claimed,
        State::Redeemed,
        State::BuyerLeft,
        State::Stopped,
        State::ShutDown,
        State::Exiting,
    ];
}

/// What a message says, beyond its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    // These speak to a payer.
    Terms,
    Ack,
    Reject,
    Need,
    State,
    ByeSelling,
    /// The voucher of range 7, again.
    CommitAgain,
    /// A fold of it on top of what was paid.
    Fold,
    /// A fold below what was paid.
    FoldDown,
    /// A further range.
    CommitNext,
    /// Naming a quote that was never made.
    CommitQuote,
    /// At another price than quoted.
    CommitPrice,
    CommitLottery,
    CommitContent,
    /// Not one range of serials.
    CommitMalformed,
    /// With an empty chain.
    CommitNoSteps,
    /// Its signature is none.
    CommitUnsigned,
    /// For another vault.
    CommitVault,
    /// For another chain.
    CommitChain,
    /// Over serials of range 7 and others.
    CommitOverlap,
    /// Past what the deposit covers.
    CommitUncovered,
    /// Over a serial that was redeemed.
    CommitConsumed,
    /// Of somebody else's account.
    CommitStranger,
    /// The next link.
    Pay,
    /// Four links further: preimages are cumulative.
    PaySkipping,
    /// The link that was paid last.
    PayAgain,
    /// An earlier one.
    PayLower,
    /// An earlier link under the next number.
    PayReused,
    /// A number past the chain's end.
    PayTooFar,
    /// Of a voucher that was never sent.
    PayWrongTag,
    /// Of a range that was never promised.
    PayWrongRange,
    /// A voucher of the same account for range 7 to somebody else.
    SeenConflict,
    /// Somebody else's business.
    SeenForeign,
    ByeBuying,
    /// A sum of range 7 that is a step above what was paid.
    Reconcile,
    /// Speaks to a payer.
    Held,
}

impl Kind {
    pub const ALL: [Kind; 36] = [
        Kind::Terms,
        Kind::Ack,
        Kind::Reject,
        Kind::Need,
        Kind::State,
        Kind::ByeSelling,
        Kind::CommitAgain,
        Kind::Fold,
        Kind::FoldDown,
        Kind::CommitNext,
        Kind::CommitQuote,
        Kind::CommitPrice,
        Kind::CommitLottery,
        Kind::CommitContent,
        Kind::CommitMalformed,
        Kind::CommitNoSteps,
        Kind::CommitUnsigned,
        Kind::CommitVault,
        Kind::CommitChain,
        Kind::CommitOverlap,
        Kind::CommitUncovered,
        Kind::CommitConsumed,
        Kind::CommitStranger,
        Kind::Pay,
        Kind::PaySkipping,
        Kind::PayAgain,
        Kind::PayLower,
        Kind::PayReused,
        Kind::PayTooFar,
        Kind::PayWrongTag,
        Kind::PayWrongRange,
        Kind::SeenConflict,
        Kind::SeenForeign,
        Kind::ByeBuying,
        Kind::Reconcile,
        Kind::Held,
    ];
}

/// The serial that somebody redeemed.
pub const CONSUMED: u32 = 90;
/// Links revealed on range 7 from `State::Attached` on.
pub const PAID: u16 = 5;

pub struct Scene {
    pub s: Selling,
    pub now: Timestamp,
    pub v: Voucher,
    pub chain: HashChain,
    /// The newest voucher's best step and link.
    pub best: (Voucher, HashChain, u16),
    /// Blocks written.
    pub written: u32,
    /// What was done; its effects are not answered yet.
    pub waiting: Done,
    /// The account each read is about.
    pub accounts: BTreeMap<PayEffect, B256>,
}

impl Scene {
    /// Answers everything but what `stops` names.
    pub fn run_to(&mut self, stops: impl Fn(&PayAction) -> bool) {
        let Scene { s, now, .. } = self;
        loop {
            s.payee.end_of_batch(*now);
            let mut any = false;
            while let Some(action) = s.payee.poll() {
                any = true;
                if let PayAction::Send {
                    message: PayMessage::Terms(t),
                    ..
                } = &action
                {
                    s.quote = t.quote_id;
                }
                if stops(&action) {
                    self.waiting.take(action, &mut s.store);
                    continue;
                }
                let mut done = Done::default();
                done.take(action, &mut s.store);
                for effect in done.puts {
                    s.payee.stored(*now, effect, true);
                }
                for (effect, _) in done.reads {
                    s.payee.chain_state(*now, effect, Ok(s.state));
                }
            }
            if !any {
                return;
            }
        }
    }

    /// Answers what waits: the chain knows one account.
    pub fn settle(&mut self) -> Done {
        let known = account_id(OWNER, session_address());
        for effect in std::mem::take(&mut self.waiting.puts) {
            self.s.payee.stored(self.now, effect, true);
        }
        for (effect, _) in std::mem::take(&mut self.waiting.reads) {
            let mut state = self.s.state;
            state.known = self
                .accounts
                .get(&effect)
                .is_none_or(|account| *account == known);
            self.s.payee.chain_state(self.now, effect, Ok(state));
        }
        self.s.run(self.now)
    }

    pub fn later(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.s.payee.tick(self.now);
        self.s.run(self.now);
    }
}

pub fn scene(state: State) -> Scene {
    let (v, chain) = voucher(7, FineUnits(0), 1);
    let mut s = Selling::new();
    if state == State::NotSelling {
        s.price = FineUnits(0);
    }
    s.state.spent_word |= U256::from(1u8) << CONSUMED;
    s.state.consumed += 1;
    let mut scene = Scene {
        s,
        now: ms(5_000),
        v,
        best: (v, chain.clone(), 0),
        chain,
        written: 0,
        waiting: Done::default(),
        accounts: BTreeMap::new(),
    };
    let now = scene.now;
    let is_put = |a: &PayAction| matches!(a, PayAction::PutRecord { .. });
    let is_read = |a: &PayAction| matches!(a, PayAction::ReadState { .. });
    let commit = |s: &Selling| PayMessage::Commit {
        quote_id: s.quote,
        voucher: body(&v),
    };
    match state {
        State::NoConnection => return scene,
        State::OtherChain => {
            let mut other = info(2);
            other.handshake.as_mut().unwrap().chain_id = 1;
            scene.s.payee.connected(now, A, other, UNIT);
            scene.s.run(now);
            return scene;
        }
        State::NotSelling | State::Quoted => {
            scene.s.connect(now, A);
            return scene;
        }
        State::Reading | State::Storing => {
            scene.s.connect(now, A);
            let message = commit(&scene.s);
            scene.s.payee.message(now, A, message);
            match state {
                State::Reading => scene.run_to(is_read),
                _ => scene.run_to(is_put),
            }
            return scene;
        }
        State::Attached
        | State::OverCredit
        | State::FoldStoring
        | State::Replayed
        | State::Suspended
        | State::Closing
        | State::Ready
        | State::Claimed
        | State::Redeemed
        | State::BuyerLeft
        | State::Stopped
        | State::ShutDown
        | State::Exiting => {}
    }
    let buyer = if state == State::Replayed { B } else { A };
    scene.s.connect(now, buyer);
    scene.s.commit(now, buyer, &v);
    scene.written = scene.s.write(now, buyer, 4);
    scene.s.say(now, buyer, pay(&v, &scene.chain, 4));
    scene.written += scene.s.write(now, buyer, 1);
    scene.s.say(now, buyer, pay(&v, &scene.chain, PAID));
    scene.best.2 = PAID;
    scene.later(2_000);
    let now = scene.now;
    match state {
        State::OverCredit => {
            scene.written += scene.s.write(now, A, 9);
            scene.later(10_000);
        }
        State::FoldStoring => {
            let (fold, links) = voucher(7, v.owed_at(PAID), 3);
            scene.best = (fold, links, 0);
            let message = PayMessage::Commit {
                quote_id: scene.s.quote,
                voucher: body(&fold),
            };
            scene.s.payee.message(now, A, message);
            scene.run_to(is_put);
            scene.now = now + Duration::from_secs(2);
        }
        State::Replayed => {
            scene.s.connect(now, A);
            scene.s.commit(now, A, &v);
            scene.later(2_000);
        }
        State::Suspended => {
            scene.s.state.known = false;
            scene.later(30_000);
            scene.s.state.known = true;
        }
        State::Closing => {
            scene.s.payee.prepare_redeem(now, RedeemScope::All);
            scene.run_to(is_put);
        }
        State::Ready | State::Claimed | State::Redeemed => {
            scene.s.payee.prepare_redeem(now, RedeemScope::All);
            scene.s.run(now);
            if state != State::Ready {
                let claims = scene.s.payee.take_claims(now, 9);
                assert_eq!(claims.len(), 1);
                if state == State::Redeemed {
                    let outcome = piecework::payment::payee::ClaimOutcome::Paid(claims[0].due);
                    scene.s.payee.redeemed(now, &[(claims[0].id, outcome)]);
                }
                scene.s.run(now);
            }
        }
        State::BuyerLeft => {
            let reason = ByeReason::Done;
            let bye = PayMessage::Bye {
                selling: false,
                reason,
            };
            scene.s.say(now, A, bye);
        }
        State::Stopped => {
            scene.s.payee.set_price_on(now, A, FineUnits(0));
            scene.s.run(now);
        }
        State::ShutDown => {
            scene.s.payee.close(now);
            scene.s.run(now);
        }
        State::Exiting => {
            scene.s.state.exit_at = 9;
            scene.later(30_000);
        }
        State::NoConnection
        | State::OtherChain
        | State::NotSelling
        | State::Quoted
        | State::Reading
        | State::Storing
        | State::Attached => {}
    }
    scene
}

pub fn message(kind: Kind, scene: &Scene) -> PayMessage {
    let (best, links, k) = (&scene.best.0, &scene.best.1, scene.best.2);
    let (first, tag) = (7, best.tag());
    let commit = |v: &Voucher| PayMessage::Commit {
        quote_id: scene.s.quote,
        voucher: body(v),
    };
    let changed = |change: &dyn Fn(&mut Voucher)| {
        let (mut next, _) = voucher(8, FineUnits(0), 8);
        change(&mut next);
        commit(&next)
    };
    let signed_for = |vault| {
        let (next, _) = voucher(8, FineUnits(0), 8);
        PayMessage::Commit {
            quote_id: scene.s.quote,
            voucher: next.to_body(&sign(&key(), next.digest(&vault))),
        }
    };
    let link = |number: u16, of: u16| PayMessage::Pay {
        first,
        tag,
        k: number,
        w: links.link(of).unwrap(),
    };
    match kind {
        Kind::Terms => PayMessage::Terms(terms(UNIT)),
        Kind::Ack => PayMessage::Ack {
            first,
            tag,
            k,
            owed_blocks: 0,
            credit_blocks: 9,
        },
        Kind::Reject => PayMessage::Reject {
            code: RejectCode::Signature,
            first,
            tag,
            aux: 0,
        },
        Kind::Need => PayMessage::Need {
            reason: NeedReason::Fold,
            first,
        },
        Kind::State => state(&scene.v, &scene.chain, PAID),
        Kind::Held => held(&scene.v, &scene.chain, PAID),
        Kind::Reconcile => sum(best, best.owed_at(k + 1)),
        Kind::ByeSelling => PayMessage::Bye {
            selling: true,
            reason: ByeReason::Done,
        },
        Kind::CommitAgain => commit(best),
        Kind::Fold => commit(&voucher(7, best.owed_at(k), 4).0),
        Kind::FoldDown => commit(&voucher(7, scene.v.owed_at(PAID - 1), 4).0),
        Kind::CommitNext => changed(&|_| {}),
        Kind::CommitQuote => match changed(&|_| {}) {
            PayMessage::Commit { quote_id, voucher } => PayMessage::Commit {
                quote_id: quote_id ^ 1,
                voucher,
            },
            other => other,
        },
        Kind::CommitPrice => changed(&|v| v.unit.0 -= 1),
        Kind::CommitLottery => changed(&|v| v.luck = B256::repeat_byte(1)),
        Kind::CommitContent => changed(&|v| v.content = B256::repeat_byte(1)),
        Kind::CommitMalformed => changed(&|v| (v.first, v.count) = (255, 2)),
        Kind::CommitNoSteps => changed(&|v| v.steps = 0),
        Kind::CommitUnsigned => match changed(&|_| {}) {
            PayMessage::Commit {
                quote_id,
                mut voucher,
            } => {
                voucher.r = B256::ZERO;
                PayMessage::Commit { quote_id, voucher }
            }
            other => other,
        },
        Kind::CommitVault => {
            let mut other = vault();
            other.address = Address::repeat_byte(0x45);
            signed_for(other)
        }
        Kind::CommitChain => {
            let mut other = vault();
            other.chain_id = 1;
            signed_for(other)
        }
        Kind::CommitOverlap => changed(&|v| (v.first, v.count) = (6, 2)),
        Kind::CommitUncovered => changed(&|v| v.first = 250),
        Kind::CommitConsumed => changed(&|v| v.first = CONSUMED),
        Kind::CommitStranger => changed(&|v| v.owner = Address::repeat_byte(0x23)),
        Kind::Pay => link(k + 1, k + 1),
        Kind::PaySkipping => link(k + 4, k + 4),
        Kind::PayAgain => link(k, k),
        Kind::PayLower => link(k.saturating_sub(1), k.saturating_sub(1)),
        Kind::PayReused => link(k + 1, k.saturating_sub(1)),
        Kind::PayTooFar => link(300, 9),
        Kind::PayWrongTag => PayMessage::Pay {
            first,
            tag: [9; 4],
            k: k + 1,
            w: links.link(k + 1).unwrap(),
        },
        Kind::PayWrongRange => PayMessage::Pay {
            first: 99,
            tag,
            k: k + 1,
            w: links.link(k + 1).unwrap(),
        },
        Kind::SeenConflict | Kind::SeenForeign => {
            let (mut other, _) = voucher(7, FineUnits(0), 9);
            other.payee = Address::repeat_byte(0x99);
            if kind == Kind::SeenForeign {
                other.owner = Address::repeat_byte(0x23);
            }
            PayMessage::Seen {
                payee: other.payee,
                voucher: body(&other),
            }
        }
        Kind::ByeBuying => PayMessage::Bye {
            selling: false,
            reason: ByeReason::Done,
        },
    }
}
