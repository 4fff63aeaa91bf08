//! Payment without keys, clock or network: vouchers, hash chains, ledgers, policy, and the two
//! state machines of `pw_pay` (docs/protocol.md).
//!
//! One [`payer::Payer`] and one [`payee::Payee`] per client, each over all connections of all
//! torrents. They are driven alike:
//!
//! 1. Inputs are method calls that carry `now`; a message of `pw_pay` goes to the machine(s) that
//!    [`crate::wire::pay::PayMessage::recipient`] names.
//! 2. After each input the caller drains `poll()` and carries the [`PayAction`]s out **in order**.
//!    A `Send` stays in order with everything else sent on that connection: a PAY leaves before
//!    any REQUEST for which `may_request` made room after it, an ACK before the unchoke.
//! 3. At the end of a batch of inputs (one wake-up of the edge) it calls `end_of_batch(now)` and
//!    drains again; at `next_timeout()` it calls `tick(now)`.
//!
//! Effects (`PutRecord`, `Sign`, `ReadState`) carry a [`PayEffect`], numbered by each machine on its
//! own; the client maps (machine, `PayEffect`) to its own ids. Results may come in any order, but
//! `PutRecord`s of one key must be applied in the order in which they were emitted.
//!
//! Invariants: a promise and a count are durable before anybody relies on them; a serial is signed for one payee; no
//! more is revealed than the held blocks are worth (plus the v1 advance, booked as a loss risk).

pub mod chain;
pub mod ledger;
mod outgoing;
pub mod payee;
pub mod payer;
pub mod policy;
pub mod receipts;
pub mod record;
pub mod vault;
pub mod voucher;

use alloy_primitives::{Address, B256, U256};
use bytes::Bytes;

use crate::time::Timestamp;
use crate::types::{ConnectionId, Durability, FineUnits, InfoHash, TokenUnits};
use crate::wire::pay::{NeedReason, PayHandshake, PayMessage, RejectCode};

/// Most connections that one machine keeps payment state for; further ones are plain BitTorrent.
pub const MAX_CONNECTIONS: usize = 1024;

/// A new range waits for no clock after this many paid steps on a connection: their price makes up for the payee's look
/// at the chain.
pub const NEW_RANGE_STEPS: u64 = 32;

/// Ranges that both sides of a connection compare when they meet again: the newest of them, by first serial. As many as
/// an account may have unredeemed at a payee of ours.
pub const RECONCILED_RANGES: usize = 64;

/// One effect of one machine. The machine counts it, and never uses a number again in a run. The payer's and the
/// payee's numbers are apart from each other and from [`crate::types::EffectId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayEffect(pub u64);

/// The connections whose torrents go on when an effect has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// These; none where the end changes nothing for a torrent.
    Connections(Vec<ConnectionId>),
    /// All of them: the account itself may have changed.
    Everybody,
}

