//! Why nothing comes from the sellers that a buyer is connected to.
//!
//! Invariant: a seller that changes its mind all the time brings no more than one line in [`SPACING`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::output::{plain, tokens};
use crate::client::{PeerPayment, TorrentSnapshot, TorrentState};
use crate::types::{FineUnits, InfoHash};

/// Nothing has come for this long before it is said: sellers that connect are asked one after the other.
const PATIENCE: Duration = Duration::from_secs(3);
/// The least time between two lines on one torrent.
const SPACING: Duration = Duration::from_secs(30);

/// The torrents from whose sellers nothing comes.
#[derive(Debug, Default)]
pub(super) struct Stalls(BTreeMap<InfoHash, Stalled>);

#[derive(Debug)]
struct Stalled {
    /// When it was first seen.
    since: Instant,
    /// The last line, and its time.
    said: Option<(String, Instant)>,
}

/// A line for the operator.
#[derive(Debug)]
pub(super) struct Stall {
    pub(super) value: Value,
    pub(super) text: String,
}

impl Stalls {
    /// What is new since the look before. The same is not said twice, unless something came meanwhile.
    pub(super) fn look(
        &mut self,
        torrents: &[TorrentSnapshot],
        decimals: u8,
        now: Instant,
    ) -> Vec<Stall> {
        // Of torrents that are gone, and of those to which something comes.
        self.0.retain(|info_hash, _| {
            (torrents.iter()).any(|torrent| torrent.info_hash == *info_hash && !is_fed(torrent))
        });
        let mut news = Vec::new();
        for torrent in torrents.iter().filter(|torrent| !is_fed(torrent)) {
            let sellers = torrent.peers.iter().map(|peer| &peer.buying);
            let Some(stall) = stall(torrent.info_hash, torrent.max_price, sellers, decimals) else {
                continue;
            };
            let stalled = self.0.entry(torrent.info_hash).or_insert(Stalled {
                since: now,
                said: None,
            });
            if stalled.is_news(&stall.text, now) {
                news.push(stall);
            }
        }
        news
    }
}

impl Stalled {
    fn is_news(&mut self, text: &str, now: Instant) -> bool {
        let is_news = match &self.said {
            None => now.duration_since(self.since) >= PATIENCE,
            Some((said, at)) => said != text && now.duration_since(*at) >= SPACING,
        };
        if is_news {
            self.said = Some((text.to_owned(), now));
        }
        is_news
    }
}

/// Whether nothing is wanted of the torrent's peers, or something comes.
fn is_fed(torrent: &TorrentSnapshot) -> bool {
    torrent.state != TorrentState::Downloading
        || torrent.on_demand
        || torrent.selected_verified >= torrent.selected_length
        || torrent.download_rate > 0
}

/// Why nothing comes from those who ask a price, if that is known.
fn stall<'a>(
    info_hash: InfoHash,
    limit: FineUnits,
    peers: impl Iterator<Item = &'a PeerPayment>,
    decimals: u8,
) -> Option<Stall> {
    let mut sellers: Vec<(FineUnits, &PeerPayment)> = peers
        .filter_map(|peer| Some((peer.price.filter(|price| price.0 > 0)?, peer)))
        .collect();
    sellers.sort_by_key(|(price, _)| *price);
    let (lowest, _) = sellers.first()?;
    // Without a limit nothing is bought, and that is said as what payments need.
    if limit.0 == 0 || sellers.iter().any(|(_, peer)| peer.active) {
        return None;
    }
    let per_gb = |price: FineUnits| tokens(price.per_gb_from_per_block(), decimals);
    let text = if *lowest > limit {
        let who = match sellers.len() {
            1 => "the only seller".to_owned(),
            count => format!("the cheapest of {count} sellers"),
        };
        format!(
            "{who} asks {} tokens per GB, and --max-price is {}",
            per_gb(*lowest),
            per_gb(limit)
        )
    } else {
        let affordable = sellers.iter().filter(|(price, _)| *price <= limit);
        let note = affordable
            .map(|(_, peer)| plain(&peer.note))
            .find(|note| !note.is_empty())?;
        format!("nothing comes from a seller: {note}")
    };
    let value = json!({
        "info_hash": info_hash.to_hex(),
        "sellers": sellers.len(),
        "lowest_tokens_per_gb": per_gb(*lowest),
        "max_tokens_per_gb": per_gb(limit),
        "text": text,
    });
    Some(Stall { value, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_said_after_a_while_once_and_again_when_it_changed_but_not_all_the_time() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut stalled = Stalled {
            since: start,
            said: None,
        };
        assert!(!stalled.is_news("12", at(0)));
        assert!(!stalled.is_news("13", at(2)));
        assert!(stalled.is_news("12", at(3)));
        assert!(!stalled.is_news("12", at(100)), "the same");
        assert!(stalled.is_news("11", at(101)));
        assert!(!stalled.is_news("12", at(130)), "too soon");
        assert!(stalled.is_news("12", at(131)));
    }

    /// The line where the limit is 10 tokens per GB.
    fn line(peers: &[PeerPayment]) -> Option<String> {
        let limit = asks(10, "").price.unwrap();
        stall(InfoHash([7; 20]), limit, peers.iter(), 6).map(|stall| stall.text)
    }

    fn asks(tokens_per_gb: u128, note: &str) -> PeerPayment {
        PeerPayment {
            price: Some(FineUnits::per_block_from_per_gb(tokens_per_gb * 1_000_000)),
            note: note.to_owned(),
            ..PeerPayment::default()
        }
    }

    #[test]
    fn where_every_seller_asks_more_than_the_limit_the_cheapest_is_named() {
        let over = "It asks more than your price limit.";
        assert_eq!(
            line(&[asks(15, over), asks(12, over), PeerPayment::default()]).unwrap(),
            "the cheapest of 2 sellers asks 12 tokens per GB, and --max-price is 10"
        );
        assert_eq!(
            line(&[asks(11, over)]).unwrap(),
            "the only seller asks 11 tokens per GB, and --max-price is 10"
        );
        assert_eq!(line(&[asks(0, "")]), None, "it is free");
        assert_eq!(line(&[]), None);
    }

    #[test]
    fn where_a_seller_is_cheap_enough_its_own_reason_is_said_unless_it_is_paid() {
        let (dear, cheap) = (asks(12, "It is dear."), asks(10, "It waits."));
        assert_eq!(
            line(&[dear.clone(), cheap.clone()]).unwrap(),
            "nothing comes from a seller: It waits."
        );
        assert_eq!(
            line(&[dear.clone(), asks(10, "")]),
            None,
            "it just connected"
        );
        let paid = PeerPayment {
            active: true,
            ..cheap.clone()
        };
        assert_eq!(line(&[dear, cheap, paid]), None);
    }
}
