//! Payloads of extension messages: the extended handshake (BEP 10), metadata exchange (BEP 9), and signed titles.
//!
//! Owns their dictionaries and the ids that we give to extensions. A peer's statement here is a claim: sizes are
//! bounded, nothing is believed. Never holds payment messages: see `wire::pay`.

use alloy_primitives::{Address, B256};
use bytes::{Bytes, BytesMut};

use crate::metainfo::bencode::{BencodeError, Document, Item, Limits, Value};
use crate::metainfo::{MAX_INFO_LEN, MAX_TITLE_LEN};
use crate::paying::Paying;
use crate::sorted::Map;

/// Extension message id of the extended handshake itself (BEP 10).
pub const EXTENDED_HANDSHAKE_ID: u8 = 0;
/// Name of metadata exchange (BEP 9).
pub const UT_METADATA_NAME: &str = "ut_metadata";
/// Name of the payment extension (docs/protocol.md, "Negotiation").
pub const PW_PAY_NAME: &str = "pw_pay";
/// Name of the exchange of signed titles (docs/titles.md, "Between peers").
pub const PW_TITLE_NAME: &str = "pw_title";
/// The id under which peers send us `ut_metadata` messages.
pub const UT_METADATA_ID: u8 = 1;
/// The id under which peers send us `pw_pay` messages.
pub const PW_PAY_ID: u8 = 2;
/// The id under which peers send us `pw_title` messages.
pub const PW_TITLE_ID: u8 = 3;

/// Most extension names kept from a peer's handshake; further ones are ignored.
pub const MAX_EXTENSIONS: usize = 64;
/// Longest extension name kept, bytes; longer ones are ignored.
pub const MAX_EXTENSION_NAME_LEN: usize = 64;
/// Longest client name kept, bytes; the rest is cut off.
pub const MAX_CLIENT_NAME_LEN: usize = 128;
/// Length of every metadata piece but the last (BEP 9: 16 KiB).
pub const METADATA_PIECE_LEN: usize = 16 * 1024;

/// The reason why an extension message's payload is refused.
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

/// The extended handshake (BEP 10). It may come again later, and then replaces the values that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtendedHandshake {
    /// Extension name to the id its messages must carry towards the sender; 0 means switched off.
    pub m: Map<String, u8>,
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
    /// The title that the sender has, and sends who asks.
    pub title: Option<TitleClaim>,
}

/// The value of `title` in the extended handshake: 52 bytes. It is a claim until the title is here and fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TitleClaim {
    /// Who signed it.
    pub publisher: Address,
    /// The id of its registration.
    pub id: B256,
}

impl TitleClaim {
    #[inline(never)]
    fn read(value: Value<'_, '_>) -> Option<TitleClaim> {
        let bytes = value.as_bytes()?;
        let (publisher, id) = bytes.split_at_checked(20)?;
        Some(TitleClaim {
            publisher: publisher.try_into().ok()?,
            id: id.try_into().ok()?,
        })
    }

    #[inline(never)]
    fn item(&self) -> Item<'static> {
        Item::bytes([&self.publisher[..], &self.id[..]].concat())
    }
}

/// The `pay` dictionary of the extended handshake (docs/protocol.md, "Negotiation").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayHandshake {
    /// `a`: address of the vault contract.
    pub vault: Address,
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
    /// The version that docs/protocol.md describes.
    pub const VERSION: u8 = super::pay::VERSION;

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

    /// Reads the payload. Optional keys of a wrong type or range count as absent, as BEP 10 wants unknown things
    /// ignored; `metadata_size` of zero or beyond our bound counts as absent too.
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
                b"title" if Paying::HERE.is_some() => {
                    handshake.title = TitleClaim::read(value);
                }
                b"upload_only" => handshake.upload_only = value.as_int().is_some_and(|n| n != 0),
                b"v" => handshake.v = client_name(value),
                _ => {}
            }
        }
        Ok(handshake)
    }

    /// The payload to send under id [`EXTENDED_HANDSHAKE_ID`].
    pub fn encode(&self) -> Bytes {
        let mut entries: Map<&[u8], Item<'_>> = Map::new();
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
        if let (Some(title), Some(_)) = (&self.title, Paying::HERE) {
            entries.insert(b"title", title.item());
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

fn read_extensions(m: Value<'_, '_>) -> Map<String, u8> {
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
        vault: Address::try_from(pay.get(b"a")?.as_bytes()?).ok()?,
        chain_id: pay.get(b"c")?.as_u64()?,
        flags: u8::try_from(pay.get(b"f")?.as_u32()?).ok()?,
        version: u8::try_from(pay.get(b"v")?.as_u32()?).ok()?,
    })
}

