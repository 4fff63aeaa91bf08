//! The messages of a peer: announce, answer, scrape.

use crate::lenient::{self, Field, Leaf, leaf};
use crate::sdp::SdpSeed;
use crate::{InfoHash, Limits, OfferId, PeerId, Sdp, json};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A message from a peer to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// I am in this swarm, and these are my offers.
    Announce(Announce<'a>),
    /// This is my answer to an offer that you relayed to me.
    Answer(Answer<'a>),
    /// How many peers do these swarms have?
    Scrape(Scrape),
}

/// The `action` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `"announce"`: also offers and answers.
    Announce,
    /// `"scrape"`.
    Scrape,
}

/// The reason why a peer announces (BEP 3 `event`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Event {
    /// The regular announce: no event, `""`, `"empty"`, `"update"` or `"paused"` (BEP 21).
    #[default]
    Update,
    /// The first announce.
    Started,
    /// The last announce: leave the swarm.
    Stopped,
    /// The download just became complete.
    Completed,
}

/// An announce with its offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce<'a> {
    /// The swarm.
    pub info_hash: InfoHash,
    /// The announcing peer.
    pub peer_id: PeerId,
    /// The occasion; [`Event::Update`] is the regular one.
    pub event: Event,
    /// Bytes uploaded since `started`, if told.
    pub uploaded: Option<u64>,
    /// Bytes downloaded since `started`, if told.
    pub downloaded: Option<u64>,
    /// Bytes still missing; 0 makes a seeder, unknown does not.
    pub left: Option<u64>,
    /// The number of peers that are wanted; by custom the number of offers.
    pub numwant: Option<u64>,
    /// Well-formed offers with distinct ids, at most [`Limits::offers`].
    pub offers: Vec<Offer<'a>>,
    /// Offers left out: malformed, of a repeated id, or above the limit.
    pub skipped_offers: u32,
}

/// One WebRTC offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer<'a> {
    /// Its name, chosen by the offering peer.
    pub offer_id: OfferId,
    /// The session description.
    pub sdp: Sdp<'a>,
}

/// A WebRTC answer on its way to the peer that offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The swarm.
    pub info_hash: InfoHash,
    /// The answering peer.
    pub peer_id: PeerId,
    /// The peer that offered.
    pub to_peer_id: PeerId,
    /// The offer that it answers.
    pub offer_id: OfferId,
    /// The session description.
    pub sdp: Sdp<'a>,
}

/// A question for swarm sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrape {
    /// The swarms asked for: at least one, at most [`Limits::scrape`].
    pub info_hashes: Vec<InfoHash>,
}

/// A message that is no request, with the facts for the reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct RequestError {
    /// The fault.
    pub fault: RequestFault,
    /// The action to reply with: the message's own, else announce.
    pub action: Action,
    /// The swarm, if the message named one.
    pub info_hash: Option<InfoHash>,
}

/// The fault of a request. The text goes to the peer as `failure reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// Not JSON, or JSON cut short.
    #[error("message is not valid JSON")]
    Syntax,
    /// JSON, but not an object.
    #[error("message is not a JSON object")]
    NotAnObject,
    /// A required field is missing.
    #[error("missing {0}")]
    Missing(&'static str),
    /// A field has the wrong type or form.
    #[error("invalid {0}")]
    Invalid(&'static str),
    /// More info hashes than [`Limits::scrape`].
    #[error("too many info hashes in one scrape")]
    TooManyInfoHashes,
}

impl Action {
    /// The field's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Announce => "announce",
            Action::Scrape => "scrape",
        }
    }
}

impl Leaf for Action {
    fn from_str(s: &str) -> Option<Self> {
        match s {
            "announce" => Some(Action::Announce),
            "scrape" => Some(Action::Scrape),
            _ => None,
        }
    }
}

impl Leaf for Event {
    fn from_str(s: &str) -> Option<Self> {
        match s {
            "" | "empty" | "update" | "paused" => Some(Event::Update),
            "started" => Some(Event::Started),
            "stopped" => Some(Event::Stopped),
            "completed" => Some(Event::Completed),
            _ => None,
        }
    }
}

