//! Taking up a torrent: storage opens, the records are checked against it, the scratch file is read back.

use std::collections::VecDeque;

use bytes::Bytes;

use super::advances::Advancing;
use super::durability::Cycles;
use super::late::Copies;
use super::{Content, Context, EffectOwner, Phase, Purpose, Torrent, record_key, stored_link};
use crate::bitfield::Bitfield;
use crate::io::{CheckExisting, EffectError, EffectResult, Event, StorageOp};
use crate::metainfo::{Geometry, Metainfo, magnet::MAX_MAGNET_LEN};
use crate::paying::Paying;
use crate::payment::payer::Begun;
use crate::picker::Picker;
use crate::pieces::{Pieces, Standing};
use crate::sorted::{Map, Set};
use crate::storage::{HaveRecord, ScratchEntry, decode_have, decode_scratch};
use crate::types::{Durability, PieceIndex};
use rand_core::Rng;

/// Pieces hashed at once while checking.
const CHECKS_AT_ONCE: usize = 4;

impl Torrent {
    /// The metadata is there: storage is opened and checked.
    pub fn set_metainfo(&mut self, ctx: &mut Context, meta: Metainfo) {
        if self.content.is_some() {
            if let (Some(title), Some(_)) = (&meta.title, Paying::HERE) {
                self.title_came(ctx, title);
            }
            return;
        }
        let geometry = meta.geometry();
        let mut seed = [0; 32];
        ctx.rng.fill_bytes(&mut seed);
        let pieces = Pieces::new(geometry);
        let mut picker = Picker::new(&pieces, seed);
        picker.set_partial_budget(ctx.config.limits.max_partial_bytes);
        for conn in self.peers.connections() {
            picker.peer_joined(conn);
        }
        self.name = Some(meta.name.clone());
        if meta.content.is_some() && self.options.content.is_none() {
            self.options.content = meta.content;
        }
        self.record_source(ctx, &meta);
        let files = meta
            .files
            .iter()
            .map(|f| {
                let path = if f.pad {
                    Vec::new()
                } else {
                    f.path.components().to_vec()
                };
                (path, f.length)
            })
            .collect();
        ctx.out.storage(
            self.info_hash,
            Purpose::Open,
            StorageOp::Open {
                name: crate::metainfo::sanitize_component(meta.name.as_bytes()),
                files,
            },
        );
        let selection = self.recall_selection(ctx, &meta);
        let mut content = Content {
            pieces,
            picker,
            cycles: Cycles::new(geometry),
            advancing: Advancing::default(),
            phase: Phase::Opening,
            copies: Copies::default(),
            read: Set::new(),
            selection,
            selected: Bitfield::empty(geometry.piece_count()),
            selected_length: 0,
            complete_said: false,
            meta,
        };
        content.apply_selection();
        let wanted = content.wanted(self.options.on_demand);
        content.picker.set_wanted(&content.pieces, wanted);
        self.content = Some(content);
        self.record_selection(ctx);
        self.look_for_title(ctx);
    }

    /// What a later run needs to take it up by its info hash alone: the info dictionary, and as a magnet link what came
    /// with it.
    fn record_source(&self, ctx: &mut Context, meta: &Metainfo) {
        let mut records = Vec::new();
        let info = record_key(self.info_hash, "info");
        if ctx.out.record(&info).is_none() {
            records.push((info, Some(meta.info.clone())));
        }
        records.extend(self.link_record(ctx));
        if !records.is_empty() {
            ctx.out
                .put_records(EffectOwner::Nobody, records, Durability::PowerLoss);
        }
    }

    /// The link on record, if it is to be another one: trackers, web seeds, the title's number and its signer.
    pub(super) fn link_record(&self, ctx: &Context) -> Option<(String, Option<Bytes>)> {
        let known = stored_link(ctx.out, self.info_hash);
        let mut link = known.clone();
        if !self.trackers.is_empty() {
            link.trackers = self.trackers.iter().flatten().cloned().collect();
        }
        if !self.web_seeds.named().is_empty() {
            link.web_seeds = self.web_seeds.named().to_vec();
        }
        link.by = self.options.by.or(known.by);
        // The id of another signer's title is not of this one's.
        let known_id = known.content.filter(|_| link.by == known.by);
        link.content = self.options.content.or(known_id);
        if link == known {
            return None;
        }
        // The last of very many web seeds and trackers are left out: a longer link would not be read.
        while link.to_string().len() > MAX_MAGNET_LEN
            && (link.web_seeds.pop().is_some() || link.trackers.pop().is_some())
        {}
        let key = record_key(self.info_hash, "link");
        Some((key, Some(link.to_string().into())))
    }

