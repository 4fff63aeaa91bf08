//! Snapshots and events as plain JS objects: amounts are BigInts, rates and lengths numbers.

use std::rc::Rc;

use alloy_primitives::{Address, B256};
use js_sys::Array;
use wasm_bindgen::JsValue;

use super::driver::Driver;
use super::hex::to_hex;
use super::js::{self, big, num, object};
use crate::io::{
    ClientSnapshot, Event, Limits, MoneySnapshot, PaymentNeed, PeerPayment, PeerSnapshot, Period,
    Priority, Receipt, Sum, TitleStanding, TorrentSnapshot, TorrentState, WebSeedSnapshot,
    WebSeedState,
};
use crate::metainfo::Metainfo;
use crate::paying::Paying;
use crate::title::SignedTitle;
use crate::types::InfoHash;

/// The answer to a page that joins.
pub fn hello(driver: &Rc<Driver>) -> JsValue {
    let stored = driver.look(|core| core.stored_torrents());
    let keys = driver.keys.as_ref();
    let chain = driver.chain.as_ref();
    object(&[
        ("stored", list(stored.iter().map(|hash| hex(*hash)))),
        (
            "vault",
            chain.map_or(JsValue::NULL, |chain| to_hex(chain.vault.as_slice()).into()),
        ),
        (
            "chainId",
            chain.map_or(JsValue::NULL, |chain| num(chain.chain_id)),
        ),
        (
            "sessionKey",
            keys.map_or(JsValue::NULL, |keys| {
                to_hex(keys.session_address().as_slice()).into()
            }),
        ),
        (
            "generation",
            keys.map_or(JsValue::NULL, |keys| num(keys.generation())),
        ),
        (
            "payee",
            keys.map_or(JsValue::NULL, |keys| {
                to_hex(keys.payee_address().as_slice()).into()
            }),
        ),
    ])
}

/// The limits with the changes that a page names; the others stay as they are. `null` is no cap.
pub fn limits(message: &JsValue, now: &Limits) -> Limits {
    let size = |key: &str, now: usize| {
        js::number(message, key).map_or(now, |value| value.min(1_000) as usize)
    };
    let cap = |key: &str, now: Option<u64>| match js::field(message, key) {
        value if value.is_undefined() => now,
        _ => js::number(message, key),
    };
    Limits {
        max_connections: size("maxConnections", now.max_connections),
        max_connections_per_torrent: size(
            "maxConnectionsPerTorrent",
            now.max_connections_per_torrent,
        ),
        upload_bytes_per_second: cap("uploadLimit", now.upload_bytes_per_second),
        download_bytes_per_second: cap("downloadLimit", now.download_bytes_per_second),
        storage_bytes: cap("storageLimit", now.storage_bytes),
        ..now.clone()
    }
}

/// A [`ClientSnapshot`] for pages.
pub fn client(snapshot: &ClientSnapshot) -> JsValue {
    let trackers = snapshot.trackers.iter().map(|tracker| {
        object(&[
            ("url", tracker.url.as_str().into()),
            ("connected", tracker.connected.into()),
            ("error", maybe_text(tracker.error.as_deref())),
        ])
    });
    object(&[
        (
            "torrents",
            list(snapshot.torrents.iter().map(|hash| hex(*hash))),
        ),
        ("downloadRate", num(snapshot.download_rate)),
        ("uploadRate", num(snapshot.upload_rate)),
        ("trackers", list(trackers)),
        ("money", money(&snapshot.money)),
    ])
}

fn money(money: &MoneySnapshot) -> JsValue {
    object(&[
        ("accountReady", money.account_ready.into()),
        ("lack", maybe_text(money.need.map(lacking))),
        ("balance", big(money.balance.0)),
        ("locked", big(money.locked.0)),
        ("free", big(money.free.0)),
        ("spentFine", big(money.spent.0)),
        ("budget", big(money.budget.0)),
        ("redeemable", big(money.redeemable.0)),
        ("redeemableFine", big(money.redeemable_fine.0)),
        ("redeemed", big(money.redeemed.0)),
        ("redeemableRanges", num(money.redeemable_ranges.into())),
        ("vouchersSigned", num(money.vouchers_signed)),
        ("preimagesReleased", num(money.preimages_released)),
        ("preimagesReceived", num(money.preimages_received)),
    ])
}

