//! The test vectors of docs/protocol.md, "Test vectors": each number and each byte in `docs/vectors/*.json` is what the
//! code makes of the same inputs.
//!
//! Each file has a function that overwrites every result in it by the code's own. A file is right when nothing changed.
//! `print_the_vectors_anew` prints what the code makes; `docs/vectors/make.py` writes the files without the code.

use std::iter;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{SolStruct, SolValue};
use bytes::Bytes;
use k256::ecdsa::SigningKey;
use piecework::payment::chain::{self, HashChain};
use piecework::payment::ledger::{Credit, SellerLedger};
use piecework::payment::policy::{self, Sizing};
use piecework::payment::record::PayeeFactsRecord;
use piecework::payment::vault::{Log, Redemption, redeem_report, state_answer, state_call};
use piecework::payment::voucher::{self, Signature, Vault, Voucher, abi};
use piecework::payment::{ChainState, PayEffect};
use piecework::time::Timestamp;
use piecework::types::{ConnectionId, FineUnits, TokenUnits};
use piecework::web::hex::{from_hex, to_hex};
use piecework::wire::pay::{PayHandshake, PayMessage, Terms, VoucherBody};
use piecework::wire::{Decoder, ExtendedHandshake, Message};
use serde_json::{Value, json};

use crate::hand::*;

/// Name, text, and what overwrites its results.
type File = (&'static str, &'static str, fn(&mut Value));

const FILES: [File; 6] = [
    (
        "chain.json",
        include_str!("../../../docs/vectors/chain.json"),
        renew_chains,
    ),
    (
        "amounts.json",
        include_str!("../../../docs/vectors/amounts.json"),
        renew_amounts,
    ),
    (
        "messages.json",
        include_str!("../../../docs/vectors/messages.json"),
        renew_messages,
    ),
    (
        "handshake.json",
        include_str!("../../../docs/vectors/handshake.json"),
        renew_handshakes,
    ),
    (
        "signatures.json",
        include_str!("../../../docs/vectors/signatures.json"),
        renew_signatures,
    ),
    (
        "vault.json",
        include_str!("../../../docs/vectors/vault.json"),
        renew_vault,
    ),
];

fn paid_piece() -> Value {
    serde_json::from_str(include_str!("../../../docs/vectors/paid_piece.json")).unwrap()
}

fn check(name: &str) {
    let (_, text, renew) = FILES.iter().find(|(other, ..)| *other == name).unwrap();
    let file: Value = serde_json::from_str(text).unwrap();
    let mut renewed = file.clone();
    renew(&mut renewed);
    assert_eq!(renewed, file, "{name}");
}

#[test]
fn hash_chains_are_those_of_the_specification() {
    check("chain.json");
}

#[test]
fn amounts_are_those_of_the_specification() {
    check("amounts.json");
}

#[test]
fn messages_have_the_bytes_of_the_specification() {
    check("messages.json");
}

#[test]
fn extended_handshakes_have_the_bytes_of_the_specification() {
    check("handshake.json");
}

#[test]
fn signers_are_those_of_the_specification() {
    check("signatures.json");
}

#[test]
fn calls_answers_and_events_of_the_vault_have_the_bytes_of_the_specification() {
    check("vault.json");
}

#[test]
#[ignore = "prints what the code makes of the inputs, for whoever changes a format"]
fn print_the_vectors_anew() {
    for (name, text, renew) in FILES {
        let mut file: Value = serde_json::from_str(text).unwrap();
        renew(&mut file);
        println!("{name}\n{}", serde_json::to_string_pretty(&file).unwrap());
    }
}

// ---- reading

fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text {key} in {v}"))
}

/// A small number, or a large one as text.
fn number(v: &Value, key: &str) -> u128 {
    match &v[key] {
        Value::String(digits) => digits.parse().unwrap(),
        other => other
            .as_u64()
            .unwrap_or_else(|| panic!("no number {key} in {v}"))
            .into(),
    }
}

fn small(v: &Value, key: &str) -> u16 {
    u16::try_from(number(v, key)).unwrap()
}

fn fine(v: &Value, key: &str) -> FineUnits {
    FineUnits(number(v, key))
}

fn units(v: &Value, key: &str) -> TokenUnits {
    TokenUnits(number(v, key))
}

