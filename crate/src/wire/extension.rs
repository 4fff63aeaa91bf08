//! Payloads of extension messages: the extended handshake (BEP 10) and metadata exchange (BEP 9).
//!
//! Owns their dictionaries and the ids we give to extensions. What a peer says here is a claim:
//! sizes are bounded, nothing is believed. Never holds payment messages: see payments.md section 4.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::metainfo::MAX_INFO_LEN;
use crate::metainfo::bencode::{BencodeError, Document, Item, Limits, Value};

/// Extension message id of the extended handshake itself (BEP 10).
pub const EXTENDED_HANDSHAKE_ID: u8 = 0;
/// Name of metadata exchange (BEP 9).
pub const UT_METADATA_NAME: &str = "ut_metadata";
/// Name of the payment extension (payments.md section 4).
pub const PW_PAY_NAME: &str = "pw_pay";
/// The id under which peers send us `ut_metadata` messages.
pub const UT_METADATA_ID: u8 = 1;
/// The id under which peers send us `pw_pay` messages.
pub const PW_PAY_ID: u8 = 2;

/// Most extension names kept from a peer's handshake; further ones are ignored.
pub const MAX_EXTENSIONS: usize = 64;
/// Longest extension name kept, bytes; longer ones are ignored.
pub const MAX_EXTENSION_NAME_LEN: usize = 64;
/// Longest client name kept, bytes; the rest is cut off.
pub const MAX_CLIENT_NAME_LEN: usize = 128;
/// Length of every metadata piece but the last (BEP 9: 16 KiB).
pub const METADATA_PIECE_LEN: usize = 16 * 1024;

/// Why an extension message's payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// Not bencoding.
    #[error("extension message is not valid bencoding: {0}")]
    Bencode(#[from] BencodeError),
    /// Not a dictionary.
    #[error("extension message is not a dictionary")]
    NotADictionary,
    /// A key that must be there is missing or of the wrong type or range.
    #[error("extension message has no valid `{0}`")]
    Field(&'static str),
    /// A metadata piece longer than 16 KiB, or bytes where there must be none.
    #[error("metadata message carries {0} bytes of payload")]
    Payload(usize),
}

/// The extended handshake (BEP 10). May come again later and then replaces what it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedHandshake {
    /// Extension name to the id its messages must carry towards the sender; 0 means switched off.
    pub m: BTreeMap<String, u8>,
    /// Length of the info dictionary, bytes (BEP 9); absent while the sender has none.
    pub metadata_size: Option<u32>,
    /// Requests the sender queues.
    pub reqq: Option<u32>,
    /// Client name and version, without control characters.
    pub v: Option<String>,
    /// The sender downloads nothing (BEP 21).
    pub upload_only: bool,
    /// How the sender pays or is paid.
    pub pay: Option<PayHandshake>,
}

/// The `pay` dictionary of the extended handshake (payments.md section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayHandshake {
    /// `a`: address of the vault contract.
    pub vault: [u8; 20],
    /// `c`: chain id (EIP-155).
    pub chain_id: u64,
    /// `f`: see [`PayHandshake::SELLS`] and [`PayHandshake::UNDERSTANDS_PRICES`].
    pub flags: u8,
    /// `v`: protocol version, 1.
    pub version: u8,
}

impl PayHandshake {
    /// Flag: the sender sells blocks.
    pub const SELLS: u8 = 1;
    /// Flag: the sender understands prices; does not mean that it has funds.
    pub const UNDERSTANDS_PRICES: u8 = 2;
    /// The version described in payments.md.
    pub const VERSION: u8 = 1;

    /// Whether the sender sells blocks.
    pub fn sells(&self) -> bool {
        self.flags & Self::SELLS != 0
    }

    /// Whether the sender understands prices.
    pub fn understands_prices(&self) -> bool {
        self.flags & Self::UNDERSTANDS_PRICES != 0
    }
}

impl ExtendedHandshake {
    /// The id that messages of extension `name` must carry towards the sender; `None` when it does
    /// not speak it or has switched it off.
    pub fn id_of(&self, name: &str) -> Option<u8> {
        self.m.get(name).copied().filter(|id| *id != 0)
    }

    /// Reads the payload. Optional keys of a wrong type or range count as absent, as BEP 10 wants
    /// unknown things ignored; `metadata_size` of zero or beyond what we take counts as absent too.
    ///
    /// # Errors
    /// Not bencoding, or no dictionary.
    pub fn decode(payload: &[u8]) -> Result<Self, ExtensionError> {
        let document = Document::parse(payload, Limits::MESSAGE)?;
        let mut handshake = ExtendedHandshake::default();
        let entries = document
            .root()
            .as_dict()
            .ok_or(ExtensionError::NotADictionary)?;
        for (key, value) in entries {
            match key {
                b"m" => handshake.m = read_extensions(value),
                b"metadata_size" => {
                    handshake.metadata_size = value
                        .as_u32()
                        .filter(|len| *len > 0 && *len as usize <= MAX_INFO_LEN);
                }
                b"pay" => handshake.pay = read_pay(value),
                b"reqq" => handshake.reqq = value.as_u32(),
                b"upload_only" => handshake.upload_only = value.as_int().is_some_and(|n| n != 0),
                b"v" => handshake.v = value.as_bytes().map(client_name),
                _ => {}
            }
        }
        Ok(handshake)
    }

