//! The runner's redemptions: by itself, on command and at the end, one transaction at a time.
//!
//! Invariant: however a redemption ends, the core learns the end of each claim that left it.

use std::collections::BTreeSet;
use std::time::Instant;

use alloy_primitives::B256;
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::interrupt::Interrupt;
use super::output::{CliError, complain};
use super::payout::{Batch, Sum, batch_json, send_batch};
use super::runner::{Runner, Woken, stopped};
use super::worth::Least;
use crate::client::{Command, Event, RedeemOutcome, RedeemScope, Side};
use crate::native::driver::Stopped;
use crate::payment::voucher::abi::Claim;
use crate::types::TokenUnits;

/// Most transactions of one redemption: far more than a payee has ranges.
const MAX_BATCHES: usize = 64;
/// Redemptions of one run that are remembered for the summary; the first are forgotten.
const MAX_REPORTS: usize = 256;

/// The sums of a redemption.
pub(super) struct Redeemed {
    /// One of each transaction.
    pub(super) reports: Vec<Value>,
    /// The operator wants the program to end.
    pub(super) interrupted: bool,
}

impl Runner {
    pub(super) fn send_claims(&mut self, tag: u64, claims: Vec<Claim>, sum: Sum) {
        self.sending = true;
        let finished = self.finished.clone();
        let payout = self.payout.clone();
        spawn_blocking(move || {
            // If nobody waits for it, the program is ending, and the claims stay redeemable.
            let _ = finished.blocking_send(send_batch(payout, tag, claims, Some(sum)));
        });
    }

    pub(super) fn redeem_min(&self) -> TokenUnits {
        let payout = self.payout.as_ref();
        payout.map_or(TokenUnits(0), |payout| payout.redeem_min)
    }

    /// Reads what gas costs, off the runner's thread, and lets the least worth of a claim follow if gas was never as
    /// cheap in this run.
    pub(super) fn look_at_gas(&self) {
        let Some(payout) = &self.payout else {
            return;
        };
        let (Some(worth), Some(lowest)) = (payout.worth, payout.follows.clone()) else {
            return;
        };
        let (chain, handle) = (payout.chain.clone(), self.handle.clone());
        tokio::spawn(async move {
            let read = spawn_blocking(move || chain.gas_price()).await;
            match read.map_err(|e| e.to_string()) {
                Ok(Ok(fee)) if lowest.is_lower(fee) => {
                    let Least { redeemed, gas } = worth.least(fee);
                    let (dust, item_gas) = (redeemed, gas);
                    // If nobody takes it, the program is ending.
                    let _ = (handle.command(Command::SetDust { dust, item_gas })).await;
                }
                Ok(Err(error)) if lowest.is_unknown() => complain(&format!(
                    "what gas costs is not known, so nothing below 0.01 tokens is sold or redeemed by itself: {error}"
                )),
                _ => {}
            }
            lowest.looked();
        });
    }

    /// Whether the first look at the price of gas, which sets the least worth of a claim, goes on.
    fn gas_is_looked_at(&self) -> bool {
        let payout = self.payout.as_ref().filter(|payout| payout.worth.is_some());
        let lowest = payout.and_then(|payout| payout.follows.as_ref());
        lowest.is_some_and(|lowest| !lowest.has_looked())
    }

    /// Gives claims back: they stay redeemable.
    pub(super) async fn give_back(&self, tag: u64, reason: &str) -> Result<(), CliError> {
        let outcome = RedeemOutcome::Failed {
            reason: reason.to_owned(),
        };
        let later = Command::Redeemed { tag, outcome };
        self.handle.command(later).await.map_err(stopped)
    }

    /// Whether the core said that something is due, and no redemption began since.
    pub(super) fn wants_redemption(&self) -> bool {
        self.pace.is_time(Instant::now())
    }

    /// Redeems the due claims above dust, if they are worth a transaction; the report follows as a batch. One at a
    /// time.
    pub(super) async fn redeem_due(&mut self) -> Result<(), CliError> {
        if self.pace.under_way {
            return Ok(());
        }
        if self.gas_is_looked_at() {
            // The next look at what goes on tries again.
            self.pace.said_due();
            return Ok(());
        }
        let money = self.look().await?.client.money;
        if money.redeemable < self.redeem_min() {
            return Ok(());
        }
        self.pace.begin(Instant::now());
        self.handle
            .command(Command::PrepareRedeem(RedeemScope::Due))
            .await
            .map_err(|e| CliError::Failed(e.to_string()))
    }

