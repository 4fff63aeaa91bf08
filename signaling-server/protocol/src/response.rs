//! The messages of the server: replies, relayed offers and answers, swarm sizes, failures.

use crate::ice::{self, IceFields, IceServers};
use crate::lenient::{Field, Leaf};
use crate::reader::{NotJson, Reader};
use crate::{Action, InfoHash, Limits, MAX_REASON_LEN, Offer, OfferId, PeerId, Sdp, json};

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
        /// The id that I gave to the offer that is answered.
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
        /// The kind of the request.
        action: Action,
        /// The swarm, if known.
        info_hash: Option<InfoHash>,
        /// The reason, for a human; at most [`MAX_REASON_LEN`] bytes.
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
    /// The server's warning, for a human; at most [`MAX_REASON_LEN`] bytes.
    pub warning: Option<String>,
    /// STUN and TURN servers that the server names.
    pub ice: Option<IceServers>,
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

/// The reason why a message of the server was not understood.
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
        let mut reader = Reader::new(text);
        match fields.read(&mut reader, limits) {
            Ok(true) => reader.end(),
            _ => Err(NotJson),
        }
        .map_err(|NotJson| ResponseError::Syntax)?;
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
                if let Some(ice) = &reply.ice {
                    ice::push(&mut out, ice);
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

/// The fields of a response as they were found, of any type.
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
    ice: IceFields,
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
    /// `false`: the text is no object.
    fn read(&mut self, reader: &mut Reader<'a>, limits: Limits) -> Result<bool, NotJson> {
        reader.object(&mut |reader, key| {
            match key {
                "action" => self.action = reader.leaf()?,
                "info_hash" => self.info_hash = reader.leaf()?,
                "failure reason" => self.failure = reader.leaf()?,
                "warning message" => self.warning = reader.leaf()?,
                "interval" => self.interval = reader.leaf()?,
                "min interval" => self.min_interval = reader.leaf()?,
                "complete" => self.complete = reader.leaf()?,
                "incomplete" => self.incomplete = reader.leaf()?,
                "peer_id" => self.peer_id = reader.leaf()?,
                "offer_id" => self.offer_id = reader.leaf()?,
                "offer" => self.offer = Sdp::read(reader, "offer")?,
                "answer" => self.answer = Sdp::read(reader, "answer")?,
                "ice_servers" => self.ice.read_servers(reader)?,
                "ice_servers_ttl" => self.ice.ttl = reader.leaf()?,
                "files" => self.files = read_files(reader, limits.scrape)?,
                _ => {
                    reader.literal()?;
                }
            }
            Ok(())
        })
    }

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
                        ice: self.ice.ok(),
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

/// Reads the content of `files` in a scrape's reply.
fn read_files(
    reader: &mut Reader,
    limit: usize,
) -> Result<Field<Vec<(InfoHash, ScrapeEntry)>>, NotJson> {
    let mut files = Vec::new();
    let is_object = reader.object(&mut |reader, key| {
        let hash = InfoHash::from_latin1(key);
        let entry = read_entry(reader)?;
        if let (Some(hash), Some(entry)) = (hash, entry)
            && files.len() < limit
        {
            files.push((hash, entry));
        }
        Ok(())
    })?;
    Ok(if is_object {
        Field::Is(files)
    } else {
        Field::Wrong
    })
}

/// Reads one swarm's size.
fn read_entry(reader: &mut Reader) -> Result<Option<ScrapeEntry>, NotJson> {
    let mut entry = ScrapeEntry::default();
    let is_object = reader.object(&mut |reader, key| {
        let count = reader.leaf::<u64>()?.ok().unwrap_or(0);
        match key {
            "complete" => entry.complete = count,
            "incomplete" => entry.incomplete = count,
            "downloaded" => entry.downloaded = count,
            _ => {}
        }
        Ok(())
    })?;
    Ok(is_object.then_some(entry))
}