fn client_name(name: Value<'_, '_>) -> Option<String> {
    let name = name.as_text(MAX_CLIENT_NAME_LEN)?;
    Some(name.chars().filter(|c| !c.is_control()).collect())
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
            let mut entries: Map<&[u8], Item<'_>> = Map::new();
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

/// One message of the exchange of titles (docs/titles.md, "Between peers").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TitleMessage {
    /// Asks for the title that the receiver's handshake names.
    Request,
    /// The title's bytes, at most [`MAX_TITLE_LEN`], not looked at.
    Title(Bytes),
    /// The sender has none, or sent it already.
    Reject,
    /// A message type of the future, to be ignored.
    Unknown,
}

impl TitleMessage {
    /// Reads the payload; a title is a slice of it.
    ///
    /// # Errors
    /// Not a dictionary, no `msg_type`, no title where there must be one, too long a one, or bytes where there must be
    /// none.
    pub fn decode(payload: &Bytes) -> Result<Self, ExtensionError> {
        let document = Document::parse_prefix(payload, Limits::MESSAGE)?;
        if document.root().as_dict().is_none() {
            return Err(ExtensionError::NotADictionary);
        }
        let msg_type = document.root().get(b"msg_type").and_then(|v| v.as_u32());
        let rest = payload.slice(document.consumed()..);
        let message = match msg_type.ok_or(ExtensionError::Field("msg_type"))? {
            REQUEST => TitleMessage::Request,
            DATA => TitleMessage::Title(rest.clone()),
            REJECT => TitleMessage::Reject,
            _ => return Ok(TitleMessage::Unknown),
        };
        let allowed = match message {
            TitleMessage::Title(_) => 1..=MAX_TITLE_LEN,
            _ => 0..=0,
        };
        match allowed.contains(&rest.len()) {
            true => Ok(message),
            false => Err(ExtensionError::Payload(rest.len())),
        }
    }

