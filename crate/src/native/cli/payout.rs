//! The redeemer of earnings, one transaction at a time, and its reports.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U256};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::output::{CliError, tokens};
use super::worth::{Lowest, Worth};
use crate::client::RedeemOutcome;
use crate::native::chain::{Chain, ChainError, Redemption};
use crate::native::keys::KeyPair;
use crate::native::sending::GasCap;
use crate::payment::vault::skip_reason;
use crate::payment::voucher::MAX_CLAIMS;
use crate::payment::voucher::abi::Claim;
use crate::types::{FineUnits, TokenUnits};

/// Claims that are due at once wait this long after the redemption before: each redemption costs gas, and a fast buyer
/// fills a range in a moment.
const REDEEM_SPACING: Duration = Duration::from_secs(15);
/// After each further failure it waits twice as long, up to this: so a deposit on its way back is redeemed within some
/// tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(900);
/// Claims that were not worth a transaction are not looked at again for this long, unless their turn comes.
const PUT_OFF: Duration = Duration::from_secs(10);

/// The times of redemptions.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Something is due: no redemption began since the core said so, or the last one failed.
    is_due: bool,
    /// Something was due when the last redemption began.
    was_due: bool,
    /// Claims are on their way from the core, or to the chain.
    pub(super) under_way: bool,
    /// When the claims were last found not to be worth a transaction yet.
    put_off: Option<Instant>,
    /// When the last redemption of due claims began, or failed.
    last: Option<Instant>,
    /// Failed redemptions since one that did not fail, or since the core said that something is due.
    failures: u32,
}

impl Pace {
    /// Whether the due claims may be redeemed at once.
    pub(super) fn is_time(&self, now: Instant) -> bool {
        let passed = |since: Option<Instant>, least| {
            since.is_none_or(|at| now.saturating_duration_since(at) >= least)
        };
        let rested = passed(self.put_off, PUT_OFF) && passed(self.last, self.pause());
        self.is_due && !self.under_way && rested
    }

    fn pause(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1);
        let pause = REDEEM_SPACING.saturating_mul(2u32.saturating_pow(doublings));
        pause.min(LONGEST_PAUSE)
    }

    /// The core says that something is due.
    pub(super) fn said_due(&mut self) {
        (self.is_due, self.failures) = (true, 0);
    }

    /// A redemption of due claims begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.was_due = std::mem::replace(&mut self.is_due, false);
        self.under_way = true;
        self.last = Some(now);
    }

    /// A redemption ended as it should; `more`: due claims that had no room in it.
    pub(super) fn went_well(&mut self, more: bool) {
        self.is_due |= more;
        self.failures = 0;
    }

    /// A redemption failed. Its claims are still due, and the core does not say so again.
    pub(super) fn failed(&mut self, now: Instant) {
        self.is_due = true;
        self.failures = self.failures.saturating_add(1);
        self.last = Some(now);
    }

    /// A redemption brought no claim.
    pub(super) fn came_to_nothing(&mut self, now: Instant) {
        if self.was_due {
            self.failed(now);
        }
    }

    /// The claims are not worth a transaction yet. They are still due, and more come.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.is_due = true;
        self.put_off = Some(now);
    }
}

/// The redeemer, and the address that gets the tokens.
#[derive(Clone, Debug)]
pub(super) struct Payout {
    pub(super) chain: Chain,
    pub(super) payee: KeyPair,
    pub(super) to: Address,
    /// Wei; see [`Chain::redeem`].
    pub(super) max_fee_per_gas: u128,
    /// The least sum that is redeemed without a command.
    pub(super) redeem_min: TokenUnits,
    /// How much of a sum may go for its gas without a command; `None`: gas is not compared with it.
    pub(super) worth: Option<Worth>,
    /// The least worth of a range that is sold, and of a claim that is redeemed without a command.
    pub(super) dust: TokenUnits,
    /// The lowest price of gas of this run, which `dust` follows; `None`: it does not.
    pub(super) follows: Option<Arc<Lowest>>,
    /// Sell also where buyers can withdraw before everything is sure to be redeemed.
    pub(super) accept_short_exit: bool,
    /// It is known that the vault is one to sell at.
    pub(super) vault_checked: bool,
}

