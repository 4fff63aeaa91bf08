//! Both parsers are total, and each end reads back unchanged what the other encodes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use piecework_signaling_protocol::{
    Action, Announce, AnnounceReply, Answer, Event, IceServer, IceServers, InfoHash, Limits, Offer,
    OfferId, PeerId, Request, Response, Scrape, ScrapeEntry, Sdp,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn sdp() -> impl Strategy<Value = Sdp<'static>> {
    any::<String>().prop_map(|text| Sdp::from_text(&text).expect("short"))
}

fn offer() -> impl Strategy<Value = Offer<'static>> {
    (any::<[u8; 20]>(), sdp()).prop_map(|(id, sdp)| Offer {
        offer_id: OfferId(id),
        sdp,
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Update),
        Just(Event::Started),
        Just(Event::Stopped),
        Just(Event::Completed)
    ]
}

fn request() -> impl Strategy<Value = Request<'static>> {
    let announce = (
        any::<[u8; 20]>(),
        any::<[u8; 20]>(),
        event(),
        any::<[Option<u64>; 4]>(),
        vec(offer(), 0..10),
    )
        .prop_map(|(info_hash, peer_id, event, counts, mut offers)| {
            offers.sort_by_key(|o| o.offer_id);
            offers.dedup_by_key(|o| o.offer_id);
            Request::Announce(Announce {
                info_hash: InfoHash(info_hash),
                peer_id: PeerId(peer_id),
                event,
                uploaded: counts[0],
                downloaded: counts[1],
                left: counts[2],
                numwant: counts[3],
                offers,
                skipped_offers: 0,
            })
        });
    let answer = (any::<[[u8; 20]; 4]>(), sdp()).prop_map(|([a, b, c, d], sdp)| {
        Request::Answer(Answer {
            info_hash: InfoHash(a),
            peer_id: PeerId(b),
            to_peer_id: PeerId(c),
            offer_id: OfferId(d),
            sdp,
        })
    });
    let scrape = vec(any::<[u8; 20]>(), 1..20).prop_map(|hashes| {
        Request::Scrape(Scrape {
            info_hashes: hashes.into_iter().map(InfoHash).collect(),
        })
    });
    prop_oneof![announce, answer, scrape]
}

fn ice() -> impl Strategy<Value = IceServers> {
    let stun = vec("stuns?:[a-z.0-9]{1,20}", 1..4).prop_map(|urls| IceServer {
        urls,
        username: String::new(),
        credential: String::new(),
    });
    let turn = (
        vec("turns?:[a-z.0-9]{1,20}(:[1-9]{1,4})?", 1..4),
        "\\PC{1,60}",
        "\\PC{1,60}",
    )
        .prop_map(|(urls, username, credential)| IceServer {
            urls,
            username,
            credential,
        });
    (vec(prop_oneof![stun, turn], 1..4), 1..86_400u64)
        .prop_map(|(servers, ttl_secs)| IceServers { servers, ttl_secs })
}

fn response() -> impl Strategy<Value = Response<'static>> {
    let reply = (
        any::<[u8; 20]>(),
        any::<[Option<u64>; 4]>(),
        option::of("\\PC{0,60}"),
        option::of(ice()),
    )
        .prop_map(|(hash, counts, warning, ice)| {
            Response::Announce(AnnounceReply {
                info_hash: InfoHash(hash),
                interval_secs: counts[0],
                min_interval_secs: counts[1],
                complete: counts[2],
                incomplete: counts[3],
                warning,
                ice,
            })
        });
    let offered = (any::<[[u8; 20]; 2]>(), offer()).prop_map(|([a, b], offer)| Response::Offer {
        info_hash: InfoHash(a),
        peer_id: PeerId(b),
        offer,
    });
    let answered = (any::<[[u8; 20]; 3]>(), sdp()).prop_map(|([a, b, c], sdp)| Response::Answer {
        info_hash: InfoHash(a),
        peer_id: PeerId(b),
        offer_id: OfferId(c),
        sdp,
    });
    let scrape =
        vec((any::<[u8; 20]>(), any::<[u64; 3]>()), 0..20).prop_map(|files| Response::Scrape {
            files: files
                .into_iter()
                .map(|(hash, [complete, incomplete, downloaded])| {
                    let entry = ScrapeEntry {
                        complete,
                        incomplete,
                        downloaded,
                    };
                    (InfoHash(hash), entry)
                })
                .collect(),
        });
    let failure = (any::<bool>(), option::of(any::<[u8; 20]>()), "\\PC{0,60}").prop_map(
        |(scrape, hash, reason)| Response::Failure {
            action: if scrape {
                Action::Scrape
            } else {
                Action::Announce
            },
            info_hash: hash.map(InfoHash),
            reason,
        },
    );
    prop_oneof![reply, offered, answered, scrape, failure]
}

/// JSON of any shape, biased to the protocol's own keys.
fn json(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-1".to_owned()),
        Just("1e99".to_owned()),
        any::<u64>().prop_map(|n| n.to_string()),
        Just("\"announce\"".to_owned()),
        Just("\"scrape\"".to_owned()),
        Just("\"offer\"".to_owned()),
        Just("\"\\ud800\"".to_owned()),
        Just("\"aaaaaaaaaaaaaaaaaaaa\"".to_owned()),
        any::<String>().prop_map(|s| serde_json::to_string(&s).expect("string")),
    ];
    let key = prop_oneof![
        Just("action"),
        Just("info_hash"),
        Just("peer_id"),
        Just("event"),
        Just("left"),
        Just("offers"),
        Just("offer"),
        Just("offer_id"),
        Just("answer"),
        Just("type"),
        Just("sdp"),
        Just("to_peer_id"),
        Just("files"),
        Just("failure reason"),
        Just("other"),
    ];
    leaf.prop_recursive(depth, 64, 8, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            vec((key.clone(), inner), 0..8).prop_map(|fields| {
                let fields: Vec<String> =
                    fields.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
    .boxed()
}

proptest! {
    #[test]
    fn requests_survive_encoding(message in request()) {
        let text = message.encode();
        prop_assert_eq!(Request::parse(&text, Limits::default()), Ok(message));
    }

    #[test]
    fn responses_survive_encoding(message in response()) {
        let text = message.encode();
        prop_assert_eq!(Response::parse(&text, Limits::default()), Ok(message));
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in any::<String>()) {
        let _ = Request::parse(&text, Limits::default());
        let _ = Response::parse(&text, Limits::default());
    }

    #[test]
    fn any_json_is_parsed_or_refused_and_kept_within_limits(text in json(4)) {
        let limits = Limits { offers: 2, scrape: 2 };
        if let Ok(request) = Request::parse(&text, limits) {
            match &request {
                Request::Announce(a) => prop_assert!(a.offers.len() <= 2),
                Request::Scrape(s) => prop_assert!((1..=2).contains(&s.info_hashes.len())),
                Request::Answer(_) => {}
            }
            // An accepted message is well-formed enough to be sent on.
            prop_assert!(serde_json::from_str::<serde_json::Value>(&request.encode()).is_ok());
        }
        if let Ok(Response::Scrape { files }) = Response::parse(&text, limits) {
            prop_assert!(files.len() <= 2);
        }
    }

    #[test]
    fn a_message_cut_short_is_refused(message in request(), keep in 0.0..1.0f64) {
        let text = message.encode();
        let mut end = (text.len() as f64 * keep) as usize;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        prop_assert!(Request::parse(&text[..end], Limits::default()).is_err());
    }
}
