//! Formats of BitTorrent: torrents, links, the peer wire and what its extensions carry.

use bytes::{Bytes, BytesMut};
use piecework::metainfo::bencode::{Document, Item, Limits, Value};
use piecework::metainfo::magnet::MAX_MAGNET_LEN;
use piecework::metainfo::{MAX_TITLE_LEN, MagnetLink, Metainfo};
use piecework::types::{InfoHash, PeerId};
use piecework::wire::decoder::MAX_BUFFERED_LEN;
use piecework::wire::extension::{MetadataMessage, TitleMessage};
use piecework::wire::handshake::HANDSHAKE_LEN;
use piecework::wire::pay::{self, PayMessage};
use piecework::wire::{Decoder, ExtendedHandshake, Handshake, Message, WireError};

/// What is read and written again means the same, and is the same if it was canonical. What the strict reader takes,
/// the tolerant one reads alike.
pub fn bencode(data: &[u8]) {
    let tolerant = Document::parse_prefix(data, Limits::TORRENT);
    if let Ok(document) = &tolerant {
        assert_eq!(document.root().raw(), &data[..document.consumed()]);
        to_item(document.root());
    }
    let strict = Limits {
        tolerant: false,
        ..Limits::TORRENT
    };
    let Ok(document) = Document::parse_prefix(data, strict) else {
        return;
    };
    let whole = &data[..document.consumed()];
    let item = to_item(document.root());
    assert_eq!(tolerant.map(|d| to_item(d.root())).as_ref(), Ok(&item));
    let canonical = item.to_vec();
    assert_eq!(canonical.len(), whole.len());
    match Document::parse(&canonical, strict) {
        Ok(again) => assert_eq!(to_item(again.root()), item),
        Err(error) => panic!("own encoding refused: {error}"),
    }
}

/// An accepted torrent adds up, has distinct safe paths, and survives being written.
pub fn metainfo(data: &[u8]) {
    let Ok(metainfo) = Metainfo::from_torrent(data) else {
        return;
    };
    let geometry = metainfo.geometry();
    assert_eq!(geometry.total_length(), metainfo.total_length);
    assert_eq!(geometry.piece_count(), metainfo.piece_count());
    let spans = metainfo.spans(0, u64::MAX).map(|s| s.length).sum::<u64>();
    assert_eq!(spans, metainfo.total_length);
    let mut paths: Vec<String> = Vec::new();
    for file in &metainfo.files {
        for component in file.path.components() {
            assert!(!matches!(component.as_str(), "" | "." | ".."));
            assert!(!component.contains(['/', '\\', ':', '\0']));
        }
        paths.push(file.path.to_string().to_lowercase());
    }
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), metainfo.files.len());
    let info = metainfo.info.clone();
    let from_info = Metainfo::from_info(info, metainfo.info_hash, metainfo.trackers.clone());
    assert_eq!(from_info.map(|m| m.files), Ok(metainfo.files.clone()));
    assert_eq!(Metainfo::from_torrent(&metainfo.to_torrent()), Ok(metainfo));
}

/// A link that is read and printed reads the same.
pub fn magnet(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    let Ok(link) = text.parse::<MagnetLink>() else {
        return;
    };
    let printed = link.to_string();
    // Percent-encoding may make it too long to be read again.
    if printed.len() <= MAX_MAGNET_LEN {
        assert_eq!(printed.parse(), Ok(link));
    }
}

/// A stream decodes alike in any chunking, and what is decoded survives being sent. The first
/// byte of the input chooses the length of chunks; the rest comes after a good handshake, and
/// once more instead of one.
pub fn wire_decoder(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else {
        return;
    };
    let step = usize::from(*step) + 1;
    let handshake = Handshake::ours(InfoHash([1; 20]), PeerId([2; 20])).encode();
    let stream = &stream[..stream.len().min(MAX_BUFFERED_LEN - HANDSHAKE_LEN)];
    for bytes in [[&handshake, stream].concat(), stream.to_vec()] {
        let whole = decode(&bytes, usize::MAX);
        assert_eq!(whole, decode(&bytes, step));
        let (Some(handshake), messages, _) = whole else {
            continue;
        };
        let mut sent = BytesMut::from(&handshake.encode()[..]);
        for message in &messages {
            message.encode(&mut sent);
        }
        // Skipped payloads are not sent again, so this is never longer.
        assert!(sent.len() <= bytes.len());
        assert_eq!(decode(&sent, step), (Some(handshake), messages, None));
    }
}

/// Payloads of extended messages that are read and written read the same. A payment message has one form:
/// it is written as it was.
pub fn extensions(data: &[u8]) {
    if let Ok(handshake) = ExtendedHandshake::decode(data) {
        assert_eq!(
            ExtendedHandshake::decode(&handshake.encode()),
            Ok(handshake)
        );
    }
    match MetadataMessage::decode(&Bytes::copy_from_slice(data)) {
        Err(_) | Ok(MetadataMessage::Unknown) => {}
        Ok(message) => assert_eq!(MetadataMessage::decode(&message.encode()), Ok(message)),
    }
    match TitleMessage::decode(&Bytes::copy_from_slice(data)) {
        Err(_) | Ok(TitleMessage::Unknown) => {}
        Ok(message) => {
            if let TitleMessage::Title(title) = &message {
                assert!((1..=MAX_TITLE_LEN).contains(&title.len()) && data.ends_with(title));
            }
            assert_eq!(TitleMessage::decode(&message.encode()), Ok(message));
        }
    }
    match PayMessage::decode(data) {
        Ok(Some(message)) => {
            assert!(data.len() <= pay::MAX_LEN);
            assert_eq!(Some(data.len()), PayMessage::len_of(message.kind()));
            if !matches!(message, PayMessage::Bye { .. }) {
                assert_eq!(message.encode(), data);
            }
            assert_eq!(PayMessage::decode(&message.encode()), Ok(Some(message)));
        }
        // Only what no version of ours writes is passed over in silence.
        Ok(None) => assert_eq!(
            data.first().and_then(|kind| PayMessage::len_of(*kind)),
            None
        ),
        Err(_) => {}
    }
}

fn decode(bytes: &[u8], step: usize) -> (Option<Handshake>, Vec<Message>, Option<WireError>) {
    let mut decoder = Decoder::new();
    let mut handshake = None;
    let mut messages = Vec::new();
    for chunk in bytes.chunks(step) {
        let result = decoder
            .push(Bytes::copy_from_slice(chunk))
            .and_then(|()| decoder.next_handshake())
            .and_then(|found| {
                handshake = handshake.or(found);
                while let Some(message) = decoder.next_message()? {
                    messages.push(message);
                }
                Ok(())
            });
        if let Err(error) = result {
            return (handshake, messages, Some(error));
        }
    }
    (handshake, messages, None)
}

fn to_item<'a>(value: Value<'_, 'a>) -> Item<'a> {
    if let Some(n) = value.as_int() {
        Item::Int(n)
    } else if let Some(bytes) = value.as_bytes() {
        Item::bytes(bytes)
    } else if let Some(items) = value.as_list() {
        Item::List(items.map(to_item).collect())
    } else {
        let entries = value.as_dict().into_iter().flatten();
        Item::dict(entries.map(|(k, v)| (k, to_item(v))))
    }
}