    /// Whether somebody is paid here, and nobody gave up.
    pub(super) fn may_redeem(&self) -> bool {
        self.payout.is_some() && !self.gave_up
    }

    /// A transaction that is out stays out, and nobody waits for it; nothing more is sent.
    fn give_up(&mut self) {
        self.gave_up = true;
        if let Some(payout) = &self.payout {
            payout.chain.give_up();
        }
    }

    /// Ends the redemption that began by itself, if one is under way: when it is done, or at once where it stands if
    /// nobody waits for it.
    pub(super) async fn end_redemption(
        &mut self,
        interrupt: &mut Interrupt,
        waits: bool,
    ) -> Result<(), CliError> {
        if !waits {
            self.give_up();
        }
        // Claims that did not leave the core keep their state.
        while self.sending || (self.pace.under_way && !self.gave_up) {
            tokio::select! {
                woken = self.next() => self.handle_woken(woken).await?,
                () = interrupt.wait(), if !self.gave_up => self.give_up(),
            }
        }
        Ok(())
    }

    /// Redeems all that pays, one transaction after the other; one report each. No range is tried twice. An interrupt
    /// ends it where it stands.
    pub(super) async fn redeem_all(
        &mut self,
        interrupt: &mut Interrupt,
    ) -> Result<Redeemed, CliError> {
        let mut reports = Vec::new();
        let mut tried = BTreeSet::new();
        while reports.len() < MAX_BATCHES {
            let Some((tag, claims)) = self.next_claims(interrupt).await? else {
                break;
            };
            if claims.iter().all(|claim| tried.contains(&claim_id(claim))) {
                if !claims.is_empty() {
                    self.give_back(tag, "it was tried just now").await?;
                }
                break;
            }
            let payout = self.payout.clone();
            let mut sent = spawn_blocking(move || send_batch(payout, tag, claims, None));
            let batch = tokio::select! {
                batch = &mut sent => batch,
                () = interrupt.wait() => {
                    self.give_up();
                    sent.await
                }
            };
            let batch =
                batch.map_err(|e| CliError::Failed(format!("the redemption broke off: {e}")))?;
            let before = tried.len();
            tried.extend(batch.claims.iter().map(claim_id));
            let more = batch.next_may_pay() && tried.len() > before;
            reports.push(self.close_batch(batch).await);
            if !more {
                break;
            }
        }
        self.pace.under_way = self.sending;
        Ok(Redeemed {
            reports,
            interrupted: self.gave_up,
        })
    }

    /// `None` after an interrupt.
    async fn next_claims(
        &mut self,
        interrupt: &mut Interrupt,
    ) -> Result<Option<(u64, Vec<Claim>)>, CliError> {
        self.handle
            .command(Command::PrepareRedeem(RedeemScope::All))
            .await
            .map_err(stopped)?;
        loop {
            let woken = tokio::select! {
                woken = self.next() => woken,
                () = interrupt.wait() => {
                    self.give_up();
                    return Ok(None);
                }
            };
            match woken {
                Woken::Event(Event::ClaimsReady { tag, claims, .. }) => {
                    return Ok(Some((tag, claims)));
                }
                other => self.handle_woken(other).await?,
            }
        }
    }

    pub(super) async fn close_batch(&mut self, batch: Batch) -> Value {
        if self.tell_outcome(&batch).await.is_err() {
            complain("the peer stopped before it noted a redemption");
        }
        match batch.result {
            Ok(_) => self.redemptions.done += 1,
            Err(_) => self.redemptions.failed += 1,
        }
        let report = batch_json(&batch, self.decimals);
        if self.redeemed.len() >= MAX_REPORTS {
            self.redeemed.pop_front();
        }
        self.redeemed.push_back(report.clone());
        report
    }

    /// Tells the core the end of the claims that it handed out.
    pub(super) async fn tell_outcome(&self, batch: &Batch) -> Result<(), Stopped> {
        let (tag, outcome) = (batch.tag, batch.outcome());
        if let Some((transaction, amount)) = batch.fee() {
            let side = Side::Seller;
            let fee = Command::NoteFee {
                side,
                transaction,
                amount,
            };
            self.handle.command(fee).await?;
        }
        if batch.left_out > 0 {
            let sent = batch.claims.len();
            let unsent = Command::ReturnClaims { tag, sent };
            self.handle.command(unsent).await?;
        }
        self.handle
            .command(Command::Redeemed { tag, outcome })
            .await
    }
}

/// The name of a range: no other voucher has the same signature.
fn claim_id(claim: &Claim) -> (B256, B256) {
    (claim.r, claim.vs)
}
