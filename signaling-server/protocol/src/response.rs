//! What the server sends: replies, relayed offers and answers, swarm sizes, failures.

use crate::lenient::{self, Field, Leaf, leaf};
use crate::sdp::SdpSeed;
use crate::{Action, InfoHash, Limits, MAX_REASON_LEN, Offer, OfferId, PeerId, Sdp, json};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A message from the server to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// The reply to an announce.
    Announce(AnnounceReply),
    /// Another peer's offer.
    Offer {
        /// The swarm.
        info_hash: InfoHash,
        /// The peer that offers.
        peer_id: PeerId,
        /// Its offer.
        offer: Offer<'a>,
    },
    /// Another peer's answer to an offer of mine.
    Answer {
        /// The swarm.
        info_hash: InfoHash,
        /// The peer that answers.
        peer_id: PeerId,
        /// Which offer.
        offer_id: OfferId,
        /// The session description.
        sdp: Sdp<'a>,
    },
    /// The reply to a scrape.
    Scrape {
        /// One entry per swarm asked for.
        files: Vec<(InfoHash, ScrapeEntry)>,
    },
    /// The request was refused.
    Failure {
        /// What the request was.
        action: Action,
        /// The swarm, if known.
        info_hash: Option<InfoHash>,
        /// Why, for a human; at most [`MAX_REASON_LEN`] bytes.
        reason: String,
    },
}

/// The reply to an announce. Everything but the swarm may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceReply {
    /// The swarm.
    pub info_hash: InfoHash,
    /// Seconds until the next announce.
    pub interval_secs: Option<u64>,
    /// Seconds that must pass before the next announce, even an early one.
    pub min_interval_secs: Option<u64>,
    /// Seeders.
    pub complete: Option<u64>,
    /// Other peers.
    pub incomplete: Option<u64>,
    /// Something the server wants to say, for a human; at most [`MAX_REASON_LEN`] bytes.
    pub warning: Option<String>,
}

/// The size of one swarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeEntry {
    /// Seeders.
    pub complete: u64,
    /// Other peers.
    pub incomplete: u64,
    /// Downloads that became complete.
    pub downloaded: u64,
}

/// Why a message of the server was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Not a JSON object.
    #[error("message is not a JSON object")]
    Syntax,
    /// A required field is missing or malformed.
    #[error("missing or invalid {0}")]
    Invalid(&'static str),
}

impl<'a> Response<'a> {
    /// Reads one message, in one pass, borrowing the session description.
    ///
    /// More lenient than the encoder: servers exist whose failures carry no `action`.
    pub fn parse(text: &'a str, limits: Limits) -> Result<Self, ResponseError> {
        let mut fields = Fields::default();
        let mut json = serde_json::Deserializer::from_str(text);
        let reader = FieldsReader {
            fields: &mut fields,
            limits,
        };
        json.deserialize_map(reader)
            .and_then(|()| json.end())
            .map_err(|_| ResponseError::Syntax)?;
        fields.into_response()
    }

