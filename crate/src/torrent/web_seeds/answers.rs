//! What a web seed's answer is worth: its status and headers (RFC 9110), judged before any byte of it is taken.
//!
//! Everything here comes from a stranger's server. The bytes themselves are judged by their hash alone.

use crate::io::WebSeedHead;
use crate::time::Duration;

/// A file of up to this many bytes is taken from a server that does not serve ranges, and the rest thrown away.
pub const MAX_WHOLE: u64 = 1024 * 1024;
/// The longest time that a server may ask us to stay away.
const MAX_RETRY_AFTER: u64 = 600;
/// Longest header that is read, bytes.
const MAX_HEADER: usize = 128;

/// Why a web seed's answer, or the lack of one, is a fault. Each sentence follows the web seed's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The edge could not ask, or the answer broke off.
    #[error("{0}")]
    Edge(String),
    /// 200 instead of 206, for a file that is not small.
    #[error(
        "answers a request for a range with the whole file: its server must serve ranges (206)"
    )]
    NoRanges,
    /// 206 of other bytes.
    #[error("sent another range than was asked for (Content-Range)")]
    WrongRange,
    /// 416.
    #[error("says that its file is shorter than the torrent's (416): it serves another file")]
    OutOfRange,
    /// 404 or 410.
    #[error("does not have the file ({0})")]
    NotFound(u16),
    /// 401, 403 and the like.
    #[error("refuses (status {0})")]
    Refuses(u16),
    /// A redirect that the edge did not follow.
    #[error("redirects to where it must not lead (status {0})")]
    Redirects(u16),
    /// 429 or 503.
    #[error("is busy (status {0})")]
    Busy(u16, Duration),
    /// Any other status.
    #[error("answers with status {0}")]
    Status(u16),
    /// `Content-Encoding`.
    #[error("compresses its answer, and the bytes of a range must come as they are")]
    Compresses,
    /// Fewer bytes than asked for.
    #[error("sent too few bytes")]
    TooFew,
    /// More bytes than asked for.
    #[error("sent more bytes than were asked for")]
    TooMany,
    /// No byte for long, or too few.
    #[error("sends too slowly")]
    Slow,
}

impl Fault {
    /// It will be the same next time: the web seed is asked for nothing more.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            Fault::NoRanges
                | Fault::WrongRange
                | Fault::OutOfRange
                | Fault::Refuses(_)
                | Fault::Redirects(_)
                | Fault::Compresses
        )
    }
}

/// Judges the head of an answer to a request for the bytes `first..=last` of a file of `length` bytes. Answers how many
/// bytes of the body come before the first one that was asked for.
///
/// # Errors
/// What is wrong with it.
pub fn judge(head: &WebSeedHead, first: u64, last: u64, length: u64) -> Result<u64, Fault> {
    let encoding = head.content_encoding.as_deref().unwrap_or("").trim();
    if matches!(head.status, 200 | 206)
        && !encoding.is_empty()
        && !encoding.eq_ignore_ascii_case("identity")
    {
        return Err(Fault::Compresses);
    }
    match head.status {
        206 => match &head.content_range {
            // A page sees this header only if the server says so; the hash judges in any case.
            None => Ok(0),
            Some(range) if is_range(range, first, last, length) => Ok(0),
            Some(_) => Err(Fault::WrongRange),
        },
        200 if first == 0 && last + 1 == length => Ok(0),
        200 if length <= MAX_WHOLE => Ok(first),
        200 => Err(Fault::NoRanges),
        status @ (404 | 410) => Err(Fault::NotFound(status)),
        416 => Err(Fault::OutOfRange),
        status @ (429 | 503) => Err(Fault::Busy(status, retry_after(head))),
        status @ (400..=499) if status != 408 && status != 425 => Err(Fault::Refuses(status)),
        status @ (300..=399) => Err(Fault::Redirects(status)),
        status => Err(Fault::Status(status)),
    }
}

