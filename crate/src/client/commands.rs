//! The commands of the page or the operator.

use super::{Client, MAX_TORRENTS};
use crate::io::{
    AddError, AddOptions, ClosedReason, Command, Event, Limits, Output, Source, StreamError,
};
use crate::metainfo::magnet::bare_info_hash;
use crate::metainfo::{MagnetLink, Metainfo};
use crate::paying::Paying;
use crate::torrent::Torrent;
use crate::types::InfoHash;

/// Streams that one client has at most.
const MAX_STREAMS: usize = 256;

/// A torrent as the client takes it up.
#[derive(Debug)]
pub(super) struct Found {
    info_hash: InfoHash,
    name: Option<String>,
    trackers: Vec<Vec<String>>,
    /// Those that the torrent itself names.
    web_seeds: Vec<String>,
    options: AddOptions,
    meta: Option<Metainfo>,
}

impl Client {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Add {
                tag,
                source,
                options,
            } => self.add(tag, source, options),
            Command::Remove {
                info_hash,
                delete_data,
            } => self.remove(info_hash, delete_data),
            Command::Pause { info_hash } => {
                self.with_torrent(info_hash, |torrent, ctx| torrent.pause(ctx));
            }
            Command::Resume { info_hash } => {
                self.with_torrent(info_hash, |torrent, ctx| torrent.resume(ctx));
                self.choke_stale = true;
            }
            Command::SetOnDemand {
                info_hash,
                on_demand,
                remember,
            } => self.with_torrent(info_hash, |torrent, ctx| {
                torrent.set_on_demand(ctx, on_demand);
                if remember {
                    torrent.remember_kept(ctx, !on_demand);
                }
            }),
            Command::AddWebSeed { info_hash, url } => {
                self.with_torrent(info_hash, |torrent, ctx| torrent.add_web_seed(ctx, &url));
            }
            Command::SelectFiles {
                info_hash,
                files,
                priority,
            } => self.with_torrent(info_hash, |torrent, ctx| {
                torrent.select(ctx, &files, priority);
            }),
            Command::ClosePeer {
                info_hash,
                connection,
            } => self.with_torrent(info_hash, |torrent, ctx| {
                torrent.close(ctx, connection, ClosedReason::NotNeeded("closed by hand"));
            }),
            Command::SetLimits(limits) => self.set_limits(limits),
            Command::OpenStream {
                stream,
                info_hash,
                file,
                offset,
                length,
                plays,
            } => {
                let error = if self.streams.len() >= MAX_STREAMS {
                    Some(StreamError::TooMany(MAX_STREAMS))
                } else if !self.torrents.contains_key(&info_hash) {
                    Some(StreamError::NotFound)
                } else {
                    None
                };
                if let Some(error) = error {
                    return self.out.push(Output::StreamFailed { stream, error });
                }
                self.streams.insert(stream, info_hash);
                self.with_torrent(info_hash, |torrent, ctx| {
                    torrent.open_stream(ctx, stream, file, offset, length, plays);
                });
            }
            Command::Play {
                info_hash,
                player,
                head,
            } => self.with_torrent(info_hash, |torrent, ctx| {
                torrent.play(ctx.now, player, head)
            }),
            Command::PullStream { stream } => {
                if let Some(info_hash) = self.streams.get(&stream).copied() {
                    self.with_torrent(info_hash, |torrent, ctx| {
                        torrent.pull_stream(ctx.now, stream);
                    });
                }
            }
            Command::CloseStream { stream } => {
                if let Some(info_hash) = self.streams.remove(&stream) {
                    self.with_torrent(info_hash, |torrent, _| {
                        torrent.close_stream(stream);
                    });
                }
            }
            Command::SetAccount { owner, session_key } => self.set_account(owner, session_key),
            Command::RefreshAccount => self.refresh_account(),
            Command::SetBudget { total } => self.set_budget(total),
            Command::StopSelling => self.stop_selling(),
            Command::SetDust { dust, item_gas } => self.set_dust(dust, item_gas),
            Command::SetMaxPrice {
                info_hash,
                max_price,
            } => self.with_torrent(info_hash, |torrent, _| torrent.set_max_price(max_price)),
            Command::SetPrice { info_hash, price } => {
                self.with_torrent(info_hash, |torrent, ctx| torrent.set_price(ctx, price));
                self.choke_stale = true;
            }
            Command::PrepareRedeem(scope) => self.prepare_redeem(scope),
            Command::NoteFee {
                side,
                transaction,
                amount,
            } => self.note_fee(side, transaction, amount),
            Command::ClearReceipts => self.clear_receipts(),
            Command::ReturnClaims { tag, sent } => self.return_claims(tag, sent),
            Command::Redeemed { tag, outcome } => self.redeemed(tag, &outcome),
            Command::Online(online) => {
                if online {
                    self.signaling.online(self.now);
                } else {
                    self.signaling.offline(self.now);
                }
            }
            Command::Shutdown => self.shutdown(),
        }
    }

    fn add(&mut self, tag: u64, source: Source, options: AddOptions) {
        let found = self.find(source, options).and_then(|found| {
            // The torrent's data is put on record first. Then the client takes it up as from an earlier run.
            if self.leaving.contains(&found.info_hash) {
                return self.let_return(tag, found).map(|()| None);
            }
            Ok(Some(found))
        });
        match found {
            Ok(Some(found)) => self.add_found(tag, found),
            Ok(None) => {}
            Err(error) => self.out.event(Event::Added {
                tag,
                result: Err(error),
            }),
        }
    }

    fn let_return(&mut self, tag: u64, found: Found) -> Result<(), AddError> {
        if self.returning.len() >= MAX_TORRENTS {
            return Err(AddError::TooMany(MAX_TORRENTS));
        }
        self.returning.push((tag, found));
        Ok(())
    }

    /// The torrent that was to return is removed again. Nobody waits for it any longer.
    fn stop_returning(&mut self, info_hash: InfoHash) {
        for (tag, _) in self.take_returning(info_hash) {
            self.out.event(Event::Added {
                tag,
                result: Ok(info_hash),
            });
        }
    }

    fn take_returning(&mut self, info_hash: InfoHash) -> Vec<(u64, Found)> {
        let (ours, others) = core::mem::take(&mut self.returning)
            .into_iter()
            .partition(|(_, found)| found.info_hash == info_hash);
        self.returning = others;
        ours
    }

    fn add_found(&mut self, tag: u64, found: Found) {
        let (result, meta) = match self.take_up(found) {
            Ok((info_hash, meta)) => (Ok(info_hash), meta),
            Err(error) => (Err(error), None),
        };
        let added = result.clone().ok();
        self.out.event(Event::Added { tag, result });
        if let Some(info_hash) = added {
            self.with_torrent(info_hash, |torrent, ctx| {
                if let Some(meta) = meta {
                    torrent.set_metainfo(ctx, meta);
                }
            });
        }
    }

    /// Reads a source, which names a torrent.
    fn find(&self, source: Source, options: AddOptions) -> Result<Found, AddError> {
        let bare = match &source {
            Source::Magnet(text) => bare_info_hash(text),
            _ => None,
        };
        let source = bare.map_or(source, Source::Stored);
        let (info_hash, name, trackers, web_seeds, options, meta) = match source {
            Source::Magnet(link) => {
                let magnet: MagnetLink = link
                    .parse()
                    .map_err(|e: crate::metainfo::MagnetError| AddError::Magnet(e.to_string()))?;
                let mut options = options;
                options.content = options.content.or(magnet.content);
                options.by = options.by.or(magnet.by);
                options.select_only = magnet.select_only;
                let trackers: Vec<Vec<String>> =
                    magnet.trackers.into_iter().map(|t| vec![t]).collect();
                let meta = self.stored_info(magnet.info_hash, &trackers);
                let (name, web_seeds) = (magnet.display_name, magnet.web_seeds);
                (magnet.info_hash, name, trackers, web_seeds, options, meta)
            }
            Source::Torrent(bytes) => {
                let meta =
                    Metainfo::from_torrent(&bytes).map_err(|e| AddError::Torrent(e.to_string()))?;
                let (trackers, web_seeds) = (meta.trackers.clone(), meta.web_seeds.clone());
                (
                    meta.info_hash,
                    None,
                    trackers,
                    web_seeds,
                    options,
                    Some(meta),
                )
            }
            Source::Stored(info_hash) => {
                let link = self.stored_link(info_hash);
                let mut options = options;
                options.content = options.content.or(link.content);
                options.by = options.by.or(link.by);
                let trackers: Vec<Vec<String>> =
                    link.trackers.into_iter().map(|t| vec![t]).collect();
                let meta = self.stored_info(info_hash, &trackers);
                // With a tracker the hash is enough to find the torrent.
                let is_findable = [&options.trackers, &self.config.trackers]
                    .iter()
                    .any(|urls| !urls.is_empty());
                if meta.is_none() && !is_findable {
                    return Err(AddError::NotStored(info_hash));
                }
                (info_hash, None, trackers, link.web_seeds, options, meta)
            }
        };
        Ok(Found {
            info_hash,
            name,
            trackers,
            web_seeds,
            options,
            meta,
        })
    }

    fn take_up(&mut self, found: Found) -> Result<(InfoHash, Option<Metainfo>), AddError> {
        let Found {
            info_hash,
            name,
            trackers,
            web_seeds,
            mut options,
            meta,
        } = found;
        let private = meta.as_ref().is_some_and(|m| m.private);
        let given = core::mem::take(&mut options.trackers);
        let given_web_seeds = core::mem::take(&mut options.web_seeds);
        let mut named = Vec::new();
        if self.config.use_torrent_trackers {
            named.extend(trackers.iter().flatten().cloned());
        }
        // A private torrent announces to its own trackers alone (BEP 27).
        if !private {
            named.extend(self.config.trackers.iter().cloned());
        }
        if self.torrents.contains_key(&info_hash) {
            // Who wants all of it is not overruled by who wants parts.
            if !options.on_demand {
                self.with_torrent(info_hash, |torrent, ctx| torrent.set_on_demand(ctx, false));
            }
            if let Some(files) = options.files {
                self.with_torrent(info_hash, |torrent, ctx| torrent.select_only(ctx, files));
            }
            if let Some(price) = options.price {
                self.with_torrent(info_hash, |torrent, ctx| torrent.set_price(ctx, price));
            }
            if let Some(max_price) = options.max_price {
                self.with_torrent(info_hash, |torrent, _| torrent.set_max_price(max_price));
            }
            if let (Some(by), Some(_)) = (options.by, Paying::HERE) {
                let content = options.content;
                self.with_torrent(info_hash, |torrent, ctx| {
                    torrent.pin_title(ctx, by, content)
                });
            }
        } else {
            if self.torrents.len() >= MAX_TORRENTS {
                return Err(AddError::TooMany(MAX_TORRENTS));
            }
            let torrent = Torrent::new(info_hash, name, trackers, options);
            self.torrents.insert(info_hash, torrent);
            self.order.push(info_hash);
            self.with_torrent(info_hash, |torrent, ctx| torrent.recall_price(ctx));
        }
        let used = self.config.use_torrent_web_seeds;
        self.with_torrent(info_hash, |torrent, ctx| {
            for url in &given_web_seeds {
                torrent.add_web_seed(ctx, url);
            }
            torrent.name_web_seeds(web_seeds, used);
        });
        self.follow_trackers(info_hash, &given, &named);
        Ok((info_hash, meta))
    }

    fn remove(&mut self, info_hash: InfoHash, delete_data: bool) {
        self.stop_returning(info_hash);
        if delete_data || !self.torrents.contains_key(&info_hash) {
            return self.drop_torrent(info_hash, delete_data);
        }
        // The bytes that arrived go on record first.
        self.with_torrent(info_hash, |torrent, ctx| torrent.pause(ctx));
        self.stop_announcing(info_hash);
        self.leaving.insert(info_hash);
    }

    /// Drops leaving torrents of which nothing would be lost, and those that cannot write. Answers whether one came
    /// back.
    pub(super) fn finish_leaving(&mut self) -> bool {
        let mut returned = false;
        for info_hash in self.leaving.clone() {
            let Some(torrent) = self.torrents.get_mut(&info_hash) else {
                continue;
            };
            if torrent.is_durable() || torrent.has_failed() {
                self.drop_torrent(info_hash, false);
                for (tag, found) in self.take_returning(info_hash) {
                    self.add_found(tag, found);
                    returned = true;
                }
            } else if !torrent.is_recording() && torrent.make_durable_soon() {
                // A piece was written since the last request to make the torrent durable.
                self.touched.insert(info_hash);
            }
        }
        returned
    }

    fn drop_torrent(&mut self, info_hash: InfoHash, delete_data: bool) {
        self.leaving.remove(&info_hash);
        self.with_torrent(info_hash, |torrent, ctx| {
            torrent.close_all(ctx, &ClosedReason::NotNeeded("the torrent was removed"));
            torrent.remove(ctx, delete_data);
        });
        self.torrents.remove(&info_hash);
        self.order.retain(|h| *h != info_hash);
        self.streams.retain(|_, h| *h != info_hash);
        self.stop_announcing(info_hash);
    }

    fn set_limits(&mut self, limits: Limits) {
        self.upload.set(limits.upload_bytes_per_second, self.now);
        self.download
            .set(limits.download_bytes_per_second, self.now);
        self.config.limits = limits;
        self.limit_storage();
        self.choke_stale = true;
        self.touched.extend(self.torrents.keys());
    }

    fn shutdown(&mut self) {
        if self.shutdown_by.is_some() || self.shut_down {
            return;
        }
        self.shutdown_by = Some(self.now + self.config.limits.shutdown_grace);
        self.close_money();
        for info_hash in self.order.clone() {
            self.with_torrent(info_hash, |torrent, ctx| {
                torrent.pump(ctx);
                torrent.pause(ctx);
                torrent.make_durable_soon();
            });
            self.stop_announcing(info_hash);
        }
    }
}
