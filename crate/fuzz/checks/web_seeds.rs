//! Web seeds: their URLs, and what a server says of a range.

use bytes::Bytes;
use piecework::metainfo::{MAX_URL_LEN, WebSeedUrl};
use piecework::torrent::is_range;

/// The first line is a URL, the second a `Content-Range`, and each of the rest a part of a file's path.
///
/// An accepted URL is its own form, and every file lies below it, on the same host. Of all ranges a header names one at
/// the most.
pub fn web_seeds(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (url, header) = (text(), text());
    let path: Vec<Bytes> = lines.map(Bytes::copy_from_slice).collect();
    let named: Vec<(u64, u64)> = (0..6)
        .flat_map(|first| (first..6).map(move |last| (first, last)))
        .filter(|(first, last)| is_range(&header, *first, *last, 6))
        .collect();
    assert!(named.len() <= 1, "{header:?} names {named:?}");
    let Ok(url) = WebSeedUrl::parse(&url) else {
        return;
    };
    let written = url.as_str();
    assert!(written.starts_with("http://") || written.starts_with("https://"));
    assert!(
        written
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    );
    if written.len() <= MAX_URL_LEN {
        assert_eq!(WebSeedUrl::parse(written).as_ref(), Ok(&url));
    }
    for multi_file in [false, true] {
        let Some(file) = url.of_file(multi_file, &path) else {
            continue;
        };
        let rest = file.strip_prefix(url.origin());
        let rest = rest.unwrap_or_else(|| panic!("{file} is elsewhere"));
        assert!(rest.starts_with('/') && rest.bytes().all(|byte| byte.is_ascii_graphic()));
        let parts: Vec<&str> = rest.split('/').collect();
        let own = written.ends_with('/') || multi_file;
        let below = parts
            .len()
            .checked_sub(path.len())
            .and_then(|at| parts.get(at..));
        if let Some(below) = below.filter(|_| own) {
            assert!(
                !below.iter().any(|part| matches!(*part, "" | "." | "..")),
                "{file}"
            );
        }
    }
}
