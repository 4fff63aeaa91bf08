//! A record of the core's inputs and outputs, sent line by line to the page: `{t: "trace", line}`.
//!
//! It is only in builds with the feature `trace`, which make the recordings for `tests/simulation/traces`. It covers
//! the inputs and outputs of a free download. Any other one is recorded as unsupported, and does not replay.

use bytes::Bytes;
use serde_json::{Value, json};

use super::js;
use crate::io::{CheckExisting, Command, Config, EffectError, EffectResult, Input, Output, Source};
use crate::time::Timestamp;

/// Records the start of the engine.
pub fn began(now: Timestamp, config: &Config, seed: &[u8; 32], records: &[(String, Bytes)]) {
    let limits = &config.limits;
    let stored: Vec<Value> = records.iter().map(|(k, v)| json!([k, hex(v)])).collect();
    say(&json!({
        "at": now.as_micros(),
        "seed": hex(seed),
        "records": stored,
        "trackers": config.trackers,
        "use_torrent_trackers": config.use_torrent_trackers,
        "free": config.payment.is_none(),
        "limits": {
            "max_connections": limits.max_connections,
            "max_connections_per_torrent": limits.max_connections_per_torrent,
            "max_pending_connections": limits.max_pending_connections,
            "upload_bytes_per_second": limits.upload_bytes_per_second,
            "download_bytes_per_second": limits.download_bytes_per_second,
            "upload_slots": limits.upload_slots,
            "max_partial_bytes": limits.max_partial_bytes,
            "storage_bytes": limits.storage_bytes,
            "shutdown_grace_micros": limits.shutdown_grace.as_micros() as u64,
        },
    }));
}

/// Records an input.
pub fn heard(now: Timestamp, input: &Input) {
    say(&json!({"at": now.as_micros(), "in": encode(input)}));
}

/// Records an output.
pub fn put_out(output: &Output) {
    say(&match output {
        Output::Send { connection, chunks } => {
            json!({"send": connection.0, "bytes": hex(&chunks.concat())})
        }
        output => json!({"out": squeeze(&format!("{output:?}"))}),
    });
}

fn encode(input: &Input) -> Value {
    match input {
        Input::Tick => json!({"kind": "tick"}),
        Input::Command(command) => encode_command(command),
        Input::TrackerConnected { tracker } => {
            json!({"kind": "tracker connected", "tracker": tracker.0})
        }
        Input::TrackerMessage { tracker, text } => {
            json!({"kind": "tracker message", "tracker": tracker.0, "bytes": hex(text)})
        }
        Input::TrackerClosed { tracker, reason } => {
            json!({"kind": "tracker closed", "tracker": tracker.0, "reason": reason})
        }
        Input::OfferReady { connection, sdp } => {
            json!({"kind": "offer ready", "connection": connection.0, "sdp": sdp})
        }
        Input::AnswerReady { connection, sdp } => {
            json!({"kind": "answer ready", "connection": connection.0, "sdp": sdp})
        }
        Input::ConnectionOpen {
            connection,
            address_hash,
            claimed,
        } => {
            json!({"kind": "open", "connection": connection.0, "address_hash": address_hash, "claimed": claimed})
        }
        Input::Received { connection, bytes } => {
            json!({"kind": "received", "connection": connection.0, "bytes": hex(bytes)})
        }
        Input::SendBuffer {
            connection,
            buffered,
        } => json!({"kind": "send buffer", "connection": connection.0, "buffered": buffered}),
        Input::ConnectionClosed { connection, reason } => {
            json!({"kind": "closed", "connection": connection.0, "reason": reason})
        }
        Input::WebSeedHead { request, head } => json!({
            "kind": "web seed head", "request": request.0, "status": head.status,
            "range": head.content_range, "encoding": head.content_encoding,
            "retry_after": head.retry_after,
        }),
        Input::WebSeedBytes { request, bytes } => {
            json!({"kind": "web seed bytes", "request": request.0, "bytes": hex(bytes)})
        }
        Input::WebSeedEnd { request, error } => {
            json!({"kind": "web seed end", "request": request.0, "error": error})
        }
        Input::EffectDone { id, result } => {
            json!({"kind": "effect done", "id": id.0, "result": encode_result(result)})
        }
    }
}

fn encode_command(command: &Command) -> Value {
    match command {
        Command::Add {
            tag,
            source,
            options,
        } => {
            let source = match source {
                Source::Magnet(link) => json!({"magnet": link}),
                Source::Torrent(bytes) => json!({"torrent": hex(bytes)}),
                Source::Stored(info_hash) => json!({"stored": info_hash.to_hex()}),
            };
            let check = match options.check {
                CheckExisting::Resume => "resume",
                CheckExisting::Recheck => "recheck",
                CheckExisting::Complete => "complete",
            };
            json!({
                "kind": "add", "tag": tag, "source": source, "check": check,
                "trackers": options.trackers, "web_seeds": options.web_seeds,
                "on_demand": options.on_demand,
            })
        }
        Command::OpenStream {
            stream,
            info_hash,
            file,
            offset,
            length,
            plays,
        } => json!({
            "kind": "open stream", "stream": stream.0, "info_hash": info_hash.to_hex(),
            "file": file, "offset": offset, "length": length, "plays": plays,
        }),
        Command::PullStream { stream } => json!({"kind": "pull stream", "stream": stream.0}),
        Command::CloseStream { stream } => json!({"kind": "close stream", "stream": stream.0}),
        Command::SetOnDemand {
            info_hash,
            on_demand,
            remember,
        } => json!({
            "kind": "set on demand", "info_hash": info_hash.to_hex(), "on_demand": on_demand,
            "remember": remember,
        }),
        Command::Online(online) => json!({"kind": "online", "online": online}),
        Command::Shutdown => json!({"kind": "shutdown"}),
        other => json!({"kind": "unsupported", "what": format!("{other:?}")}),
    }
}

fn encode_result(result: &Result<EffectResult, EffectError>) -> Value {
    match result {
        Ok(EffectResult::Opened {
            file_lengths,
            scratch_length,
            ..
        }) => json!({"opened": file_lengths, "scratch": scratch_length}),
        Ok(EffectResult::Read(bytes)) => json!({"read": hex(bytes)}),
        Ok(EffectResult::Hashed(hash)) => json!({"hashed": hex(hash)}),
        Ok(EffectResult::Done) => json!({"done": true}),
        Err(EffectError::Missing(text)) => json!({"missing": text}),
        other => json!({"unsupported": format!("{other:?}")}),
    }
}

/// A debug text in which the length and the FNV-1a hash of each byte string (of the text between its quotes) replace
/// it.
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn say(line: &Value) {
    let message = js::object(&[("t", "trace".into()), ("line", line.to_string().into())]);
    // A page that is gone needs no record.
    let _ = js::worker().post_message(&message);
}