impl<'a> Request<'a> {
    /// Reads one message, in one pass, borrowing the session descriptions.
    pub fn parse(text: &'a str, limits: Limits) -> Result<Self, RequestError> {
        let mut fields = Fields::default();
        let parsed = fields
            .read(text, limits)
            .and_then(|()| fields.take_request());
        parsed.map_err(|fault| RequestError {
            fault,
            action: fields.action.ok().unwrap_or(Action::Announce),
            info_hash: match fields.info_hash {
                Field::Is(Hashes::One(hash)) => Some(hash),
                _ => None,
            },
        })
    }

    /// The message as JSON text.
    pub fn encode(&self) -> String {
        match self {
            Request::Announce(announce) => announce.encode(),
            Request::Answer(answer) => answer.encode(),
            Request::Scrape(scrape) => scrape.encode(),
        }
    }
}

impl Announce<'_> {
    fn encode(&self) -> String {
        let sdp_len: usize = self.offers.iter().map(|o| o.sdp.json().len() + 128).sum();
        let mut out = String::with_capacity(256 + sdp_len);
        out.push_str("{\"action\":\"announce\",\"info_hash\":");
        json::push_id(&mut out, &self.info_hash.0);
        out.push_str(",\"peer_id\":");
        json::push_id(&mut out, &self.peer_id.0);
        let event = match self.event {
            Event::Update => None,
            Event::Started => Some("started"),
            Event::Stopped => Some("stopped"),
            Event::Completed => Some("completed"),
        };
        if let Some(event) = event {
            out.push_str(",\"event\":");
            json::push_str(&mut out, event);
        }
        for (key, value) in [
            (",\"uploaded\":", self.uploaded),
            (",\"downloaded\":", self.downloaded),
            (",\"left\":", self.left),
            (",\"numwant\":", self.numwant),
        ] {
            if let Some(value) = value {
                out.push_str(key);
                json::push_number(&mut out, value);
            }
        }
        out.push_str(",\"offers\":[");
        for (i, offer) in self.offers.iter().enumerate() {
            out.push_str(if i == 0 {
                "{\"offer\":"
            } else {
                ",{\"offer\":"
            });
            offer.sdp.push(&mut out, "offer");
            out.push_str(",\"offer_id\":");
            json::push_id(&mut out, &offer.offer_id.0);
            out.push('}');
        }
        out.push_str("]}");
        out
    }
}

impl Answer<'_> {
    fn encode(&self) -> String {
        let mut out = String::with_capacity(256 + self.sdp.json().len());
        out.push_str("{\"action\":\"announce\",\"info_hash\":");
        json::push_id(&mut out, &self.info_hash.0);
        out.push_str(",\"peer_id\":");
        json::push_id(&mut out, &self.peer_id.0);
        out.push_str(",\"to_peer_id\":");
        json::push_id(&mut out, &self.to_peer_id.0);
        out.push_str(",\"offer_id\":");
        json::push_id(&mut out, &self.offer_id.0);
        out.push_str(",\"answer\":");
        self.sdp.push(&mut out, "answer");
        out.push('}');
        out
    }
}

impl Scrape {
    fn encode(&self) -> String {
        let mut out = String::from("{\"action\":\"scrape\",\"info_hash\":[");
        for (i, hash) in self.info_hashes.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            json::push_id(&mut out, &hash.0);
        }
        out.push_str("]}");
        out
    }
}

/// The fields of a request as they were found, of any type.
#[derive(Default)]
struct Fields<'a> {
    action: Field<Action>,
    info_hash: Field<Hashes>,
    peer_id: Field<PeerId>,
    event: Field<Event>,
    uploaded: Field<u64>,
    downloaded: Field<u64>,
    left: Field<u64>,
    numwant: Field<u64>,
    offers: Field<Offers<'a>>,
    answer: Field<Sdp<'a>>,
    to_peer_id: Field<PeerId>,
    offer_id: Field<OfferId>,
}