fn address(v: &Value, key: &str) -> Address {
    text(v, key).parse().unwrap()
}

fn word(v: &Value, key: &str) -> B256 {
    text(v, key).parse().unwrap()
}

fn list<'a>(v: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    v[key].as_array_mut().unwrap().iter_mut()
}

/// Bytes without `0x`, as messages are written.
fn raw(digits: &str) -> Vec<u8> {
    from_hex(&format!("0x{digits}"), 1 << 20).unwrap()
}

fn shown_raw(bytes: &[u8]) -> Value {
    json!(to_hex(bytes)[2..])
}

fn shown(bytes: &[u8]) -> Value {
    json!(to_hex(bytes))
}

fn shown_large(amount: u128) -> Value {
    json!(amount.to_string())
}

// ---- chain.json

fn renew_chains(file: &mut Value) {
    for entry in list(file, "chains") {
        let links = HashChain::generate(word(entry, "tip"), small(entry, "steps"));
        for (k, link) in entry["links"].as_object_mut().unwrap() {
            let w = links.link(k.parse().unwrap()).unwrap();
            *link = shown(w.as_slice());
        }
    }
    for entry in list(file, "advances") {
        let (known_k, known_w) = (small(entry, "known_k"), word(entry, "known_w"));
        let advances = chain::advances(known_k, known_w, small(entry, "k"), word(entry, "w"));
        entry["advances"] = json!(advances);
    }
}

// ---- amounts.json

fn renew_amounts(file: &mut Value) {
    for entry in list(file, "price_per_block") {
        let unit = FineUnits::per_block_from_per_gb(number(entry, "token_units_per_gb"));
        entry["unit"] = shown_large(unit.0);
    }
    for entry in list(file, "ranges") {
        let (count, tranche) = (small(entry, "count"), units(entry, "tranche"));
        let (base, unit) = (fine(entry, "base"), fine(entry, "unit"));
        let usable = voucher::usable_steps(count, tranche, base, unit);
        let max_steps = small(entry, "max_steps");
        entry["cap"] = shown_large(voucher::range_cap(count, tranche).0);
        entry["usable_steps"] = shown_large(usable.into());
        entry["chain_steps"] = json!(voucher::chain_steps(count, tranche, base, unit, max_steps));
    }
    for entry in list(file, "claims") {
        let claimed = Voucher {
            count: small(entry, "count"),
            base: fine(entry, "base"),
            unit: fine(entry, "unit"),
            ..crate::hand::voucher(1, FineUnits(0), 1).0
        };
        let due = claimed.due(small(entry, "k"), units(entry, "tranche"));
        entry["due"] = shown_large(due.0);
    }
    for entry in list(file, "serials") {
        let sizing = Sizing {
            needed: small(entry, "needed"),
            wanted: small(entry, "wanted"),
        };
        let next = number(entry, "next") as u64;
        let bound = number(entry, "bound") as u64;
        entry["range"] = json!(policy::allocate(next, bound, sizing));
    }
    for entry in list(file, "credit") {
        let ledger = SellerLedger::new(PayeeFactsRecord {
            walked: entry["walked_away"].as_bool().unwrap(),
            ..PayeeFactsRecord::default()
        });
        let (first, most) = (small(entry, "first"), small(entry, "most"));
        let ramp = u8::try_from(small(entry, "ramp")).unwrap();
        let paid = number(entry, "paid_blocks") as u64;
        let credit = Credit { first, most, ramp };
        entry["credit"] = json!(ledger.credit(paid, credit));
    }
    for entry in list(file, "bounds") {
        let state = ChainState {
            balance: units(entry, "balance"),
            tranche: units(entry, "tranche"),
            consumed: number(entry, "consumed") as u64,
            ..ChainState::default()
        };
        entry["bound"] = json!(state.bound());
    }
}

// ---- messages.json

