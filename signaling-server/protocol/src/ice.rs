//! STUN and TURN servers that a server names to its peers: an optional part of the reply to an announce.
//!
//! ```json
//! "ice_servers": [{"urls": ["turn:turn.example:3478"], "username": "...", "credential": "..."}],
//! "ice_servers_ttl": 3600
//! ```
//!
//! The entries have the form of WebRTC's `RTCIceServer`. `ice_servers_ttl` is in seconds from the reply's arrival. A
//! client that does not know the two fields passes over them.

use crate::json;
use crate::lenient::{Field, Leaf};
use crate::reader::{NotJson, Reader};
use std::fmt;

/// Servers kept of one reply; further ones are left out.
pub const MAX_ICE_SERVERS: usize = 4;

/// Addresses kept of one server; further ones are left out.
pub const MAX_ICE_URLS: usize = 4;

/// Longest address, user name and credential, in bytes. A server with a longer one is left out.
pub const MAX_ICE_TEXT_LEN: usize = 256;

/// Longest time for which a client relies on the servers of one reply, seconds; a longer one is cut.
pub const MAX_ICE_TTL_SECS: u64 = 24 * 3600;

/// One STUN or TURN server with its addresses.
#[derive(Clone, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:HOST[:PORT]`, `turn:HOST[:PORT][?transport=udp|tcp]`, `turns:...` (RFC 7064, 7065); at least one.
    pub urls: Vec<String>,
    /// Of TURN; empty for STUN.
    pub username: String,
    /// Of TURN; empty for STUN.
    pub credential: String,
}

// The credential is a secret.
impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

/// The servers of one reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceServers {
    /// At least one and at most [`MAX_ICE_SERVERS`].
    pub servers: Vec<IceServer>,
    /// Seconds from now on in which they may be used; at most [`MAX_ICE_TTL_SECS`] and above 0.
    pub ttl_secs: u64,
}

/// Whether an address has one of the four schemes and a host, in printable ASCII without blanks and user names.
pub fn is_ice_url(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once(':') else {
        return false;
    };
    let host = rest.split('?').next().unwrap_or_default();
    matches!(scheme, "stun" | "stuns" | "turn" | "turns")
        && !host.is_empty()
        && url.len() <= MAX_ICE_TEXT_LEN
        && (rest.bytes()).all(|byte| byte.is_ascii_graphic() && !b"@/#\"\\".contains(&byte))
}

/// Appends the two members of a reply, each after a comma.
pub(crate) fn push(out: &mut String, ice: &IceServers) {
    out.push_str(",\"ice_servers\":[");
    for (i, server) in ice.servers.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str("{\"urls\":[");
        for (i, url) in server.urls.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            json::push_str(out, url);
        }
        out.push(']');
        if !server.username.is_empty() {
            out.push_str(",\"username\":");
            json::push_str(out, &server.username);
            out.push_str(",\"credential\":");
            json::push_str(out, &server.credential);
        }
        out.push('}');
    }
    out.push_str("],\"ice_servers_ttl\":");
    json::push_number(out, ice.ttl_secs);
}

/// The two fields of a reply, as far as they were found.
#[derive(Default)]
pub(crate) struct IceFields {
    servers: Vec<IceServer>,
    pub(crate) ttl: Field<u64>,
}

struct Text(String);

impl Leaf for Text {
    fn from_str(s: &str) -> Option<Self> {
        (s.len() <= MAX_ICE_TEXT_LEN).then(|| Text(s.to_owned()))
    }
}

impl IceFields {
    /// Reads `ice_servers`. Of two in one message the later counts.
    pub(crate) fn read_servers(&mut self, reader: &mut Reader<'_>) -> Result<(), NotJson> {
        self.servers.clear();
        reader.array(&mut |reader| {
            if let Some(server) = read_server(reader)?
                && self.servers.len() < MAX_ICE_SERVERS
            {
                self.servers.push(server);
            }
            Ok(())
        })?;
        Ok(())
    }

    /// `None`: no server that could be used, or no time for which it could be.
    pub(crate) fn ok(self) -> Option<IceServers> {
        let ttl_secs = self.ttl.ok().filter(|ttl| *ttl > 0)?;
        (!self.servers.is_empty()).then_some(IceServers {
            servers: self.servers,
            ttl_secs: ttl_secs.min(MAX_ICE_TTL_SECS),
        })
    }
}

