//! Replays a recording of a real browser's engine (made by its `trace` build) through the core.
//!
//! The inputs go in as they were recorded, at their times. The outputs must be the recorded ones: every effect, every
//! event, every message to a tracker, and on each channel the same bytes. The borders of messages on a channel, the
//! low-water marks and the time of the next tick may differ: these are tuning, not meaning.

use std::collections::BTreeMap;

use alloy_primitives::hex;
use bytes::Bytes;
use piecework::client::edge::{Edge, feed};
use piecework::client::{
    AddOptions, CheckExisting, Client, Command, Config, EffectError, EffectResult, Input, Limits,
    Output, Source, WebSeedHead,
};
use piecework::time::{Duration, Timestamp};
use piecework::types::{ConnectionId, EffectId, InfoHash, StreamId, TrackerId, WebRequestId};
use serde_json::Value;

/// The counts of a replay.
#[derive(Debug, Default)]
pub struct Replay {
    /// Inputs given.
    pub inputs: usize,
    /// Outputs compared, sent bytes apart.
    pub outputs: usize,
    /// Bytes sent on channels.
    pub sent: usize,
    /// Blocks' and other bytes received on channels.
    pub received: usize,
}

/// An edge that carries nothing out: it notes the outputs.
struct Recording {
    now: Timestamp,
    client: Client,
    outputs: Vec<String>,
    sent: BTreeMap<u64, Vec<u8>>,
}

impl Edge for Recording {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn with_client<T>(&mut self, call: impl FnOnce(&mut Client) -> T) -> T {
        call(&mut self.client)
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send { connection, chunks } => {
                let sent = self.sent.entry(connection.0).or_default();
                sent.extend(chunks.concat());
            }
            Output::SetLowWater { .. } => {}
            output => self.outputs.push(squeeze(&format!("{output:?}"))),
        }
    }
}

/// Replays a recording; names the first input at which the core puts out something else.
pub fn replay(recording: &str) -> Result<Replay, String> {
    let mut lines = recording.lines().enumerate().map(|(number, line)| {
        let value: Value = serde_json::from_str(line).unwrap_or_default();
        (number + 1, value)
    });
    let (_, head) = lines.next().ok_or("the recording is empty")?;
    let mut edge = begin(&head).ok_or("the first line does not say how the engine began")?;
    let mut done = Replay::default();
    let mut expected: Vec<String> = Vec::new();
    let mut sent: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut last = String::new();
    for (number, line) in lines {
        if let Some(input) = line.get("in") {
            compare(&mut edge, &mut expected, &last)?;
            let at = line["at"].as_u64().ok_or("an input without its time")?;
            edge.now = Timestamp::from_micros(at);
            let input = decode(input).ok_or(format!("line {number}: an input unknown here"))?;
            last = format!("line {number}: {}", squeeze(&format!("{input:?}")));
            if let Input::Received { bytes, .. } = &input {
                done.received += bytes.len();
            }
            done.inputs += 1;
            feed(&mut edge, input);
        } else if let Some(connection) = line["send"].as_u64() {
            let bytes = bytes(&line["bytes"]).ok_or(format!("line {number}: no bytes"))?;
            done.sent += bytes.len();
            sent.entry(connection).or_default().extend(&bytes[..]);
        } else if let Some(out) = line["out"].as_str() {
            if !out.starts_with("SetLowWater") {
                done.outputs += 1;
                expected.push(out.to_owned());
            }
        } else {
            return Err(format!("line {number} is of no kind known here"));
        }
    }
    compare(&mut edge, &mut expected, &last)?;
    for (connection, then) in &sent {
        let now = edge.sent.remove(connection).unwrap_or_default();
        if now != *then {
            let at = now.iter().zip(then).take_while(|(a, b)| a == b).count();
            return Err(format!(
                "channel {connection}: other bytes from byte {at} on"
            ));
        }
    }
    match edge.sent.into_keys().next() {
        Some(connection) => Err(format!("channel {connection}: nothing was sent on it then")),
        None => Ok(done),
    }
}