fn renew_messages(file: &mut Value) {
    for entry in list(file, "messages") {
        let bytes = raw(text(entry, "hex"));
        *entry = match PayMessage::decode(&bytes) {
            Ok(Some(message)) => fields(&message),
            other => json!({ "read": format!("{other:?}") }),
        };
    }
    for entry in list(file, "ignored") {
        let read = PayMessage::decode(&raw(text(entry, "hex")));
        if read != Ok(None) {
            entry["why"] = json!(format!("it is not ignored: {read:?}"));
        }
    }
    for entry in list(file, "closes") {
        let read = PayMessage::decode(&raw(text(entry, "hex")));
        if read.is_ok() {
            entry["why"] = json!(format!("it is read: {read:?}"));
        }
    }
}

/// A message as the vectors write it.
fn fields(message: &PayMessage) -> Value {
    let bytes = message.encode();
    let mut all = match message {
        PayMessage::Terms(t) => json!({
            "type": "TERMS",
            "version": t.version,
            "flags": t.flags,
            "quote_id": t.quote_id,
            "ttl_secs": t.ttl_secs,
            "payee": shown(t.payee.as_slice()),
            "content": shown(t.content.as_slice()),
            "unit": shown_large(t.unit.0),
            "min_range": shown_large(t.min_range.0),
            "max_steps": t.max_steps,
            "credit0": t.credit0,
            "credit_max": t.credit_max,
            "ramp": t.ramp,
            "min_bond_percent": t.min_bond_percent,
            "luck": shown(t.luck.as_slice()),
        }),
        PayMessage::Commit { quote_id, voucher } => {
            with_voucher(json!({ "type": "COMMIT", "quote_id": quote_id }), voucher)
        }
        PayMessage::Pay { first, tag, k, w } => json!({
            "type": "PAY",
            "first": first,
            "tag": shown(tag),
            "k": k,
            "w": shown(w.as_slice()),
        }),
        PayMessage::Ack {
            first,
            tag,
            k,
            owed_blocks,
            credit_blocks,
        } => json!({
            "type": "ACK",
            "first": first,
            "tag": shown(tag),
            "k": k,
            "owed_blocks": owed_blocks,
            "credit_blocks": credit_blocks,
        }),
        PayMessage::Reject {
            code,
            first,
            tag,
            aux,
        } => json!({
            "type": "REJECT",
            "code": code.code(),
            "first": first,
            "tag": shown(tag),
            "aux": aux,
        }),
        PayMessage::Need { reason, first } => json!({
            "type": "NEED",
            "reason": reason.code(),
            "first": first,
        }),
        PayMessage::Seen { payee, voucher } => with_voucher(
            json!({ "type": "SEEN", "payee": shown(payee.as_slice()) }),
            voucher,
        ),
        PayMessage::State {
            payee,
            voucher,
            k,
            w,
        }
        | PayMessage::Held {
            payee,
            voucher,
            k,
            w,
        } => {
            let kind = if bytes[0] == 8 { "STATE" } else { "HELD" };
            let mut all = with_voucher(
                json!({ "type": kind, "payee": shown(payee.as_slice()) }),
                voucher,
            );
            all["k"] = json!(k);
            all["w"] = shown(w.as_slice());
            all
        }
        PayMessage::Bye { .. } => json!({ "type": "BYE", "reason": bytes[1] }),
        PayMessage::Reconcile { voucher } => with_voucher(json!({ "type": "RECONCILE" }), voucher),
    };
    all["hex"] = shown_raw(&bytes);
    all
}

fn with_voucher(mut all: Value, v: &VoucherBody) -> Value {
    all["owner"] = shown(v.owner.as_slice());
    all["first"] = json!(v.first);
    all["count"] = json!(v.count);
    all["content"] = shown(v.content.as_slice());
    all["base"] = shown_large(v.base.0);
    all["unit"] = shown_large(v.unit.0);
    all["steps"] = json!(v.steps);
    all["root"] = shown(v.root.as_slice());
    all["luck"] = shown(v.luck.as_slice());
    all["r"] = shown(v.r.as_slice());
    all["vs"] = shown(v.vs.as_slice());
    all
}

// ---- handshake.json