enum Hashes {
    One(InfoHash),
    Many {
        hashes: Vec<InfoHash>,
        invalid: bool,
        surplus: bool,
    },
}

#[derive(Default)]
struct Offers<'a> {
    kept: Vec<Offer<'a>>,
    skipped: u32,
}

impl<'a> Fields<'a> {
    fn read(&mut self, text: &'a str, limits: Limits) -> Result<(), RequestFault> {
        let mut json = serde_json::Deserializer::from_str(text);
        let reader = FieldsReader {
            fields: self,
            limits,
        };
        match json.deserialize_map(reader) {
            Ok(()) => json.end().map_err(|_| RequestFault::Syntax),
            Err(error) if error.is_data() => Err(RequestFault::NotAnObject),
            Err(_) => Err(RequestFault::Syntax),
        }
    }

    fn take_request(&mut self) -> Result<Request<'a>, RequestFault> {
        match required(&self.action, "action")? {
            Action::Scrape => self.take_scrape().map(Request::Scrape),
            Action::Announce if matches!(self.answer, Field::Absent) => {
                self.take_announce().map(Request::Announce)
            }
            Action::Announce => self.take_answer().map(Request::Answer),
        }
    }

    fn take_announce(&mut self) -> Result<Announce<'a>, RequestFault> {
        let info_hash = self.one_info_hash()?;
        let peer_id = required(&self.peer_id, "peer_id")?;
        let event = match self.event {
            Field::Is(event) => event,
            Field::Absent => Event::Update,
            Field::Wrong => return Err(RequestFault::Invalid("event")),
        };
        let offers = match std::mem::take(&mut self.offers) {
            Field::Is(offers) => offers,
            Field::Absent => Offers::default(),
            Field::Wrong => return Err(RequestFault::Invalid("offers")),
        };
        // Statistics of the wrong type are unknown statistics: stock clients send `null` and numbers out of range where
        // they know nothing.
        Ok(Announce {
            info_hash,
            peer_id,
            event,
            uploaded: self.uploaded.clone().ok(),
            downloaded: self.downloaded.clone().ok(),
            left: self.left.clone().ok(),
            numwant: self.numwant.clone().ok(),
            offers: offers.kept,
            skipped_offers: offers.skipped,
        })
    }

    fn take_answer(&mut self) -> Result<Answer<'a>, RequestFault> {
        Ok(Answer {
            info_hash: self.one_info_hash()?,
            peer_id: required(&self.peer_id, "peer_id")?,
            to_peer_id: required(&self.to_peer_id, "to_peer_id")?,
            offer_id: required(&self.offer_id, "offer_id")?,
            sdp: std::mem::take(&mut self.answer)
                .ok()
                .ok_or(RequestFault::Invalid("answer"))?,
        })
    }

    fn take_scrape(&mut self) -> Result<Scrape, RequestFault> {
        let info_hashes = match std::mem::take(&mut self.info_hash) {
            Field::Is(Hashes::One(hash)) => vec![hash],
            Field::Is(Hashes::Many { surplus: true, .. }) => {
                return Err(RequestFault::TooManyInfoHashes);
            }
            Field::Is(Hashes::Many {
                hashes,
                invalid: false,
                ..
            }) if !hashes.is_empty() => hashes,
            Field::Absent => return Err(RequestFault::Missing("info_hash")),
            _ => return Err(RequestFault::Invalid("info_hash")),
        };
        Ok(Scrape { info_hashes })
    }

    fn one_info_hash(&self) -> Result<InfoHash, RequestFault> {
        match self.info_hash {
            Field::Is(Hashes::One(hash)) => Ok(hash),
            Field::Absent => Err(RequestFault::Missing("info_hash")),
            _ => Err(RequestFault::Invalid("info_hash")),
        }
    }
}