fn compare(edge: &mut Recording, expected: &mut Vec<String>, last: &str) -> Result<(), String> {
    let now = core::mem::take(&mut edge.outputs);
    let then = core::mem::take(expected);
    if now == then {
        return Ok(());
    }
    Err(format!("after {last}\nthen: {then:#?}\nnow: {now:#?}"))
}

fn begin(head: &Value) -> Option<Recording> {
    let limits = &head["limits"];
    let size = |name: &str| usize::try_from(limits[name].as_u64()?).ok();
    let config = Config {
        trackers: texts(&head["trackers"])?,
        use_torrent_trackers: head["use_torrent_trackers"].as_bool()?,
        limits: Limits {
            max_connections: size("max_connections")?,
            max_connections_per_torrent: size("max_connections_per_torrent")?,
            max_pending_connections: size("max_pending_connections")?,
            upload_bytes_per_second: limits["upload_bytes_per_second"].as_u64(),
            download_bytes_per_second: limits["download_bytes_per_second"].as_u64(),
            upload_slots: size("upload_slots")?,
            max_partial_bytes: limits["max_partial_bytes"].as_u64()?,
            storage_bytes: limits["storage_bytes"].as_u64(),
            shutdown_grace: Duration::from_micros(limits["shutdown_grace_micros"].as_u64()?),
        },
        payment: head["free"].as_bool()?.then_some(None)?,
        ..Config::default()
    };
    let records = (head["records"].as_array()?.iter())
        .map(|record| Some((record[0].as_str()?.to_owned(), bytes(&record[1])?)))
        .collect::<Option<Vec<_>>>()?;
    let seed = bytes(&head["seed"])?.as_ref().try_into().ok()?;
    let now = Timestamp::from_micros(head["at"].as_u64()?);
    Some(Recording {
        now,
        client: Client::new(config, seed, records, now),
        outputs: Vec::new(),
        sent: BTreeMap::new(),
    })
}

fn decode(input: &Value) -> Option<Input> {
    let number = |name: &str| input[name].as_u64();
    let text = |name: &str| input[name].as_str().map(str::to_owned);
    let connection = || number("connection").map(ConnectionId);
    let tracker = || Some(TrackerId(u32::try_from(number("tracker")?).ok()?));
    let request = || number("request").map(WebRequestId);
    let stream = || number("stream").map(StreamId);
    let hash = || InfoHash::from_hex(input["info_hash"].as_str()?);
    Some(match input["kind"].as_str()? {
        "tick" => Input::Tick,
        "tracker connected" => Input::TrackerConnected {
            tracker: tracker()?,
        },
        "tracker message" => Input::TrackerMessage {
            tracker: tracker()?,
            text: bytes(&input["bytes"])?,
        },
        "tracker closed" => Input::TrackerClosed {
            tracker: tracker()?,
            reason: text("reason")?,
        },
        "offer ready" => Input::OfferReady {
            connection: connection()?,
            sdp: text("sdp")?,
        },
        "answer ready" => Input::AnswerReady {
            connection: connection()?,
            sdp: text("sdp")?,
        },
        "open" => Input::ConnectionOpen {
            connection: connection()?,
            address_hash: number("address_hash")?,
            // Traces of earlier builds have none.
            claimed: input["claimed"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_u64)
                .collect(),
        },
        "received" => Input::Received {
            connection: connection()?,
            bytes: bytes(&input["bytes"])?,
        },
        "send buffer" => Input::SendBuffer {
            connection: connection()?,
            buffered: number("buffered")?,
        },
        "closed" => Input::ConnectionClosed {
            connection: connection()?,
            reason: text("reason")?,
        },
        "web seed head" => Input::WebSeedHead {
            request: request()?,
            head: WebSeedHead {
                status: u16::try_from(number("status")?).ok()?,
                content_range: text("range"),
                content_encoding: text("encoding"),
                retry_after: text("retry_after"),
            },
        },
        "web seed bytes" => Input::WebSeedBytes {
            request: request()?,
            bytes: bytes(&input["bytes"])?,
        },
        "web seed end" => Input::WebSeedEnd {
            request: request()?,
            error: text("error"),
        },
        "effect done" => Input::EffectDone {
            id: EffectId(number("id")?),
            result: decode_result(&input["result"])?,
        },
        "add" => Input::Command(Command::Add {
            tag: number("tag")?,
            source: decode_source(&input["source"])?,
            options: AddOptions {
                trackers: texts(&input["trackers"])?,
                // Traces of earlier builds have none.
                web_seeds: texts(&input["web_seeds"]).unwrap_or_default(),
                check: match input["check"].as_str()? {
                    "resume" => CheckExisting::Resume,
                    "recheck" => CheckExisting::Recheck,
                    "complete" => CheckExisting::Complete,
                    _ => return None,
                },
                on_demand: input["on_demand"].as_bool()?,
                ..AddOptions::default()
            },
        }),
        "open stream" => Input::Command(Command::OpenStream {
            stream: stream()?,
            info_hash: hash()?,
            file: u32::try_from(number("file")?).ok()?,
            offset: number("offset")?,
            length: number("length")?,
            plays: input["plays"].as_bool().unwrap_or(false),
        }),
        "pull stream" => Input::Command(Command::PullStream { stream: stream()? }),
        "close stream" => Input::Command(Command::CloseStream { stream: stream()? }),
        "set on demand" => Input::Command(Command::SetOnDemand {
            info_hash: hash()?,
            on_demand: input["on_demand"].as_bool()?,
            remember: input["remember"].as_bool().unwrap_or(false),
        }),
        "online" => Input::Command(Command::Online(input["online"].as_bool()?)),
        "shutdown" => Input::Command(Command::Shutdown),
        _ => return None,
    })
}