    /// The payload to send under the receiver's id for `pw_title`; empty for [`TitleMessage::Unknown`], which is never
    /// sent.
    pub fn encode(&self) -> Bytes {
        let (msg_type, title): (u32, &[u8]) = match self {
            TitleMessage::Request => (REQUEST, &[]),
            TitleMessage::Title(title) => (DATA, title),
            TitleMessage::Reject => (REJECT, &[]),
            TitleMessage::Unknown => return Bytes::new(),
        };
        let head: [(&[u8], Item<'_>); 1] = [(b"msg_type", Item::Int(i128::from(msg_type)))];
        [&Item::dict(head).to_vec(), title].concat().into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ours() -> ExtendedHandshake {
        ExtendedHandshake {
            m: [
                (UT_METADATA_NAME.to_owned(), UT_METADATA_ID),
                (PW_PAY_NAME.to_owned(), PW_PAY_ID),
            ]
            .into(),
            metadata_size: Some(31_235),
            reqq: Some(250),
            v: Some("Piecework 0.1".to_owned()),
            upload_only: true,
            pay: Some(PayHandshake {
                vault: Address::repeat_byte(0xab),
                chain_id: 31_337,
                flags: PayHandshake::SELLS,
                version: PayHandshake::VERSION,
            }),
            title: None,
        }
    }

    #[test]
    fn our_extended_handshake_has_the_bytes_of_the_specification() {
        let mut expected = b"d1:md6:pw_payi2e11:ut_metadatai1ee13:metadata_sizei31235e".to_vec();
        expected.extend_from_slice(b"3:payd1:a20:");
        expected.extend_from_slice(&[0xab; 20]);
        expected.extend_from_slice(b"1:ci31337e1:fi1e1:vi1ee4:reqqi250e");
        expected.extend_from_slice(b"11:upload_onlyi1e1:v13:Piecework 0.1e");
        assert_eq!(ours().encode(), expected);
        assert_eq!(ExtendedHandshake::decode(&expected), Ok(ours()));
    }

    #[test]
    fn a_libtorrent_handshake_is_read_and_what_is_unknown_ignored() {
        let payload = b"d12:complete_agoi1e1:md11:lt_donthavei7e10:share_modei8e11:upload_onlyi3e\
            12:ut_holepunchi4e11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei9000e4:reqqi500e\
            11:upload_onlyi1e1:v17:libtorrent/2.1.1\x016:yourip4:\x7f\x00\x00\x01e";
        let handshake = ExtendedHandshake::decode(payload).unwrap();
        assert_eq!(handshake.id_of("ut_metadata"), Some(2));
        assert_eq!(handshake.id_of("pw_pay"), None);
        assert_eq!(handshake.metadata_size, Some(9000));
        assert_eq!(handshake.reqq, Some(500));
        assert_eq!(handshake.v.as_deref(), Some("libtorrent/2.1.1"));
        assert!(handshake.upload_only);
    }

    #[test]
    fn values_of_wrong_type_or_range_count_as_absent() {
        let payload = b"d1:md1:ai256e1:bi-1e1:c1:x1:di0e1:ei5ee13:metadata_sizei99999999999e\
            3:payd1:a3:abc1:ci1e1:fi1e1:vi1ee4:reqqi-1e1:vi3ee";
        let handshake = ExtendedHandshake::decode(payload).unwrap();
        assert_eq!(handshake.m.len(), 2);
        assert_eq!(handshake.id_of("d"), None, "id 0 means switched off");
        assert_eq!(handshake.id_of("e"), Some(5));
        let rest = ExtendedHandshake {
            m: handshake.m.clone(),
            ..ExtendedHandshake::default()
        };
        assert_eq!(handshake, rest);
        let huge = format!("d13:metadata_sizei{}ee", MAX_INFO_LEN + 1);
        let huge = ExtendedHandshake::decode(huge.as_bytes()).unwrap();
        assert_eq!(huge.metadata_size, None);
    }

    #[test]
    fn no_dictionary_is_an_error() {
        let list = ExtendedHandshake::decode(b"le");
        assert_eq!(list, Err(ExtensionError::NotADictionary));
        assert!(ExtendedHandshake::decode(b"").is_err());
        assert!(ExtendedHandshake::decode(b"de ").is_err());
    }

    #[test]
    fn extensions_and_the_client_name_are_bounded() {
        let mut handshake = ExtendedHandshake {
            m: (0..200).map(|n| (format!("x{n:03}"), 1)).collect(),
            v: Some("\u{e9}".repeat(200)),
            ..ExtendedHandshake::default()
        };
        handshake.m.insert("y".repeat(65), 1);
        let read = ExtendedHandshake::decode(&handshake.encode()).unwrap();
        assert_eq!(read.m.len(), MAX_EXTENSIONS);
        assert_eq!(read.v.unwrap().len(), MAX_CLIENT_NAME_LEN);
    }

    #[test]
    fn metadata_messages_have_the_bytes_of_bep_9() {
        let request = MetadataMessage::Request { piece: 0 };
        assert_eq!(request.encode(), &b"d8:msg_typei0e5:piecei0ee"[..]);
        let data = MetadataMessage::Data {
            piece: 0,
            total_size: 34_256,
            data: Bytes::from_static(b"xxxx"),
        };
        let bytes = data.encode();
        assert_eq!(
            bytes,
            &b"d8:msg_typei1e5:piecei0e10:total_sizei34256eexxxx"[..]
        );
        assert_eq!(MetadataMessage::decode(&bytes), Ok(data));
        let reject = MetadataMessage::Reject { piece: 7 };
        assert_eq!(reject.encode(), &b"d8:msg_typei2e5:piecei7ee"[..]);
        assert_eq!(MetadataMessage::decode(&reject.encode()), Ok(reject));
    }

    #[test]
    fn metadata_data_is_a_slice_of_the_payload() {
        let payload = Bytes::from_static(b"d8:msg_typei1e5:piecei0e10:total_sizei4eexxxx");
        let MetadataMessage::Data { data, .. } = MetadataMessage::decode(&payload).unwrap() else {
            unreachable!()
        };
        assert_eq!(data.as_ptr(), payload[payload.len() - 4..].as_ptr());
    }

    #[test]
    fn bad_metadata_messages_are_refused() {
        let decode = |text: &[u8]| MetadataMessage::decode(&Bytes::copy_from_slice(text));
        assert_eq!(
            decode(b"d8:msg_typei9e1:xi0ee"),
            Ok(MetadataMessage::Unknown)
        );
        assert_eq!(
            decode(b"d5:piecei0ee"),
            Err(ExtensionError::Field("msg_type"))
        );
        assert_eq!(
            decode(b"d8:msg_typei0ee"),
            Err(ExtensionError::Field("piece"))
        );
        assert_eq!(
            decode(b"d8:msg_typei0e5:piecei0eex"),
            Err(ExtensionError::Payload(1))
        );
        assert_eq!(
            decode(b"d8:msg_typei1e5:piecei0e10:total_sizei9ee"),
            Err(ExtensionError::Payload(0))
        );
        let huge = format!(
            "d8:msg_typei1e5:piecei0e10:total_sizei{}eex",
            MAX_INFO_LEN + 1
        );
        assert_eq!(
            decode(huge.as_bytes()),
            Err(ExtensionError::Field("total_size"))
        );
        let mut long = b"d8:msg_typei1e5:piecei0e10:total_sizei99999ee".to_vec();
        long.extend_from_slice(&[0; METADATA_PIECE_LEN + 1]);
        assert_eq!(
            decode(&long),
            Err(ExtensionError::Payload(METADATA_PIECE_LEN + 1))
        );
    }

    #[test]
    fn a_title_is_claimed_by_its_publisher_and_its_id() {
        let claim = TitleClaim {
            publisher: Address::repeat_byte(1),
            id: B256::repeat_byte(2),
        };
        let ours = ExtendedHandshake {
            title: Some(claim),
            ..ExtendedHandshake::default()
        };
        let expected = [&b"d1:mde5:title52:"[..], &[1; 20], &[2; 32], b"e"].concat();
        assert_eq!(ours.encode(), expected);
        assert_eq!(ExtendedHandshake::decode(&expected), Ok(ours));
        for wrong in [&b"d5:title51:"[..], b"d5:title53:"] {
            let length = if wrong.ends_with(b"51:") { 51 } else { 53 };
            let bytes = [wrong, &vec![1; length], b"e"].concat();
            assert_eq!(ExtendedHandshake::decode(&bytes).unwrap().title, None);
        }
    }

    #[test]
    fn title_messages_are_bounded_and_read_as_they_are_written() {
        let title = Bytes::from(vec![7; MAX_TITLE_LEN]);
        for message in [
            TitleMessage::Request,
            TitleMessage::Title(title.clone()),
            TitleMessage::Reject,
        ] {
            assert_eq!(TitleMessage::decode(&message.encode()), Ok(message));
        }
        assert_eq!(TitleMessage::Request.encode(), &b"d8:msg_typei0ee"[..]);
        let decode = |bytes: &[u8]| TitleMessage::decode(&Bytes::copy_from_slice(bytes));
        let long = TitleMessage::Title([&title[..], b"x"].concat().into()).encode();
        let too_long = ExtensionError::Payload(MAX_TITLE_LEN + 1);
        assert_eq!(decode(&long), Err(too_long));
        assert_eq!(decode(b"d8:msg_typei1ee"), Err(ExtensionError::Payload(0)));
        assert_eq!(decode(b"d8:msg_typei0eex"), Err(ExtensionError::Payload(1)));
        assert_eq!(decode(b"d8:msg_typei2eex"), Err(ExtensionError::Payload(1)));
        assert_eq!(decode(b"d8:msg_typei9eexyz"), Ok(TitleMessage::Unknown));
        assert_eq!(decode(b"de"), Err(ExtensionError::Field("msg_type")));
        assert_eq!(decode(b"le"), Err(ExtensionError::NotADictionary));
    }

    fn pay() -> impl Strategy<Value = PayHandshake> {
        (any::<[u8; 20]>(), any::<u64>(), any::<u8>(), any::<u8>()).prop_map(
            |(vault, chain_id, flags, version)| PayHandshake {
                vault: Address::from(vault),
                chain_id,
                flags,
                version,
            },
        )
    }

    fn title() -> impl Strategy<Value = TitleClaim> {
        (any::<[u8; 20]>(), any::<[u8; 32]>()).prop_map(|(publisher, id)| TitleClaim {
            publisher: publisher.into(),
            id: id.into(),
        })
    }

    fn handshake() -> impl Strategy<Value = ExtendedHandshake> {
        let m = proptest::collection::btree_map("[a-z_]{1,20}", any::<u8>(), 0..20);
        let metadata_size = proptest::option::of(1..=MAX_INFO_LEN as u32);
        let v = proptest::option::of("[ -~]{0,30}");
        (
            m,
            metadata_size,
            any::<Option<u32>>(),
            v,
            any::<bool>(),
            proptest::option::of(pay()),
            proptest::option::of(title()),
        )
            .prop_map(|(m, metadata_size, reqq, v, upload_only, pay, title)| {
                ExtendedHandshake {
                    m: m.into_iter().collect(),
                    metadata_size,
                    reqq,
                    v,
                    upload_only,
                    pay,
                    title,
                }
            })
    }

    proptest! {
        #[test]
        fn extended_handshakes_survive_the_wire(handshake in handshake()) {
            prop_assert_eq!(ExtendedHandshake::decode(&handshake.encode()), Ok(handshake));
        }

        #[test]
        fn damaged_extension_messages_never_panic(
            handshake in handshake(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = handshake.encode().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = MetadataMessage::decode(&Bytes::from(bytes.clone()));
            if let Ok(read) = ExtendedHandshake::decode(&bytes) {
                prop_assert_eq!(ExtendedHandshake::decode(&read.encode()), Ok(read));
            }
        }
    }
}
