//! What a tracker and a peer say to each other, the HTTP head before it and the WebSocket frames around it.

use std::ops::ControlFlow;

use piecework_signaling::frames::{Decoder, Fault};
use piecework_signaling::http::{self, HttpRequest, MAX_HEAD_LEN};
use piecework_signaling_protocol::{
    IceServers, Limits, MAX_ICE_SERVERS, MAX_ICE_TEXT_LEN, MAX_ICE_TTL_SECS, MAX_ICE_URLS,
    MAX_REASON_LEN, MAX_SDP_LEN, Request, Response, Sdp, is_ice_url,
};

/// A message that is read and written reads the same, in both directions; limits are kept; a head is read
/// alike however it arrives.
pub fn signaling_messages(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data) {
        for limits in [
            Limits::default(),
            Limits {
                offers: 1,
                scrape: 1,
            },
        ] {
            request(text, limits);
            response(text, limits);
        }
        if let Some(sdp) = Sdp::from_text(text) {
            assert_eq!(sdp.to_text(), text);
            keeps(&sdp);
        }
    }
    head(data);
    if let Some((cut, sent)) = data.split_first() {
        frames(sent, usize::from(*cut));
    }
}

/// Frames mean the same however they arrive, and whether or not the handler stops after each.
fn frames(sent: &[u8], cut: usize) {
    let whole = heard(sent, sent.len().max(1), ControlFlow::Continue(()));
    assert_eq!(whole, heard(sent, cut.max(1), ControlFlow::Continue(())));
    assert_eq!(whole, heard(sent, cut.max(1), ControlFlow::Break(())));
}

fn heard(sent: &[u8], part: usize, then: ControlFlow<()>) -> (Vec<String>, Result<(), Fault>) {
    let (mut decoder, mut heard) = (Decoder::default(), Vec::new());
    let mut handle = |incoming: piecework_signaling::frames::Incoming<'_>| {
        heard.push(format!("{incoming:?}"));
        then
    };
    for part in sent.chunks(part) {
        let mut result = decoder.feed(&mut part.to_vec(), &mut handle);
        while result.is_ok() && decoder.paused() {
            result = decoder.feed(&mut [], &mut handle);
        }
        if result.is_err() {
            return (heard, result);
        }
    }
    (heard, Ok(()))
}

fn request(text: &str, limits: Limits) {
    let Ok(mut read) = Request::parse(text, limits) else {
        return;
    };
    match &mut read {
        Request::Announce(announce) => {
            assert!(announce.offers.len() <= limits.offers);
            announce.offers.iter().for_each(|offer| keeps(&offer.sdp));
            // What was left out is not written again.
            announce.skipped_offers = 0;
        }
        Request::Answer(answer) => keeps(&answer.sdp),
        Request::Scrape(scrape) => assert!((1..=limits.scrape).contains(&scrape.info_hashes.len())),
    }
    let written = read.encode();
    assert_eq!(Request::parse(&written, limits), Ok(read));
}

/// Each server can be given to a WebRTC stack, and there are not too many.
fn usable(ice: &IceServers) {
    assert!((1..=MAX_ICE_TTL_SECS).contains(&ice.ttl_secs));
    assert!((1..=MAX_ICE_SERVERS).contains(&ice.servers.len()));
    for server in &ice.servers {
        assert!((1..=MAX_ICE_URLS).contains(&server.urls.len()));
        assert!(server.urls.iter().all(|url| is_ice_url(url)));
        assert!(server.username.len() <= MAX_ICE_TEXT_LEN);
        assert!(server.credential.len() <= MAX_ICE_TEXT_LEN);
        let has_name = !server.username.is_empty() && !server.credential.is_empty();
        assert!(has_name || server.urls.iter().all(|url| url.starts_with("stun")));
    }
}

fn response(text: &str, limits: Limits) {
    let Ok(read) = Response::parse(text, limits) else {
        return;
    };
    match &read {
        Response::Announce(reply) => {
            let warning = reply.warning.as_ref();
            assert!(warning.is_none_or(|warning| warning.len() <= MAX_REASON_LEN));
            reply.ice.iter().for_each(usable);
        }
        Response::Offer { offer, .. } => keeps(&offer.sdp),
        Response::Answer { sdp, .. } => keeps(sdp),
        Response::Scrape { files } => assert!(files.len() <= limits.scrape),
        Response::Failure { reason, .. } => assert!(reason.len() <= MAX_REASON_LEN),
    }
    let written = read.encode();
    assert_eq!(Response::parse(&written, limits).as_ref(), Ok(&read));
    // Every message to a peer carries what stock clients drop their socket without.
    let value: serde_json::Value = match serde_json::from_str(&written) {
        Ok(value) => value,
        Err(error) => panic!("own message is no JSON: {error}"),
    };
    assert!(value.get("action").is_some());
}

/// A session description is a whole JSON string, so that it can be relayed as it is.
fn keeps(sdp: &Sdp<'_>) {
    assert!(sdp.json().len() <= MAX_SDP_LEN);
    match serde_json::from_str::<String>(sdp.json()) {
        Ok(text) => assert_eq!(text, sdp.to_text()),
        Err(error) => panic!("a description that nobody can read: {error}"),
    }
}

fn head(data: &[u8]) {
    let header = Some("x-forwarded-for");
    match http::parse(data, header) {
        None => assert!(data.len() < MAX_HEAD_LEN),
        Some(Ok(HttpRequest::Upgrade { head_len, .. })) => {
            assert!(head_len <= MAX_HEAD_LEN.min(data.len()));
            // The head alone means the same as with what follows it; less than it is not enough.
            assert_eq!(
                http::parse(&data[..head_len], header),
                http::parse(data, header)
            );
            assert_eq!(http::parse(&data[..head_len - 1], header), None);
        }
        Some(Ok(HttpRequest::Read { .. })) => {}
        Some(Err(refusal)) => assert!(refusal.reply().starts_with("HTTP/1.1 4")),
    }
}