fn renew_handshakes(file: &mut Value) {
    for entry in list(file, "handshakes") {
        let given = &*entry;
        let id = |name: &str| u8::try_from(small(given, name)).unwrap();
        let ours = ExtendedHandshake {
            m: [
                ("pw_pay".to_owned(), id("pw_pay")),
                ("ut_metadata".to_owned(), id("ut_metadata")),
            ]
            .into(),
            metadata_size: given["metadata_size"].as_u64().map(|len| len as u32),
            reqq: Some(number(given, "reqq") as u32),
            v: Some(text(given, "client").to_owned()),
            upload_only: false,
            pay: Some(PayHandshake {
                vault: address(given, "vault"),
                chain_id: number(given, "chain_id") as u64,
                flags: id("flags"),
                version: id("version"),
            }),
            title: None,
        };
        let bytes = ours.encode();
        assert_eq!(ExtendedHandshake::decode(&bytes), Ok(ours));
        entry["hex"] = shown_raw(&bytes);
    }
    for entry in list(file, "no_payments") {
        let read = ExtendedHandshake::decode(&raw(text(entry, "hex"))).unwrap();
        if read.pay.is_some() {
            entry["why"] = json!("it is read");
        }
    }
}

// ---- signatures.json

fn signature(v: &Value, r: &str, vs: &str) -> Signature {
    Signature {
        r: word(v, r),
        vs: word(v, vs),
    }
}

fn renew_signatures(file: &mut Value) {
    file["session_key"] = shown(&key().to_bytes());
    file["session_address"] = shown(session_address().as_slice());
    for entry in list(file, "signatures") {
        let signer = signature(entry, "r", "vs").recover(&word(entry, "digest"));
        let signer = signer.ok().map(|signer| to_hex(signer.as_slice()));
        entry["signer"] = json!(signer);
    }
}

// ---- vault.json

fn voucher_in(v: &Value) -> Voucher {
    Voucher {
        owner: address(v, "owner"),
        payee: address(v, "payee"),
        first: number(v, "first") as u32,
        count: small(v, "count"),
        content: word(v, "content"),
        base: fine(v, "base"),
        unit: fine(v, "unit"),
        steps: small(v, "steps"),
        root: word(v, "root"),
        luck: word(v, "luck"),
    }
}

/// A function's selector and its arguments.
fn call(file: &Value, name: &str, arguments: &[u8]) -> Value {
    let signature = text(&file["calls"][name], "signature");
    shown(&[&keccak256(signature)[..4], arguments].concat())
}

fn renew_vault(file: &mut Value) {
    let vault = Vault {
        address: address(file, "vault"),
        chain_id: number(file, "chain_id") as u64,
    };
    let voucher_type = abi::Voucher::eip712_root_type();
    let redeem_type = abi::Redeem::eip712_root_type();
    file["voucher_type"] = json!(voucher_type);
    file["voucher_type_hash"] = shown(keccak256(voucher_type.as_bytes()).as_slice());
    file["redeem_type"] = json!(redeem_type);
    file["redeem_type_hash"] = shown(keccak256(redeem_type.as_bytes()).as_slice());
    file["domain_separator"] = shown(vault.domain().separator().as_slice());
    let account = voucher::account_id(address(file, "owner"), session_address());
    file["session_address"] = shown(session_address().as_slice());
    file["account"] = shown(account.as_slice());
    for (_, entry) in file["calls"].as_object_mut().unwrap() {
        entry["selector"] = shown(&keccak256(text(entry, "signature"))[..4]);
    }
    for (_, entry) in file["events"].as_object_mut().unwrap() {
        entry["topic"] = shown(keccak256(text(entry, "signature")).as_slice());
    }

    let promised = voucher_in(&file["voucher"]);
    let digest = promised.digest(&vault);
    let by_session = sign(&key(), digest);
    file["digest"] = shown(digest.as_slice());
    file["r"] = shown(by_session.r.as_slice());
    file["vs"] = shown(by_session.vs.as_slice());
    let (k, w) = (small(file, "k"), word(file, "w"));
    assert_eq!(chain::walk(w, k), promised.root);
    let claim = promised.claim(&by_session, k, w);

    renew_state(file, account);
    let to = address(&file["redeem"], "to");
    let arguments = (U256::from(64), to).abi_encode();
    let claims = voucher::encode_claims(std::slice::from_ref(&claim));
    file["redeem"]["call"] = call(file, "redeem", &[&arguments[..], &claims[32..]].concat());

    let claims = [claim.clone(), claim];
    let relayed = &mut file["redeem_for"];
    let payee_key = SigningKey::from_slice(word(relayed, "payee_key").as_slice()).unwrap();
    let redemption = Redemption {
        payee: address(relayed, "payee"),
        claims: &claims,
        to: address(relayed, "to"),
        relayer: address(relayed, "relayer"),
        deadline: number(relayed, "deadline") as u64,
    };
    let digest = redemption.digest(&vault);
    let by_payee = sign(&payee_key, digest);
    assert_eq!(by_payee.recover(&digest), Ok(redemption.payee));
    relayed["digest"] = shown(digest.as_slice());
    relayed["r"] = shown(by_payee.r.as_slice());
    relayed["vs"] = shown(by_payee.vs.as_slice());
    relayed["call"] = shown(&redemption.call(by_payee));
    let payee = redemption.payee;

    let logs: Vec<Log> = list(file, "logs")
        .map(|log| Log {
            address: vault.address,
            topics: list(log, "topics")
                .map(|topic| topic.as_str().unwrap().parse().unwrap())
                .collect(),
            data: from_hex(text(log, "data"), 1 << 20).unwrap(),
        })
        .collect();
    let report = redeem_report(vault.address, payee, &claims, &logs);
    let paid = report.paid.iter().map(|(i, paid)| (*i, paid.0.to_string()));
    file["report"] = json!({
        "paid": paid.collect::<Vec<_>>(),
        "skipped": report.skipped,
    });

    let slash = &file["slash"];
    let mut evidence = Vec::new();
    for (name, r, vs) in [("x", "x_r", "x_vs"), ("y", "y_r", "y_vs")] {
        let (promised, signed) = (voucher_in(&slash[name]), signature(slash, r, vs));
        let signer = signed.recover(&promised.digest(&vault));
        assert_eq!(signer, Ok(session_address()), "{name}");
        evidence.extend((promised.to_abi(), signed.r, signed.vs).abi_encode());
    }
    file["slash"]["call"] = call(file, "slash", &evidence);
}

