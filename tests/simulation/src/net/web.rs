//! Requests to web servers, and their answers.

use core::ops::RangeInclusive;

use piecework::client::{Input, WebSeedHead};
use piecework::time::{Duration, Timestamp};
use piecework::types::WebRequestId;

use super::{SimNet, What};
use crate::node::NodeId;
use crate::web::{Serves, WebServer};

/// Bytes of the body that arrive together.
const PART: u64 = 10_000;

impl SimNet {
    /// Puts a web server at a URL, without a slash at its end.
    pub fn web_server(&mut self, url: &str, server: WebServer) {
        self.web.insert(url.to_owned(), server);
    }

    /// The server answers so from now on.
    pub fn set_serves(&mut self, url: &str, serves: Serves) {
        self.web.get_mut(url).expect("a web server").serves = serves;
    }

    /// Bytes of bodies that a web server sent.
    pub fn web_sent(&self, url: &str) -> u64 {
        self.web[url].sent
    }

    /// When a web server was asked for something.
    pub fn web_asked(&self, url: &str) -> &[Timestamp] {
        &self.web[url].asked
    }

    pub(super) fn web_get(
        &mut self,
        id: NodeId,
        request: WebRequestId,
        url: &str,
        range: RangeInclusive<u64>,
        _given: bool,
    ) {
        let now = self.now;
        let life = self.nodes[id.0].life;
        self.nodes[id.0].web.insert(request);
        let there = self.latency();
        let back = self.latency();
        let found = self.web.iter_mut().find_map(|(base, server)| {
            let rest = url.strip_prefix(base.as_str())?;
            Some((file_of(server, rest), base.clone(), server))
        });
        let Some((file, base, server)) = found else {
            let error = Some("could not be asked: no such host".to_owned());
            let input = Input::WebSeedEnd { request, error };
            return self.schedule(there + back, What::Input(id, life, input));
        };
        server.asked.push(now);
        let Some(file) = file else {
            return self.answer(id, request, &base, there + back, (status(404, None), &[]));
        };
        let length = server.content.metainfo.files[file as usize].length;
        let (first, last) = (*range.start(), *range.end());
        assert!(last < length, "past the end of the file");
        let said = |first, last| WebSeedHead {
            status: 206,
            content_range: Some(format!("bytes {first}-{last}/{length}")),
            ..WebSeedHead::default()
        };
        let (head, first, count) = match server.serves.clone() {
            Serves::Nothing => return,
            Serves::Status(code, after) => (status(code, after), 0, 0),
            Serves::WholeFiles => (status(200, None), 0, length),
            Serves::OtherRange => (said(first + 1, last + 1), first, last + 1 - first),
            Serves::Without(files) if files.contains(&file) => (status(404, None), 0, 0),
            Serves::Length(more) => {
                let count = (last + 1 - first).saturating_add_signed(more);
                (said(first, last), first, count)
            }
            _ => (said(first, last), first, last + 1 - first),
        };
        let at = server.content.metainfo.files[file as usize].offset + first;
        let all = &server.content.bytes[at as usize..];
        let count = count as usize;
        let mut body = all[..count.min(all.len())].to_vec();
        body.resize(count, 0);
        if let Serves::Wrong(blocks) = &server.serves {
            for (n, byte) in (at..).zip(&mut body) {
                *byte ^= u8::from(n % 16_384 == 77 && blocks.contains(&(n / 16_384)));
            }
        }
        self.answer(id, request, &base, there + back, (head, &body));
    }

    fn answer(
        &mut self,
        id: NodeId,
        request: WebRequestId,
        url: &str,
        after: Duration,
        (head, body): (WebSeedHead, &[u8]),
    ) {
        let life = self.nodes[id.0].life;
        let input = Input::WebSeedHead { request, head };
        self.schedule(after, What::Input(id, life, input));
        self.schedule(
            after,
            What::WebBody(id, life, request, body.to_vec().into(), url.to_owned()),
        );
    }

    /// The next part of a body leaves the server, if anybody still wants it.
    pub(super) fn web_body(
        &mut self,
        id: NodeId,
        life: u64,
        request: WebRequestId,
        mut body: bytes::Bytes,
        url: &str,
    ) {
        let now = self.now;
        if !self.lives(id, life) || !self.nodes[id.0].web.contains(&request) {
            return;
        }
        if body.is_empty() {
            let input = Input::WebSeedEnd {
                request,
                error: None,
            };
            return self.late_input(id, life, input);
        }
        let server = self.web.get_mut(url).expect("a web server");
        let part = body.split_to(body.len().min(PART as usize));
        server.sent += part.len() as u64;
        let at = server.takes(now, part.len() as u64);
        let bytes = part;
        let input = Input::WebSeedBytes { request, bytes };
        self.schedule_at(at, What::Input(id, life, input));
        self.schedule_at(at, What::WebBody(id, life, request, body, url.to_owned()));
    }
}

fn status(status: u16, retry_after: Option<u64>) -> WebSeedHead {
    WebSeedHead {
        status,
        retry_after: retry_after.map(|seconds| seconds.to_string()),
        ..WebSeedHead::default()
    }
}

/// The file that lies at this place below the server's URL (BEP 19).
fn file_of(server: &WebServer, rest: &str) -> Option<u32> {
    let meta = &server.content.metainfo;
    if !meta.multi_file && rest.is_empty() {
        return Some(0);
    }
    let path = rest.strip_prefix('/')?.replace("%20", " ");
    let at = meta.files.iter().position(|f| f.path.to_string() == path)?;
    Some(at as u32)
}
