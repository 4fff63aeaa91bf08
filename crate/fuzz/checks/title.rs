//! A signed title of anybody: out of a torrent, or from a peer.

use piecework::metainfo::MAX_TITLE_LEN;
use piecework::title::{BPS, MAX_TEXT, SignedTitle};
use piecework::types::is_shown;

/// What is read is within its bounds, shows nothing that a terminal obeys, and is read the same when it is written.
/// Whether its signature fits, its own content says, and no other; a changed word spoils it.
pub fn title(data: &[u8]) {
    let Ok(signed) = SignedTitle::from_bytes(data) else {
        return;
    };
    assert!(data.len() <= MAX_TITLE_LEN);
    let title = &signed.title;
    assert!(title.bps <= BPS && !title.name.is_empty());
    for text in [&title.name, &title.licence] {
        assert!(text.len() <= MAX_TEXT && text.chars().all(is_shown));
    }
    let written = signed.to_bytes();
    assert!(written.len() <= MAX_TITLE_LEN);
    assert_eq!(SignedTitle::from_bytes(&written).as_ref(), Ok(&signed));

    let fits = |signed: &SignedTitle| {
        let title = &signed.title;
        signed.check(title.info_hash, title.length, None).is_ok()
    };
    if fits(&signed) {
        let mut other = signed.clone();
        other.title.created ^= 1;
        assert!(!fits(&other));
        assert_ne!(other.title.struct_hash(), title.struct_hash());
        assert_eq!(other.title.id(), title.id());
    }
    let (hash, length) = (title.info_hash, title.length);
    assert!(signed.check(hash, length.wrapping_add(1), None).is_err());
    let mut by = title.publisher.into_array();
    by[0] ^= 1;
    assert!(signed.check(hash, length, Some(by.into())).is_err());
}
