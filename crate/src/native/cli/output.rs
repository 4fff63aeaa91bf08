//! The program's printed lines, and the form of numbers.

use std::fmt;
use std::io::{IsTerminal, Write};

use serde_json::Value;

use crate::native::session_key::SessionKeyError;
use crate::payment::voucher::MAX_FINE;
use crate::types::{FineUnits, TokenUnits};

/// The reason why the program ends with something else than 0.
#[derive(Debug)]
pub(super) enum CliError {
    /// The input is wrong: its name, and the way out.
    Invalid(String),
    /// The input is right and the work failed.
    Failed(String),
    /// The user stopped it.
    Interrupted(String),
}

impl CliError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            CliError::Failed(_) => 1,
            CliError::Invalid(_) => 2,
            CliError::Interrupted(_) => 130,
        }
    }
}

impl From<SessionKeyError> for CliError {
    fn from(error: SessionKeyError) -> CliError {
        CliError::Invalid(error.to_string())
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CliError::Invalid(text) | CliError::Failed(text) | CliError::Interrupted(text) => {
                f.write_str(text)
            }
        }
    }
}

/// One line on stdout. A reader that went away is no reason to fail.
pub(super) fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}");
    let _ = stdout.flush();
}

/// One line of JSON on stdout.
pub(super) fn say_json(value: &Value) {
    say(&value.to_string());
}

/// One line on stderr.
pub(super) fn complain(line: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "piecework: {line}");
}

/// A line on a terminal that is written over again and again; silent elsewhere.
pub(super) struct ProgressLine {
    shown: bool,
}

impl ProgressLine {
    pub(super) fn new(wanted: bool) -> ProgressLine {
        ProgressLine {
            shown: wanted && std::io::stderr().is_terminal(),
        }
    }

    pub(super) fn is_shown(&self) -> bool {
        self.shown
    }

    pub(super) fn set(&mut self, text: &str) {
        if self.shown {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[2K{text}");
            let _ = stderr.flush();
        }
    }

    pub(super) fn clear(&mut self) {
        self.set("");
    }
}

/// Most characters of a name or comment that is printed.
const MAX_NAME: usize = 200;
/// Most characters of a sentence that is printed: some paths, each as long as paths can be.
const MAX_SENTENCE: usize = 64 * 1024;

/// A name from strangers, for one line of a terminal.
pub(super) fn plain(text: &str) -> String {
    one_line(text, MAX_NAME)
}

/// A path, or a sentence that may name some, for one line of a terminal: its end names the way out, and is not cut off.
pub(super) fn sentence(text: &str) -> String {
    one_line(text, MAX_SENTENCE)
}

fn one_line(text: &str, most: usize) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(most)
        .collect()
}

/// `12.3 MB`.
pub(super) fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{count} B"),
        _ => format!("{value:.1} {}", units[unit]),
    }
}

/// `1:02:03` or `2:03`.
pub(super) fn duration(seconds: u64) -> String {
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match h {
        0 => format!("{m}:{s:02}"),
        _ => format!("{h}:{m:02}:{s:02}"),
    }
}

/// `3 d 4 h`, `4 h 5 min`, `5 min` or `6 s`: the two largest units that count.
pub(super) fn long_duration(seconds: u64) -> String {
    let (d, h, m) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (d, h, m) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, m) => format!("{m} min"),
        (0, h, 0) => format!("{h} h"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, 0, _) => format!("{d} d"),
        (d, h, _) => format!("{d} d {h} h"),
    }
}

/// `2026-11-30 04:05:06 UTC` for seconds since the epoch.
pub(super) fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March, so that the leap day is the last; an era is 400 years (Howard Hinnant's `civil_from_days`).
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02} UTC")
}

/// Token units as a decimal number of tokens.
pub(super) fn tokens(units: TokenUnits, decimals: u8) -> String {
    let digits = format!("{:0>width$}", units.0, width = usize::from(decimals) + 1);
    let (whole, part) = digits.split_at(digits.len() - usize::from(decimals));
    match part.trim_end_matches('0') {
        "" => whole.to_owned(),
        part => format!("{whole}.{part}"),
    }
}

/// Digits of a sum that is not told exactly.
const ABOUT_DIGITS: usize = 3;

/// The same with no more than [`ABOUT_DIGITS`] digits, but for those before the point.
pub(super) fn about(units: TokenUnits, decimals: u8) -> String {
    let digits = units.0.to_string().len();
    let dropped = digits
        .saturating_sub(ABOUT_DIGITS)
        .min(usize::from(decimals));
    // At most 38 digits are dropped of 39.
    let step = 10u128.pow(dropped as u32);
    tokens(TokenUnits(units.0 / step * step), decimals)
}

