//! Which files of a torrent are fetched, and which first (BEP 53).
//!
//! A piece belongs to each file that has bytes in it, and the highest of their priorities is its own: a piece that a
//! selected file shares with its neighbour is fetched, and the neighbour's bytes in it go where its other bytes would.
//! A choice that was made is on record, and a later run goes by it.

use core::ops::RangeInclusive;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Content, Context, EffectOwner, Torrent, record_key};
use crate::bitfield::Bitfield;
use crate::io::Priority;
use crate::metainfo::Metainfo;
use crate::picker::Wanted;
use crate::types::Durability;

const VERSION: u8 = 1;

/// A priority for each file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    files: Vec<Priority>,
}

impl Selection {
    /// These files alone; those that are not in the torrent are passed over.
    fn only(wanted: &[RangeInclusive<u32>], files: usize) -> Selection {
        let named = |at: usize| {
            wanted
                .iter()
                .any(|range| u32::try_from(at).is_ok_and(|at| range.contains(&at)))
        };
        let priority = |at| match named(at) {
            true => Priority::Normal,
            false => Priority::Skip,
        };
        Selection {
            files: (0..files).map(priority).collect(),
        }
    }

    /// The files that a link names, or all if none of them is in the torrent: a link from elsewhere may name any.
    fn of_link(wanted: &[RangeInclusive<u32>], files: usize) -> Selection {
        let mut selection = Selection::only(wanted, files);
        if (selection.files.iter()).all(|priority| *priority == Priority::Skip) {
            selection.files.fill(Priority::Normal);
        }
        selection
    }

    /// Replaces the priority of some files; those that are not there are passed over.
    fn set(&mut self, files: &[u32], priority: Priority) {
        for at in files {
            if let Some(file) = self.files.get_mut(*at as usize) {
                *file = priority;
            }
        }
    }

    /// One for each file, in the torrent's order.
    pub fn priorities(&self) -> &[Priority] {
        &self.files
    }

    fn is_all(&self) -> bool {
        self.files
            .iter()
            .all(|priority| *priority == Priority::Normal)
    }

    /// The pieces of files of this priority or a higher one.
    pub(super) fn pieces(&self, meta: &Metainfo, least: Priority) -> Bitfield {
        let geometry = meta.geometry();
        let chosen = (meta.files.iter().zip(&self.files))
            .filter(|(file, priority)| !file.pad && **priority >= least);
        let mut pieces = Bitfield::empty(geometry.piece_count());
        for (file, _) in chosen {
            for piece in geometry
                .pieces_of(file.offset..file.offset + file.length)
                .iter()
            {
                pieces.insert(piece.0);
            }
        }
        pieces
    }

    /// Shape: version byte, then for each run of files of one priority its length (u32) and the priority (u8).
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        for run in self.files.chunk_by(|a, b| a == b) {
            out.put_u32(run.len() as u32);
            out.put_u8(match run.first() {
                Some(Priority::High) => 2,
                Some(Priority::Normal) => 1,
                _ => 0,
            });
        }
        out.freeze()
    }

    /// Reads a record of a torrent with so many files; `None` if the bytes are none.
    pub fn decode(mut record: &[u8], files: usize) -> Option<Selection> {
        if record.is_empty() || record.get_u8() != VERSION {
            return None;
        }
        let mut selection = Selection { files: Vec::new() };
        while record.len() >= 5 {
            let run = record.get_u32() as usize;
            let priority = match record.get_u8() {
                0 => Priority::Skip,
                1 => Priority::Normal,
                2 => Priority::High,
                _ => return None,
            };
            // No run is empty, and neighbours differ: a selection has one form.
            if run == 0
                || run > files - selection.files.len()
                || selection.files.last() == Some(&priority)
            {
                return None;
            }
            selection
                .files
                .resize(selection.files.len() + run, priority);
        }
        (record.is_empty() && selection.files.len() == files).then_some(selection)
    }
}