impl Payout {
    /// For redeeming on command alone, to the payee itself.
    pub(super) fn new(chain: Chain, payee: KeyPair) -> Payout {
        Payout {
            chain,
            to: payee.address(),
            payee,
            max_fee_per_gas: 0,
            redeem_min: TokenUnits(0),
            worth: None,
            dust: TokenUnits(1),
            follows: None,
            accept_short_exit: false,
            vault_checked: false,
        }
    }

    /// Checks before anything has a price: node, vault and token are as the operator says, and a buyer's withdrawal
    /// takes long enough. Asks the chain once.
    pub(super) async fn check_vault(&mut self, decimals: u8) -> Result<(), CliError> {
        if self.vault_checked {
            return Ok(());
        }
        let (chain, any_exit) = (self.chain.clone(), self.accept_short_exit);
        let check = move || {
            chain.check()?;
            chain.check_decimals(decimals)?;
            if any_exit {
                Ok(())
            } else {
                chain.check_exit_delay()
            }
        };
        spawn_blocking(check)
            .await
            .map_err(|e| CliError::Failed(e.to_string()))?
            .map_err(|e: ChainError| CliError::Failed(e.to_string()))?;
        self.vault_checked = true;
        Ok(())
    }
}

/// One redemption transaction, or the reason why there is none.
pub(super) struct Batch {
    pub(super) tag: u64,
    /// The claims in the transaction.
    pub(super) claims: Vec<Claim>,
    /// The number of others that had no room in it, and were not sent.
    pub(super) left_out: usize,
    pub(super) result: Result<Redemption, ChainError>,
    /// What its gas was measured by, where it waits for cheaper gas.
    pub(super) measure: Option<(Worth, TokenUnits)>,
}

impl Batch {
    /// For the core.
    pub(super) fn outcome(&self) -> RedeemOutcome {
        match &self.result {
            Ok(redemption) => redemption.outcome(),
            Err(error) if error.may_be_mined() => RedeemOutcome::Unknown {
                reason: error.to_string(),
            },
            Err(error) => RedeemOutcome::Failed {
                reason: error.to_string(),
            },
        }
    }

    /// Its transaction, and what that cost, in wei; `None` where nothing is in a block, or the node does not say.
    pub(super) fn fee(&self) -> Option<(B256, u128)> {
        let redemption = self.result.as_ref().ok()?;
        let wei = u128::from(redemption.gas_used)
            .checked_mul(redemption.gas_price?)?
            .checked_add(redemption.rollup_fee)?;
        Some((redemption.transaction, wei))
    }

    /// Whether the next batch may fare better: if this one failed, it failed because of its own claims.
    pub(super) fn next_may_pay(&self) -> bool {
        matches!(self.result, Ok(_) | Err(ChainError::NothingDue))
    }

    /// Whether nothing was sent because gas is too dear for the sum.
    pub(super) fn waits_for_gas(&self) -> bool {
        matches!(self.result, Err(ChainError::NotWorth { .. }))
    }

    /// Whether claims were left over for a next one.
    pub(super) fn is_full(&self) -> bool {
        self.claims.len() >= MAX_CLAIMS || self.left_out > 0
    }
}

/// What a redemption without a command brings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum {
    /// Of all its claims.
    pub(super) total: TokenUnits,
    /// It may be gone later: its buyers withdraw.
    pub(super) is_last_chance: bool,
}

/// Blocks until the transaction is in a block, or failed. Where all claims cost more than one transaction may, or than
/// the payee has, it sends the first half of them, or the first half of that. `sum`: what a redemption without a
/// command brings; it is sent only if it is worth its gas.
pub(super) fn send_batch(
    payout: Option<Payout>,
    tag: u64,
    mut claims: Vec<Claim>,
    sum: Option<Sum>,
) -> Batch {
    let handed_out = claims.len();
    let mut measure = None;
    let result = loop {
        let result = match &payout {
            Some(payout) => {
                let share = |total| share(total, claims.len(), handed_out);
                let worth = payout.worth.zip(sum);
                let cap = GasCap {
                    worth: worth.map(|(worth, sum)| match sum.is_last_chance {
                        true => worth.at_most(share(sum.total)),
                        false => worth.of(share(sum.total)),
                    }),
                    ..GasCap::of_call(payout.max_fee_per_gas)
                };
                (payout.chain).redeem_within(&claims, &payout.payee, payout.to, cap)
            }
            None => Err(ChainError::Signing),
        };
        match result {
            Err(error) if error.is_of_size() && claims.len() > 1 => {
                claims.truncate(claims.len() / 2);
            }
            // They are as good as before.
            Err(error @ ChainError::NotWorth { .. }) => {
                let worth = payout.as_ref().and_then(|payout| payout.worth);
                measure = worth.zip(sum.map(|sum| share(sum.total, claims.len(), handed_out)));
                claims.clear();
                break Err(error);
            }
            result => break result,
        }
    };
    Batch {
        tag,
        left_out: handed_out.saturating_sub(claims.len()),
        claims,
        result,
        measure,
    }
}

