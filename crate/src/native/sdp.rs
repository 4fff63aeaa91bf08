//! The few lines of a session description that we change on its way in or out.
//!
//! Owns the choice of the candidates that are shown and of those that are believed. Never parses more than candidate
//! lines (RFC 8839, section 5.1); everything else passes through as it is.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

const CANDIDATE: &str = "a=candidate:";
/// Most candidates taken from a remote description; the rest is dropped. Each makes us send eight checks of some 130
/// bytes from each of our addresses to any address that a stranger names (RFC 8445, section 19.5.1).
pub const MAX_REMOTE_CANDIDATES: usize = 32;
/// Most candidates with one address: a machine has one for itself, and one for each way through its relay.
pub const MAX_PER_ADDRESS: usize = 4;

/// A remote description without candidates that have a name instead of an address.
///
/// Browsers hide host addresses behind mDNS names. Nobody needs them: our own addresses are in the description that the
/// browser has, and its first check shows us its address.
pub fn without_unresolvable(sdp: &str) -> String {
    let mut taken = Vec::new();
    rebuild(sdp, |line, out| {
        match Candidate::parse(line) {
            None if line.starts_with(CANDIDATE) => return,
            Some(candidate) => {
                let Some(ip) = candidate.ip.map(|ip| ip.to_canonical()) else {
                    return;
                };
                let same = taken.iter().filter(|other| **other == ip).count();
                if taken.len() >= MAX_REMOTE_CANDIDATES || same >= MAX_PER_ADDRESS {
                    return;
                }
                taken.push(ip);
            }
            None => {}
        }
        out.push(line.to_owned());
    })
}

/// A local description as others should see it: with the external address beside each host address of its family, the
/// fixed port for the ports behind it, and no candidate that nobody can reach.
pub fn as_advertised(sdp: &str, external_ip: Option<IpAddr>, port: Option<u16>) -> String {
    let mut seen = HashSet::new();
    rebuild(sdp, |line, out| {
        let Some(mut candidate) = Candidate::parse(line) else {
            out.push(line.to_owned());
            return;
        };
        let Some(ip) = candidate.ip else {
            return;
        };
        if ip.is_unspecified() {
            return;
        }
        if let Some(port) = port {
            match candidate.typ {
                "host" => candidate.port = port,
                // The relay's own port is the relay's.
                "srflx" => candidate.set_related_port(port),
                _ => {}
            }
        }
        if !seen.insert((candidate.typ.to_owned(), ip, candidate.port)) {
            return;
        }
        out.push(candidate.to_line());
        let Some(external) = external_ip else {
            return;
        };
        let same_family = external.is_ipv4() == ip.is_ipv4();
        if candidate.typ == "host"
            && same_family
            && !ip.is_loopback()
            && seen.insert(("host".to_owned(), external, candidate.port))
        {
            candidate.foundation = format!("x{}", candidate.foundation);
            candidate.priority = candidate.priority.saturating_sub(1);
            candidate.address = external.to_string();
            out.push(candidate.to_line());
        }
    })
}

/// The addresses that a description names, each once.
pub fn addresses(sdp: &str) -> BTreeSet<IpAddr> {
    let candidates = sdp.lines().filter_map(Candidate::parse);
    candidates.filter_map(|it| it.ip).collect()
}

fn rebuild(sdp: &str, mut each: impl FnMut(&str, &mut Vec<String>)) -> String {
    let mut lines = Vec::new();
    for line in sdp.lines() {
        each(line.trim_end(), &mut lines);
    }
    lines.iter().flat_map(|line| [line, "\r\n"]).collect()
}

/// `a=candidate:foundation component transport priority address port typ type ...`
struct Candidate<'a> {
    foundation: String,
    component: &'a str,
    transport: &'a str,
    priority: u32,
    address: String,
    ip: Option<IpAddr>,
    port: u16,
    typ: &'a str,
    rest: Vec<String>,
}