    /// One of this torrent's effects ended.
    pub fn effect_done(
        &mut self,
        ctx: &mut Context,
        purpose: Purpose,
        result: Result<EffectResult, EffectError>,
    ) {
        match (purpose, result) {
            (
                Purpose::Open,
                Ok(EffectResult::Opened {
                    file_lengths,
                    scratch_length,
                    changed,
                }),
            ) => self.opened(ctx, &file_lengths, scratch_length, &changed),
            (Purpose::CheckPiece(piece), Ok(EffectResult::Hashed(digest))) => {
                self.piece_checked(ctx, piece, Some(&digest));
            }
            (Purpose::CheckPiece(piece), Err(error)) if !error.says_gone() => {
                self.piece_not_checked(ctx, piece, &error);
            }
            (Purpose::CheckPiece(piece), _) => self.piece_checked(ctx, piece, None),
            (Purpose::RestoreScratch(piece), Ok(EffectResult::Read(data))) => {
                self.scratch_read(ctx, piece, Some(&data));
            }
            (Purpose::RestoreScratch(piece), _) => self.scratch_read(ctx, piece, None),
            (Purpose::HashPiece(piece), Ok(EffectResult::Hashed(digest))) => {
                self.piece_hashed(ctx, piece, &digest);
            }
            (Purpose::WritePiece(piece), Ok(_)) => self.piece_written(ctx, piece),
            (Purpose::WritePiece(piece), Err(error)) => {
                self.piece_not_written(ctx, piece, &error);
            }
            (Purpose::WriteScratch(cycle) | Purpose::Flush(cycle), Ok(_)) => {
                self.cycle_step_done(ctx, cycle);
            }
            (Purpose::Record(cycle), Ok(_)) => {
                if let Some(content) = &mut self.content {
                    (content.cycles).recorded(ctx.now, cycle, &mut content.pieces);
                }
            }
            (
                Purpose::WriteScratch(cycle) | Purpose::Flush(cycle) | Purpose::Record(cycle),
                Err(error),
            ) => self.cycle_failed(ctx, cycle, &error),
            (Purpose::ReadBlocks(conn, blocks), Ok(EffectResult::Read(data))) => {
                self.blocks_read(ctx, conn, &blocks, Some(data));
            }
            (Purpose::ReadBlocks(conn, blocks), result) => {
                if result.is_ok() || result.is_err_and(|error| error.says_gone()) {
                    self.blocks_gone(ctx, &blocks);
                }
                self.blocks_read(ctx, conn, &blocks, None);
            }
            (Purpose::CompareBlock(conn, block, late), Ok(EffectResult::Read(stored))) => {
                self.block_compared(ctx, conn, block, &late, &stored);
            }
            (Purpose::ReadStream(stream), Ok(EffectResult::Read(data))) => {
                self.stream_read(ctx, stream, data);
            }
            (Purpose::ReadStream(stream), Err(error)) => {
                self.stream_not_read(ctx, stream, error.to_string());
            }
            (Purpose::Open, Err(error)) => {
                let why = match error {
                    EffectError::Storage(why) | EffectError::Missing(why) => why,
                    error => error.to_string(),
                };
                self.fail(
                    ctx,
                    format!("storage could not be opened: {why}; add the torrent again once that is mended"),
                );
            }
            (Purpose::HashPiece(piece), Err(error)) => {
                if let Some(content) = &mut self.content {
                    content.picker.piece_not_hashed(&mut content.pieces, piece);
                }
                self.settle_given_up(ctx);
                self.fail(ctx, format!("{error}: resume to try again"));
            }
            _ => {}
        }
    }

