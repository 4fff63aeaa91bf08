//! A signed title as bytes: the value of a torrent's top-level key `pw.title`, and what `pw_title` carries.
//!
//! A bencoded dictionary (BEP 3). Keys whose value would be zero or empty are left out, unknown ones are ignored.

use alloy_primitives::{Address, B256};

use super::{BPS, MAX_TEXT, Registry, SignedTitle, Title};
use crate::metainfo::MAX_TITLE_LEN;
use crate::metainfo::bencode::{BencodeError, Document, Item, Limits, Value};
use crate::payment::voucher::Signature;
use crate::types::{InfoHash, is_shown};

/// The version of the form that is read and written.
const VERSION: u64 = 1;
pub(super) const LIMITS: Limits = Limits {
    max_len: MAX_TITLE_LEN,
    ..Limits::MESSAGE
};

/// Why bytes are no title.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// They are no bencoded value, or a too large one.
    #[error("the title cannot be read: {0}")]
    Bencode(#[from] BencodeError),
    /// A later form.
    #[error(
        "the title has version {0}, and this program reads version {VERSION}: take a newer one"
    )]
    Version(u64),
    /// One value of it.
    #[error("the title's `{key}` is missing or wrong")]
    Field {
        /// In the dictionary.
        key: &'static str,
    },
}

impl SignedTitle {
    /// Reads a title. It is a stranger's word still: see [`SignedTitle::check`].
    ///
    /// # Errors
    /// Names what is wrong with it.
    pub fn from_bytes(bytes: &[u8]) -> Result<SignedTitle, FormatError> {
        let document = Document::parse(bytes, LIMITS)?;
        let from = Fields(document.root());
        let version = from.number("v")?;
        if version != VERSION {
            return Err(FormatError::Version(version));
        }
        let bps = from.number_or_zero("bps")?;
        let bps = u16::try_from(bps).ok().filter(|bps| *bps <= BPS);
        let sig = from.bytes::<64>("sig")?;
        let (r, vs) = sig.split_at(32);
        let title = Title {
            name: from.text("name")?,
            info_hash: InfoHash(from.bytes("hash")?),
            info_hash_v2: from.word("hash2")?,
            length: from.number("length")?,
            publisher: Address(from.bytes("publisher")?.into()),
            creator: Address(from.bytes("creator")?.into()),
            bps: bps.ok_or(FormatError::Field { key: "bps" })?,
            licence: from.text_or_empty("licence")?,
            key_hash: from.word("key")?,
            previous: from.word("previous")?,
            salt: from.word("salt")?,
            created: from.number_or_zero("created")?,
        };
        let registry = Registry {
            address: Address(from.bytes_or_zeros("registry")?.into()),
            chain_id: from.number("chain")?,
        };
        Ok(SignedTitle {
            title,
            registry,
            signature: Signature {
                r: B256::from_slice(r),
                vs: B256::from_slice(vs),
            },
        })
    }

    /// The bytes of it; at most [`MAX_TITLE_LEN`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let SignedTitle {
            title,
            registry,
            signature,
        } = self;
        let word = |word: &B256| (!word.is_zero()).then(|| Item::bytes(word.to_vec()));
        let number = |number: u64| (number != 0).then_some(Item::Int(number.into()));
        let text = |text: &str| (!text.is_empty()).then(|| Item::bytes(text.as_bytes().to_vec()));
        let address = |address: &Address| Item::bytes(address.to_vec());
        let sig = [signature.r.0, signature.vs.0].concat();
        let entries = [
            ("bps", number(title.bps.into())),
            ("chain", Some(Item::Int(registry.chain_id.into()))),
            ("created", number(title.created)),
            ("creator", Some(address(&title.creator))),
            ("hash", Some(Item::bytes(title.info_hash.0.to_vec()))),
            ("hash2", word(&title.info_hash_v2)),
            ("key", word(&title.key_hash)),
            ("length", Some(Item::Int(title.length.into()))),
            ("licence", text(&title.licence)),
            ("name", text(&title.name)),
            ("previous", word(&title.previous)),
            ("publisher", Some(address(&title.publisher))),
            (
                "registry",
                (!registry.address.is_zero()).then(|| address(&registry.address)),
            ),
            ("salt", word(&title.salt)),
            ("sig", Some(Item::bytes(sig))),
            ("v", Some(Item::Int(VERSION.into()))),
        ];
        let present = entries
            .into_iter()
            .filter_map(|(key, item)| Some((key.as_bytes(), item?)));
        Item::dict(present).to_vec()
    }
}

/// The values of a title's dictionary.
struct Fields<'d, 'a>(Value<'d, 'a>);

impl Fields<'_, '_> {
    fn number(&self, key: &'static str) -> Result<u64, FormatError> {
        let value = self.0.get(key.as_bytes()).and_then(|value| value.as_u64());
        value.ok_or(FormatError::Field { key })
    }

    fn number_or_zero(&self, key: &'static str) -> Result<u64, FormatError> {
        match self.0.get(key.as_bytes()) {
            Some(_) => self.number(key),
            None => Ok(0),
        }
    }

    fn bytes<const N: usize>(&self, key: &'static str) -> Result<[u8; N], FormatError> {
        let value = self.0.get(key.as_bytes());
        let bytes = value.as_ref().and_then(|value| value.as_bytes());
        let exact = bytes.and_then(|bytes| bytes.try_into().ok());
        exact.ok_or(FormatError::Field { key })
    }

    fn bytes_or_zeros<const N: usize>(&self, key: &'static str) -> Result<[u8; N], FormatError> {
        match self.0.get(key.as_bytes()) {
            Some(_) => self.bytes(key),
            None => Ok([0; N]),
        }
    }

    fn word(&self, key: &'static str) -> Result<B256, FormatError> {
        self.bytes_or_zeros(key).map(B256::new)
    }

    /// Text that a page shows as it is: it steers neither a terminal nor the direction of what stands around it.
    fn text(&self, key: &'static str) -> Result<String, FormatError> {
        let value = self.0.get(key.as_bytes());
        let text = value.as_ref().and_then(|value| value.as_str());
        let text = text.filter(|text| text.len() <= MAX_TEXT && text.chars().all(is_shown));
        text.filter(|text| !text.is_empty())
            .map(str::to_owned)
            .ok_or(FormatError::Field { key })
    }

    fn text_or_empty(&self, key: &'static str) -> Result<String, FormatError> {
        match self.0.get(key.as_bytes()) {
            Some(_) => self.text(key),
            None => Ok(String::new()),
        }
    }
}