/// Whether a `Content-Range` (RFC 9110, section 14.4) names exactly these bytes of a file of that length, or of unknown
/// length.
pub fn is_range(header: &str, first: u64, last: u64, length: u64) -> bool {
    let read = || {
        let header = header.get(..header.len().min(MAX_HEADER))?.trim();
        let (unit, rest) = header.split_once(' ')?;
        let (range, of) = rest.trim_start().split_once('/')?;
        let (from, to) = range.split_once('-')?;
        let whole = of == "*" || number(of)? == length;
        let same = number(from)? == first && number(to)? == last;
        Some(unit.eq_ignore_ascii_case("bytes") && whole && same)
    };
    read().unwrap_or(false)
}

/// Digits alone: `parse` takes a sign, too.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Seconds to stay away (RFC 9110, section 10.2.3). A date is not read; it counts as none.
fn retry_after(head: &WebSeedHead) -> Duration {
    let seconds = head.retry_after.as_deref().map(str::trim).and_then(number);
    Duration::from_secs(seconds.unwrap_or(0).min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16) -> WebSeedHead {
        WebSeedHead {
            status,
            ..WebSeedHead::default()
        }
    }

    #[test]
    fn a_range_is_exactly_the_one_that_was_asked_for() {
        for right in ["bytes 5-9/20", "Bytes 5-9/*", " bytes  5-9/20 "] {
            assert!(is_range(right, 5, 9, 20), "{right}");
        }
        for wrong in [
            "",
            "bytes",
            "bytes 5-9",
            "bytes 5-8/20",
            "bytes 4-9/20",
            "bytes 5-9/21",
            "bytes */20",
            "bytes 5-9/",
            "bytes +5-9/20",
            "bytes 5--9/20",
            "items 5-9/20",
            "bytes 5-99999999999999999999999/20",
            "bytés 5-9/20",
        ] {
            assert!(!is_range(wrong, 5, 9, 20), "{wrong}");
        }
        let long = format!("bytes {}5-9/20", "0".repeat(MAX_HEADER));
        assert!(!is_range(&long, 5, 9, 20));
        assert!(!is_range(&"é".repeat(MAX_HEADER), 5, 9, 20));
    }

    #[test]
    fn each_answer_has_its_own_sentence() {
        let big = 10 * MAX_WHOLE;
        let judged = |status| judge(&head(status), 5, 9, big);
        assert_eq!(judged(206), Ok(0), "a page may not see the range");
        assert_eq!(judged(200), Err(Fault::NoRanges));
        assert_eq!(
            judge(&head(200), 0, big - 1, big),
            Ok(0),
            "the whole was asked for"
        );
        assert_eq!(judge(&head(200), 5, 9, MAX_WHOLE), Ok(5), "a small file");
        assert_eq!(judged(404), Err(Fault::NotFound(404)));
        assert_eq!(judged(410), Err(Fault::NotFound(410)));
        assert_eq!(judged(416), Err(Fault::OutOfRange));
        assert_eq!(judged(403), Err(Fault::Refuses(403)));
        assert_eq!(judged(302), Err(Fault::Redirects(302)));
        assert_eq!(judged(500), Err(Fault::Status(500)));
        assert_eq!(judged(0), Err(Fault::Status(0)));
        let wrong = WebSeedHead {
            content_range: Some("bytes 6-10/20".into()),
            ..head(206)
        };
        assert_eq!(judge(&wrong, 5, 9, 20), Err(Fault::WrongRange));
        for (encoding, fine) in [
            ("gzip", false),
            ("br", false),
            ("identity", true),
            ("", true),
        ] {
            let head = WebSeedHead {
                content_encoding: Some(encoding.into()),
                ..head(206)
            };
            assert_eq!(judge(&head, 5, 9, 20).is_ok(), fine, "{encoding}");
        }
    }

    #[test]
    fn a_busy_server_keeps_us_away_for_a_bounded_time() {
        for (said, seconds) in [
            (Some("30"), 30),
            (Some("99999"), MAX_RETRY_AFTER),
            (Some("-1"), 0),
            (Some("Fri, 31 Dec 1999 23:59:59 GMT"), 0),
            (None, 0),
        ] {
            let head = WebSeedHead {
                retry_after: said.map(str::to_owned),
                ..head(503)
            };
            let away = Duration::from_secs(seconds);
            assert_eq!(judge(&head, 0, 1, 2), Err(Fault::Busy(503, away)));
        }
    }
}