    /// The message as JSON text.
    pub fn encode(&self) -> String {
        let mut out;
        match self {
            Response::Announce(reply) => {
                out = head(Action::Announce, Some(&reply.info_hash), 128);
                for (key, value) in [
                    (",\"interval\":", reply.interval_secs),
                    (",\"min interval\":", reply.min_interval_secs),
                    (",\"complete\":", reply.complete),
                    (",\"incomplete\":", reply.incomplete),
                ] {
                    if let Some(value) = value {
                        out.push_str(key);
                        json::push_number(&mut out, value);
                    }
                }
                if let Some(warning) = &reply.warning {
                    out.push_str(",\"warning message\":");
                    json::push_str(&mut out, warning);
                }
            }
            Response::Offer {
                info_hash,
                peer_id,
                offer,
            } => {
                out = head(
                    Action::Announce,
                    Some(info_hash),
                    160 + offer.sdp.json().len(),
                );
                push_peer(&mut out, peer_id, &offer.offer_id);
                out.push_str(",\"offer\":");
                offer.sdp.push(&mut out, "offer");
            }
            Response::Answer {
                info_hash,
                peer_id,
                offer_id,
                sdp,
            } => {
                out = head(Action::Announce, Some(info_hash), 160 + sdp.json().len());
                push_peer(&mut out, peer_id, offer_id);
                out.push_str(",\"answer\":");
                sdp.push(&mut out, "answer");
            }
            Response::Scrape { files } => {
                let single = match files.as_slice() {
                    [(hash, _)] => Some(hash),
                    _ => None,
                };
                out = head(Action::Scrape, single, 32 + files.len() * 96);
                out.push_str(",\"files\":{");
                for (i, (hash, entry)) in files.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    json::push_id(&mut out, &hash.0);
                    for (key, value) in [
                        (":{\"complete\":", entry.complete),
                        (",\"incomplete\":", entry.incomplete),
                        (",\"downloaded\":", entry.downloaded),
                    ] {
                        out.push_str(key);
                        json::push_number(&mut out, value);
                    }
                    out.push('}');
                }
                out.push('}');
            }
            Response::Failure {
                action,
                info_hash,
                reason,
            } => {
                out = head(*action, info_hash.as_ref(), 32 + reason.len());
                out.push_str(",\"failure reason\":");
                json::push_str(&mut out, reason);
            }
        }
        out.push('}');
        out
    }
}

fn head(action: Action, info_hash: Option<&InfoHash>, room: usize) -> String {
    let mut out = String::with_capacity(96 + room);
    out.push_str("{\"action\":\"");
    out.push_str(action.as_str());
    out.push('"');
    if let Some(hash) = info_hash {
        out.push_str(",\"info_hash\":");
        json::push_id(&mut out, &hash.0);
    }
    out
}

fn push_peer(out: &mut String, peer_id: &PeerId, offer_id: &OfferId) {
    out.push_str(",\"peer_id\":");
    json::push_id(out, &peer_id.0);
    out.push_str(",\"offer_id\":");
    json::push_id(out, &offer_id.0);
}

/// The fields of a response as they were found, whatever they hold.
#[derive(Default)]
struct Fields<'a> {
    action: Field<Action>,
    info_hash: Field<InfoHash>,
    failure: Field<Reason>,
    warning: Field<Reason>,
    interval: Field<u64>,
    min_interval: Field<u64>,
    complete: Field<u64>,
    incomplete: Field<u64>,
    peer_id: Field<PeerId>,
    offer_id: Field<OfferId>,
    offer: Field<Sdp<'a>>,
    answer: Field<Sdp<'a>>,
    files: Field<Vec<(InfoHash, ScrapeEntry)>>,
}

#[derive(Clone)]
struct Reason(String);

impl Leaf for Reason {
    fn from_str(s: &str) -> Option<Self> {
        let mut end = s.len().min(MAX_REASON_LEN);
        while !s.is_char_boundary(end) {
            end -= 1;
        }
        Some(Reason(s[..end].to_owned()))
    }
}

impl<'a> Fields<'a> {
    fn into_response(self) -> Result<Response<'a>, ResponseError> {
        if let Field::Is(Reason(reason)) = self.failure {
            return Ok(Response::Failure {
                action: self.action.ok().unwrap_or(Action::Announce),
                info_hash: self.info_hash.ok(),
                reason,
            });
        }
        match self.action.ok().ok_or(ResponseError::Invalid("action"))? {
            Action::Scrape => Ok(Response::Scrape {
                files: self.files.ok().ok_or(ResponseError::Invalid("files"))?,
            }),
            Action::Announce => {
                let info_hash = self
                    .info_hash
                    .ok()
                    .ok_or(ResponseError::Invalid("info_hash"))?;
                match (self.offer, self.answer) {
                    (Field::Absent, Field::Absent) => Ok(Response::Announce(AnnounceReply {
                        info_hash,
                        interval_secs: self.interval.ok(),
                        min_interval_secs: self.min_interval.ok(),
                        complete: self.complete.ok(),
                        incomplete: self.incomplete.ok(),
                        warning: self.warning.ok().map(|Reason(text)| text),
                    })),
                    (Field::Is(sdp), Field::Absent) => Ok(Response::Offer {
                        info_hash,
                        peer_id: self.peer_id.ok().ok_or(ResponseError::Invalid("peer_id"))?,
                        offer: Offer {
                            offer_id: self
                                .offer_id
                                .ok()
                                .ok_or(ResponseError::Invalid("offer_id"))?,
                            sdp,
                        },
                    }),
                    (Field::Absent, Field::Is(sdp)) => Ok(Response::Answer {
                        info_hash,
                        peer_id: self.peer_id.ok().ok_or(ResponseError::Invalid("peer_id"))?,
                        offer_id: self
                            .offer_id
                            .ok()
                            .ok_or(ResponseError::Invalid("offer_id"))?,
                        sdp,
                    }),
                    _ => Err(ResponseError::Invalid("offer or answer")),
                }
            }
        }
    }
}