/// `None`: it has no address that can be used, or a TURN address and no name.
fn read_server(reader: &mut Reader<'_>) -> Result<Option<IceServer>, NotJson> {
    let (mut urls, mut username, mut credential) = (Vec::new(), Field::Absent, Field::Absent);
    reader.object(&mut |reader, key| {
        match key {
            "urls" => {
                urls.clear();
                reader.array(&mut |reader| {
                    if let Field::Is(Text(url)) = reader.leaf()?
                        && is_ice_url(&url)
                        && urls.len() < MAX_ICE_URLS
                    {
                        urls.push(url);
                    }
                    Ok(())
                })?;
            }
            "username" => username = reader.leaf::<Text>()?,
            "credential" => credential = reader.leaf::<Text>()?,
            _ => {
                reader.literal()?;
            }
        }
        Ok(())
    })?;
    let text = |field: Field<Text>| field.ok().map_or(String::new(), |Text(text)| text);
    let (mut username, mut credential) = (text(username), text(credential));
    let is_turn = urls.iter().any(|url| url.starts_with("turn"));
    if !is_turn || username.is_empty() || credential.is_empty() {
        urls.retain(|url| url.starts_with("stun"));
        (username, credential) = (String::new(), String::new());
    }
    Ok((!urls.is_empty()).then_some(IceServer {
        urls,
        username,
        credential,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Response};

    const HASH: &str = "aaaaaaaaaaaaaaaaaaaa";

    fn read(fields: &str) -> Option<IceServers> {
        let text = format!("{{\"action\":\"announce\",\"info_hash\":\"{HASH}\",{fields}}}");
        match Response::parse(&text, Limits::default()) {
            Ok(Response::Announce(reply)) => reply.ice,
            other => panic!("{text} is read as {other:?}"),
        }
    }

    #[test]
    fn servers_are_read_with_their_names_and_their_time() {
        let ice = read(
            "\"ice_servers\":[{\"urls\":[\"stun:s.example:3478\"]},{\"urls\":[\"turn:t.example?transport=udp\",\
             \"turns:t.example:443?transport=tcp\"],\"username\":\"1:a\",\"credential\":\"c\\u003d\"}],\
             \"ice_servers_ttl\":60",
        )
        .unwrap();
        assert_eq!(ice.ttl_secs, 60);
        assert_eq!(ice.servers[0].urls, ["stun:s.example:3478"]);
        assert_eq!(ice.servers[1].urls.len(), 2);
        assert_eq!(ice.servers[1].username, "1:a");
        assert_eq!(ice.servers[1].credential, "c=");
    }

    #[test]
    fn what_cannot_be_used_is_left_out_and_the_reply_is_still_read() {
        for fields in [
            "\"ice_servers\":[{\"urls\":[\"stun:s\"]}]",
            "\"ice_servers\":[{\"urls\":[\"stun:s\"]}],\"ice_servers_ttl\":0",
            "\"ice_servers\":[{\"urls\":[\"stun:s\"]}],\"ice_servers_ttl\":\"60\"",
            "\"ice_servers\":[],\"ice_servers_ttl\":60",
            "\"ice_servers\":\"stun:s\",\"ice_servers_ttl\":60",
            "\"ice_servers\":[{\"urls\":\"stun:s\"},7,null,[[]]],\"ice_servers_ttl\":60",
            "\"ice_servers\":[{\"urls\":[\"turn:t\"]}],\"ice_servers_ttl\":60",
            "\"ice_servers\":[{\"urls\":[\"turn:t\"],\"username\":\"u\"}],\"ice_servers_ttl\":60",
            "\"ice_servers\":[{\"urls\":[\"http://t\",\"turn:\",\"turn:?x\",\"stun:u@h\",\"stun:a b\",\"stun\"]}],\
             \"ice_servers_ttl\":60",
        ] {
            assert_eq!(read(fields), None, "{fields}");
        }
    }

    #[test]
    fn a_server_cannot_make_a_client_keep_more_than_the_bounds() {
        let long = "x".repeat(MAX_ICE_TEXT_LEN);
        let url = "\"stun:s\",".repeat(50);
        let server =
            format!("{{\"urls\":[\"stun:{long}\",{url}\"stun:s\"],\"username\":\"{long}y\"}},");
        let fields = format!(
            "\"ice_servers\":[{}{{}}],\"ice_servers_ttl\":99999999",
            server.repeat(20)
        );
        let ice = read(&fields).unwrap();
        assert_eq!(ice.ttl_secs, MAX_ICE_TTL_SECS);
        assert_eq!(ice.servers.len(), MAX_ICE_SERVERS);
        for server in ice.servers {
            assert_eq!(server.urls, vec!["stun:s"; MAX_ICE_URLS]);
            assert_eq!(server.username, "");
        }
    }

    #[test]
    fn no_credential_is_shown_in_a_log() {
        let server = IceServer {
            urls: vec!["turn:t".to_owned()],
            username: "name".to_owned(),
            credential: "secret".to_owned(),
        };
        assert!(!format!("{server:?}").contains("secret"));
    }
}