/// A machine's request to its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayAction {
    /// Send a `pw_pay` message, in order with everything else on that connection.
    Send {
        /// The connection that the payment message goes to.
        conn: ConnectionId,
        /// The message, before it is encoded.
        message: PayMessage,
    },
    /// Store a record (or remove it: `None`) so that it outlives the process, then report `stored(effect, ok)`.
    PutRecord {
        /// The number that `stored` is called with when the record is put.
        effect: PayEffect,
        /// The key, below `pay/`.
        key: String,
        /// The record, or `None` to remove it.
        value: Option<Bytes>,
        /// The loss that the record is to outlive.
        durability: Durability,
        /// The title that the record's range is attached to, for the receipts.
        title: Option<InfoHash>,
    },
    /// Sign an EIP-712 digest with the session key; report `signed(effect, ..)`.
    Sign {
        /// The number that `signed` is called with.
        effect: PayEffect,
        /// The digest to sign.
        digest: B256,
    },
    /// Call the vault's `state(account, word)` at `latest`; report `chain_state(effect, ..)`.
    ReadState {
        /// The number that `chain_state` is called with.
        effect: PayEffect,
        /// The account's id.
        account: B256,
        /// The bitmap word, that is, serial / 256.
        word: U256,
    },
    /// A paid peer may be unchoked now, outside the free slots (its ACK went before).
    Unchoke {
        /// The connection of the buyer that may be sent blocks.
        conn: ConnectionId,
    },
    /// A peer no longer pays: choke it, or treat it as a free one.
    Choke {
        /// The connection of the buyer that does not pay now.
        conn: ConnectionId,
    },
    /// Close the connection.
    CloseConnection {
        /// The connection that ends: to a buyer that sends bad preimages, or to a seller that another account paid.
        conn: ConnectionId,
        /// The reason, for the log.
        reason: CloseReason,
    },
    /// Ban the peer behind a connection (its address and id) and close it.
    Ban {
        /// The connection of the seller whose block did not match its hash.
        conn: ConnectionId,
        /// The seller's offence; there is only one that leads to a ban.
        reason: BanReason,
    },
    /// Tell the embedder.
    Event(PayEvent),
}

/// The reason why a connection is closed for its payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The third preimage that is not on the chain.
    BadPreimages,
    /// It was paid from another account than the one that pays from now on.
    AccountChanged,
}

/// The reason why a peer is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BanReason {
    /// It sold a block whose hash is wrong.
    SoldBadData,
}

/// The reason why buying from a connection ended, or cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// A version or a luck that this side does not speak.
    Unsupported,
    /// The remote refused finally.
    Rejected(RejectCode),
    /// The remote said BYE.
    RemoteStopped,
    /// The remote did not answer a COMMIT.
    NoAnswer,
    /// The remote holds that more is unpaid than its credit allows, and this side owes nothing.
    PhantomDebt,
    /// The remote's claim contradicts a voucher that this side signed.
    Inconsistent,
    /// It sold bad data.
    SoldBadData,
    /// This side closed.
    Closed,
}

/// The reason why a quote is not taken (for now).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The unit exceeds the ceiling.
    OverCeiling,
    /// The unit exceeds the worth of 256 serials.
    OverTranche,
    /// The content is neither zero nor the id that came with the link.
    Content,
    /// Its least range is more than policy gives this payee.
    RangeTooLarge,
    /// Its credit or chain length is zero, so that nothing could be bought.
    Useless,
    /// It wants a larger bond than the account has.
    Bond,
    /// The deposit has no serials left.
    DepositExhausted,
    /// The budget is used up.
    BudgetExhausted,
    /// Too many ranges with little or nothing revealed, or too many new payees at once; tried again later.
    FakePayeeLimit,
    /// The title's loss budget is used up: no paid v1.
    LossBudget,
    /// No account, or an account that is exiting.
    NoAccount,
    /// The seller refused finally, or sold bad data, earlier in this run.
    PayeeRefused,
    /// The seller closed ranges before half of them was used, and the chain does not show them consumed; tried
    /// again later.
    ClosesEarly,
}

/// The reason why nothing new can be bought before the user does something about the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentNeed {
    /// There is no account.
    NoAccount,
    /// Every serial of the deposit is promised.
    DepositUsedUp,
    /// The budget is spent, and the deposit is not.
    BudgetUsedUp,
    /// The deposit is on its way back.
    Exiting,
    /// The deposit went back.
    Withdrawn,
    /// The records are behind the promises: see [`PayEvent::AccountUnusable`].
    Held,
}