fn required<T: Copy>(field: &Field<T>, name: &'static str) -> Result<T, RequestFault> {
    match field {
        Field::Is(value) => Ok(*value),
        Field::Absent => Err(RequestFault::Missing(name)),
        Field::Wrong => Err(RequestFault::Invalid(name)),
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
            "peer_id",
            "event",
            "uploaded",
            "downloaded",
            "left",
            "numwant",
            "offers",
            "answer",
            "to_peer_id",
            "offer_id",
        ];
        let fields = self.fields;
        while let Some(key) = map.next_key_seed(lenient::KeySeed(KEYS))? {
            match key {
                Some(0) => fields.action = map.next_value_seed(leaf())?,
                Some(1) => {
                    fields.info_hash = map.next_value_seed(HashesSeed(self.limits.scrape))?
                }
                Some(2) => fields.peer_id = map.next_value_seed(leaf())?,
                Some(3) => fields.event = map.next_value_seed(leaf())?,
                Some(4) => fields.uploaded = map.next_value_seed(leaf())?,
                Some(5) => fields.downloaded = map.next_value_seed(leaf())?,
                Some(6) => fields.left = map.next_value_seed(leaf())?,
                Some(7) => fields.numwant = map.next_value_seed(leaf())?,
                Some(8) => fields.offers = map.next_value_seed(OffersSeed(self.limits.offers))?,
                Some(9) => fields.answer = map.next_value_seed(SdpSeed("answer"))?,
                Some(10) => fields.to_peer_id = map.next_value_seed(leaf())?,
                Some(11) => fields.offer_id = map.next_value_seed(leaf())?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads one info hash, or a list of at most this many.
struct HashesSeed(usize);

impl<'de> DeserializeSeed<'de> for HashesSeed {
    type Value = Field<Hashes>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for HashesSeed {
    type Value = Field<Hashes>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an info hash or a list of them")
    }

    fn visit_str<E>(self, s: &str) -> Result<Self::Value, E> {
        Ok(InfoHash::from_latin1(s).map_or(Field::Wrong, |hash| Field::Is(Hashes::One(hash))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (mut hashes, mut invalid, mut surplus) = (Vec::new(), false, false);
        while let Some(hash) = seq.next_element_seed(leaf::<InfoHash>())? {
            match hash {
                Field::Is(_) if hashes.len() >= self.0 => surplus = true,
                Field::Is(hash) => hashes.push(hash),
                Field::Absent | Field::Wrong => invalid = true,
            }
        }
        Ok(Field::Is(Hashes::Many {
            hashes,
            invalid,
            surplus,
        }))
    }

    lenient::wrong_unless!(str, seq);
}

/// Reads a list of offers and keeps at most this many.
struct OffersSeed(usize);

impl<'de> DeserializeSeed<'de> for OffersSeed {
    type Value = Field<Offers<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OffersSeed {
    type Value = Field<Offers<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of offers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut offers = Offers::default();
        while offers.kept.len() < self.0 {
            match seq.next_element_seed(OfferSeed)? {
                None => return Ok(Field::Is(offers)),
                Some(Field::Is(offer))
                    if !offers.kept.iter().any(|o| o.offer_id == offer.offer_id) =>
                {
                    offers.kept.push(offer);
                }
                Some(_) => offers.skipped = offers.skipped.saturating_add(1),
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            offers.skipped = offers.skipped.saturating_add(1);
        }
        Ok(Field::Is(offers))
    }

    lenient::wrong_unless!(seq);
}

/// Reads `{"offer": {...}, "offer_id": "..."}`.
struct OfferSeed;

impl<'de> DeserializeSeed<'de> for OfferSeed {
    type Value = Field<Offer<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OfferSeed {
    type Value = Field<Offer<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an offer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut sdp, mut offer_id) = (Field::Absent, Field::Absent);
        while let Some(key) = map.next_key_seed(lenient::KeySeed(&["offer", "offer_id"]))? {
            match key {
                Some(0) => sdp = map.next_value_seed(SdpSeed("offer"))?,
                Some(_) => offer_id = map.next_value_seed(leaf::<OfferId>())?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(match (sdp, offer_id) {
            (Field::Is(sdp), Field::Is(offer_id)) => Field::Is(Offer { offer_id, sdp }),
            _ => Field::Wrong,
        })
    }

    lenient::wrong_unless!(map);
}