    fn opened(
        &mut self,
        ctx: &mut Context,
        file_lengths: &[u64],
        scratch_length: u64,
        changed: &[u32],
    ) {
        let Some(content) = &mut self.content else {
            return;
        };
        let geometry = *content.pieces.geometry();
        let pieces = geometry.piece_count();
        let there = pieces_in_place(&content.meta, &geometry, file_lengths);
        let record = ctx
            .out
            .record(&record_key(self.info_hash, "have"))
            .and_then(|bytes| decode_have(bytes, pieces));
        let mut queue: VecDeque<PieceIndex> = VecDeque::new();
        match (self.options.check, record) {
            (CheckExisting::Complete, _) if there.is_full() => {
                content.pieces.believe(&there);
                content.cycles.adopt(&there);
            }
            (CheckExisting::Resume, Some(HaveRecord { have, recent })) => {
                let mut have = have;
                for piece in have.iter().collect::<Vec<_>>() {
                    if !there.contains(piece) {
                        have.remove(piece);
                    }
                }
                content.cycles.restore_have(HaveRecord {
                    have: have.clone(),
                    recent: recent.clone(),
                });
                // Of files that somebody changed, what is not on record may be right by now.
                let mut doubtful = pieces_of_files(&content.meta, &geometry, changed, &there);
                for piece in recent.iter().filter(|piece| have.contains(piece.0)) {
                    doubtful.insert(piece.0);
                }
                for piece in doubtful.iter() {
                    have.remove(piece);
                }
                queue.extend(doubtful.iter().map(PieceIndex));
                content.pieces.believe(&have);
            }
            _ => queue.extend(there.iter().map(PieceIndex)),
        }
        for piece in content.pieces.done().iter() {
            content.picker.done(PieceIndex(piece));
        }
        let entries = ctx
            .out
            .record(&record_key(self.info_hash, "scratch"))
            .and_then(|bytes| decode_scratch(bytes, |p| geometry.blocks_in(p)))
            .unwrap_or_default();
        let mut restoring: Map<PieceIndex, ScratchEntry> = Map::new();
        let slot_length = u64::from(geometry.piece_length());
        for entry in entries {
            let known =
                content.pieces.verified().contains(entry.piece) || queue.contains(&entry.piece);
            let length = u64::from(geometry.piece_len(entry.piece).unwrap_or(0));
            let offset = u64::from(entry.slot) * slot_length;
            // The file may end before the slot does: then its last blocks were never written.
            let length = length.min(scratch_length.saturating_sub(offset));
            if known || length == 0 {
                content.cycles.retire_slot(entry.slot);
                continue;
            }
            ctx.out.storage(
                self.info_hash,
                Purpose::RestoreScratch(entry.piece),
                StorageOp::ReadScratch { offset, length },
            );
            restoring.insert(entry.piece, entry);
        }
        content.phase = Phase::Checking {
            queue,
            under_way: 0,
            restoring,
        };
        ctx.out.event(Event::Ready {
            info_hash: self.info_hash,
        });
        // Who connected while storage opened was told of nothing.
        let had: Vec<u32> = content.pieces.verified().bits().iter().collect();
        if !self.peers.is_empty() {
            for piece in had {
                self.announce_piece(ctx, PieceIndex(piece));
            }
        }
        self.go_on_checking(ctx);
    }

    pub(super) fn go_on_checking(&mut self, ctx: &mut Context) {
        let Some(content) = &mut self.content else {
            return;
        };
        let Phase::Checking {
            queue,
            under_way,
            restoring,
        } = &mut content.phase
        else {
            return;
        };
        if self.failed.is_some() {
            return;
        }
        while *under_way < CHECKS_AT_ONCE {
            let Some(piece) = queue.pop_front() else {
                break;
            };
            let (Some(offset), Some(length)) = (
                content.pieces.geometry().piece_offset(piece),
                content.pieces.geometry().piece_len(piece),
            ) else {
                continue;
            };
            *under_way += 1;
            ctx.out.storage(
                self.info_hash,
                Purpose::CheckPiece(piece),
                StorageOp::Hash {
                    spans: content.meta.spans(offset, u64::from(length)).collect(),
                },
            );
        }
        if *under_way > 0 || !restoring.is_empty() {
            return;
        }
        content.phase = Phase::Running;
        let begun = |piece| match content.pieces.standing(piece) {
            Standing::Verified => Begun::Good,
            Standing::Begun | Standing::Hashing => Begun::Held,
            Standing::Missing | Standing::Writing => Begun::Gone,
        };
        ctx.money.restored(ctx.now, self.info_hash, begun);
        let complete: Vec<PieceIndex> = (content.pieces.partials())
            .filter(|(_, p)| p.is_complete())
            .map(|(piece, _)| piece)
            .collect();
        for piece in complete {
            Self::hash_piece(self.info_hash, content, ctx, piece);
        }
        content.cycles.checked(ctx.now, &content.pieces);
        self.say_if_complete(ctx);
        self.metadata_known(ctx);
    }

