//! How much of the allowed storage each torrent takes, or is going to take.
//!
//! A torrent that is fetched as a whole takes all its bytes from the start; another takes its verified and begun
//! pieces. Nothing that is stored is ever deleted to make room.

use super::{Context, Phase, Torrent};
use crate::io::{Event, Output, StreamError};
use crate::sorted::Map;
use crate::types::{InfoHash, StreamId};

/// All torrents' shares of [`crate::io::Limits::storage_bytes`].
#[derive(Debug, Default)]
pub struct Quota {
    limit: Option<u64>,
    shares: Map<InfoHash, u64>,
    sum: u64,
    /// Less is taken, or more allowed, than when this was last asked.
    freed: bool,
}

impl Quota {
    /// Replaces what is allowed; `None`: as much as the edge has.
    pub fn set_limit(&mut self, limit: Option<u64>) {
        self.limit = limit;
        self.freed = true;
    }

    /// What is allowed.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// The share of this torrent is known.
    pub fn knows(&self, info_hash: InfoHash) -> bool {
        self.shares.contains_key(&info_hash)
    }

    /// Replaces a torrent's share.
    pub fn set_share(&mut self, info_hash: InfoHash, bytes: u64) {
        let before = self.shares.insert(info_hash, bytes).unwrap_or(0);
        self.sum = self.sum.saturating_sub(before).saturating_add(bytes);
        self.freed |= bytes < before;
    }

    /// A torrent's bytes are gone.
    pub fn forget(&mut self, info_hash: InfoHash) {
        let before = self.shares.remove(&info_hash).unwrap_or(0);
        self.sum = self.sum.saturating_sub(before);
        self.freed |= before > 0;
    }

    /// Whether there may be more room than at the last question.
    pub fn take_freed(&mut self) -> bool {
        core::mem::take(&mut self.freed) && self.limit.is_some()
    }

    /// The most that this torrent may take beside the others.
    pub fn room_for(&self, info_hash: InfoHash) -> u64 {
        let own = self.shares.get(&info_hash).copied().unwrap_or(0);
        let others = self.sum.saturating_sub(own);
        (self.limit).map_or(u64::MAX, |limit| limit.saturating_sub(others))
    }

    /// Why `needed` more bytes do not fit where `room` is left, and what to do: a full sentence.
    pub fn refusal(&self, needed: u64, room: u64) -> String {
        format!(
            "{} of storage are needed, {} of the allowed {} are left: remove torrents with their data, or raise the storage limit",
            size(needed),
            size(room),
            size(self.limit.unwrap_or(u64::MAX))
        )
    }
}

impl Torrent {
    /// Looks whether it fits the storage limit beside the others, and says so when it ceases to.
    pub(super) fn fit_storage(&mut self, ctx: &mut Context) {
        let Some(content) = &mut self.content else {
            return;
        };
        if !matches!(content.phase, Phase::Running) {
            return;
        }
        let room = ctx.quota.room_for(self.info_hash);
        content.picker.set_room(room);
        let held = content.pieces.room_taken();
        let total = content.whole_takes();
        let whole = !self.options.on_demand;
        let fits = if whole {
            total <= room || content.is_complete()
        } else {
            // Once a reader was refused, until there is room for any piece again.
            self.over_limit.is_none()
                || held + u64::from(content.pieces.geometry().piece_length()) <= room
        };
        if fits != self.over_limit.is_none() {
            let wanted = content.wanted(!whole || !fits);
            content.picker.set_wanted(&content.pieces, wanted);
            self.over_limit = None;
            if !fits {
                self.exceeds_limit(ctx, total - held.min(total), room.saturating_sub(held));
            }
            self.wishes_changed(ctx);
        }
    }

    /// Tells readers that wait for what cannot be stored, and counts what is going to be.
    pub(super) fn keep_to_storage(&mut self, ctx: &mut Context) {
        let Some(content) = &self.content else {
            return;
        };
        if !matches!(content.phase, Phase::Running) {
            return;
        }
        let held = content.pieces.room_taken();
        let total = content.whole_takes();
        let share = if self.options.on_demand || self.over_limit.is_some() {
            held
        } else {
            total.max(held)
        };
        ctx.quota.set_share(self.info_hash, share);
        if ctx.quota.limit().is_none() {
            return;
        }
        let refused: Vec<StreamId> = (self.streams.waiting(&content.meta).into_iter())
            .filter(|(_, piece)| !content.picker.has_room_for(&content.pieces, *piece))
            .map(|(stream, _)| stream)
            .collect();
        let Some(last) = refused.last() else {
            return;
        };
        let left = ctx.quota.room_for(self.info_hash).saturating_sub(held);
        let needed = self.streams.rest_of(*last);
        if self.over_limit.is_none() {
            self.exceeds_limit(ctx, needed, left);
        }
        for stream in refused {
            let text = ctx.quota.refusal(self.streams.rest_of(stream), left);
            self.streams.close(stream);
            ctx.out.push(Output::StreamFailed {
                stream,
                error: StreamError::StorageLimit(text),
            });
        }
    }

    /// It waits for room in storage.
    pub fn is_over_limit(&self) -> bool {
        self.over_limit.is_some()
    }

    fn exceeds_limit(&mut self, ctx: &mut Context, needed: u64, left: u64) {
        let text = ctx.quota.refusal(needed, left);
        ctx.out.event(Event::Failed {
            info_hash: self.info_hash,
            text: text.clone(),
        });
        self.over_limit = Some(text);
    }

    /// It goes away: what stays of it counts on.
    pub(super) fn leave_storage(&mut self, ctx: &mut Context, delete_data: bool) {
        if delete_data {
            ctx.quota.forget(self.info_hash);
        } else if let Some(content) = &self.content
            && matches!(content.phase, Phase::Running)
        {
            let held = content.pieces.room_taken();
            ctx.quota.set_share(self.info_hash, held);
        }
    }
}

/// Bytes for people, exact where rounding would hide what is missing.
fn size(bytes: u64) -> String {
    match bytes {
        0..100_000 => format!("{bytes} bytes"),
        100_000..100_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u8) -> InfoHash {
        InfoHash([n; 20])
    }

    #[test]
    fn without_a_limit_there_is_room_for_anything() {
        let mut quota = Quota::default();
        quota.set_share(hash(1), u64::MAX);
        assert_eq!(quota.room_for(hash(2)), u64::MAX);
    }

    #[test]
    fn a_torrent_has_the_room_that_the_others_leave() {
        let mut quota = Quota::default();
        quota.set_limit(Some(1_000));
        quota.set_share(hash(1), 300);
        quota.set_share(hash(2), 200);
        assert_eq!(quota.room_for(hash(1)), 800);
        assert_eq!(quota.room_for(hash(3)), 500);
        quota.set_share(hash(1), 900);
        assert_eq!(quota.room_for(hash(2)), 100);
        // Already beyond it, when the limit was lowered: nothing more, and no underflow.
        assert_eq!(quota.room_for(hash(3)), 0);
        quota.forget(hash(1));
        assert_eq!(quota.room_for(hash(3)), 800);
        quota.forget(hash(1));
        assert_eq!(quota.room_for(hash(3)), 800);
    }

    #[test]
    fn a_refusal_names_what_is_needed_left_and_allowed_and_the_remedy() {
        let mut quota = Quota::default();
        quota.set_limit(Some(2_000_000_000));
        let text = quota.refusal(4_700_000_000, 1_234_567);
        assert_eq!(
            text,
            "4700 MB of storage are needed, 1234 kB of the allowed 2000 MB are left: remove torrents with their data, or raise the storage limit"
        );
    }
}