    /// The payload to send under id [`EXTENDED_HANDSHAKE_ID`].
    pub fn encode(&self) -> Bytes {
        let mut entries: BTreeMap<&[u8], Item<'_>> = BTreeMap::new();
        let m = self
            .m
            .iter()
            .map(|(name, id)| (name.as_bytes(), Item::Int(i128::from(*id))));
        entries.insert(b"m", Item::dict(m));
        if let Some(len) = self.metadata_size {
            entries.insert(b"metadata_size", Item::Int(i128::from(len)));
        }
        if let Some(reqq) = self.reqq {
            entries.insert(b"reqq", Item::Int(i128::from(reqq)));
        }
        if let Some(v) = &self.v {
            entries.insert(b"v", Item::str(v));
        }
        if self.upload_only {
            entries.insert(b"upload_only", Item::Int(1));
        }
        if let Some(pay) = &self.pay {
            let pay: [(&[u8], Item<'_>); 4] = [
                (b"a", Item::bytes(&pay.vault[..])),
                (b"c", Item::Int(i128::from(pay.chain_id))),
                (b"f", Item::Int(i128::from(pay.flags))),
                (b"v", Item::Int(i128::from(pay.version))),
            ];
            entries.insert(b"pay", Item::dict(pay));
        }
        Item::dict(entries).to_vec().into()
    }
}

fn read_extensions(m: Value<'_, '_>) -> BTreeMap<String, u8> {
    m.as_dict()
        .into_iter()
        .flatten()
        .filter_map(|(name, id)| {
            let name = core::str::from_utf8(name).ok()?;
            let id = u8::try_from(id.as_u32()?).ok()?;
            (name.len() <= MAX_EXTENSION_NAME_LEN).then(|| (name.to_owned(), id))
        })
        .take(MAX_EXTENSIONS)
        .collect()
}

fn read_pay(pay: Value<'_, '_>) -> Option<PayHandshake> {
    Some(PayHandshake {
        vault: pay.get(b"a")?.as_bytes()?.try_into().ok()?,
        chain_id: pay.get(b"c")?.as_u64()?,
        flags: u8::try_from(pay.get(b"f")?.as_u32()?).ok()?,
        version: u8::try_from(pay.get(b"v")?.as_u32()?).ok()?,
    })
}

fn client_name(bytes: &[u8]) -> String {
    let mut name: String = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_CLIENT_NAME_LEN)])
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    let mut end = name.len().min(MAX_CLIENT_NAME_LEN);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

/// One message of metadata exchange (BEP 9). The info dictionary travels in pieces of 16 KiB,
/// counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataMessage {
    /// Asks for a piece.
    Request {
        /// Piece of the info dictionary.
        piece: u32,
    },
    /// A piece.
    Data {
        /// Piece of the info dictionary.
        piece: u32,
        /// Length of the whole info dictionary as the sender claims, bytes.
        total_size: u32,
        /// At most [`METADATA_PIECE_LEN`] bytes.
        data: Bytes,
    },
    /// The sender does not have it or will not send it now.
    Reject {
        /// Piece of the info dictionary.
        piece: u32,
    },
    /// A message type of the future, to be ignored.
    Unknown,
}

const REQUEST: u32 = 0;
const DATA: u32 = 1;
const REJECT: u32 = 2;

impl MetadataMessage {
    /// Reads the payload; a piece's data is a slice of it.
    ///
    /// # Errors
    /// Not a dictionary, a missing `msg_type`, `piece` or `total_size`, a size beyond what we take,
    /// or a payload of wrong length.
    pub fn decode(payload: &Bytes) -> Result<Self, ExtensionError> {
        let document = Document::parse_prefix(payload, Limits::MESSAGE)?;
        let root = document.root();
        if root.as_dict().is_none() {
            return Err(ExtensionError::NotADictionary);
        }
        let field = |name: &'static str| {
            root.get(name.as_bytes())
                .and_then(|v| v.as_u32())
                .ok_or(ExtensionError::Field(name))
        };
        let rest = payload.slice(document.consumed()..);
        let msg_type = field("msg_type")?;
        if msg_type > REJECT {
            return Ok(MetadataMessage::Unknown);
        }
        let piece = field("piece")?;
        if msg_type == DATA {
            let total_size = field("total_size")?;
            if total_size as usize > MAX_INFO_LEN {
                return Err(ExtensionError::Field("total_size"));
            }
            if rest.is_empty() || rest.len() > METADATA_PIECE_LEN {
                return Err(ExtensionError::Payload(rest.len()));
            }
            return Ok(MetadataMessage::Data {
                piece,
                total_size,
                data: rest,
            });
        }
        if !rest.is_empty() {
            return Err(ExtensionError::Payload(rest.len()));
        }
        Ok(match msg_type {
            REQUEST => MetadataMessage::Request { piece },
            _ => MetadataMessage::Reject { piece },
        })
    }

    /// The payload to send under the receiver's id for `ut_metadata`; empty for
    /// [`MetadataMessage::Unknown`], which is never sent.
    pub fn encode(&self) -> Bytes {
        let head = |msg_type: u32, piece: u32, total_size: Option<u32>| {
            let mut entries: BTreeMap<&[u8], Item<'_>> = BTreeMap::new();
            entries.insert(b"msg_type", Item::Int(i128::from(msg_type)));
            entries.insert(b"piece", Item::Int(i128::from(piece)));
            if let Some(len) = total_size {
                entries.insert(b"total_size", Item::Int(i128::from(len)));
            }
            Item::dict(entries).to_vec()
        };
        match self {
            MetadataMessage::Request { piece } => head(REQUEST, *piece, None).into(),
            MetadataMessage::Reject { piece } => head(REJECT, *piece, None).into(),
            MetadataMessage::Data {
                piece,
                total_size,
                data,
            } => {
                let head = head(DATA, *piece, Some(*total_size));
                let mut out = BytesMut::with_capacity(head.len() + data.len());
                out.extend_from_slice(&head);
                out.extend_from_slice(data);
                out.freeze()
            }
            MetadataMessage::Unknown => Bytes::new(),
        }
    }
}
