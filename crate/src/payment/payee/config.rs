//! A seller's terms, and its reports to its operator.

use alloy_primitives::{Address, B256};

use crate::payment::chain;
use crate::payment::ledger::Credit;
use crate::payment::voucher::{MAX_FINE, Vault, abi};
use crate::time::Duration;
use crate::types::{FineUnits, TokenUnits};

/// A seller's terms. They come from the operator's or page's configuration only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayeeConfig {
    /// Vault and chain; a peer on another one is plain BitTorrent.
    pub vault: Vault,
    /// The address that is paid.
    pub payee: Address,
    /// Least worth of a range that is sold.
    pub min_range: FineUnits,
    /// Longest chain accepted (1 to 256).
    pub max_steps: u16,
    /// Blocks that a buyer may owe.
    pub credit: Credit,
    /// Least bond in percent of the balance.
    pub min_bond_percent: u16,
    /// How long a quote is valid for the first COMMIT of a range, seconds. It is renewed at half.
    pub ttl_secs: u16,
    /// Unredeemed ranges of one account held at once. A payee risks at most this many; a further one waits (REJECT 13)
    /// until some are redeemed.
    pub max_ranges: u16,
    /// The unredeemed sum of one account is at most this part of its bond, in percent, or as many least ranges as the
    /// next field says, but always one. A buyer at this limit waits until some of it is redeemed.
    pub exposure_percent_of_bond: u16,
    /// Least ranges that an account may always owe, if its bond is worth them. So a small deposit can be spent whole at
    /// one seller, also at one that redeems only when its user says so.
    pub exposure_least_ranges: u16,
    /// Automatic redemption takes no item of less than this (the dust rule); see [`PayeeConfig::with_dust`].
    pub dust: TokenUnits,
    /// The worth of the gas of one further item in a batch: automatic redemption never takes less than this.
    pub item_gas: TokenUnits,
    /// How long a range without a connection waits before automatic redemption takes it.
    pub redeem_idle: Duration,
}

impl PayeeConfig {
    /// The values of docs/protocol.md, "Constants".
    pub fn new(vault: Vault, payee: Address) -> Self {
        PayeeConfig {
            vault,
            payee,
            min_range: DUST.fine(),
            max_steps: chain::MAX_STEPS,
            credit: Credit::default(),
            min_bond_percent: 125,
            ttl_secs: 600,
            max_ranges: 64,
            exposure_percent_of_bond: 25,
            exposure_least_ranges: 50,
            dust: DUST,
            item_gas: TokenUnits(DUST.0 / GAS_PART_OF_DUST),
            redeem_idle: Duration::from_secs(600),
        }
    }

    /// With another least worth of an item, and so of a range: a range that is too small to be redeemed is not sold
    /// either.
    pub fn with_dust(self, dust: TokenUnits) -> Self {
        let most = MAX_FINE.floor();
        PayeeConfig {
            min_range: dust.min(most).fine(),
            dust,
            item_gas: TokenUnits((dust.0 / GAS_PART_OF_DUST).max(1)),
            ..self
        }
    }

    /// With a dust limit that follows from the worth of an item's gas. A range is sold if it is worth its gas: what the
    /// chain asks can fall before the range is redeemed. None of few units is sold, because a claim pays whole ones.
    pub fn with_item_gas(self, dust: TokenUnits, item_gas: TokenUnits) -> Self {
        let item_gas = TokenUnits(item_gas.0.max(1));
        let most = MAX_FINE.floor();
        PayeeConfig {
            min_range: item_gas.max(LEAST_UNITS).min(most).fine(),
            dust: dust.max(item_gas),
            item_gas,
            ..self
        }
    }

    /// The most that may be unredeemed of an account with this bond.
    pub(super) fn exposure_limit(&self, bond: TokenUnits) -> FineUnits {
        let part = bond.0.saturating_mul(self.exposure_percent_of_bond.into()) / 100;
        let small = self
            .dust
            .0
            .saturating_mul(self.exposure_least_ranges.into());
        let small = small.min(bond.0);
        TokenUnits(part.max(small).max(self.dust.0)).fine()
    }

    /// The debt at which all live ranges of an account with this bond are due.
    pub(super) fn due_exposure(&self, bond: TokenUnits) -> FineUnits {
        FineUnits(self.exposure_limit(bond).0 / 2)
    }