impl Content {
    /// What is fetched besides what readers ask for.
    pub(super) fn wanted(&self, on_demand: bool) -> Wanted {
        if on_demand {
            return Wanted::Pieces(Vec::new());
        }
        if self.selected.is_full() {
            return Wanted::All;
        }
        Wanted::Pieces(self.selected.iter().map(|piece| piece..piece + 1).collect())
    }

    /// Bytes of the pieces of selected files, and of those of them that are verified.
    pub(super) fn selected_bytes(&self) -> (u64, u64) {
        let (geometry, verified) = (self.pieces.geometry(), self.pieces.verified());
        if self.selected.is_full() {
            return (geometry.total_length(), verified.bytes());
        }
        let mut sums = (0, 0);
        for piece in self.selected.iter().map(crate::types::PieceIndex) {
            let length = u64::from(geometry.piece_len(piece).unwrap_or(0));
            sums.0 += length;
            sums.1 += if verified.contains(piece) { length } else { 0 };
        }
        sums
    }

    /// Bytes of storage once all that is selected is there: other pieces that are here stay.
    pub(super) fn whole_takes(&self) -> u64 {
        if self.selected.is_full() {
            return self.selected_length;
        }
        let done = self.pieces.done().words().iter().zip(self.selected.words());
        let others: u32 = done
            .map(|(done, selected)| (done & !selected).count_ones())
            .sum();
        let begun = (self.pieces.partials())
            .filter(|(piece, _)| !self.selected.contains(piece.0))
            .count();
        let piece_length = u64::from(self.pieces.geometry().piece_length());
        self.selected_length + (u64::from(others) + begun as u64) * piece_length
    }

    /// Nothing is selected, and nothing is here.
    pub(super) fn is_empty_handed(&self) -> bool {
        self.selected.count() == 0 && self.pieces.verified().bytes() == 0
    }

    /// Bytes of missing pieces that are selected, or that a reader of another file needs. All are missing to who has
    /// nothing and selects nothing, or trackers would count a seed.
    pub(super) fn left(&self) -> u64 {
        let geometry = self.pieces.geometry();
        let verified = self.pieces.verified();
        if self.selected.is_full() || self.is_empty_handed() {
            return geometry.total_length() - verified.bytes();
        }
        let wanted = (self
            .selected
            .words()
            .iter()
            .zip(self.picker.wanted().words()))
        .map(|(a, b)| a | b);
        let wanted = Bitfield::from_words(wanted.collect(), geometry.piece_count());
        (wanted.iter().map(crate::types::PieceIndex))
            .filter(|piece| !verified.contains(*piece))
            .map(|piece| u64::from(geometry.piece_len(piece).unwrap_or(0)))
            .sum()
    }
}

impl Torrent {
    /// The selection to begin with: one that is given, the record's, or that of the link.
    pub(super) fn recall_selection(&self, ctx: &Context, meta: &Metainfo) -> Selection {
        let files = meta.files.len();
        if let Some(given) = self.options.files.as_deref() {
            return Selection::only(given, files);
        }
        let record = ctx.out.record(&record_key(self.info_hash, "files"));
        (record.and_then(|record| Selection::decode(record, files)))
            .unwrap_or_else(|| Selection::of_link(&self.options.select_only, files))
    }

    /// Files are fetched from now on, or not, or first. What is out for the others is taken back.
    pub fn select(&mut self, ctx: &mut Context, files: &[u32], priority: Priority) {
        let Some(content) = &mut self.content else {
            return;
        };
        let before = content.selection.clone();
        content.selection.set(files, priority);
        if content.selection != before {
            self.selection_changed(ctx);
        }
    }

    /// These files alone are fetched; those that are not in the torrent are passed over.
    pub fn select_only(&mut self, ctx: &mut Context, files: Vec<RangeInclusive<u32>>) {
        if let Some(content) = &mut self.content {
            content.selection = Selection::only(&files, content.meta.files.len());
            self.selection_changed(ctx);
        }
        self.options.files = Some(files);
    }