/// A machine's message to the embedder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayEvent {
    /// Payer: a quote came in.
    Quoted {
        /// The connection of the seller that quotes.
        conn: ConnectionId,
        /// The address that is paid.
        payee: Address,
        /// Price per block.
        price: FineUnits,
    },
    /// Payer: a quote is not taken; sent once per quote and reason.
    Refused {
        /// The connection of the seller that quoted.
        conn: ConnectionId,
        /// The obstacle, such as the price, an earlier refusal of the seller, or our own deposit.
        why: Refusal,
    },
    /// Payer: the account can be used; the next free serial.
    AccountReady {
        /// The account.
        account: B256,
        /// Next free serial.
        next: u32,
    },
    /// Payer: the chain or a payee shows promises that the records do not have; this machine promises nothing any more.
    AccountUnusable {
        /// The account.
        account: B256,
    },
    /// Payer: a new range was committed and accepted.
    RangeOpened {
        /// The connection of the seller that accepted the range.
        conn: ConnectionId,
        /// First serial.
        first: u32,
        /// Serials in the range, `first` among them; at most 256.
        count: u16,
        /// Price per block.
        price: FineUnits,
    },
    /// Payer: steps were revealed.
    Paid {
        /// The connection of the seller that the payment went to.
        conn: ConnectionId,
        /// Blocks that the revealed steps pay for, one for each step.
        blocks: u32,
        /// The price of each.
        price: FineUnits,
    },
    /// Payer: a REJECT came in. Payee: a REJECT went out.
    Rejected {
        /// The connection that the REJECT came or went on.
        conn: ConnectionId,
        /// The seller's reason, as it is on the wire.
        code: RejectCode,
        /// The number that goes with the code, such as a serial or a wait; [`RejectCode`] says which.
        aux: u32,
    },
    /// Payer: buying from this connection ended (once per connection).
    Ended {
        /// The connection of the seller that nothing more is bought from.
        conn: ConnectionId,
        /// The cause, on the seller's side or on ours.
        reason: EndReason,
    },
    /// Payer: the budget is used up; sent once until it is raised.
    BudgetExhausted,
    /// Payer: the deposit has no free serials left; sent once until it is topped up.
    DepositExhausted,
    /// Payer: blocks were paid in advance and turned out bad.
    LossDebited {
        /// The title.
        torrent: InfoHash,
        /// Blocks lost.
        blocks: u32,
        /// Blocks that may still be lost.
        left: u32,
    },
    /// Payer: the payee asks for something that the machine could not give by itself.
    Asked {
        /// The connection of the seller that asks.
        conn: ConnectionId,
        /// The reason that the seller's NEED gives.
        reason: NeedReason,
    },
    /// Payee: a buyer's range is attached to a connection.
    BuyerAttached {
        /// The connection that the buyer pays on from now on.
        conn: ConnectionId,
        /// Id of the buyer's account.
        account: B256,
        /// First serial.
        first: u32,
    },
    /// Payee: blocks were paid.
    Earned {
        /// The connection of the buyer that paid.
        conn: ConnectionId,
        /// Blocks that the revealed steps pay for, one for each step.
        blocks: u32,
        /// The price of each.
        price: FineUnits,
    },
    /// Payee: a connection went away and owes more than is forgiven.
    WalkedAway {
        /// Id of the buyer's account.
        account: B256,
        /// Blocks that the seller sent on that connection and that are not paid.
        blocks: u32,
    },
    /// Payee: something should be redeemed (call `prepare_redeem(Due)` when above dust).
    RedeemDue {
        /// The latest time for it, when an exit is running.
        before: Option<Timestamp>,
        /// Token units that would come in.
        due: TokenUnits,
    },
    /// Payee: the ranges of a `prepare_redeem` are closed durably; `claims()` holds them.
    ClaimsReady {
        /// Number of claims that `claims()` answers.
        count: usize,
        /// Sum that the vault would pay for all of them.
        due: TokenUnits,
    },
    /// Payee: a range was redeemed.
    Redeemed {
        /// Id of the buyer's account.
        account: B256,
        /// First serial.
        first: u32,
        /// Sum that the vault paid for it; the worth of the range, if the chain shows only that it is consumed.
        gross: TokenUnits,
    },
    /// Payee: a buyer's account is exiting.
    Exiting {
        /// Id of the buyer's account.
        account: B256,
        /// Redeem before this time.
        redeem_before: Timestamp,
    },
    /// Payee: a buyer took its deposit back before the seller had redeemed all that it owed.
    LeftUnredeemed {
        /// Id of the buyer's account, which is dead for ever.
        account: B256,
        /// Sum that the vault would have paid for the lost ranges.
        due: TokenUnits,
    },
    /// Payee: the chain answered with another id than the configured one; nothing is accepted.
    ChainMismatch {
        /// EIP-155 id of the chain that answered.
        chain_id: u64,
    },
    /// Both: two vouchers of one account for one serial and different payees were seen. Payee: somebody else redeemed a
    /// serial that was promised to us.
    Conflict {
        /// Id of the account whose session key signed for both payees.
        account: B256,
        /// A serial promised twice.
        serial: u32,
    },
    /// Payee: an account that left long ago is remembered no more. If it comes back, its facts begin anew.
    AccountForgotten {
        /// The account.
        account: B256,
    },
    /// Both: a record could not be stored; nothing that needs it goes on. Sent once, until one can be stored again.
    StoreFailed,
    /// Both: a stored record could not be read and was left alone.
    RecordUnreadable {
        /// Its key.
        key: String,
    },
}

