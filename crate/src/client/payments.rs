//! The two payment machines in the client. The client makes them from the configuration, feeds them with effects and
//! accounts, and carries out their actions.

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use chacha20::ChaCha20Rng;
use rand_core::Rng;

use super::{Client, wording};
use crate::io::{
    ClosedReason, Config, Effect, EffectError, EffectResult, Event, RedeemOutcome, RedeemScope,
};
use crate::paying::{Paid, Paying};
use crate::payment::payee::{ClaimOutcome, Payee, PayeeConfig, RangeId};
use crate::payment::payer::{AccountInfo, Payer};
use crate::payment::policy::PayerConfig;
use crate::payment::receipts::{Changes, Receipt, Receipts, Side};
use crate::payment::voucher::Vault;
use crate::payment::{ChainUnreadable, Concern, NotSigned, PayAction, PayEffect, PayEvent};
use crate::sorted::Map;
use crate::time::{Duration, Timestamp};
use crate::torrent::{EffectOwner, Money, MoneyAction};
use crate::types::{ConnectionId, Durability, InfoHash, TokenUnits};

/// Claims that one transaction has at most (docs/protocol.md, "Redeeming").
const MAX_CLAIMS: usize = crate::payment::voucher::MAX_CLAIMS;
/// Batches of claims that are handed out and not answered, at most.
const MAX_REDEMPTIONS: usize = 16;
/// Claims are ready again when nobody reported their outcome for this time. The page that took them is gone, and a
/// redemption that it may have sent is past its deadline of an hour.
const CLAIMS_RETURN: Duration = Duration::from_secs(3_900);
/// The client asks this often for an account that the chain does not know yet: its deposit is on its way.
const ACCOUNT_RETRY: Duration = Duration::from_secs(2);
/// An announced change of the account may not show, because the node is behind. The client asks again after
/// [`ACCOUNT_RETRY`], and after twice as long each time, up to this.
const ACCOUNT_PATIENCE: Duration = Duration::from_secs(16);

/// The account that pays, as far as the client knows it.
#[derive(Debug, Default)]
pub(super) struct Account {
    owner_and_key: Option<(Address, Address)>,
    reading: bool,
    /// Whether the running read began before the last wish to know.
    outdated: bool,
    /// The account as the payer was told last.
    told: Option<AccountInfo>,
    /// The time to wait for an announced change that does not show yet.
    wait: Option<Duration>,
    retry_at: Option<Timestamp>,
    warned: bool,
    ready: bool,
    balance: TokenUnits,
}

impl Account {
    pub(super) fn next_timeout(&self) -> Timestamp {
        self.retry_at.unwrap_or(Timestamp::NEVER)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    pub(super) fn balance(&self) -> TokenUnits {
        self.balance
    }
}

/// The claims that the edge has.
#[derive(Debug, Default)]
pub(super) struct Redemptions {
    next_tag: u64,
    out: Map<u64, (Timestamp, Vec<RangeId>)>,
}

impl Redemptions {
    pub(super) fn next_timeout(&self) -> Timestamp {
        // Tags rise, and so do their times.
        let oldest = self.out.first_key_value();
        oldest.map_or(Timestamp::NEVER, |(_, (at, _))| *at + CLAIMS_RETURN)
    }
}

/// The machines that the configuration asks for.
pub(super) fn machines(
    config: &Config,
    now: Timestamp,
    rng: &mut ChaCha20Rng,
    records: &Map<String, Bytes>,
) -> Money {
    let mut money = Money::default();
    let (Some(payment), Some(paying)) = (&config.payment, Paying::HERE) else {
        return money;
    };
    let vault = Vault {
        address: payment.vault,
        chain_id: payment.chain_id,
    };
    let mut seed = || {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        seed
    };
    let records = || records.iter().map(|(k, v)| (k.clone(), v.clone()));
    if let Some(buy) = &payment.buy {
        let config = PayerConfig {
            ceiling: buy.max_price,
            budget: buy.budget,
            loss_budget_pieces: buy.loss_budget_pieces,
            ..PayerConfig::new(vault)
        };
        let payer = Payer::new(config, seed(), records());
        money.payer = Some(Paid::new(paying, payer));
    }
    if let Some(sell) = &payment.sell {
        let config = PayeeConfig {
            min_bond_percent: sell.min_bond_percent,
            credit: sell.credit,
            ..PayeeConfig::new(vault, sell.payee).with_dust(sell.dust)
        };
        let payee = Payee::new(now, config, seed(), records());
        money.payee = Some(Paid::new(paying, payee));
    }
    money
}

/// The account of what is bought and sold at the configured vault.
pub(super) fn receipts(config: &Config, records: &Map<String, Bytes>) -> Option<Paid<Receipts>> {
    let paying = Paying::HERE?;
    let payment = config.payment.as_ref()?;
    let vault = Vault {
        address: payment.vault,
        chain_id: payment.chain_id,
    };
    Some(Paid::new(paying, Receipts::new(vault, records.iter())))
}

impl Client {
    // ---- receipts