    fn selection_changed(&mut self, ctx: &mut Context) {
        self.record_selection(ctx);
        let whole = !self.options.on_demand && self.over_limit.is_none();
        let Some(content) = &mut self.content else {
            return;
        };
        content.apply_selection();
        let wanted = content.wanted(!whole);
        content.picker.set_wanted(&content.pieces, wanted);
        // A range that is paid in part is finished all the same, because nothing of it could be kept.
        let unwanted = content.picker.withdraw_unwanted(&mut content.pieces);
        for (conn, block) in unwanted {
            self.take_back(ctx, conn, block);
        }
        self.settle_given_up(ctx);
        self.say_if_complete(ctx);
        self.wishes_changed(ctx);
    }

    /// A choice is on record; that of all files needs none.
    pub(super) fn record_selection(&self, ctx: &mut Context) {
        let Some(content) = &self.content else {
            return;
        };
        let key = record_key(self.info_hash, "files");
        // Where a link names some files, all of them are a choice too.
        let none = content.selection.is_all() && self.options.select_only.is_empty();
        let record = (!none).then(|| content.selection.encode());
        if ctx.out.record(&key) != record.as_ref() {
            (ctx.out).put_records(
                EffectOwner::Nobody,
                vec![(key, record)],
                Durability::PowerLoss,
            );
        }
    }

    /// Everything that is selected is here: that is news once.
    pub(super) fn say_if_complete(&mut self, ctx: &mut Context) {
        let Some(content) = &mut self.content else {
            return;
        };
        let complete = content.is_complete();
        let say = complete && !content.complete_said;
        content.complete_said = complete;
        if say {
            self.make_durable_soon();
            ctx.out.event(crate::io::Event::Complete {
                info_hash: self.info_hash,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn priority() -> impl Strategy<Value = Priority> {
        prop_oneof![
            Just(Priority::Skip),
            Just(Priority::Normal),
            Just(Priority::High)
        ]
    }

    #[test]
    fn a_link_selects_the_files_that_it_names_and_all_if_it_names_none_that_are_there() {
        let chosen = |selection: Selection| {
            let selected = |at: &usize| selection.priorities()[*at] != Priority::Skip;
            (0..5).filter(selected).collect::<Vec<_>>()
        };
        let of = |wanted: &[RangeInclusive<u32>]| chosen(Selection::of_link(wanted, 5));
        assert_eq!(of(&[0..=0, 2..=3]), [0, 2, 3]);
        assert_eq!(of(&[3..=u32::MAX]), [3, 4]);
        assert_eq!(of(&[5..=9]), [0, 1, 2, 3, 4]);
        assert_eq!(of(&[]), [0, 1, 2, 3, 4]);
        // Who chooses by hand may choose none.
        let only = |wanted: &[RangeInclusive<u32>]| chosen(Selection::only(wanted, 5));
        assert_eq!(only(&[0..=0, 2..=9]), [0, 2, 3, 4]);
        assert_eq!(only(&[5..=9]), [0; 0]);
        assert_eq!(only(&[]), [0; 0]);
    }

    proptest! {
        #[test]
        fn a_record_says_what_was_chosen(files in proptest::collection::vec(priority(), 0..40)) {
            let selection = Selection { files };
            let count = selection.files.len();
            let record = selection.encode();
            prop_assert_eq!(Selection::decode(&record, count), Some(selection));
            prop_assert_eq!(Selection::decode(&record, count + 1), None);
            prop_assert_eq!(Selection::decode(&record[..record.len() - 1], count), None);
        }

        #[test]
        fn any_bytes_are_a_record_in_its_one_form_or_none(
            bytes in proptest::collection::vec(0u8..4, 0..24),
            files in 0usize..9,
        ) {
            if let Some(selection) = Selection::decode(&bytes, files) {
                prop_assert_eq!(&selection.encode()[..], &bytes[..]);
            }
        }
    }
}
