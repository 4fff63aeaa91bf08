//! What a redemption may cost, and the least claim that is worth its gas. It is the rule of the page
//! (`www/npm/src/worth.ts`, docs/decisions/059-redemption-follows-the-price-of-gas.md).
//!
//! Invariant: no sum is rounded to nothing, and none overflows.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::U256;

use super::output::{CliError, about};
use crate::client::LEAST_UNITS;
use crate::types::TokenUnits;

/// Gas of one further claim of a batch (`contracts/test/Gas.t.sol`).
const GAS_OF_CLAIM: u128 = 27_000;
/// Wei of a whole coin.
const COIN_WEI: u128 = 1_000_000_000_000_000_000;
/// Decimal places of a coin's price below the token's smallest unit: a coin may cost less than one.
const PRICE_PLACES: usize = 18;
/// 10^[`PRICE_PLACES`].
const PRICE_SCALE: u128 = 1_000_000_000_000_000_000;
/// Digits of a coin's price before its point.
const MOST_DIGITS: usize = 24;
/// Wei for one gas. A node that says more is not believed.
const MOST_FEE: u128 = 1 << 80;

/// The part of a redemption's sum that its gas may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worth {
    /// Of a whole coin of the chain, in 10^-18 token units; above 0.
    coin_price: U256,
    /// Percent of the sum, above 0.
    max_gas_percent: u8,
}

/// The least worth of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Least {
    /// Of one that is redeemed without a command.
    pub(super) redeemed: TokenUnits,
    /// Of the gas that one further claim takes.
    pub(super) gas: TokenUnits,
}

impl Worth {
    /// By the operator's word: `coin_price` in whole tokens.
    pub(super) fn new(
        coin_price: &str,
        decimals: u8,
        max_gas_percent: u8,
    ) -> Result<Worth, CliError> {
        let coin_price = price(coin_price, decimals).ok_or_else(|| {
            CliError::Invalid(format!(
                "--coin-price {coin_price:?} is not a price: write tokens above 0, such as 3000 or 0.5"
            ))
        })?;
        Ok(Worth {
            coin_price,
            max_gas_percent: max_gas_percent.max(1),
        })
    }

    /// The most that the redemption of a sum may cost, in wei.
    pub(super) fn of(&self, sum: TokenUnits) -> u128 {
        self.part(sum, self.max_gas_percent)
    }

    /// The most that is no loss, in wei, where the sum may be gone later.
    pub(super) fn at_most(&self, sum: TokenUnits) -> u128 {
        self.part(sum, 100)
    }

    /// What so many wei are worth.
    pub(super) fn in_tokens(&self, wei: u128) -> TokenUnits {
        let one = U256::from(COIN_WEI) * U256::from(PRICE_SCALE);
        // 128 bits and 245, which may overflow; no sum of tokens is that large.
        let worth = U256::from(wei).saturating_mul(self.coin_price);
        TokenUnits(worth.div_ceil(one).saturating_to())
    }

    /// The end of a sentence on gas of `cost` wei for a sum of which `worth` wei may go to it.
    pub(super) fn too_little(
        &self,
        cost: u128,
        worth: u128,
        sum: TokenUnits,
        decimals: u8,
    ) -> String {
        let said = |wei| about(self.in_tokens(wei), decimals);
        format!(
            "gas would cost about {} tokens, and at most {} of the {} earned may go to gas: it waits for more earnings or cheaper gas, or redeem on command",
            said(cost),
            said(worth),
            about(sum, decimals),
        )
    }

    fn part(&self, sum: TokenUnits, percent: u8) -> u128 {
        let part = U256::from(sum.0) * U256::from(percent);
        // 128 bits, 7 and 120.
        let scaled = part.saturating_mul(U256::from(COIN_WEI) * U256::from(PRICE_SCALE));
        (scaled / self.coin_price.saturating_mul(U256::from(100))).saturating_to()
    }

    /// The least worth of a claim while one gas costs so many wei.
    pub(super) fn least(&self, fee_per_gas: u128) -> Least {
        let wei = U256::from(fee_per_gas.min(MOST_FEE)) * U256::from(GAS_OF_CLAIM);
        let one = U256::from(COIN_WEI) * U256::from(PRICE_SCALE);
        let gas = wei.saturating_mul(self.coin_price).div_ceil(one);
        let redeemed = gas
            .saturating_mul(U256::from(100))
            .div_ceil(U256::from(self.max_gas_percent));
        let units = |units: U256| TokenUnits(units.saturating_to::<u128>().max(1));
        Least {
            redeemed: units(redeemed).max(LEAST_UNITS),
            gas: units(gas),
        }
    }
}

/// The lowest price of gas of this run: what is sold now can be redeemed when gas is cheap again.
#[derive(Debug, Default)]
pub(super) struct Lowest {
    price: Mutex<Option<u128>>,
    looked: AtomicBool,
}

impl Lowest {
    /// Whether no lower price was seen before.
    pub(super) fn is_lower(&self, fee_per_gas: u128) -> bool {
        let mut lowest = self
            .price
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
        let is_lower = lowest.is_none_or(|lowest| fee_per_gas < lowest);
        if is_lower {
            *lowest = Some(fee_per_gas);
        }
        is_lower
    }

    /// A look at the price has ended, and the core knows what follows from it.
    pub(super) fn looked(&self) {
        self.looked.store(true, Ordering::Release);
    }