/// What some of the claims bring of the sum of all. Theirs is not known; claims leave by worth, so it is a fair share
/// at least.
fn share(total: TokenUnits, some: usize, all: usize) -> TokenUnits {
    let part = U256::from(total.0) * U256::from(some);
    TokenUnits((part / U256::from(all.max(1))).saturating_to())
}

/// The report of a batch.
pub(super) fn batch_json(batch: &Batch, decimals: u8) -> Value {
    let ranges: Vec<Value> = batch
        .claims
        .iter()
        .enumerate()
        .map(|(index, claim)| {
            let base: u128 = claim.base.to();
            let unit: u128 = claim.unit.to();
            // Both are at most 2^96 and k at most 2^16.
            let owed = FineUnits(base + unit * u128::from(claim.k));
            let mut range = json!({
                "owner": claim.owner.to_string(),
                "first": claim.first,
                "count": claim.count,
                "k": claim.k,
                "owed_fine": owed.0.to_string(),
                "due": owed.floor().0.to_string(),
                "rest_fine": (owed.0 - owed.floor().fine().0).to_string(),
            });
            let (status, paid) = match &batch.result {
                Err(_) => ("failed".to_owned(), None),
                Ok(redemption) => {
                    let at = index as u32;
                    let paid = redemption.paid.iter().find(|(i, _)| *i == at);
                    let skipped = redemption.skipped.iter().find(|(i, _)| *i == at);
                    match (paid, skipped) {
                        (Some((_, paid)), _) => ("paid".to_owned(), Some(*paid)),
                        (_, Some((_, code))) => (format!("skipped: {}", skip_reason(*code)), None),
                        _ => ("unknown: the receipt does not say".to_owned(), None),
                    }
                }
            };
            range["status"] = json!(status);
            range["paid"] = json!(paid.map(|p| p.0.to_string()));
            range
        })
        .collect();
    match &batch.result {
        Ok(redemption) => json!({
            "ok": true,
            "transaction": redemption.transaction.to_string(),
            "block": redemption.block,
            "gas_used": redemption.gas_used,
            "gas_price_wei": redemption.gas_price.map(|p| p.to_string()),
            "paid": sum(&redemption.paid).0.to_string(),
            "paid_tokens": tokens(sum(&redemption.paid), decimals),
            "ranges": ranges,
        }),
        Err(error) => {
            let text = match (error, batch.measure) {
                (ChainError::NotWorth { cost, worth }, Some((by, sum))) => {
                    by.too_little(*cost, *worth, sum, decimals)
                }
                _ => error.to_string(),
            };
            json!({"ok": false, "error": text, "ranges": ranges})
        }
    }
}

fn sum(paid: &[(u32, TokenUnits)]) -> TokenUnits {
    TokenUnits(paid.iter().fold(0, |sum, (_, p)| sum.saturating_add(p.0)))
}

/// The units of a report, in tokens; what is no number stays as it is.
pub(super) fn units_in_tokens(units: &str, decimals: u8) -> String {
    (units.parse()).map_or(units.to_owned(), |units| {
        tokens(TokenUnits(units), decimals)
    })
}