    /// The debt at which live ranges are due that are half used, however large the bond.
    pub(super) fn due_in_part(&self) -> FineUnits {
        TokenUnits(self.dust.0.saturating_mul(DUE_RANGES)).fine()
    }
}

/// Least ranges that an account may owe before its live ranges are due as soon as they are half used: by then the gas
/// of a redemption is a hundredth of it. A range that is closed before is wasted to its buyer
/// (docs/decisions/026-ranges-closed-early-count-as-unused.md).
const DUE_RANGES: u128 = 32;
/// No fewer units are sold at a time, unless the edge names fewer: a claim pays whole units, and of fewer than these
/// the part that is cut off would be more than a tenth.
pub const LEAST_UNITS: TokenUnits = TokenUnits(10);
/// 0.01 of a token with six decimals.
const DUST: TokenUnits = TokenUnits(10_000);
/// At 0.01 gwei an item of a batch costs a tenth of the dust limit (docs/protocol.md, "Redeeming").
const GAS_PART_OF_DUST: u128 = 10;

/// The ranges to redeem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedeemScope {
    /// Every range that would pay at least one token unit, on an explicit command; but not the crumbs of an account
    /// that leaves many.
    All,
    /// Items above dust: full ranges, ranges long without a connection, and all of an account that owes much. Of an
    /// account that is exiting, or at its limit, every item that is worth its gas (docs/protocol.md, "Redeeming").
    Due,
}

/// The name of a range of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeId {
    /// The account.
    pub account: B256,
    /// Its first serial.
    pub first: u32,
}

/// A range that is closed durably and can be claimed.
#[derive(Clone, Debug)]
pub struct ReadyClaim {
    /// The range of one buyer's account that the claim redeems.
    pub id: RangeId,
    /// The argument of `redeem` or `redeemFor` (at most [`crate::payment::voucher::MAX_CLAIMS`] in a call).
    pub claim: abi::Claim,
    /// The vault's payment for it.
    pub due: TokenUnits,
    /// Its buyer withdraws: later there may be nothing to pay it from.
    pub is_last_chance: bool,
}

/// The end of one claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// The vault paid (gross, before a registry's cut).
    Paid(TokenUnits),
    /// The vault skipped it, for this reason (event `Skipped`).
    Skipped(u8),
    /// Nothing was sent, or it reverted: the claim is ready again, behind those that did not fail.
    Failed,
    /// It was left out of the transaction: the claim is ready again, and keeps its place.
    Unsent,
    /// It may have been sent, and is in no block that was seen: the claim is ready again, and may still be paid.
    Unknown,
}

/// Sums over all accounts, all runs included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayeeTotals {
    /// Fine units received in unredeemed ranges.
    pub earned: FineUnits,
    /// The sum that can be redeemed: the sum of each range's floor.
    pub redeemable: TokenUnits,
    /// The number of those ranges.
    pub ranges: u32,
    /// `earned` less `redeemable`: rests below one token unit per range.
    pub rests: FineUnits,
    /// The redeemed sum.
    pub redeemed: TokenUnits,
    /// Blocks sent and not paid on live connections.
    pub unpaid_blocks: u64,
    /// Blocks whose payer left.
    pub lost_blocks: u64,
    /// Steps received but not durable yet.
    pub undurable_steps: u64,
    /// Blocks paid, all runs.
    pub paid_blocks: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_may_owe_a_part_of_its_bond_whatever_a_unit_is_worth() {
        let vault = Vault {
            address: Address::repeat_byte(1),
            chain_id: 1,
        };
        let config =
            |dust| PayeeConfig::new(vault, Address::repeat_byte(2)).with_dust(TokenUnits(dust));
        let limits = |dust, bond| {
            let config = config(dust);
            let most = config.exposure_limit(TokenUnits(bond));
            assert_eq!(config.due_exposure(TokenUnits(bond)), FineUnits(most.0 / 2));
            (most.floor().0, config.due_in_part().floor().0)
        };
        assert_eq!(limits(10_000, 10_000_000), (2_500_000, 320_000));
        assert_eq!(limits(1, 125), (50, 32), "no decimals");
        // A million tokens of 18 decimals: far more than one voucher holds.
        let one = 10u128.pow(18);
        let bond = 1_000_000 * one;
        assert!(bond / 4 > MAX_FINE.floor().0);
        assert_eq!(limits(one / 100, bond), (bond / 4, 32 * one / 100));
        let (most, due) = limits(u128::MAX, u128::MAX);
        assert!(most > 0 && due > 0, "no overflow");
    }
}