/// A [`TorrentSnapshot`] for pages.
pub fn torrent(torrent: &TorrentSnapshot) -> JsValue {
    let files =
        (torrent.files.iter().zip(&torrent.priorities)).map(|((path, length), priority)| {
            let priority = match priority {
                Priority::Skip => "skip",
                Priority::Normal => "normal",
                Priority::High => "high",
            };
            object(&[
                ("path", list(path.iter().map(|part| part.as_str().into()))),
                ("length", num(*length)),
                ("priority", priority.into()),
            ])
        });
    object(&[
        ("infoHash", hex(torrent.info_hash)),
        ("name", torrent.name.as_str().into()),
        ("state", state(torrent.state).into()),
        ("onDemand", torrent.on_demand.into()),
        ("kept", torrent.kept.into()),
        ("failure", maybe_text(torrent.failure.as_deref())),
        ("length", num(torrent.total_length)),
        ("pieceLength", num(torrent.piece_length.into())),
        ("pieceCount", num(torrent.piece_count.into())),
        ("have", js::buffer(&torrent.have).into()),
        ("verified", num(torrent.verified_bytes)),
        ("selectedLength", num(torrent.selected_length)),
        ("selectedVerified", num(torrent.selected_verified)),
        ("blockCount", num(torrent.block_count)),
        ("files", list(files)),
        ("downloaded", num(torrent.downloaded)),
        ("uploaded", num(torrent.uploaded)),
        ("wasted", num(torrent.wasted)),
        ("downloadRate", num(torrent.download_rate)),
        ("uploadRate", num(torrent.upload_rate)),
        ("pricePerBlock", big(torrent.price.0)),
        ("maxPricePerBlock", big(torrent.max_price.0)),
        ("spentFine", big(torrent.spent.0)),
        ("earnedFine", big(torrent.earned.0)),
        ("maxCostFine", big(torrent.max_cost.0)),
        ("peers", list(torrent.peers.iter().map(peer))),
        ("webSeeds", list(torrent.web_seeds.iter().map(web_seed))),
        (
            "swarm",
            torrent.swarm.map_or(JsValue::NULL, |(seeders, leechers)| {
                object(&[
                    ("seeders", num(seeders.into())),
                    ("leechers", num(leechers.into())),
                ])
            }),
        ),
    ])
}

fn peer(peer: &PeerSnapshot) -> JsValue {
    object(&[
        ("id", num(peer.connection.0)),
        ("client", peer.client.as_str().into()),
        ("haveCount", num(peer.have_count.into())),
        ("downloaded", num(peer.downloaded)),
        ("uploaded", num(peer.uploaded)),
        ("downloadRate", num(peer.download_rate)),
        ("uploadRate", num(peer.upload_rate)),
        ("peerChoking", peer.peer_choking.into()),
        ("amChoking", peer.am_choking.into()),
        ("requestsOut", num(peer.requests_out.into())),
        ("requestsIn", num(peer.requests_in.into())),
        ("buying", peer_payment(&peer.buying)),
        ("selling", peer_payment(&peer.selling)),
    ])
}

fn web_seed(seed: &WebSeedSnapshot) -> JsValue {
    let state = match seed.state {
        WebSeedState::Idle => "idle",
        WebSeedState::Downloading => "downloading",
        WebSeedState::Waiting => "waiting",
        WebSeedState::Dropped => "dropped",
        WebSeedState::Banned => "banned",
    };
    object(&[
        ("url", seed.url.as_str().into()),
        ("state", state.into()),
        ("note", seed.note.as_str().into()),
        ("downloaded", num(seed.downloaded)),
        ("downloadRate", num(seed.download_rate)),
    ])
}

fn peer_payment(payment: &PeerPayment) -> JsValue {
    object(&[
        (
            "pricePerBlock",
            // A page offers no price at which nothing is bought, and proposes no deposit for it.
            (payment.price.filter(|_| !payment.is_foreign))
                .map_or(JsValue::NULL, |price| big(price.0)),
        ),
        ("active", payment.active.into()),
        ("paidFine", big(payment.paid.0)),
        ("blocks", num(payment.blocks)),
        ("note", payment.note.as_str().into()),
    ])
}

/// What is known of a title, for pages.
pub fn title(title: &TitleStanding) -> JsValue {
    let name: &str = match title {
        _ if Paying::HERE.is_none() => "unknown",
        TitleStanding::Unknown => "unknown",
        TitleStanding::Unsigned => "unsigned",
        TitleStanding::Awaited => "awaited",
        TitleStanding::Fits(signed) => return signed_title(signed),
        TitleStanding::Wrong(why) => return object(&[("wrong", why.as_str().into())]),
    };
    name.into()
}

fn signed_title(signed: &SignedTitle) -> JsValue {
    let title = &signed.title;
    let word = |word: B256| match word.is_zero() {
        true => JsValue::NULL,
        false => to_hex(word.as_slice()).into(),
    };
    let address = |address: &Address| JsValue::from(to_hex(address.as_slice()));
    let registry = &signed.registry;
    object(&[
        ("name", title.name.as_str().into()),
        ("publisher", address(&title.publisher)),
        ("creator", address(&title.creator)),
        ("bps", num(title.bps.into())),
        ("licence", title.licence.as_str().into()),
        ("created", num(title.created)),
        ("id", word(title.id())),
        ("salt", to_hex(title.salt.as_slice()).into()),
        ("chainId", num(registry.chain_id)),
        (
            "registry",
            match registry.address.is_zero() {
                true => JsValue::NULL,
                false => address(&registry.address),
            },
        ),
        ("hash", to_hex(title.struct_hash().as_slice()).into()),
        ("encrypted", (!title.key_hash.is_zero()).into()),
        ("previous", word(title.previous)),
    ])
}