struct FieldsReader<'f, 'a> {
    fields: &'f mut Fields<'a>,
    limits: Limits,
}

impl<'de> Visitor<'de> for FieldsReader<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        const KEYS: &[&str] = &[
            "action",
            "info_hash",
            "failure reason",
            "warning message",
            "interval",
            "min interval",
            "complete",
            "incomplete",
            "peer_id",
            "offer_id",
            "offer",
            "answer",
            "files",
        ];
        let fields = self.fields;
        while let Some(key) = map.next_key_seed(lenient::KeySeed(KEYS))? {
            match key {
                Some(0) => fields.action = map.next_value_seed(leaf())?,
                Some(1) => fields.info_hash = map.next_value_seed(leaf())?,
                Some(2) => fields.failure = map.next_value_seed(leaf())?,
                Some(3) => fields.warning = map.next_value_seed(leaf())?,
                Some(4) => fields.interval = map.next_value_seed(leaf())?,
                Some(5) => fields.min_interval = map.next_value_seed(leaf())?,
                Some(6) => fields.complete = map.next_value_seed(leaf())?,
                Some(7) => fields.incomplete = map.next_value_seed(leaf())?,
                Some(8) => fields.peer_id = map.next_value_seed(leaf())?,
                Some(9) => fields.offer_id = map.next_value_seed(leaf())?,
                Some(10) => fields.offer = map.next_value_seed(SdpSeed("offer"))?,
                Some(11) => fields.answer = map.next_value_seed(SdpSeed("answer"))?,
                Some(12) => fields.files = map.next_value_seed(FilesSeed(self.limits.scrape))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads `{"<info hash>": {"complete": n, ...}, ...}` and keeps at most so many.
struct FilesSeed(usize);

impl<'de> DeserializeSeed<'de> for FilesSeed {
    type Value = Field<Vec<(InfoHash, ScrapeEntry)>>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FilesSeed {
    type Value = Field<Vec<(InfoHash, ScrapeEntry)>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("swarm sizes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut files = Vec::new();
        while let Some(key) = map.next_key_seed(leaf::<InfoHash>())? {
            let entry = map.next_value_seed(EntrySeed)?;
            if let (Field::Is(hash), Field::Is(entry)) = (key, entry)
                && files.len() < self.0
            {
                files.push((hash, entry));
            }
        }
        Ok(Field::Is(files))
    }

    lenient::wrong_unless!(map);
}

/// Reads one swarm's size.
struct EntrySeed;

impl<'de> DeserializeSeed<'de> for EntrySeed {
    type Value = Field<ScrapeEntry>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EntrySeed {
    type Value = Field<ScrapeEntry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a swarm's size")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entry = ScrapeEntry::default();
        let keys = lenient::KeySeed(&["complete", "incomplete", "downloaded"]).0;
        while let Some(key) = map.next_key_seed(lenient::KeySeed(keys))? {
            let count = map.next_value_seed(leaf::<u64>())?.ok().unwrap_or(0);
            match key {
                Some(0) => entry.complete = count,
                Some(1) => entry.incomplete = count,
                Some(2) => entry.downloaded = count,
                _ => {}
            }
        }
        Ok(Field::Is(entry))
    }

    lenient::wrong_unless!(map);
}