fn renew_state(file: &mut Value, account: B256) {
    let state = &mut file["state"];
    let word = U256::from(number(state, "word"));
    state["call"] = shown(&state_call(account, word));
    let answer = from_hex(text(state, "answer"), 1 << 20).unwrap();
    let read = state_answer(&answer).unwrap();
    state["fields"] = json!({
        "balance": shown_large(read.balance.0),
        "tranche": shown_large(read.tranche.0),
        "consumed": read.consumed,
        "known": read.known,
        "bond": shown_large(read.bond.0),
        "exit_at": read.exit_at,
        "spent_word": read.spent_word.to_string(),
        "chain_id": read.chain_id,
        "block_number": read.block_number,
        "timestamp": read.timestamp,
    });
}

// ---- exchanges.json

/// The id that each quote has in the vectors, where a seller's is random.
const QUOTE: u32 = 0x0102_0304;

#[test]
fn our_seller_answers_each_exchange_as_it_is_written() {
    let text = include_str!("../../../docs/vectors/exchanges.json");
    let file: Value = serde_json::from_str(text).unwrap();
    for exchange in file["exchanges"].as_array().unwrap() {
        play(exchange);
    }
}

fn play(exchange: &Value) {
    let mut s = Selling::with(|config| {
        config.payee = "0x1c5a77d9fa7ef466951b2f01f724bca3a5820b63"
            .parse()
            .unwrap();
        config.credit = Credit::default();
    });
    s.price = FineUnits(2_748_779_070);
    read_chain(&mut s.state, &exchange["chain"]);
    // Records that wait for the end of a later step.
    let mut waiting = Vec::new();
    for step in exchange["steps"].as_array().unwrap() {
        let name = format!("{}, at {}", exchange["name"], step["at"]);
        let now = ms(number(step, "at") as u64);
        let conn = ConnectionId(number(step, "connection") as u64);
        let storage = step["storage"].as_str().unwrap_or_default();
        if step["begins"] == true {
            s.payee.connected(now, conn, info(2), s.price);
        } else if step["ends"] == true {
            s.payee.disconnected(now, conn);
        } else if let Some(said) = step.get("buyer") {
            let message = PayMessage::decode(&raw(text(said, "hex"))).unwrap();
            let message = message.unwrap();
            assert_eq!(fields(&message), *said, "{name}");
            let message = with_quote(message, |id| s.quote ^ id ^ QUOTE);
            s.payee.message(now, conn, message);
        } else if step.get("blocks").is_some() {
            let blocks = number(step, "blocks") as u32;
            assert_eq!(s.write(now, conn, blocks), blocks, "{name}");
        } else if storage == "fails" {
            for effect in waiting.drain(..) {
                s.payee.stored(now, effect, false);
            }
        } else {
            s.payee.tick(now);
        }
        let sent = answers(&mut s, now, (storage == "waits").then_some(&mut waiting));
        assert!(sent.iter().all(|(to, _)| *to == conn), "{name}: {sent:?}");
        let sent: Vec<Value> = sent
            .into_iter()
            .map(|(_, message)| fields(&with_quote(message, |_| QUOTE)))
            .collect();
        let expected = step.get("seller").cloned().unwrap_or(json!([]));
        assert_eq!(json!(sent), expected, "{name}");
    }
}