    /// Peers that came before the metadata are told and asked what they have.
    fn metadata_known(&mut self, ctx: &mut Context) {
        for conn in self.peers.connections() {
            if let Err(reason) = self.learn_pieces(ctx, conn) {
                self.close(ctx, conn, reason);
            }
        }
        // Nobody was told of our interest while the pieces were checked.
        self.wishes_changed(ctx);
    }

    fn piece_checked(&mut self, ctx: &mut Context, piece: PieceIndex, digest: Option<&[u8; 20]>) {
        let Some(content) = &mut self.content else {
            return;
        };
        if let Phase::Checking { under_way, .. } = &mut content.phase {
            *under_way -= 1;
        }
        let expected = content.meta.piece_hash(piece);
        let proof = expected
            .zip(digest)
            .and_then(|(e, d)| content.pieces.check(piece, &e, d).ok());
        match proof {
            Some(proof) => {
                content.pieces.found(proof);
                content.picker.done(piece);
                content.cycles.found(piece);
                self.announce_piece(ctx, piece);
            }
            None => content.cycles.lost(piece),
        }
        self.go_on_checking(ctx);
    }

    /// Storage would not say what is there. What is not known to be gone is not fetched again, and not paid again.
    fn piece_not_checked(&mut self, ctx: &mut Context, piece: PieceIndex, error: &EffectError) {
        if let Some(Content {
            phase: Phase::Checking {
                queue, under_way, ..
            },
            ..
        }) = &mut self.content
        {
            *under_way -= 1;
            queue.push_front(piece);
        }
        self.fail(ctx, format!("{error}: then resume"));
    }

    fn scratch_read(&mut self, ctx: &mut Context, piece: PieceIndex, data: Option<&Bytes>) {
        let Some(content) = &mut self.content else {
            return;
        };
        let Phase::Checking { restoring, .. } = &mut content.phase else {
            return;
        };
        let Some(entry) = restoring.remove(&piece) else {
            return;
        };
        let mut blocks = Bitfield::empty(entry.blocks.len());
        for number in entry.blocks.iter() {
            let Some(block) = content.pieces.geometry().block(piece, number) else {
                continue;
            };
            let range = block.begin as usize..(block.begin + block.length) as usize;
            if let Some(data) = data.filter(|d| d.len() >= range.end) {
                let bytes = Bytes::copy_from_slice(&data[range]);
                let advanced = entry.advanced.contains(number);
                content.pieces.restore(ctx.now, block, bytes, advanced);
                blocks.insert(number);
            }
        }
        if blocks.count() == 0 {
            content.cycles.retire_slot(entry.slot);
        } else {
            content.cycles.restore_slot(entry.slot, piece);
            content.picker.restored(&mut content.pieces, piece);
        }
        self.go_on_checking(ctx);
    }
}

/// Those of the pieces `among` that lie in these files, in part or whole.
fn pieces_of_files(
    meta: &Metainfo,
    geometry: &Geometry,
    files: &[u32],
    among: &Bitfield,
) -> Bitfield {
    let mut pieces = Bitfield::empty(geometry.piece_count());
    for file in files
        .iter()
        .filter_map(|index| meta.files.get(*index as usize))
    {
        for piece in geometry
            .pieces_of(file.offset..file.offset + file.length)
            .iter()
        {
            if among.contains(piece.0) {
                pieces.insert(piece.0);
            }
        }
    }
    pieces
}

/// Pieces whose bytes lie within what the files hold.
fn pieces_in_place(meta: &Metainfo, geometry: &Geometry, file_lengths: &[u64]) -> Bitfield {
    let mut there = Bitfield::full(geometry.piece_count());
    for (index, file) in meta.files.iter().enumerate() {
        let held = file_lengths.get(index).copied().unwrap_or(0);
        if file.pad || held >= file.length {
            continue;
        }
        let missing = file.offset + held..file.offset + file.length;
        for piece in geometry.pieces_of(missing).iter() {
            there.remove(piece.0);
        }
    }
    there
}
