//! The names that a torrent gives its files, as they stand in it.
//!
//! They are strangers' bytes, with one use only: to find data that lies under exactly these names. New files get the
//! safe names of [`super::Metainfo::files`].

use bytes::Bytes;

use super::bencode::{Document, Limits};
use super::{MAX_FILES, read_name, read_path};

/// Components of a path, outermost first; none if the torrent gives no usable path.
pub type RawPath = Vec<Bytes>;

/// The path of every file of an info dictionary, in the order of [`super::Metainfo::files`]; empty if the bytes are no
/// info dictionary.
pub fn raw_paths(info: &Bytes) -> Vec<RawPath> {
    let Ok(document) = Document::parse(info, Limits::TORRENT) else {
        return Vec::new();
    };
    let root = document.root();
    let Some(name) = read_name(root) else {
        return Vec::new();
    };
    let Some(files) = root.get(b"files").and_then(|files| files.as_list()) else {
        return vec![vec![info.slice_ref(name)]];
    };
    files
        .take(MAX_FILES)
        .map(|file| {
            let path = read_path(file, name).ok().flatten().unwrap_or_default();
            path.into_iter().map(|part| info.slice_ref(part)).collect()
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::metainfo::Metainfo;

    #[test]
    fn names_come_as_they_stand_in_the_torrent_beside_the_safe_ones() {
        let hash = "a".repeat(20);
        let torrent = format!(
            "d4:infod5:filesld6:lengthi1e4:pathl4:a?.be10:path.utf-8l3:x:yeed6:lengthi1e4:pathl3:AUXeee4:name2:..12:piece lengthi16384e6:pieces20:{hash}ee"
        );
        let meta = Metainfo::from_torrent(torrent.as_bytes()).unwrap();
        let raw = raw_paths(&meta.info);
        let expected: [&[&[u8]]; 2] = [&[b"..", b"x:y"], &[b"..", b"AUX"]];
        assert_eq!(raw, expected);
        assert_eq!(meta.files[0].path.to_string(), "_/x_y");
        assert_eq!(meta.files[1].path.to_string(), "_/_AUX");
        assert_eq!(
            raw_paths(&Bytes::from_static(b"nonsense")),
            Vec::<RawPath>::new()
        );
    }
}