    /// What was bought, then what was sold, redeemed and paid for gas, at the configured vault; each the oldest first.
    pub fn receipts(&self) -> Vec<Receipt> {
        let receipts = self.receipts.as_ref();
        receipts.map_or_else(Vec::new, |receipts| receipts.lines())
    }

    /// The names of the titles in [`Client::receipts`]. They come from strangers.
    pub fn receipt_names(&self) -> Vec<(InfoHash, String)> {
        let receipts = self.receipts.as_ref();
        receipts.map_or_else(Vec::new, |receipts| receipts.names())
    }

    pub(super) fn note_fee(&mut self, side: Side, transaction: B256, amount: u128) {
        if let Some(receipts) = &mut self.receipts {
            let records = receipts.fee(self.now, side, transaction, amount);
            self.put_receipts(side, records, Durability::Process);
        }
    }

    pub(super) fn clear_receipts(&mut self) {
        for side in [Side::Buyer, Side::Seller] {
            if let Some(receipts) = &mut self.receipts {
                let records = receipts.clear(side);
                self.put_receipts(side, records, Durability::PowerLoss);
            }
        }
    }

    fn put_receipts(&mut self, side: Side, lines: Changes, durability: Durability) {
        if !lines.is_empty() {
            self.put_with_receipts(EffectOwner::Receipts, side, lines, None, durability);
        }
    }

    /// Puts lines, and the machine's record that they follow from, as one batch.
    fn put_with_receipts(
        &mut self,
        owner: EffectOwner,
        side: Side,
        lines: Changes,
        record: Option<(String, Option<Bytes>)>,
        durability: Durability,
    ) {
        let records = lines.iter().cloned().chain(record).collect();
        let put = Effect::PutRecords {
            records,
            durability,
        };
        let effect = self.out.effect(owner, put);
        if let Some(receipts) = &mut self.receipts {
            receipts.leave(effect, side, &lines);
        }
    }

    /// The lines that follow from a machine's record.
    fn lines_of(&mut self, key: &str, value: Option<&[u8]>, title: Option<InfoHash>) -> Changes {
        let name = title.and_then(|title| self.torrents.get(&title)?.name());
        let title = title.map(|title| (title, name.unwrap_or_default()));
        match &mut self.receipts {
            Some(receipts) => receipts.follow(self.now, key, value, title),
            None => Changes::new(),
        }
    }

    // ---- the account

    pub(super) fn set_account(&mut self, owner: Address, session_key: Address) {
        if self.money.payer.is_none() {
            return self.out.event(Event::Warning {
                info_hash: None,
                text:
                    "an account was given, but buying is not configured: set a price ceiling and a \
                       budget first"
                        .to_owned(),
            });
        }
        let account = Some((owner, session_key));
        if self.account.owner_and_key != account {
            // What was read is another account's.
            self.account.ready = false;
            self.account.balance = TokenUnits::default();
        }
        self.account.owner_and_key = account;
        self.account.warned = false;
        self.read_account();
    }

    pub(super) fn read_account(&mut self) {
        let Some((owner, key)) = self.account.owner_and_key else {
            return;
        };
        if self.account.reading {
            self.account.outdated = true;
            return;
        }
        self.account.reading = true;
        self.account.retry_at = None;
        self.out.effect(
            EffectOwner::Account,
            Effect::ReadAccount {
                account: crate::payment::voucher::account_id(owner, key),
                word: alloy_primitives::U256::ZERO,
            },
        );
    }