impl<'a> Candidate<'a> {
    fn parse(line: &'a str) -> Option<Candidate<'a>> {
        let mut fields = line.strip_prefix(CANDIDATE)?.split(' ');
        let foundation = fields.next()?.to_owned();
        let component = fields.next()?;
        let transport = fields.next()?;
        let priority = fields.next()?.parse().ok()?;
        let address = fields.next()?.to_owned();
        let port = fields.next()?.parse().ok()?;
        if fields.next()? != "typ" {
            return None;
        }
        Some(Candidate {
            foundation,
            component,
            transport,
            priority,
            ip: address.parse().ok(),
            address,
            port,
            typ: fields.next()?,
            rest: fields.map(str::to_owned).collect(),
        })
    }

    fn set_related_port(&mut self, port: u16) {
        let at = self.rest.iter().position(|field| field == "rport");
        if let Some(value) = at.and_then(|at| self.rest.get_mut(at + 1)) {
            *value = port.to_string();
        }
    }

    fn to_line(&self) -> String {
        let mut line = format!(
            "{CANDIDATE}{} {} {} {} {} {} typ {}",
            self.foundation,
            self.component,
            self.transport,
            self.priority,
            self.address,
            self.port,
            self.typ
        );
        for field in &self.rest {
            line.push(' ');
            line.push_str(field);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
        a=candidate:1 1 udp 2130706431 10.0.0.5 40001 typ host\r\n\
        a=candidate:2 1 udp 2130706430 0.0.0.0 40002 typ host\r\n\
        a=candidate:3 1 udp 1694498815 203.0.113.9 50000 typ srflx raddr 10.0.0.5 rport 40001\r\n\
        a=candidate:4 1 udp 2113937151 0b3b7a1c-0000-4000-8000-000000000000.local 50001 typ host\r\n\
        a=candidate:5 1 udp 2130706431 127.0.0.1 40003 typ host\r\n\
        a=end-of-candidates\r\n";

    #[test]
    fn names_are_dropped_from_a_remote_description_and_the_rest_stays() {
        let out = without_unresolvable(SDP);
        assert!(!out.contains(".local"));
        assert_eq!(out.matches(CANDIDATE).count(), 4);
        assert!(out.contains("a=end-of-candidates\r\n"));
        assert!(out.starts_with("v=0\r\n"));
    }

    #[test]
    fn a_remote_description_cannot_bring_any_number_of_candidates() {
        let count = |ip: &dyn Fn(usize) -> String| {
            let line =
                |i: usize| format!("a=candidate:1 1 udp 1 {} {} typ host\r\n", ip(i), 4000 + i);
            let sdp: String = (0..1000).map(line).collect();
            without_unresolvable(&sdp).matches(CANDIDATE).count()
        };
        // Of many machines, and of one: the machine that is named here need not be the sender.
        assert_eq!(
            count(&|i| format!("10.0.{}.{}", i / 250, i % 250)),
            MAX_REMOTE_CANDIDATES
        );
        assert_eq!(count(&|_| "10.0.0.5".to_owned()), MAX_PER_ADDRESS);
        let mapped = |i: usize| ["10.0.0.5", "::ffff:10.0.0.5"][i % 2].to_owned();
        assert_eq!(count(&mapped), MAX_PER_ADDRESS);
    }

    #[test]
    fn names_take_no_place_of_addresses() {
        let name =
            "a=candidate:4 1 udp 1 0b3b7a1c-0000-4000-8000-000000000000.local 5 typ host\r\n";
        let out = without_unresolvable(&(name.repeat(1000) + SDP));
        assert_eq!(out.matches(CANDIDATE).count(), 4);
    }

    #[test]
    fn the_external_address_and_the_fixed_port_are_advertised() {
        let out = as_advertised(SDP, Some("198.51.100.7".parse().unwrap()), Some(7000));
        let lines: Vec<&str> = out.lines().filter(|l| l.starts_with(CANDIDATE)).collect();
        assert_eq!(
            lines,
            [
                "a=candidate:1 1 udp 2130706431 10.0.0.5 7000 typ host",
                "a=candidate:x1 1 udp 2130706430 198.51.100.7 7000 typ host",
                "a=candidate:3 1 udp 1694498815 203.0.113.9 50000 typ srflx raddr 10.0.0.5 rport 7000",
                "a=candidate:5 1 udp 2130706431 127.0.0.1 7000 typ host",
            ]
        );
    }

    #[test]
    fn without_settings_only_the_unreachable_is_dropped() {
        let out = as_advertised(SDP, None, None);
        assert_eq!(out.matches(CANDIDATE).count(), 3);
        assert!(out.contains("10.0.0.5 40001 typ host\r\n"));
    }
}
