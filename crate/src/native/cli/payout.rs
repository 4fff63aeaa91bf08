//! Who redeems what was earned, one transaction at a time, and what is said of it.

use std::time::{Duration, Instant};

use alloy_primitives::Address;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::output::CliError;
use crate::client::RedeemOutcome;
use crate::native::chain::{Chain, ChainError, Redemption, skip_reason};
use crate::native::keys::KeyPair;
use crate::payment::voucher::MAX_CLAIMS;
use crate::payment::voucher::abi::Claim;
use crate::types::{FineUnits, TokenUnits};

/// What is due at once waits so long after the redemption before: each costs gas, and a fast buyer fills a range in a moment.
const REDEEM_SPACING: Duration = Duration::from_secs(15);
/// How long what was not worth a transaction is not looked at again, unless its turn comes.
const PUT_OFF: Duration = Duration::from_secs(10);

/// When what is due is redeemed.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Something is due, and no redemption began since that was said.
    pub(super) is_due: bool,
    /// Claims are on their way from the core, or to the chain.
    pub(super) under_way: bool,
    /// When it was last found not to be worth a transaction yet.
    put_off: Option<Instant>,
    /// When the last redemption of what is due began.
    begun: Option<Instant>,
}

impl Pace {
    /// Whether what is due may be redeemed at once.
    pub(super) fn is_time(&self, now: Instant) -> bool {
        let passed = |since: Option<Instant>, least| {
            since.is_none_or(|at| now.saturating_duration_since(at) >= least)
        };
        let rested = passed(self.put_off, PUT_OFF) && passed(self.begun, REDEEM_SPACING);
        self.is_due && !self.under_way && rested
    }

    /// A redemption of what is due begins.
    pub(super) fn begin(&mut self, now: Instant) {
        (self.is_due, self.under_way) = (false, true);
        self.begun = Some(now);
    }

    /// It is not worth a transaction yet. It is still due, and more comes.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.is_due = true;
        self.put_off = Some(now);
    }
}

/// Who redeems, and for whom.
#[derive(Clone, Debug)]
pub(super) struct Payout {
    pub(super) chain: Chain,
    pub(super) payee: KeyPair,
    pub(super) to: Address,
    /// Wei; see [`Chain::redeem`].
    pub(super) max_fee_per_gas: u128,
    /// The least that is redeemed without a command.
    pub(super) redeem_min: TokenUnits,
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
            accept_short_exit: false,
            vault_checked: false,
        }
    }

    /// Before anything has a price: node, vault and token are what the operator says, and a buyer's withdrawal takes long
    /// enough. The chain is asked once.
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

/// One redemption transaction, or why there is none.
pub(super) struct Batch {
    pub(super) tag: u64,
    pub(super) claims: Vec<Claim>,
    pub(super) result: Result<Redemption, ChainError>,
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

    /// Whether the next batch may fare better: this one ended for its own claims' sake, if at all.
    pub(super) fn next_may_pay(&self) -> bool {
        matches!(self.result, Ok(_) | Err(ChainError::NothingDue))
    }

    /// Whether claims were left over for a next one.
    pub(super) fn is_full(&self) -> bool {
        self.claims.len() >= MAX_CLAIMS
    }
}

/// Blocks until the transaction is in a block, or failed.
pub(super) fn send_batch(payout: Option<Payout>, tag: u64, claims: Vec<Claim>) -> Batch {
    let result = match payout {
        Some(payout) => {
            payout
                .chain
                .redeem(&claims, &payout.payee, payout.to, payout.max_fee_per_gas)
        }
        None => Err(ChainError::Signing),
    };
    Batch {
        tag,
        claims,
        result,
    }
}

/// What is said of a batch.
pub(super) fn batch_json(batch: &Batch) -> Value {
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
            "ranges": ranges,
        }),
        Err(error) => json!({"ok": false, "error": error.to_string(), "ranges": ranges}),
    }
}

fn sum(paid: &[(u32, TokenUnits)]) -> TokenUnits {
    TokenUnits(paid.iter().fold(0, |sum, (_, p)| sum.saturating_add(p.0)))
}

/// A batch's report as a sentence.
pub(super) fn redeemed_line(report: &Value) -> String {
    let text = |key: &str| report[key].as_str().unwrap_or_default().to_owned();
    if report["ok"] == json!(true) {
        format!(
            "redeemed {} token units for {} ranges, {} gas: {}",
            text("paid"),
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
    use alloy_primitives::B256;

    #[test]
    fn what_is_due_at_once_waits_for_its_turn_after_a_redemption_and_after_it_was_too_little() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut pace = Pace::default();
        assert!(!pace.is_time(at(0)), "nothing is due");
        pace.is_due = true;
        assert!(pace.is_time(at(0)));
        pace.begin(at(0));
        pace.is_due = true;
        assert!(!pace.is_time(at(60)), "one at a time");
        pace.under_way = false;
        assert!(!pace.is_time(at(0) + REDEEM_SPACING - Duration::from_millis(1)));
        assert!(pace.is_time(at(0) + REDEEM_SPACING));
        // As often as a buyer fills a range: once in fifteen seconds.
        let mut begun = 0;
        for secs in 60..360 {
            pace.is_due = true;
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
    fn after_a_batch_that_pays_nothing_the_next_is_tried_and_after_a_failure_that_is_not_its_own_none()
     {
        let next_may_pay = |result| {
            let batch = Batch {
                tag: 1,
                claims: Vec::new(),
                result,
            };
            batch.next_may_pay()
        };
        let mined = Redemption {
            transaction: B256::ZERO,
            block: 1,
            gas_used: 1,
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
