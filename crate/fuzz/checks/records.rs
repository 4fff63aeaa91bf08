//! What is read back after a restart: disks rot, and other versions write other records.

use alloy_primitives::Address;
use bytes::Bytes;
use piecework::bitfield::Bitfield;
use piecework::client::{Client, Config, Input, Output};
use piecework::journal;
use piecework::payment::record::{
    Key, PayeeFactsRecord, PayeeRangeRecord, PayerAccountRecord, PayerRangeRecord, PayerTitleRecord,
};
use piecework::payment::voucher::Vault;
use piecework::storage::{decode_have, decode_scratch};
use piecework::time::Timestamp;
use piecework::torrent::Selection;

use super::choices::Choices;
use super::client::payments;

const VAULT: Vault = Vault {
    address: Address::repeat_byte(0x44),
    chain_id: 31_337,
};

/// A payment record has one form, and an entry of the journal; a have-record and a scratch index name only what there
/// is; a client starts from any records.
pub fn records(data: &[u8]) {
    macro_rules! one_form {
        ($($record:ty),*) => {$(
            if let Some(record) = <$record>::decode(data) {
                assert_eq!(record.encode(), data);
            }
        )*};
    }
    one_form!(
        PayerAccountRecord,
        PayerRangeRecord,
        PayerTitleRecord,
        PayeeFactsRecord,
        PayeeRangeRecord
    );
    if let Ok(text) = core::str::from_utf8(data)
        && let Some(key) = Key::parse(text, &VAULT)
    {
        assert_eq!(key.text(&VAULT), text);
    }
    for pieces in [1, 7, 8, 1000] {
        have(data, pieces);
        scratch(data, pieces);
    }
    for files in [0, 1, 3, 300] {
        if let Some(selection) = Selection::decode(data, files) {
            assert_eq!(selection.priorities().len(), files);
            assert_eq!(selection.encode(), data);
        }
    }
    if let Some((length, bits)) = data.split_first()
        && let Ok(field) = Bitfield::from_bytes(bits, u32::from(*length))
    {
        assert_eq!(field.as_bytes(), bits);
        assert_eq!(field.iter().count(), field.count() as usize);
    }
    journal(data);
    start(data);
}

/// A file of the journal, and a body that an entry's check vouches for: what is read has one form.
fn journal(data: &[u8]) {
    if let Some(contents) = journal::read(data) {
        let mut file = journal::header(&contents.salt);
        for (number, batch) in &contents.batches {
            file.extend(journal::entry(&contents.salt, *number, batch));
        }
        assert_eq!(file, data[..contents.end]);
    }
    let salt = [7; 16];
    let entry = journal::framed(&salt, 1, data);
    let file = [journal::header(&salt), entry.clone()].concat();
    let contents = journal::read(&file).unwrap_or_else(|| panic!("a header that is not read"));
    for (number, batch) in contents.batches {
        assert_eq!(journal::entry(&salt, number, &batch), entry);
    }
}

fn have(data: &[u8], pieces: u32) {
    if let Some(record) = decode_have(data, pieces) {
        assert_eq!(record.have.len(), pieces);
        assert!(record.recent.iter().all(|piece| piece.0 < pieces));
    }
}

fn scratch(data: &[u8], pieces: u32) {
    let blocks_in = |piece: piecework::types::PieceIndex| (piece.0 < pieces).then_some(4);
    let Some(entries) = decode_scratch(data, blocks_in) else {
        return;
    };
    let mut slots: Vec<u32> = entries.iter().map(|entry| entry.slot).collect();
    let mut named: Vec<u32> = entries.iter().map(|entry| entry.piece.0).collect();
    for list in [&mut slots, &mut named] {
        list.sort_unstable();
        list.dedup();
        assert_eq!(list.len(), entries.len());
    }
    assert!(named.iter().all(|piece| *piece < pieces));
    for entry in &entries {
        assert_eq!((entry.blocks.len(), entry.advanced.len()), (4, 4));
    }
}

/// The rest of the input as a set of records: the key's kind, its variable part, the value.
fn start(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut records = Vec::new();
    while !choices.is_empty() && records.len() < 64 {
        let id = alloy_primitives::B256::repeat_byte(choices.byte());
        let key = match choices.below(8) {
            0 => Key::PayerAccount(id).text(&VAULT),
            1 => Key::PayerRange(id, choices.u32()).text(&VAULT),
            2 => Key::PayerTitle(piecework::types::InfoHash(choices.array())).text(&VAULT),
            3 => Key::PayeeFacts(id).text(&VAULT),
            4 => Key::PayeeRange(id, choices.u32()).text(&VAULT),
            5 => format!(
                "torrent/{}/info",
                piecework::types::InfoHash(choices.array())
            ),
            6 => format!(
                "torrent/{}/have",
                piecework::types::InfoHash(choices.array())
            ),
            _ => String::from_utf8_lossy(choices.bytes()).into_owned(),
        };
        records.push((key, Bytes::copy_from_slice(choices.bytes())));
    }
    let config = Config {
        payment: Some(payments(1 << 30)),
        ..Config::default()
    };
    let now = Timestamp::from_millis(1_790_000_000_000);
    let mut client = Client::new(config, [7; 32], records, now);
    client.handle_input(now, Input::Tick);
    let mut outputs = 0;
    while !matches!(client.poll_output(), Output::Timeout(_)) {
        outputs += 1;
        assert!(outputs < 10_000, "a start that does not end");
    }
    let money = client.snapshot().money;
    assert!(money.redeemable <= money.redeemable_fine.floor());
    for info_hash in client.stored_torrents() {
        let source = piecework::client::Source::Stored(info_hash);
        let add = piecework::client::Command::Add {
            tag: 1,
            source,
            options: Default::default(),
        };
        client.handle_input(now, Input::Command(add));
        while !matches!(client.poll_output(), Output::Timeout(_)) {}
    }
}
