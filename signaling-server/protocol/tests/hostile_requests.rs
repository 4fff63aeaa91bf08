//! The request parser against messages that are wrong in one place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use piecework_signaling_protocol::{
    Action, Event, InfoHash, Limits, MAX_SDP_LEN, Request, RequestFault,
};

const HASH: &str = "hhhhhhhhhhhhhhhhhhhh";

fn announce(extra: &str) -> String {
    format!(
        r#"{{"action":"announce","info_hash":"{HASH}","peer_id":"pppppppppppppppppppp"{extra}}}"#
    )
}

fn offers(list: &str) -> (usize, u32) {
    match Request::parse(
        &announce(&format!(r#","offers":[{list}]"#)),
        Limits::default(),
    ) {
        Ok(Request::Announce(a)) => (a.offers.len(), a.skipped_offers),
        other => panic!("{other:?}"),
    }
}

fn offer(id: char) -> String {
    let id = id.to_string().repeat(20);
    format!(r#"{{"offer_id":"{id}","offer":{{"type":"offer","sdp":"v=0\r\n"}}}}"#)
}

#[test]
fn a_malformed_offer_is_skipped_and_the_announce_goes_on() {
    let good = offer('a');
    for bad in [
        "null",
        "1",
        "true",
        "\"x\"",
        "[]",
        "[[[]]]",
        "{}",
        r#"{"fake_offer":"fake_offer_1"}"#,
        r#"{"offer_id":"short","offer":{"type":"offer","sdp":"v=0"}}"#,
        r#"{"offer_id":"bbbbbbbbbbbbbbbbbbbbb","offer":{"type":"offer","sdp":"v=0"}}"#,
        r#"{"offer_id":7,"offer":{"type":"offer","sdp":"v=0"}}"#,
        r#"{"offer_id":"bbbbbbbbbbbbbbbbbbbb"}"#,
        r#"{"offer_id":"bbbbbbbbbbbbbbbbbbbb","offer":null}"#,
        r#"{"offer_id":"bbbbbbbbbbbbbbbbbbbb","offer":"v=0"}"#,
        r#"{"offer_id":"bbbbbbbbbbbbbbbbbbbb","offer":[{"type":"offer","sdp":"v=0"}]}"#,
        r#"{"offer_id":"bbbbbbbbbbbbbbbbbbbb","offer":{"type":"answer","sdp":"v=0"}}"#,
        r#"{"offer_id":"bbbbbbbbbbbbbbbbbbbb","offer":{"type":["offer"],"sdp":"v=0"}}"#,
        r#"{"offer_id":"bbbbbbbbbbbbbbbbbbbb","offer":{"sdp":"v=0"}}"#,
        r#"{"offer_id":"bbbbbbbbbbbbbbbbbbbb","offer":{"type":"offer","sdp":{"a":[1]}}}"#,
        r#"{"offer_id":"bbbbbbbbbbbbbbbbbbbb","offer":{"type":"offer","sdp":null}}"#,
        r#"{"offer_id":"bbbbbbbbbbbbbbbbbbbb","offer":{"type":"offer","sdp":"\ud800"}}"#,
    ] {
        assert_eq!(
            offers(&format!("{good},{bad},{}", offer('c'))),
            (2, 1),
            "{bad}"
        );
    }
}

#[test]
fn an_offer_with_too_long_a_description_is_skipped() {
    let sdp = "s".repeat(MAX_SDP_LEN);
    let long = format!(
        r#"{{"offer_id":"bbbbbbbbbbbbbbbbbbbb","offer":{{"type":"offer","sdp":"{sdp}"}}}}"#
    );
    assert_eq!(offers(&long), (0, 1));
}

#[test]
fn a_regular_announce_is_written_in_many_ways_and_an_unknown_event_is_none_of_them() {
    let parse = |event: &str| {
        let text = announce(&format!(r#","event":{event}"#));
        Request::parse(&text, Limits::default())
            .map(|request| match request {
                Request::Announce(announce) => announce.event,
                other => panic!("{other:?}"),
            })
            .map_err(|error| error.fault)
    };
    for event in [r#""empty""#, r#""""#, r#""update""#, r#""paused""#, "null"] {
        assert_eq!(parse(event), Ok(Event::Update), "{event}");
    }
    for event in [r#""Empty""#, r#""none""#, r#""finished""#] {
        assert_eq!(parse(event), Err(RequestFault::Invalid("event")), "{event}");
    }
}

#[test]
fn offers_whose_ids_are_not_20_long_are_counted_as_skipped() {
    for id in ["", "a", &"a".repeat(19), &"a".repeat(21), &"a".repeat(40)] {
        let odd = format!(r#"{{"offer_id":"{id}","offer":{{"type":"offer","sdp":"v=0"}}}}"#);
        assert_eq!(offers(&format!("{},{odd}", offer('a'))), (1, 1), "{id}");
    }
}

#[test]
fn a_repeated_offer_id_is_skipped() {
    assert_eq!(offers(&format!("{},{}", offer('a'), offer('a'))), (1, 1));
}

#[test]
fn offers_above_the_limit_are_not_kept() {
    let many: Vec<String> = ('a'..='z').map(offer).collect();
    assert_eq!(offers(&many.join(",")), (10, 16));
}

#[test]
fn wrong_types_name_their_field_and_keep_action_and_info_hash() {
    let wrong = ["1", "-1", "1.5", "true", "[]", "{}", "\"\\u0001\"", "[{}]"];
    for field in ["peer_id", "event", "offers", "answer"] {
        for value in wrong {
            if field == "offers" && value.starts_with('[') {
                continue;
            }
            let text = format!(
                r#"{{"peer_id":"pppppppppppppppppppp","{field}":{value},"action":"announce",
                "to_peer_id":"pppppppppppppppppppp","offer_id":"oooooooooooooooooooo","info_hash":"{HASH}"}}"#
            );
            let error = Request::parse(&text, Limits::default()).expect_err(&text);
            assert_eq!(error.fault, RequestFault::Invalid(field), "{text}");
            assert_eq!(error.action, Action::Announce);
            assert_eq!(error.info_hash, InfoHash::from_latin1(HASH));
        }
    }
}

#[test]
fn statistics_of_the_wrong_type_count_as_unknown() {
    for value in ["null", "\"1\"", "-1", "0.5", "1e30", "true", "[]", "{}"] {
        let text = announce(&format!(
            r#","left":{value},"uploaded":{value},"downloaded":{value},"numwant":{value}"#
        ));
        let Ok(Request::Announce(a)) = Request::parse(&text, Limits::default()) else {
            panic!("{text}");
        };
        assert_eq!(
            (a.left, a.uploaded, a.downloaded, a.numwant),
            (None, None, None, None)
        );
    }
}

#[test]
fn what_is_no_object_or_no_json_is_refused() {
    for (text, fault) in [
        ("", RequestFault::Syntax),
        ("{", RequestFault::Syntax),
        ("{}x", RequestFault::Syntax),
        ("nonsense", RequestFault::Syntax),
        ("[]", RequestFault::NotAnObject),
        ("1", RequestFault::NotAnObject),
        ("null", RequestFault::NotAnObject),
        ("\"announce\"", RequestFault::NotAnObject),
        ("{}", RequestFault::Missing("action")),
        (r#"{"action":"connect"}"#, RequestFault::Invalid("action")),
        (
            r#"{"action":"announce"}"#,
            RequestFault::Missing("info_hash"),
        ),
        (r#"{"action":"scrape"}"#, RequestFault::Missing("info_hash")),
        (
            r#"{"action":"scrape","info_hash":[]}"#,
            RequestFault::Invalid("info_hash"),
        ),
        (
            r#"{"action":"scrape","info_hash":[1]}"#,
            RequestFault::Invalid("info_hash"),
        ),
    ] {
        let error = Request::parse(text, Limits::default()).expect_err(text);
        assert_eq!(error.fault, fault, "{text}");
    }
}

#[test]
fn deep_nesting_is_refused() {
    for depth in [200, 30_000] {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for text in [
            nested.clone(),
            announce(&format!(",\"offers\":{nested}")),
            announce(&format!(",\"x\":{nested}")),
        ] {
            // Refused or, where the value is skipped unread, accepted: never a crash.
            let _ = Request::parse(&text, Limits::default());
        }
        assert!(Request::parse(&nested, Limits::default()).is_err());
    }
}

#[test]
fn a_message_cut_after_its_hash_still_names_it() {
    let text = format!(r#"{{"action":"scrape","info_hash":"{HASH}","x":"#);
    let error = Request::parse(&text, Limits::default()).expect_err("cut");
    assert_eq!(error.fault, RequestFault::Syntax);
    assert_eq!(error.action, Action::Scrape);
    assert_eq!(error.info_hash, InfoHash::from_latin1(HASH));
}

#[test]
fn stock_announces_are_understood() {
    // As bittorrent-tracker 11 sends it, `left` unknown.
    let text = announce(
        r#","numwant":1,"uploaded":0,"downloaded":0,"left":null,"event":"started",
        "offers":[{"offer":{"type":"offer","sdp":"v=0\r\n"},"offer_id":"\u0000\u00ffoooooooooooooooooo"}]"#,
    );
    let Ok(Request::Announce(a)) = Request::parse(&text, Limits::default()) else {
        panic!("{text}");
    };
    assert_eq!(a.event, Event::Started);
    assert_eq!(a.offers[0].offer_id.0[..3], [0, 255, b'o']);
    assert_eq!(a.offers[0].sdp.to_text(), "v=0\r\n");
}