/// A decimal number of tokens as token units.
pub(super) fn parse_tokens(text: &str, decimals: u8) -> Option<TokenUnits> {
    if !has_form_of_tokens(text, decimals) {
        return None;
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let scaled = format!("{whole}{part:0<width$}", width = usize::from(decimals));
    scaled.parse().ok().map(TokenUnits)
}

/// Whether a text is a decimal number of tokens, of any size.
fn has_form_of_tokens(text: &str, decimals: u8) -> bool {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    (!whole.is_empty() || !part.is_empty())
        && digits(whole)
        && digits(part)
        && part.len() <= usize::from(decimals)
}

/// Price per block for a decimal number of tokens per 10^9 bytes.
pub(super) fn parse_price(text: &str, decimals: u8) -> Result<FineUnits, CliError> {
    let too_high = || {
        let largest = tokens(MAX_FINE.per_gb_from_per_block(), decimals);
        CliError::Invalid(format!(
            "{text:?} is too high a price: no voucher holds more than {largest} tokens per GB of a token with {decimals} decimals"
        ))
    };
    let price = parse_tokens(text, decimals)
        .map(|units| FineUnits::per_block_from_per_gb(units.0))
        .ok_or_else(|| {
            // Its form is right, so its size is not.
            if has_form_of_tokens(text, decimals) {
                return too_high();
            }
            let smallest = tokens(TokenUnits(1), decimals);
            CliError::Invalid(format!(
                "{text:?} is not a price: write tokens per GB, such as 10, with at most {decimals} decimals. The smallest price is {smallest}, and a token with more decimals has smaller ones"
            ))
        })?;
    match price > MAX_FINE {
        true => Err(too_high()),
        false => Ok(price),
    }
}

/// `64K`, `1M`, `300000`: a number with a binary suffix.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1u64 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .ok_or_else(|| "write a number of bytes, such as 300000, 64K or 1M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_written_and_read_back() {
        for (units, decimals, text) in [
            (0, 6, "0"),
            (1, 6, "0.000001"),
            (1_500_000, 6, "1.5"),
            (12, 0, "12"),
            (10_000_000, 6, "10"),
        ] {
            assert_eq!(tokens(TokenUnits(units), decimals), text);
            assert_eq!(parse_tokens(text, decimals), Some(TokenUnits(units)));
        }
        for bad in ["", ".", "1.0000001", "-1", "1e3", "1,5", "x"] {
            assert_eq!(parse_tokens(bad, 6), None, "{bad}");
        }
    }

    #[test]
    fn ten_tokens_per_gigabyte_is_the_price_per_block_the_core_says() {
        assert_eq!(
            parse_price("10", 6).unwrap(),
            FineUnits::per_block_from_per_gb(10_000_000)
        );
        let error = parse_price("999999999999999999999999999999", 6).unwrap_err();
        assert!(error.to_string().contains("too high a price"), "{error}");
    }

    #[test]
    fn a_price_is_right_for_tokens_of_any_decimals_and_worth() {
        // A unit per GB is 275 fine units a block: far less than a unit, and not nothing.
        assert_eq!(parse_price("1", 0).unwrap(), FineUnits(275));
        assert_eq!(parse_price("1", 0).unwrap().per_gb_from_per_block().0, 1);
        for (text, decimals) in [("0.5", 0), ("0.0000001", 6)] {
            let error = parse_price(text, decimals).unwrap_err().to_string();
            let smallest = tokens(TokenUnits(1), decimals);
            assert!(
                error.contains(&format!("smallest price is {smallest},")),
                "{error}"
            );
        }
        // Ten dollars of a token of 18 decimals that is worth a millionth of one.
        let cheap = parse_price("10000000", 18).unwrap();
        assert_eq!(cheap.per_gb_from_per_block().0, 10u128.pow(25));
        assert!(cheap <= MAX_FINE);
        let error = parse_price("1000000000", 18).unwrap_err().to_string();
        assert!(
            error.contains("no voucher holds more than 288230376"),
            "{error}"
        );
        // More than fits 128 bits.
        let error = parse_price("99999999999999999", 24)
            .unwrap_err()
            .to_string();
        assert!(error.contains("is too high a price"), "{error}");
        let error = parse_price("1.5", 0).unwrap_err().to_string();
        assert!(error.contains("at most 0 decimals"), "{error}");
    }

    #[test]
    fn a_sum_that_is_told_roughly_keeps_its_first_digits_and_all_before_the_point() {
        for (units, decimals, text) in [
            (25_050_603, 9, "0.025"),
            (1_234_567, 6, "1.23"),
            (1_234_567_890, 6, "1234"),
            (12_345, 0, "12345"),
            (7, 18, "0.000000000000000007"),
            (u128::MAX, 38, "3.4"),
        ] {
            assert_eq!(about(TokenUnits(units), decimals), text);
        }
    }

    #[test]
    fn sizes_have_binary_suffixes() {
        assert_eq!(parse_size("256K"), Ok(262_144));
        assert_eq!(parse_size("1M"), Ok(1 << 20));
        assert_eq!(parse_size("7"), Ok(7));
        assert!(parse_size("99999999999G").is_err());
        assert!(parse_size("ä").is_err());
        assert!(parse_size("").is_err());
    }

    #[test]
    fn bytes_and_durations_are_short() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_234_567), "1.2 MB");
        assert_eq!(duration(62), "1:02");
        assert_eq!(duration(3_723), "1:02:03");
    }

    #[test]
    fn long_durations_have_two_units_and_times_are_utc() {
        for (seconds, said) in [
            (59, "59 s"),
            (60, "1 min"),
            (7_199, "1 h 59 min"),
            (7_200, "2 h"),
            (259_200, "3 d"),
            (259_199, "2 d 23 h"),
        ] {
            assert_eq!(long_duration(seconds), said);
        }
        for (seconds, said) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(seconds), said);
        }
        // The vault's times are of 48 bits.
        assert!(utc((1 << 48) - 1).ends_with("UTC"));
    }
}