/// The client's knowledge of a peer when both extended handshakes are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPayInfo {
    /// The remote's `pay` dictionary, if it sent one.
    pub handshake: Option<PayHandshake>,
    /// The peer's network address, in any form that makes "one per address" right (an IP, without port). It is empty
    /// when it is unknown, and then it counts as one address of its own.
    pub address: String,
    /// The torrent.
    pub torrent: InfoHash,
    /// The registry id that came with the link or the .torrent; zero when none did. Neither side deals under another.
    pub content: B256,
}

/// The way in which a title's blocks become payable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TitleKind {
    /// The metadata is incomplete: nothing is committed.
    Unknown,
    /// v1: a block is good only with its whole piece; it is paid in advance against a loss budget.
    V1 {
        /// Blocks per piece.
        piece_blocks: u32,
    },
}

/// The answer of the vault's `state(account, word)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainState {
    /// Deposit left.
    pub balance: TokenUnits,
    /// Worth of one serial, `q`.
    pub tranche: TokenUnits,
    /// Serials consumed.
    pub consumed: u64,
    /// Whether the account was ever opened.
    pub known: bool,
    /// Collateral.
    pub bond: TokenUnits,
    /// Seconds since the epoch from which withdrawal is possible; 0: not exiting.
    pub exit_at: u64,
    /// The bitmap word asked for.
    pub spent_word: U256,
    /// The chain that answered.
    pub chain_id: u64,
    /// Its block.
    pub block_number: u64,
    /// That block's time.
    pub timestamp: u64,
}

impl ChainState {
    /// Serials below this one are covered: `consumed + balance / q`; 0 if the deposit was taken back.
    pub fn bound(&self) -> u64 {
        let tranches = self.balance.0.checked_div(self.tranche.0);
        tranches.map_or(0, |tranches| {
            let tranches = u64::try_from(tranches).unwrap_or(u64::MAX);
            self.consumed.saturating_add(tranches)
        })
    }

    /// Whether the deposit was taken back: the account is dead for ever, and none of its debts can be paid.
    pub fn is_withdrawn(&self) -> bool {
        self.known && self.tranche.0 == 0
    }

    /// Whether any serial of `[first, first+count)`, inside the word asked for, is consumed.
    pub fn any_consumed(&self, first: u32, count: u16) -> bool {
        (first & 255..(first & 255) + u32::from(count))
            .take_while(|bit| *bit < 256)
            .any(|bit| self.spent_word.bit(bit as usize))
    }
}

/// The chain could not be asked (no RPC, an error, a time-out).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chain could not be read; check the wallet or the configured RPC")]
pub struct ChainUnreadable;

/// The session key did not sign (locked, lost, refused).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session key did not sign; reload the account or restore its key")]
pub struct NotSigned;