fn decode_source(source: &Value) -> Option<Source> {
    if let Some(link) = source["magnet"].as_str() {
        return Some(Source::Magnet(link.to_owned()));
    }
    if let Some(hash) = source["stored"].as_str() {
        return InfoHash::from_hex(hash).map(Source::Stored);
    }
    bytes(&source["torrent"]).map(Source::Torrent)
}

fn decode_result(result: &Value) -> Option<Result<EffectResult, EffectError>> {
    if let Some(lengths) = result["opened"].as_array() {
        return Some(Ok(EffectResult::Opened {
            file_lengths: lengths.iter().map(Value::as_u64).collect::<Option<_>>()?,
            scratch_length: result["scratch"].as_u64()?,
            changed: Vec::new(),
        }));
    }
    if let Some(text) = result["missing"].as_str() {
        return Some(Err(EffectError::Missing(text.to_owned())));
    }
    if let Some(read) = bytes(&result["read"]) {
        return Some(Ok(EffectResult::Read(read)));
    }
    if let Some(hash) = bytes(&result["hashed"]) {
        return Some(Ok(EffectResult::Hashed(hash.as_ref().try_into().ok()?)));
    }
    (result["done"].as_bool()?).then_some(Ok(EffectResult::Done))
}

fn texts(list: &Value) -> Option<Vec<String>> {
    let texts = list.as_array()?.iter();
    texts.map(|t| t.as_str().map(str::to_owned)).collect()
}

fn bytes(value: &Value) -> Option<Bytes> {
    hex::decode(value.as_str()?).ok().map(Bytes::from)
}

/// A debug text with each byte string replaced by its length and FNV-1a hash, as the recorder does it.
fn squeeze(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        let (before, quoted) = rest.split_at(at);
        let body = &quoted[1..];
        let mut escaped = false;
        let end = body
            .find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            })
            .unwrap_or(body.len());
        out.push_str(before);
        if before.ends_with('b') {
            let hash = body[..end]
                .bytes()
                .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                });
            out.push_str(&format!("\"{end}:{hash:016x}\""));
        } else {
            out.push_str(&quoted[..(end + 2).min(quoted.len())]);
        }
        rest = body.get(end + 1..).unwrap_or_default();
    }
    out + rest
}