/// What the seller sends; its effects are answered at once, but for records where they wait.
fn answers(
    s: &mut Selling,
    now: Timestamp,
    mut waiting: Option<&mut Vec<PayEffect>>,
) -> Vec<(ConnectionId, PayMessage)> {
    let mut sent = Vec::new();
    loop {
        s.payee.end_of_batch(now);
        let (mut done, mut is_quiet) = (Done::default(), true);
        while let Some(action) = s.payee.poll() {
            is_quiet = false;
            done.take(action, &mut s.store);
        }
        for (to, message) in done.sent {
            if let PayMessage::Terms(terms) = &message {
                s.quote = terms.quote_id;
            }
            sent.push((to, message));
        }
        for effect in done.puts {
            match &mut waiting {
                Some(waiting) => waiting.push(effect),
                None => s.payee.stored(now, effect, true),
            }
        }
        for (effect, _) in done.reads {
            s.payee.chain_state(now, effect, Ok(s.state));
        }
        if is_quiet {
            return sent;
        }
    }
}

fn with_quote(message: PayMessage, id: impl Fn(u32) -> u32) -> PayMessage {
    match message {
        PayMessage::Terms(terms) => PayMessage::Terms(Terms {
            quote_id: id(terms.quote_id),
            ..terms
        }),
        PayMessage::Commit { quote_id, voucher } => PayMessage::Commit {
            quote_id: id(quote_id),
            voucher,
        },
        other => other,
    }
}

/// What the chain answers in an exchange, where that is something of its own.
fn read_chain(state: &mut ChainState, given: &Value) {
    for name in given.as_object().unwrap().keys() {
        match name.as_str() {
            "chain_id" => state.chain_id = number(given, name) as u64,
            "known" => state.known = given[name] == true,
            "exit_at" => state.exit_at = number(given, name) as u64,
            "bond" => state.bond = units(given, name),
            "spent_word" => state.spent_word = U256::from(number(given, name)),
            other => panic!("{other}"),
        }
    }
}

// ---- paid_piece.json

/// One step's bytes, a block's included.
fn step_bytes(step: &Value) -> Vec<u8> {
    let mut bytes = raw(text(step, "hex"));
    if let Some(then) = step.get("then") {
        let value = u8::try_from(small(then, "of_value")).unwrap();
        bytes.extend(iter::repeat_n(value, small(then, "bytes").into()));
    }
    bytes
}

fn steps(trace: &Value) -> &[Value] {
    trace["steps"].as_array().unwrap()
}

/// The `pw_pay` messages of one side.
fn pay_messages(trace: &Value, from: &str) -> Vec<PayMessage> {
    let ours = steps(trace)
        .iter()
        .filter(|step| step["from"] == from && step.get("pw_pay").is_some());
    // Length, id 20, the receiver's id for `pw_pay`.
    ours.map(|step| PayMessage::decode(&step_bytes(step)[6..]))
        .map(|read| read.unwrap().unwrap())
        .collect()
}