/// A batch's report as a sentence.
pub(super) fn redeemed_line(report: &Value) -> String {
    let text = |key: &str| report[key].as_str().unwrap_or_default().to_owned();
    if report["ok"] == json!(true) {
        format!(
            "redeemed {} tokens for {} ranges, {} gas: {}",
            text("paid_tokens"),
            report["ranges"].as_array().map_or(0, Vec::len),
            report["gas_used"],
            text("transaction")
        )
    } else {
        format!("not redeemed: {}", text("error"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_at_once_waits_for_its_turn_after_a_redemption_and_after_it_was_too_little() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut pace = Pace::default();
        assert!(!pace.is_time(at(0)), "nothing is due");
        pace.said_due();
        assert!(pace.is_time(at(0)));
        pace.begin(at(0));
        pace.said_due();
        assert!(!pace.is_time(at(60)), "one at a time");
        pace.under_way = false;
        assert!(!pace.is_time(at(0) + REDEEM_SPACING - Duration::from_millis(1)));
        assert!(pace.is_time(at(0) + REDEEM_SPACING));
        // As often as a buyer fills a range: once in fifteen seconds.
        let mut begun = 0;
        for secs in 60..360 {
            pace.said_due();
            if pace.is_time(at(secs)) {
                pace.begin(at(secs));
                pace.under_way = false;
                begun += 1;
            }
        }
        assert_eq!(begun, 20);
        pace.put_off(at(400));
        assert!(!pace.is_time(at(409)));
        assert!(pace.is_time(at(410)));
    }

    #[test]
    fn what_failed_is_tried_again_after_pauses_that_grow_until_one_does_well() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let mut secs = 0;
        let mut waits = |pace: &mut Pace| {
            let begun = secs;
            while !pace.is_time(start + Duration::from_secs(secs)) {
                secs += 1;
            }
            let now = start + Duration::from_secs(secs);
            pace.begin(now);
            pace.under_way = false;
            (secs - begun, now)
        };
        pace.said_due();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let (pause, now) = waits(&mut pace);
            pauses.push(pause);
            pace.failed(now);
        }
        assert_eq!(pauses, [0, 15, 30, 60, 120, 240, 480, 900, 900]);
        // Claims that become due do not wait for a batch that failed before.
        pace.said_due();
        let (pause, now) = waits(&mut pace);
        assert_eq!(pause, 15);
        pace.came_to_nothing(now);
        assert_eq!(waits(&mut pace).0, 15, "it was due");
        pace.went_well(true);
        let (pause, now) = waits(&mut pace);
        assert_eq!(pause, 15, "the rest of a full batch");
        pace.went_well(false);
        // A redemption whose turn it was, and that finds nothing due.
        pace.begin(now);
        pace.under_way = false;
        pace.came_to_nothing(now);
        assert!(!pace.is_time(now + LONGEST_PAUSE));
    }

    #[test]
    fn a_redemption_is_told_in_tokens() {
        let mined = Redemption {
            transaction: B256::ZERO,
            block: 1,
            gas_used: 9,
            rollup_fee: 0,
            gas_price: None,
            paid: vec![
                (0, TokenUnits(50_000_000_000_000_000)),
                (1, TokenUnits(9_965_440_000_000_000)),
            ],
            skipped: Vec::new(),
        };
        let batch = Batch {
            tag: 1,
            claims: Vec::new(),
            left_out: 0,
            result: Ok(mined),
            measure: None,
        };
        let line = redeemed_line(&batch_json(&batch, 18));
        let says = "redeemed 0.05996544 tokens for 0 ranges, 9 gas: 0x00";
        assert!(line.starts_with(says), "{line}");
    }

    #[test]
    fn after_a_batch_that_pays_nothing_the_next_is_tried_and_after_a_failure_that_is_not_its_own_none()
     {
        let next_may_pay = |result| {
            let batch = Batch {
                tag: 1,
                claims: Vec::new(),
                left_out: 0,
                result,
                measure: None,
            };
            batch.next_may_pay()
        };
        let mined = Redemption {
            transaction: B256::ZERO,
            block: 1,
            gas_used: 1,
            rollup_fee: 0,
            gas_price: None,
            paid: Vec::new(),
            skipped: vec![(0, 6)],
        };
        assert!(next_may_pay(Ok(mined)));
        assert!(next_may_pay(Err(ChainError::NothingDue)));
        let (asked, allowed) = (2, 1);
        for error in [
            ChainError::GasTooDear { asked, allowed },
            ChainError::NotMined(B256::ZERO),
            ChainError::Reverted(B256::ZERO),
            ChainError::Signing,
        ] {
            assert!(!next_may_pay(Err(error)));
        }
    }
}