    /// Whether a look has ended, well or not.
    pub(super) fn has_looked(&self) -> bool {
        self.looked.load(Ordering::Acquire)
    }

    /// Whether no price was seen yet.
    pub(super) fn is_unknown(&self) -> bool {
        let lowest = self
            .price
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
        lowest.is_none()
    }
}

/// Whole tokens as 10^-18 token units.
fn price(text: &str, decimals: u8) -> Option<U256> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let places = usize::from(decimals) + PRICE_PLACES;
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.len() > MOST_DIGITS || part.len() > places || !digits(whole) || !digits(part) {
        return None;
    }
    let scaled = format!("0{whole}{part:0<places$}");
    let price: U256 = scaled.parse().ok()?;
    (price > U256::ZERO).then_some(price)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GWEI: u128 = 1_000_000_000;

    fn worth(coin_price: &str, decimals: u8, max_gas_percent: u8) -> Worth {
        Worth::new(coin_price, decimals, max_gas_percent).unwrap()
    }

    #[test]
    fn the_worth_of_a_sum_follows_from_the_price_of_the_coin_in_tokens_of_any_decimals() {
        let of = |coin_price: &str, decimals, max_gas_percent, sum: u128| {
            worth(coin_price, decimals, max_gas_percent).of(TokenUnits(sum))
        };
        // A coin of 3,000 $: of 3 $ a tenth is 0.0001 of it.
        assert_eq!(of("3000", 6, 10, 3_000_000), COIN_WEI / 10_000);
        assert_eq!(of("3000", 18, 10, 3 * COIN_WEI), COIN_WEI / 10_000);
        assert_eq!(of("3000", 0, 10, 3), COIN_WEI / 10_000, "0.3 units");
        assert_eq!(of("3000", 0, 100, 3), COIN_WEI / 1_000);
        // A token of which one costs four coins.
        assert_eq!(of("0.25", 0, 100, 3), 12 * COIN_WEI);
        assert_eq!(of("0.000000000000000001", 0, 100, u128::MAX), u128::MAX);
        assert_eq!(of("999999999999999999999999", 24, 1, 1), 0);
    }

    #[test]
    fn the_least_claim_is_what_the_page_takes_for_it() {
        // The same cases as in www/npm/test/worth.test.mjs.
        let least = |coin_price, decimals, percent, fee| {
            let least = worth(coin_price, decimals, percent).least(fee);
            (least.redeemed.0, least.gas.0)
        };
        assert_eq!(least("3000", 6, 10, GWEI / 100), (8_100, 810));
        let pico = 10u128.pow(12);
        assert_eq!(
            least("3000", 18, 10, GWEI / 100),
            (8_100 * pico, 810 * pico)
        );
        assert_eq!(least("3000", 2, 10, GWEI / 100), (10, 1));
        assert_eq!(least("3000", 0, 10, GWEI / 100), (10, 1));
        assert_eq!(least("0.05", 8, 10, GWEI / 100), (20, 2));
        assert_eq!(least("0.0001", 0, 10, GWEI), (10, 1));
        let (redeemed, gas) = least("1", 18, 10, 300_000 * GWEI);
        assert_eq!((redeemed, gas), (81 * COIN_WEI, 81 * COIN_WEI / 10));
        assert_eq!(least("3000", 6, 10, 0), (10, 1));
        assert_eq!(least("3000", 6, 50, GWEI / 100), (1_620, 810));
        let (redeemed, _) = least("999999999999999999999999", 24, 1, u128::MAX);
        assert_eq!(redeemed, u128::MAX, "no overflow");
    }

    #[test]
    fn gas_that_is_too_dear_is_told_in_tokens_of_few_digits() {
        let ours = worth("3000", 18, 10);
        let text = ours.too_little(
            8_350_201_169_028,
            327_666_666_666,
            TokenUnits(9_830_000_000_000_000),
            18,
        );
        assert!(
            text.starts_with(
                "gas would cost about 0.025 tokens, and at most 0.000982 of the 0.00983 earned"
            ),
            "{text}"
        );
        assert_eq!(ours.in_tokens(u128::MAX).0, u128::MAX, "no overflow");
        assert_eq!(
            worth("3000", 0, 10).in_tokens(1),
            TokenUnits(1),
            "not nothing"
        );
    }

    #[test]
    fn what_is_no_price_is_refused_with_the_remedy() {
        for text in [
            "",
            ".",
            "0",
            "0.0",
            "-1",
            "1e3",
            "x",
            "1000000000000000000000000",
        ] {
            let error = Worth::new(text, 6, 10).unwrap_err().to_string();
            assert!(error.contains("write tokens above 0"), "{text}: {error}");
        }
        assert!(Worth::new(&format!("0.{}", "1".repeat(25)), 6, 10).is_err());
    }

    #[test]
    fn of_the_prices_of_gas_the_lowest_of_the_run_counts() {
        let lowest = Lowest::default();
        assert!(lowest.is_unknown());
        let seen = [5, 6, 5, 4, 9].map(|fee| lowest.is_lower(fee));
        assert_eq!(seen, [true, false, false, true, false]);
        assert!(!lowest.is_unknown() && !lowest.has_looked());
        lowest.looked();
        assert!(lowest.has_looked());
    }
}