#[test]
fn each_frame_of_the_paid_piece_is_read_and_written_as_it_stands() {
    let trace = paid_piece();
    for from in ["buyer", "seller"] {
        let ours: Vec<&Value> = steps(&trace)
            .iter()
            .filter(|step| step["from"] == from)
            .collect();
        let mut decoder = Decoder::new();
        for step in &ours {
            decoder.push(Bytes::from(step_bytes(step))).unwrap();
        }
        let hello = decoder.next_handshake().unwrap().unwrap();
        assert_eq!(hello.info_hash.to_hex(), text(&trace, "info_hash"));
        assert_eq!(hello.encode()[..], step_bytes(ours[0])[..]);
        for step in &ours[1..] {
            let message = decoder.next_message().unwrap().unwrap();
            assert_eq!(message.to_bytes(), step_bytes(step), "{}", step["what"]);
            let (Message::Extended { id, payload }, Some(shown)) = (&message, step.get("pw_pay"))
            else {
                continue;
            };
            // Each side's messages carry the id that the other gave.
            assert_eq!(*id, if from == "buyer" { 2 } else { 7 });
            let mut read = fields(&PayMessage::decode(payload).unwrap().unwrap());
            read.as_object_mut().unwrap().remove("hex");
            assert_eq!(read, *shown, "{}", step["what"]);
        }
        assert_eq!(decoder.next_message(), Ok(None));
    }
}

#[test]
fn our_seller_takes_the_paid_pieces_buyer_and_answers_as_it_is_written() {
    let trace = paid_piece();
    let answers = pay_messages(&trace, "seller");
    let [PayMessage::Terms(terms), opened, paid] = answers[..] else {
        panic!("TERMS and two ACKs: {answers:?}");
    };
    let said = pay_messages(&trace, "buyer");
    let [PayMessage::Commit { voucher, .. }, pay, bye] = said[..] else {
        panic!("COMMIT, PAY and BYE: {said:?}");
    };
    let mut s = Selling::with(|config| {
        config.payee = terms.payee;
        config.credit = Credit {
            first: terms.credit0,
            most: terms.credit_max,
            ramp: terms.ramp,
        };
    });
    s.price = terms.unit;
    assert_eq!(vault().address, address(&trace, "vault"));
    assert_eq!(s.state.balance, units(&trace, "balance"));
    assert_eq!(s.state.bond, units(&trace, "bond"));
    assert_eq!(s.state.tranche, units(&trace, "tranche"));

    // A quote's id is random.
    let quoted = s.connect(ms(0), A);
    let quote_id = s.quote;
    let terms = PayMessage::Terms(Terms { quote_id, ..terms });
    assert_eq!(quoted.sent, [(A, terms)]);
    let done = s.say(ms(1), A, PayMessage::Commit { quote_id, voucher });
    assert_eq!(done.order, ["put", "ack", "unchoke"]);
    assert_eq!(done.sent, [(A, opened)]);
    assert_eq!(s.write(ms(2), A, 4), 4);
    // An ACK that brings no other credit waits.
    assert!(s.say(ms(3), A, pay).sent.is_empty());
    s.payee.tick(ms(200));
    assert_eq!(s.run(ms(200)).sent, [(A, paid)]);
    assert_eq!(
        s.payee.totals().redeemable,
        units(&trace, "due_token_units")
    );
    assert_eq!(s.say(ms(201), A, bye).order, ["choke"]);
}

#[test]
fn our_buyer_takes_the_paid_pieces_terms_and_promises_as_it_is_written() {
    let trace = paid_piece();
    let (answers, said) = (
        pay_messages(&trace, "seller"),
        pay_messages(&trace, "buyer"),
    );
    let (PayMessage::Terms(terms), PayMessage::Commit { voucher, .. }) = (answers[0], said[0])
    else {
        panic!("TERMS and COMMIT: {answers:?}, {said:?}");
    };
    let mut b = Buying::new();
    b.payer.set_ceiling(ms(0), terms.unit);
    b.payer.connected(ms(0), A, info(1));
    let title = V1;
    b.payer.want(ms(0), A, title, true, terms.unit);
    let ours = b.say(ms(0), A, PayMessage::Terms(terms)).commit();
    // The chain, and so root and signature, are the buyer's own; its next serial is the first that there is.
    let expected = VoucherBody {
        first: 1,
        root: ours.root,
        r: ours.r,
        vs: ours.vs,
        ..voucher
    };
    assert_eq!(ours, expected);
}
