//! Paying in advance, for durable blocks of one unverified piece of each seller (docs/protocol.md, "Advances in v1
//! torrents").

use super::{Context, Torrent};
use crate::pieces::{Block, Held, Saved};
use crate::time::{Duration, Timestamp};
use crate::types::PieceIndex;
use crate::verify::{AdvanceRefused, Advances, Payable};

/// A seller that sent nothing for so long may be waiting for money, though it owes what was asked of it.
const ADVANCE_AFTER: Duration = Duration::from_millis(250);

/// The piece that each seller is advanced over.
#[derive(Debug)]
pub(super) struct Advancing {
    advances: Advances,
    /// When a seller that sends nothing is paid in advance, for a piece that should be complete by then.
    at: Timestamp,
}

impl Default for Advancing {
    fn default() -> Advancing {
        Advancing {
            advances: Advances::default(),
            at: Timestamp::NEVER,
        }
    }
}

impl Advancing {
    /// The piece verified or was given up: its senders may be advanced over another.
    pub(super) fn settle(&mut self, piece: PieceIndex) {
        self.advances.settle(piece);
    }

    pub(super) fn next_timeout(&self) -> Timestamp {
        self.at
    }
}

impl Torrent {
    /// Pays for durable blocks of the oldest incomplete piece where credit would run dry otherwise.
    pub(super) fn advance_payments(&mut self, ctx: &mut Context) {
        let Some(content) = &mut self.content else {
            return;
        };
        content.advancing.at = Timestamp::NEVER;
        for peer in self.peers.iter() {
            let conn = peer.connection;
            let mut wanted = ctx.money.needs_advance(conn);
            if wanted == 0 {
                continue;
            }
            let suspects = content.pieces.suspects_mut().all_mut();
            for suspect in suspects.filter(|s| s.from == conn && !s.advanced) {
                if wanted == 0 {
                    break;
                }
                let advance = Payable::Advance(Advances::suspect(suspect.block));
                suspect.advanced = ctx.money.payable(ctx.now, conn, advance);
                wanted -= u32::from(suspect.advanced);
            }
            if wanted == 0 {
                continue;
            }
            let unpaid = |held: &Held| held.from == Some(conn) && !held.advanced;
            // What is being hashed is paid in a moment: a flush for it would only hold it up.
            let sealed = content.pieces.partials().filter(|(_, p)| p.is_sealed());
            let soon = sealed
                .flat_map(|(_, p)| p.held())
                .filter(|(_, held)| unpaid(held));
            wanted = wanted.saturating_sub(u32::try_from(soon.count()).unwrap_or(u32::MAX));
            if wanted == 0 {
                continue;
            }
            // The one that was begun to be paid for comes before others: of those nothing may be advanced until it is
            // judged.
            let begun = content.pieces.partials();
            let begun = begun.filter(|(_, p)| !p.is_sealed() && p.has_of(conn));
            let oldest = begun.min_by_key(|(piece, _)| {
                (
                    content.advancing.advances.is_closed_for(conn, *piece),
                    *piece,
                )
            });
            let Some((piece, partial)) = oldest else {
                continue;
            };
            // If what was asked for completes the piece, it is paid as it is. But a seller that counts more as unpaid
            // than we do, as after a run of ours that ended, may wait for money before it sends that.
            let comes = |block: &Block| match block {
                Block::Missing => false,
                Block::Requested(by) => by.all().contains(&conn),
                Block::Held(_) => true,
            };
            let patience = peer.asked.block_at() + ADVANCE_AFTER;
            if ctx.now < patience && partial.blocks().iter().all(comes) {
                content.advancing.at = content.advancing.at.min(patience);
                continue;
            }
            let mut advanced = Vec::new();
            for (number, held) in partial.held().filter(|(_, held)| unpaid(held)) {
                if wanted == 0 {
                    break;
                }
                let Some(block) = content.pieces.geometry().block(piece, number) else {
                    continue;
                };
                match (content.advancing.advances).advance(
                    conn,
                    block,
                    held.saved == Saved::Flushed,
                ) {
                    Ok(advance) => {
                        if !ctx.money.payable(ctx.now, conn, Payable::Advance(advance)) {
                            break;
                        }
                        advanced.push(number);
                        wanted -= 1;
                    }
                    Err(AdvanceRefused::NotDurable) => {
                        // A cycle that runs may bring it.
                        content.cycles.awaited();
                        break;
                    }
                    Err(AdvanceRefused::OtherPieceOpen) => break,
                }
            }
            for number in advanced {
                content.pieces.note_advanced(piece, number);
            }
        }
    }
}