/// What a .torrent file says, and the file.
pub fn source(meta: &Metainfo) -> JsValue {
    let texts = |texts: Vec<&String>| list(texts.into_iter().map(|text| text.as_str().into()));
    object(&[
        ("torrent", js::buffer(&meta.to_torrent()).into()),
        ("trackers", texts(meta.trackers.iter().flatten().collect())),
        ("webSeeds", texts(meta.web_seeds.iter().collect())),
        ("comment", maybe_text(meta.comment.as_deref())),
        ("createdBy", maybe_text(meta.created_by.as_deref())),
        ("created", meta.created.map_or(JsValue::NULL, num)),
        ("private", meta.private.into()),
    ])
}

/// The account of what was bought and sold, for pages: its lines, and the titles' names.
pub fn receipts(lines: &[Receipt], names: &[(InfoHash, String)]) -> JsValue {
    let lines = lines.iter().map(|line| {
        let (day, month) = match line.period {
            Period::Day(day) => (num(day.into()), JsValue::NULL),
            Period::Month(month) => (JsValue::NULL, num(month.into())),
            Period::Earlier => (JsValue::NULL, JsValue::NULL),
        };
        let (kind, amount) = match line.sum {
            Sum::Bought(sum) => ("bought", sum.0),
            Sum::Sold(sum) => ("sold", sum.0),
            Sum::Redeemed(sum) => ("redeemed", sum.0),
            Sum::Fees(sum) => ("fees", sum),
        };
        let peer = line.peer.map(|peer| to_hex(peer.as_slice()));
        object(&[
            ("day", day),
            ("month", month),
            ("kind", kind.into()),
            ("hash", line.title.map_or(JsValue::NULL, hex)),
            ("peer", maybe_text(peer.as_deref())),
            ("count", num(line.count)),
            ("amount", big(amount)),
        ])
    });
    let names = names
        .iter()
        .map(|(title, name)| object(&[("hash", hex(*title)), ("name", name.as_str().into())]));
    object(&[("lines", list(lines)), ("names", list(names))])
}

/// An event as pages hear it; `None` for one that only the engine needs.
pub fn event(event: &Event) -> Option<JsValue> {
    let (name, info_hash, more): (&str, Option<InfoHash>, Option<(&str, JsValue)>) = match event {
        Event::Ready { info_hash } => ("ready", Some(*info_hash), None),
        Event::Title { info_hash, .. } => ("title", Some(*info_hash), None),
        Event::PieceDone { info_hash, piece } => (
            "piece",
            Some(*info_hash),
            Some(("piece", num((*piece).into()))),
        ),
        Event::Complete { info_hash } => ("done", Some(*info_hash), None),
        Event::PeerConnected {
            info_hash,
            connection,
        } => ("peer", Some(*info_hash), Some(("peer", num(connection.0)))),
        Event::PeerClosed {
            info_hash, reason, ..
        } => (
            "peerclosed",
            *info_hash,
            Some(("text", reason.to_string().into())),
        ),
        Event::Warning { info_hash, text } => {
            ("warning", *info_hash, Some(("text", text.as_str().into())))
        }
        Event::Failed { info_hash, text } => (
            "error",
            Some(*info_hash),
            Some(("text", text.as_str().into())),
        ),
        Event::PaymentNeeded {
            info_hash,
            price,
            why,
        } => {
            let needed = object(&[
                ("pricePerBlock", big(price.0)),
                ("why", lacking(*why).into()),
            ]);
            ("paymentneeded", Some(*info_hash), Some(("needed", needed)))
        }
        Event::Payment { info_hash, text } => {
            ("payment", *info_hash, Some(("text", text.as_str().into())))
        }
        Event::Added { .. } | Event::ClaimsReady { .. } | Event::RedeemDue | Event::ShutDown => {
            return None;
        }
    };
    let message = object(&[
        ("t", "event".into()),
        ("e", name.into()),
        ("hash", info_hash.map_or(JsValue::NULL, hex)),
    ]);
    if let Some((key, value)) = more {
        js::set(&message, key, &value);
    }
    Some(message)
}

fn lacking(why: PaymentNeed) -> &'static str {
    match why {
        PaymentNeed::NoAccount => "none",
        PaymentNeed::DepositUsedUp => "usedup",
        PaymentNeed::BudgetUsedUp => "budget",
        PaymentNeed::Exiting => "exiting",
        PaymentNeed::Withdrawn => "withdrawn",
        PaymentNeed::Held => "held",
    }
}

fn state(state: TorrentState) -> &'static str {
    match state {
        TorrentState::FetchingMetadata => "metadata",
        TorrentState::Checking => "checking",
        TorrentState::Downloading => "downloading",
        TorrentState::Seeding => "seeding",
        TorrentState::Paused => "paused",
        TorrentState::Failed => "failed",
    }
}

fn list(items: impl Iterator<Item = JsValue>) -> JsValue {
    items.collect::<Array>().into()
}

fn hex(info_hash: InfoHash) -> JsValue {
    info_hash.to_hex().into()
}

fn maybe_text(text: Option<&str>) -> JsValue {
    text.map_or(JsValue::NULL, JsValue::from_str)
}
