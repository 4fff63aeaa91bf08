//! Digests of pieces whose bytes are known.
//!
//! Nearly all that a client lets its edge hash is a right copy of a piece. To compare it with that piece takes a tenth
//! of the time of SHA-1, and equal bytes have equal digests. Other bytes are hashed.

use std::collections::HashMap;

use bytes::Bytes;
use piecework::types::PieceIndex;
use sha1::{Digest, Sha1};

use crate::content::Content;

/// The first bytes of a piece, by which it is found.
type Head = [u8; 16];

/// The pieces of some contents.
#[derive(Debug, Default)]
pub(crate) struct Digests(HashMap<Head, (Bytes, [u8; 20])>);

impl Digests {
    /// Knows the pieces of this content from now on.
    pub(crate) fn know(&mut self, content: &Content) {
        let length = content.metainfo.piece_length as usize;
        for (index, from) in (0..content.bytes.len()).step_by(length).enumerate() {
            let to = (from + length).min(content.bytes.len());
            let piece = content.bytes.slice(from..to);
            let digest = content.metainfo.piece_hash(PieceIndex(index as u32));
            if let (Some(head), Some(digest)) = (piece.first_chunk(), digest) {
                self.0.insert(*head, (piece, digest));
            }
        }
    }

    /// SHA-1 of these chunks, one after the other.
    pub(crate) fn of(&self, chunks: &[&[u8]]) -> [u8; 20] {
        self.known(chunks).unwrap_or_else(|| {
            let mut hash = Sha1::new();
            chunks.iter().for_each(|chunk| hash.update(chunk));
            hash.finalize().into()
        })
    }

    fn known(&self, chunks: &[&[u8]]) -> Option<[u8; 20]> {
        let (piece, digest) = self.0.get(chunks.first()?.first_chunk::<16>()?)?;
        let mut rest = &piece[..];
        for chunk in chunks {
            rest = rest.strip_prefix(*chunk)?;
        }
        rest.is_empty().then_some(*digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_bytes_whether_they_are_known_or_not() {
        let content = Content::file(7, 100_000, 32 * 1024);
        let mut digests = Digests::default();
        digests.know(&content);
        let sha1 = |bytes: &[u8]| -> [u8; 20] { Sha1::digest(bytes).into() };
        for piece in content.bytes.chunks(32 * 1024) {
            let (head, tail) = piece.split_at(piece.len() / 3);
            assert_eq!(digests.known(&[head, tail]), Some(sha1(piece)));
            let mut wrong = piece.to_vec();
            wrong[piece.len() - 1] ^= 1;
            for other in [&wrong[..], head, tail, &[]] {
                assert_eq!(digests.known(&[other]), None);
                assert_eq!(digests.of(&[other]), sha1(other));
            }
            assert_eq!(digests.of(&[piece, tail]), sha1(&[piece, tail].concat()));
        }
    }
}
