//! Payments in words for the page: each event, and its remedy.

use crate::payment::{CloseReason, EndReason, Refusal};
use crate::wire::pay::RejectCode;

/// The reason why an offer is not taken.
pub(super) fn refusal(why: Refusal) -> &'static str {
    match why {
        Refusal::OverCeiling => "It asks more than your price limit.",
        Refusal::OverTranche => "It asks more than one promise of the account can hold.",
        Refusal::Content => {
            "It does not sell under this title's registration, so its creator would get no share."
        }
        Refusal::RangeTooLarge => "It wants a larger promise than a new seller gets.",
        Refusal::Useless => "Its terms leave nothing to buy.",
        Refusal::Bond => "It wants a larger bond than the account has: add to the bond.",
        Refusal::DepositExhausted => "The deposit is used up: top it up.",
        Refusal::BudgetExhausted => "The budget is used up: raise it.",
        Refusal::FakePayeeLimit => "Enough new sellers are being tried already; it waits its turn.",
        Refusal::LossBudget => "Too much bad data was paid for in this title already.",
        Refusal::NoAccount => "There is no deposit to pay from.",
        Refusal::PayeeRefused => "It refused before in this torrent.",
        Refusal::ClosesEarly => {
            "It closed promises that were hardly used; it gets the next when it has redeemed them."
        }
    }
}

/// The reason why a connection was closed for its payments.
pub(super) fn close(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::BadPreimages => "Its payments do not match their promise.",
        CloseReason::AccountChanged => {
            "Another account pays from now on: it is connected to again."
        }
    }
}

/// The reason why buying from a peer ended.
pub(super) fn end(reason: EndReason) -> String {
    let text = match reason {
        EndReason::Unsupported => "It speaks another version of the payment protocol.",
        EndReason::Rejected(code) => return reject(code).to_owned(),
        EndReason::RemoteStopped => "It stopped selling.",
        EndReason::NoAnswer => "It did not answer a promise.",
        EndReason::PhantomDebt => "It counts blocks as unpaid that never came.",
        EndReason::Inconsistent => "It contradicts what was signed.",
        EndReason::SoldBadData => "It sold bad data.",
        EndReason::Closed => "Buying was stopped.",
    };
    text.to_owned()
}

/// The meaning of a REJECT (docs/protocol.md, "REJECT").
pub(super) fn reject(code: RejectCode) -> &'static str {
    match code {
        RejectCode::Version => "Another version of the payment protocol is spoken.",
        RejectCode::ChainOrVault => "Another chain or vault is used.",
        RejectCode::Signature => "A signature does not match.",
        RejectCode::NotCovered => "The deposit does not cover the promise.",
        RejectCode::ConsumedOrClosed => "The promise was redeemed or closed already.",
        RejectCode::Conflict => "The same money was promised to somebody else.",
        RejectCode::Exiting => "The account is being withdrawn.",
        RejectCode::BondTooLow => "The bond is too low.",
        RejectCode::PriceOrQuote => "The price changed; new terms follow.",
        RejectCode::Content => "The title's number does not match.",
        RejectCode::BadPreimage => "A payment does not match its promise.",
        RejectCode::OverCredit => "Too many blocks are unpaid.",
        RejectCode::ChainPending => {
            "The chain does not show the deposit yet, or cannot be read; it is tried again."
        }
        RejectCode::Rate => "Promises come too fast; it is tried again.",
        RejectCode::ShuttingDown => "The seller is shutting down.",
        RejectCode::RangeTooSmall => "A larger promise is wanted.",
        RejectCode::Other(_) => "The other side refused.",
    }
}