    pub(super) fn account_read(&mut self, result: Result<EffectResult, EffectError>) {
        self.account.reading = false;
        if self.money.payer.is_none() {
            return;
        }
        let Some((owner, session_key)) = self.account.owner_and_key else {
            return;
        };
        // The answer may be about another account, or from before a deposit.
        if core::mem::take(&mut self.account.outdated) {
            return self.read_account();
        }
        let expected = self.config.payment().map(|p| p.chain_id);
        let trouble = match result {
            Ok(EffectResult::Account(state)) if Some(state.chain_id) != expected => Some(format!(
                "the wallet or RPC is on chain {}, not on {}: switch it",
                state.chain_id,
                expected.unwrap_or_default()
            )),
            Ok(EffectResult::Account(state)) if !state.known => None,
            Ok(EffectResult::Account(state)) => {
                return self.account_known(AccountInfo {
                    owner,
                    session_key,
                    tranche: state.tranche,
                    balance: state.balance,
                    bond: state.bond,
                    consumed: state.consumed,
                    exit_at: state.exit_at,
                });
            }
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        self.account.retry_at = Some(self.now + ACCOUNT_RETRY);
        if let Some(text) = trouble
            && !self.account.warned
        {
            self.account.warned = true;
            self.out.event(Event::Warning {
                info_hash: None,
                text: format!("{text}; it is tried again"),
            });
        }
    }

    fn account_known(&mut self, info: AccountInfo) {
        self.account.ready = true;
        self.account.balance = info.balance;
        self.account.retry_at = None;
        let is_news = self.account.told.replace(info) != Some(info);
        let wait = self.account.wait.take();
        if let Some(wait) = wait.filter(|wait| !is_news && *wait <= ACCOUNT_PATIENCE) {
            self.account.retry_at = Some(self.now + wait);
            self.account.wait = Some(wait * 2);
        }
        if let Some(payer) = &mut self.money.payer {
            payer.set_account(self.now, info);
        }
        self.touched.extend(self.torrents.keys());
    }

    /// Reads the account again, because somebody says that it has changed.
    pub(super) fn refresh_account(&mut self) {
        self.account.wait = Some(ACCOUNT_RETRY);
        self.read_account();
    }

    pub(super) fn account_on_time(&mut self) {
        if self.account.retry_at.is_some_and(|at| at <= self.now) {
            self.read_account();
        }
    }

    pub(super) fn set_budget(&mut self, total: TokenUnits) {
        if let Some(payer) = &mut self.money.payer {
            payer.set_budget(self.now, total);
            self.touched.extend(self.torrents.keys());
        }
    }

    // ---- redeeming

    pub(super) fn prepare_redeem(&mut self, scope: RedeemScope) {
        match &mut self.money.payee {
            Some(payee) => payee.prepare_redeem(self.now, scope),
            None => self.hand_out_claims(),
        }
    }

    fn hand_out_claims(&mut self) {
        let room = self.redemptions.out.len() < MAX_REDEMPTIONS;
        let ready = match &mut self.money.payee {
            Some(payee) if room => payee.take_claims(self.now, MAX_CLAIMS),
            _ => Vec::new(),
        };
        let tag = self.redemptions.next_tag;
        self.redemptions.next_tag += 1;
        if !ready.is_empty() {
            let ids = ready.iter().map(|c| c.id).collect();
            self.redemptions.out.insert(tag, (self.now, ids));
        }
        let total: u128 = ready.iter().map(|c| c.due.0).sum();
        let leaves = ready.iter().filter(|c| c.is_last_chance);
        let leaving: u128 = leaves.map(|c| c.due.0).sum();
        self.out.event(Event::ClaimsReady {
            tag,
            total: TokenUnits(total),
            // Nobody who withdraws next to nothing makes the rest be redeemed dearly.
            is_last_chance: total > 0 && leaving >= total / 2,
            claims: ready.into_iter().map(|c| c.claim).collect(),
        });
    }

    pub(super) fn return_claims(&mut self, tag: u64, sent: usize) {
        let Some((_, ids)) = self.redemptions.out.get_mut(&tag) else {
            return;
        };
        let unsent: Vec<_> = (ids.drain(ids.len().min(sent)..))
            .map(|id| (id, ClaimOutcome::Unsent))
            .collect();
        if let Some(payee) = &mut self.money.payee {
            payee.redeemed(self.now, &unsent);
        }
    }

    pub(super) fn redeemed(&mut self, tag: u64, outcome: &RedeemOutcome) {
        let Some((_, ids)) = self.redemptions.out.remove(&tag) else {
            return;
        };
        // A claim that a mined transaction does not mention may have any outcome.
        let unsaid = match outcome {
            RedeemOutcome::Failed { .. } => ClaimOutcome::Failed,
            RedeemOutcome::Mined { .. } | RedeemOutcome::Unknown { .. } => ClaimOutcome::Unknown,
        };
        let mut outcomes: Vec<(RangeId, ClaimOutcome)> =
            ids.iter().map(|id| (*id, unsaid)).collect();
        if let RedeemOutcome::Mined { paid, skipped } = outcome {
            for (index, amount) in paid {
                if let Some(entry) = outcomes.get_mut(*index as usize) {
                    entry.1 = ClaimOutcome::Paid(*amount);
                }
            }
            for (index, reason) in skipped {
                if let Some(entry) = outcomes.get_mut(*index as usize) {
                    entry.1 = ClaimOutcome::Skipped(*reason);
                }
            }
        }
        if let Some(payee) = &mut self.money.payee {
            payee.redeemed(self.now, &outcomes);
        }
    }

    pub(super) fn redemptions_on_time(&mut self) {
        while self.redemptions.next_timeout() <= self.now
            && let Some((tag, _)) = self.redemptions.out.first_key_value()
        {
            let reason = "nobody told what became of it".to_owned();
            self.redeemed(*tag, &RedeemOutcome::Unknown { reason });
        }
    }

    /// The account on which the buyer promises nothing more, because its records are behind; `None` if there is none.
    /// An edge asks for it before a page offers a deposit, which must not go to this account.
    pub fn held_account(&self) -> Option<B256> {
        self.money.payer.as_ref()?.held_account()
    }

    /// Sells nothing more at this vault. The seller can still redeem its earnings.
    pub(super) fn stop_selling(&mut self) {
        if let Some(payee) = &mut self.money.payee {
            payee.close(self.now);
            self.warn(
                "the vault lets a deposit leave in less than a day, too soon for a seller to redeem, \
                 so nothing is sold: the site must name another vault",
            );
        }
    }

    pub(super) fn set_dust(&mut self, dust: TokenUnits, item_gas: TokenUnits) {
        if let Some(payee) = &mut self.money.payee {
            payee.set_dust(self.now, dust, item_gas);
        }
    }

    pub(super) fn close_money(&mut self) {
        if let Some(payer) = &mut self.money.payer {
            payer.close(self.now);
        }
        if let Some(payee) = &mut self.money.payee {
            payee.close(self.now);
        }
        self.drain_money();
    }

    // ---- actions

    pub(super) fn drain_money(&mut self) -> bool {
        let mut busy = false;
        while let Some(action) = self.money.poll() {
            busy = true;
            let (action, is_payer) = match action {
                MoneyAction::Payer(action) => (action, true),
                MoneyAction::Payee(action) => (action, false),
            };
            self.carry_out(action, is_payer);
        }
        busy
    }

    fn carry_out(&mut self, action: PayAction, is_payer: bool) {
        let owner = |effect: PayEffect| {
            if is_payer {
                EffectOwner::Payer(effect)
            } else {
                EffectOwner::Payee(effect)
            }
        };
        match action {
            PayAction::Send { conn, message } => {
                if !self.queues.send_pay(self.now, conn, &message) {
                    self.in_torrent_of(conn, |torrent, ctx| {
                        torrent.close(ctx, conn, ClosedReason::TimedOut("it does not read"));
                    });
                }
                self.touched.extend(self.torrent_of(conn));
            }
            PayAction::PutRecord {
                effect,
                key,
                value,
                durability,
                title,
            } => {
                let lines = self.lines_of(&key, value.as_deref(), title);
                let side = match is_payer {
                    true => Side::Buyer,
                    false => Side::Seller,
                };
                let record = Some((key, value));
                self.put_with_receipts(owner(effect), side, lines, record, durability);
            }
            PayAction::Sign { effect, digest } => {
                self.out.effect(owner(effect), Effect::Sign { digest });
            }
            PayAction::ReadState {
                effect,
                account,
                word,
            } => {
                self.out
                    .effect(owner(effect), Effect::ReadAccount { account, word });
            }
            PayAction::Unchoke { conn } => {
                let on = self.config.limits.upload_bytes_per_second != Some(0)
                    && self.config.limits.upload_slots > 0;
                if on {
                    self.in_torrent_of(conn, |torrent, ctx| torrent.set_choked(ctx, conn, false));
                }
                self.choke_stale = true;
            }
            PayAction::Choke { conn } => {
                self.in_torrent_of(conn, |torrent, ctx| torrent.set_choked(ctx, conn, true));
                self.choke_stale = true;
            }
            PayAction::CloseConnection { conn, reason } => {
                self.in_torrent_of(conn, |torrent, ctx| {
                    torrent.close(
                        ctx,
                        conn,
                        ClosedReason::Payment(wording::close(reason).to_owned()),
                    );
                });
            }
            PayAction::Ban { conn, .. } => self.in_torrent_of(conn, |torrent, ctx| {
                torrent.close(ctx, conn, ClosedReason::Corrupt);
            }),
            PayAction::Event(event) => self.pay_event(event),
        }
    }

    pub(super) fn torrent_of(&self, conn: ConnectionId) -> Option<InfoHash> {
        self.routes.get(&conn).map(|r| r.info_hash)
    }

    fn pay_log(&mut self, conn: Option<ConnectionId>, text: String) {
        let info_hash = conn.and_then(|c| self.torrent_of(c));
        self.out.event(Event::Payment { info_hash, text });
    }

    fn pay_event(&mut self, event: PayEvent) {
        match event {
            PayEvent::Quoted { conn, .. } => self.touched.extend(self.torrent_of(conn)),
            PayEvent::Refused { conn, why } => {
                self.money.note_why(conn, wording::refusal(why).to_owned());
                // Another seller may take its place.
                self.touched.extend(self.torrent_of(conn));
            }
            PayEvent::AccountReady { .. } => self.touched.extend(self.torrents.keys()),
            PayEvent::AccountUnusable { .. } => {
                self.touched.extend(self.torrents.keys());
                self.warn(
                    "more was promised from the deposit than is recorded here, as by a restored or copied \
                     profile, so nothing more is: get the deposit back and make a new one",
                );
            }
            PayEvent::RangeOpened {
                conn, first, count, ..
            } => {
                self.money.note_why(conn, String::new());
                self.pay_log(
                    Some(conn),
                    format!("A range of {count} from serial {first} is open."),
                );
                self.touched.extend(self.torrent_of(conn));
            }
            PayEvent::Paid {
                conn,
                blocks,
                price,
            } => {
                self.money.note_paid(conn, blocks, price);
                let sharers = self.money.payer.as_ref().map(|payer| payer.sharers(conn));
                self.touch(Concern::Connections(sharers.unwrap_or_default()));
                self.in_torrent_of(conn, |torrent, ctx| torrent.note_spent(ctx, blocks, price));
            }
            PayEvent::Earned {
                conn,
                blocks,
                price,
            } => {
                self.money.note_earned(conn, blocks, price);
                let sharers = self.money.payee.as_ref().map(|payee| payee.sharers(conn));
                self.touch(Concern::Connections(sharers.unwrap_or_default()));
            }
            PayEvent::Rejected { conn, code, .. } => {
                self.pay_log(Some(conn), wording::reject(code).to_owned());
            }
            PayEvent::Ended { conn, reason } => {
                self.money.note_why(conn, wording::end(reason));
                self.touched.extend(self.torrent_of(conn));
            }
            PayEvent::BudgetExhausted => {
                self.warn("the budget is used up: raise it to go on buying");
            }
            PayEvent::DepositExhausted => {
                self.warn("the deposit is used up: top it up to go on buying");
            }
            PayEvent::LossDebited { blocks, left, .. } => self.pay_log(
                None,
                format!("{blocks} blocks paid in advance were bad; {left} more may be lost."),
            ),
            PayEvent::Asked { conn, .. } => {
                self.pay_log(Some(conn), "A seller waits for a new promise.".to_owned());
            }
            PayEvent::BuyerAttached { conn, first, .. } => {
                self.choke_stale = true;
                self.pay_log(
                    Some(conn),
                    format!("A buyer opened a range from serial {first}."),
                );
            }
            PayEvent::WalkedAway { blocks, .. } => {
                self.pay_log(None, format!("A buyer left {blocks} blocks unpaid."));
            }
            PayEvent::RedeemDue { .. } => {
                self.out.event(Event::RedeemDue);
                self.pay_log(None, "Enough is earned to be redeemed.".to_owned());
            }
            PayEvent::ClaimsReady { .. } => self.hand_out_claims(),
            PayEvent::Redeemed { gross, first, .. } => {
                let text = format!(
                    "The range from serial {first} was redeemed: {} token units.",
                    gross.0
                );
                self.pay_log(None, text);
                // The account may be lent more again.
                self.touch(Concern::Everybody);
            }
            PayEvent::Exiting { redeem_before, .. } => self.warn(&format!(
                "a buyer withdraws its deposit: redeem before Unix time {}",
                redeem_before.as_secs()
            )),
            PayEvent::LeftUnredeemed { due, .. } => self.warn(&format!(
                "a buyer took its deposit back before {} token units of it were redeemed",
                due.0
            )),
            PayEvent::ChainMismatch { chain_id } => self.warn(&format!(
                "the wallet or RPC is on chain {chain_id}, not on the vault's: switch it"
            )),
            PayEvent::Conflict { serial, .. } => {
                self.warn(&format!("serial {serial} was promised to two payees"));
            }
            PayEvent::AccountForgotten { account } => {
                if let Some(receipts) = &mut self.receipts {
                    receipts.forget(account);
                }
            }
            PayEvent::StoreFailed => {
                self.warn("a payment record could not be stored, so nothing is paid: free space");
            }
            PayEvent::RecordUnreadable { key } => {
                self.warn(&format!(
                    "the payment record {key} is not readable and was left alone"
                ));
            }
        }
    }

    fn warn(&mut self, text: &str) {
        self.out.event(Event::Warning {
            info_hash: None,
            text: text.to_owned(),
        });
    }

    // ---- effects

    pub(super) fn payer_effect_done(
        &mut self,
        effect: PayEffect,
        result: Result<EffectResult, EffectError>,
    ) {
        let now = self.now;
        let Some(payer) = &mut self.money.payer else {
            return;
        };
        let concern = payer.concern(effect);
        match result {
            Ok(EffectResult::Signed(signature)) => payer.signed(now, effect, Ok(signature)),
            Ok(EffectResult::Account(state)) => {
                self.account.balance = state.balance;
                payer.chain_state(now, effect, Ok(state));
            }
            Ok(_) => payer.stored(now, effect, true),
            Err(EffectError::Signing(_)) => payer.signed(now, effect, Err(NotSigned)),
            Err(EffectError::Chain(_)) => payer.chain_state(now, effect, Err(ChainUnreadable)),
            Err(_) => payer.stored(now, effect, false),
        }
        self.touch(concern);
    }

    pub(super) fn payee_effect_done(
        &mut self,
        effect: PayEffect,
        result: Result<EffectResult, EffectError>,
    ) {
        let now = self.now;
        let Some(payee) = &mut self.money.payee else {
            return;
        };
        let concern = payee.concern(effect);
        match result {
            Ok(EffectResult::Account(state)) => payee.chain_state(now, effect, Ok(state)),
            Err(EffectError::Chain(_)) => payee.chain_state(now, effect, Err(ChainUnreadable)),
            Ok(_) => payee.stored(now, effect, true),
            Err(_) => payee.stored(now, effect, false),
        }
        self.touch(concern);
    }

    fn touch(&mut self, concern: Concern) {
        match concern {
            Concern::Connections(conns) => {
                let torrents = conns.into_iter().filter_map(|conn| self.torrent_of(conn));
                let torrents: Vec<InfoHash> = torrents.collect();
                self.touched.extend(torrents);
            }
            Concern::Everybody => self.touched.extend(self.torrents.keys()),
        }
    }
}
