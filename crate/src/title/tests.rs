//! Titles agree with ethers, field by field and to the byte, and a stranger's bytes are read or refused.

use alloy_primitives::{Address, B256};
use proptest::prelude::*;
use serde_json::Value;

use super::{BPS, FormatError, MAX_TEXT, Registry, SignedTitle, Title, TitleFault};
use crate::metainfo::MAX_TITLE_LEN;
use crate::metainfo::bencode::Item;
use crate::payment::voucher::Signature;
use crate::types::InfoHash;

fn vectors() -> Vec<Value> {
    let text = include_str!("../../../tests/vectors/titles.json");
    let file: Value = serde_json::from_str(text).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

fn text(v: &Value, key: &str) -> String {
    v[key].as_str().unwrap().to_owned()
}

fn word(v: &Value, key: &str) -> B256 {
    text(v, key).parse().unwrap()
}

fn address(v: &Value, key: &str) -> Address {
    text(v, key).parse().unwrap()
}

fn signed(v: &Value) -> SignedTitle {
    let t = &v["title"];
    let hash: alloy_primitives::FixedBytes<20> = text(t, "infoHash").parse().unwrap();
    SignedTitle {
        title: Title {
            name: text(t, "name"),
            info_hash: InfoHash(hash.0),
            info_hash_v2: word(t, "infoHashV2"),
            length: text(t, "length").parse().unwrap(),
            publisher: address(t, "publisher"),
            creator: address(t, "creator"),
            bps: t["bps"].as_u64().unwrap() as u16,
            licence: text(t, "licence"),
            key_hash: word(t, "keyHash"),
            previous: word(t, "previous"),
            salt: word(t, "salt"),
            created: t["created"].as_u64().unwrap(),
        },
        registry: Registry {
            address: address(v, "registry"),
            chain_id: v["chain_id"].as_u64().unwrap(),
        },
        signature: Signature {
            r: word(&v["signature"], "r"),
            vs: word(&v["signature"], "vs"),
        },
    }
}

fn every_field() -> SignedTitle {
    signed(&vectors()[1])
}

#[test]
fn ids_hashes_and_bytes_are_those_of_ethers() {
    let all = vectors();
    assert!(all.len() >= 3);
    for v in &all {
        let one = signed(v);
        let title = &one.title;
        assert_eq!(title.id(), word(v, "id"));
        assert_eq!(title.struct_hash(), word(v, "struct_hash"));
        assert_eq!(title.digest(&one.registry), word(v, "digest"));
        assert_eq!(one.check(title.info_hash, title.length, None), Ok(()));
        let bytes = one.to_bytes();
        assert_eq!(alloy_primitives::hex::encode(&bytes), text(v, "bencoded"));
        assert_eq!(SignedTitle::from_bytes(&bytes), Ok(one));
    }
}

#[test]
fn a_title_is_about_one_content_and_of_one_publisher() {
    let one = every_field();
    let Title {
        info_hash,
        length,
        publisher,
        ..
    } = one.title;
    let other = InfoHash([9; 20]);
    assert_eq!(
        one.check(other, length, None),
        Err(TitleFault::OtherContent(info_hash))
    );
    assert_eq!(
        one.check(info_hash, length + 1, None),
        Err(TitleFault::OtherLength {
            says: length,
            has: length + 1
        })
    );
    assert_eq!(one.check(info_hash, length, Some(publisher)), Ok(()));
    let wanted = Address::repeat_byte(7);
    assert_eq!(
        one.check(info_hash, length, Some(wanted)),
        Err(TitleFault::OtherPublisher {
            wanted,
            signed: publisher
        })
    );
}

#[test]
fn a_signature_fits_no_other_words() {
    let right = every_field();
    let changes: [fn(&mut SignedTitle); 14] = [
        |t| t.title.name.push('.'),
        |t| t.title.info_hash_v2.0[0] ^= 1,
        |t| t.title.publisher.0[0] ^= 1,
        |t| t.title.creator.0[0] ^= 1,
        |t| t.title.bps -= 1,
        |t| t.title.licence.clear(),
        |t| t.title.key_hash.0[31] ^= 1,
        |t| t.title.previous.0[31] ^= 1,
        |t| t.title.salt.0[31] ^= 1,
        |t| t.title.created += 1,
        |t| t.registry.address.0[0] ^= 1,
        |t| t.registry.chain_id += 1,
        |t| t.signature.vs.0[0] ^= 0x80,
        |t| t.signature.r = B256::ZERO,
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut one = right.clone();
        change(&mut one);
        let said = one.check(one.title.info_hash, one.title.length, None);
        assert_eq!(said, Err(TitleFault::Signature), "change {at}");
    }
}

/// The dictionary of a title, with one value in place of what stands there.
fn with(key: &str, item: Item<'_>) -> Result<SignedTitle, FormatError> {
    let bytes = every_field().to_bytes();
    let document =
        crate::metainfo::bencode::Document::parse(&bytes, super::format::LIMITS).unwrap();
    let root = document.root();
    let kept = root
        .as_dict()
        .unwrap()
        .map(|(k, v)| (k, Item::Raw(v.raw())));
    let changed = Item::dict(kept.chain([(key.as_bytes(), item)])).to_vec();
    SignedTitle::from_bytes(&changed)
}

#[test]
fn a_value_out_of_bounds_is_named() {
    let field = |key| Err(FormatError::Field { key });
    assert_eq!(with("v", Item::Int(2)), Err(FormatError::Version(2)));
    assert_eq!(with("bps", Item::Int(i128::from(BPS) + 1)), field("bps"));
    assert_eq!(with("bps", Item::Int(1 << 20)), field("bps"));
    assert_eq!(with("length", Item::Int(-1)), field("length"));
    assert_eq!(with("sig", Item::bytes(vec![1; 63])), field("sig"));
    assert_eq!(with("hash", Item::bytes(vec![1; 32])), field("hash"));
    assert_eq!(
        with("registry", Item::bytes(vec![1; 19])),
        field("registry")
    );
    assert_eq!(with("salt", Item::Int(0)), field("salt"));
    assert_eq!(
        with("name", Item::bytes(vec![b'a'; MAX_TEXT + 1])),
        field("name")
    );
    assert_eq!(with("name", Item::bytes(vec![0xff])), field("name"));
    // What would turn a page's sentence around, or write to a terminal.
    for name in [
        "",
        "a\u{202e}b",
        "\u{2066}a",
        "a\nb",
        "\u{1b}[2J",
        "a\u{200b}b",
    ] {
        assert_eq!(with("name", Item::str(name)), field("name"), "{name:?}");
        assert_eq!(
            with("licence", Item::str(name)),
            field("licence"),
            "{name:?}"
        );
    }
    // Of a later writer.
    assert!(with("more", Item::Int(1)).is_ok());
    let long = vec![b'x'; MAX_TITLE_LEN];
    assert!(matches!(
        with("more", Item::bytes(long)),
        Err(FormatError::Bencode(_))
    ));
}

#[test]
fn nothing_that_is_left_out_is_guessed() {
    let bytes = every_field().to_bytes();
    let document =
        crate::metainfo::bencode::Document::parse(&bytes, super::format::LIMITS).unwrap();
    let root = document.root();
    let optional = [
        "bps", "created", "hash2", "key", "licence", "previous", "registry", "salt",
    ];
    for (left_out, _) in root.as_dict().unwrap() {
        let rest = root.as_dict().unwrap().filter(|(key, _)| *key != left_out);
        let bytes = Item::dict(rest.map(|(key, value)| (key, Item::Raw(value.raw())))).to_vec();
        let read = SignedTitle::from_bytes(&bytes);
        let name = std::str::from_utf8(left_out).unwrap();
        assert_eq!(read.is_ok(), optional.contains(&name), "{name}");
        // It is another title than the one that was signed.
        if let Ok(one) = read {
            let said = one.check(one.title.info_hash, one.title.length, None);
            assert_eq!(said, Err(TitleFault::Signature), "{name}");
        }
    }
}

proptest! {
    #[test]
    fn any_title_is_read_as_it_was_written(
        name in "[a-zä-ö ]{1,40}", licence in "[A-Z0-9.-]{0,20}", bps in 0..=BPS, bytes: [u8; 32], length: u64,
        created: u64, chain_id: u64,
    ) {
        let mut one = every_field();
        one.title.name = name;
        one.title.licence = licence;
        one.title.bps = bps;
        one.title.length = length;
        one.title.created = created;
        one.title.salt = B256::new(bytes);
        one.title.creator = Address::from_slice(&bytes[..20]);
        one.registry.chain_id = chain_id;
        let written = one.to_bytes();
        prop_assert!(written.len() <= MAX_TITLE_LEN);
        prop_assert_eq!(SignedTitle::from_bytes(&written), Ok(one));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(one) = SignedTitle::from_bytes(&bytes) {
            prop_assert!(SignedTitle::from_bytes(&one.to_bytes()) == Ok(one));
        }
    }
}
