//! The native edge's reading of session descriptions and of datagrams on its one port.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use piecework::native::sdp::{MAX_REMOTE_CANDIDATES, as_advertised, without_unresolvable};
use piecework::native::udp_routes::{
    Class, MAX_ADDRESSES, MAX_TRANSACTIONS, Routes, Stun, is_for_turn,
};

use super::choices::Choices;

/// Descriptions lose candidates and nothing else; an address belongs to who proved it first. The first byte
/// of the input chooses what it is.
pub fn network(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else {
        return;
    };
    match kind % 3 {
        0 => description(&String::from_utf8_lossy(body)),
        1 => stun(body),
        _ => port(&mut Choices::new(body)),
    }
}

fn candidates(sdp: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = sdp.lines().filter(|line| line.starts_with("a=candidate:"));
    lines.map(|line| line.split(' ').collect())
}

fn others(sdp: &str) -> impl Iterator<Item = &str> {
    let lines = sdp.lines().map(str::trim_end);
    lines.filter(|line| !line.starts_with("a=candidate:"))
}

fn description(sdp: &str) {
    let remote = without_unresolvable(sdp);
    assert!(candidates(&remote).count() <= MAX_REMOTE_CANDIDATES);
    for fields in candidates(&remote) {
        assert!(fields[4].parse::<IpAddr>().is_ok(), "{fields:?}");
    }
    assert!(others(&remote).eq(others(sdp)));
    assert_eq!(without_unresolvable(&remote), remote);

    let external: IpAddr = [198, 51, 100, 7].into();
    for (external, port) in [(None, None), (Some(external), Some(7000))] {
        let ours = as_advertised(&remote, external, port);
        let known = candidates(&remote).count();
        assert!(candidates(&ours).count() <= 2 * known);
        for fields in candidates(&ours) {
            let address: IpAddr = fields[4].parse().unwrap_or_else(|_| panic!("{fields:?}"));
            assert!(!address.is_unspecified());
            if fields[7] == "host" && port.is_some() {
                assert_eq!(fields[5], "7000");
            }
        }
        assert!(others(&ours).eq(others(&remote)));
    }
}

fn stun(datagram: &[u8]) {
    let Some(stun) = Stun::parse(datagram) else {
        return;
    };
    assert_eq!(stun.transaction(), datagram[8..20]);
    if let Some(ufrag) = stun.local_ufrag() {
        assert!(ufrag.len() <= datagram.len() - 24);
        assert!(!ufrag.contains(':'));
    }
    // Class and method are all there is in the first 14 bits (RFC 8489, section 5).
    let kind = u16::from_be_bytes([datagram[0], datagram[1]]);
    let method = stun.method();
    let spread = (method & 0x000f) | (method & 0x0070) << 1 | (method & 0x0f80) << 2;
    assert_eq!(kind & !0x0110, spread);
    let class = match kind & 0x0110 {
        0x0000 => Class::Request,
        0x0010 => Class::Indication,
        _ => Class::Response,
    };
    assert_eq!(stun.class(), class);
    // A binding goes to the one port; what a TURN server is told does not.
    if kind >> 8 < 4 {
        assert_eq!(is_for_turn(datagram), method != 1);
    }
}

/// Connections come and go while datagrams arrive; a model knows whose each is.
fn port(choices: &mut Choices<'_>) {
    let mut routes: Routes<u64> = Routes::default();
    let mut alive: Vec<u64> = Vec::new();
    let mut owners: BTreeMap<SocketAddr, u64> = BTreeMap::new();
    let mut next = 0;
    while !choices.is_empty() {
        match choices.below(6) {
            0 if alive.len() < 4 => {
                next += 1;
                routes.insert(next, &format!("u{next}"), next);
                alive.push(next);
            }
            1 if !alive.is_empty() => {
                let key = alive.swap_remove(choices.below(alive.len()));
                routes.remove(key);
                owners.retain(|_, owner| *owner != key);
            }
            2 => {
                if let Some(key) = choices.one(&alive) {
                    routes.note_transaction([choices.byte(); 12], key);
                }
            }
            3 => {
                let from = address(choices);
                let owner = owners.get(&from).copied();
                assert_eq!(routes.route(from, &[22; 40]).copied(), owner);
            }
            4 => {
                let (from, named) = (address(choices), u64::from(choices.byte()) % (next + 2));
                let request = binding(0x0001, choices.byte(), &format!("u{named}:theirs"));
                let expected = alive.contains(&named).then_some(named);
                assert_eq!(routes.route(from, &request).copied(), expected);
                claim(&mut owners, from, expected);
            }
            _ => {
                let from = address(choices);
                let datagram = match choices.below(3) {
                    0 => choices.bytes().to_vec(),
                    1 => binding(0x0101, choices.byte(), ""),
                    _ => binding(choices.u16() & 0x3fff, choices.byte(), "u1"),
                };
                let key = routes.route(from, &datagram).copied();
                assert!(key.is_none_or(|key| alive.contains(&key)), "to the dead");
                if Stun::parse(&datagram).is_some() {
                    claim(&mut owners, from, key);
                } else {
                    assert_eq!(key, owners.get(&from).copied());
                }
            }
        }
        let (addresses, transactions) = routes.remembered();
        assert_eq!(addresses, owners.len());
        assert!(transactions <= MAX_TRANSACTIONS);
    }
}

fn claim(owners: &mut BTreeMap<SocketAddr, u64>, from: SocketAddr, key: Option<u64>) {
    if let Some(key) = key
        && owners.values().filter(|owner| **owner == key).count() < MAX_ADDRESSES
    {
        owners.entry(from).or_insert(key);
    }
}

fn address(choices: &mut Choices<'_>) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], u16::from(choices.byte())))
}

fn binding(kind: u16, transaction: u8, username: &str) -> Vec<u8> {
    let mut attributes = Vec::new();
    if !username.is_empty() {
        attributes.extend_from_slice(&[0, 6, 0, username.len() as u8]);
        attributes.extend_from_slice(username.as_bytes());
        attributes.resize(attributes.len().next_multiple_of(4), 0);
    }
    let mut out = kind.to_be_bytes().to_vec();
    out.extend_from_slice(&(attributes.len() as u16).to_be_bytes());
    out.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
    out.extend_from_slice(&[transaction; 12]);
    out.extend_from_slice(&attributes);
    out
}
