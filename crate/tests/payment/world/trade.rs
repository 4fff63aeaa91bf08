//! Blocks from request to verdict, and connections and processes that end.

use piecework::payment::payee::Payee;
use piecework::payment::payer::Payer;
use piecework::time::Timestamp;
use piecework::types::{BlockRef, ConnectionId};
use piecework::wire::pay::{PayMessage, Recipient};

use super::{Happens, Item, Who, World, advance, verified};

impl World {
    pub fn request(&mut self, buyer: usize) {
        let links: Vec<usize> = (0..self.links.len())
            .filter(|l| {
                self.links[*l].buyer == buyer && self.links[*l].up && self.links[*l].unchoked
            })
            .collect();
        for link in links {
            let (conn, torrent, seller) = {
                let l = &self.links[link];
                (l.conn, l.torrent, l.seller)
            };
            while self.buyers[buyer].payer.may_request(conn) > 0 {
                let order = self.buyers[buyer].orders.get_mut(&torrent).unwrap();
                let Some(next) = order.todo.pop_first() else {
                    break;
                };
                self.links[link].asked.insert(next);
                self.buyers[buyer].payer.request_sent(conn);
                self.deliver(link, Who::Seller(seller), Item::Request(next));
            }
        }
    }

    pub fn serve(&mut self, seller: usize) {
        let now = self.now;
        let links: Vec<usize> = (0..self.links.len())
            .filter(|l| self.links[*l].seller == seller && self.links[*l].up)
            .collect();
        for link in links {
            let conn = self.links[link].conn;
            while !self.links[link].queue.is_empty() && self.sellers[seller].payee.may_send(conn) {
                let block = self.links[link].queue.pop_front().unwrap();
                self.sellers[seller].payee.block_written(now, conn);
                let to = Who::Buyer(self.links[link].buyer);
                self.deliver(link, to, Item::Piece(block));
            }
        }
    }

    pub fn receive(&mut self, link: usize, to: Who, item: Item) {
        let now = self.now;
        let conn = self.links[link].conn;
        match (to, item) {
            (to, Item::Pay(bytes)) => {
                let Ok(Some(message)) = PayMessage::decode(&bytes) else {
                    return;
                };
                if self.trace {
                    eprintln!("{} {to:?} <- {conn:?} {message:?}", now.as_micros());
                }
                match (to, message.recipient()) {
                    (Who::Buyer(i), Recipient::Payer | Recipient::Both) => {
                        self.buyers[i].payer.message(now, conn, message);
                    }
                    (Who::Seller(i), Recipient::Payee | Recipient::Both) => {
                        self.sellers[i].payee.message(now, conn, message);
                    }
                    _ => {}
                }
            }
            (Who::Buyer(_), Item::Unchoke) => self.links[link].unchoked = true,
            (Who::Buyer(buyer), Item::Choke) => {
                self.links[link].unchoked = false;
                self.drop_requests(link, buyer);
            }
            (Who::Buyer(buyer), Item::Piece(block)) => self.take_block(buyer, link, block),
            (Who::Seller(_), Item::Request(block)) => self.links[link].queue.push_back(block),
            _ => {}
        }
        self.after(to);
    }

    pub fn drop_requests(&mut self, link: usize, buyer: usize) {
        let (conn, torrent) = (self.links[link].conn, self.links[link].torrent);
        for block in std::mem::take(&mut self.links[link].asked) {
            self.buyers[buyer].payer.request_ended_without_block(conn);
            self.buyers[buyer]
                .orders
                .get_mut(&torrent)
                .unwrap()
                .todo
                .insert(block);
        }
    }

    pub fn take_block(&mut self, buyer: usize, link: usize, got: BlockRef) {
        let now = self.now;
        let (conn, torrent, seller) = {
            let l = &mut self.links[link];
            if !l.asked.remove(&got) {
                return;
            }
            (l.conn, l.torrent, l.seller)
        };
        let payee = self.sellers[seller].config.payee;
        let b = &mut self.buyers[buyer];
        b.payer.block_received(conn, got);
        *b.received.entry(payee).or_default() += 1;
        let order = b.orders.get_mut(&torrent).unwrap();
        if order.piece_blocks == 1 {
            assert!(order.have.insert(got), "fetched twice");
            b.payer.payable(now, conn, verified(got));
            return;
        }
        order.scratch.insert(got, conn);
        let piece: Vec<(BlockRef, ConnectionId)> = order
            .scratch
            .iter()
            .filter(|(b, _)| b.piece == got.piece)
            .map(|(b, c)| (*b, *c))
            .collect();
        if piece.len() as u32 == order.piece_blocks {
            for (block, from) in piece {
                order.scratch.remove(&block);
                order.have.insert(block);
                b.payer.payable(now, from, verified(block));
            }
        }
        if let Some(blocks) = b.payer.needs_advance(conn) {
            let oldest = order
                .scratch
                .iter()
                .find(|(_, c)| **c == conn)
                .map(|(b, _)| b.piece);
            let chosen: Vec<BlockRef> = order
                .scratch
                .iter()
                .filter(|(b, c)| **c == conn && Some(b.piece) == oldest)
                .map(|(b, _)| *b)
                .collect();
            let mut left = blocks;
            for block in chosen {
                if left == 0 {
                    break;
                }
                if b.payer.payable(now, conn, advance(block)) {
                    left -= 1;
                }
            }
        }
    }

    pub fn disconnect(&mut self, link: usize) {
        if !self.links[link].up {
            return;
        }
        self.links[link].up = false;
        let (buyer, seller, torrent, conn) = {
            let l = &self.links[link];
            (l.buyer, l.seller, l.torrent, l.conn)
        };
        self.drop_requests(link, buyer);
        let now = self.now;
        self.buyers[buyer].payer.disconnected(now, conn);
        self.sellers[seller].payee.disconnected(now, conn);
        self.run_actions(Who::Buyer(buyer));
        self.run_actions(Who::Seller(seller));
        let at = self.later(1);
        self.at(
            at,
            Happens::Connect {
                buyer,
                seller,
                torrent,
            },
        );
    }

    /// Only what was durable is left.
    pub fn crash(&mut self, who: Who) {
        let (now, seed) = (self.now, self.seed());
        let links: Vec<usize> = (0..self.links.len())
            .filter(|l| match who {
                Who::Buyer(i) => self.links[*l].buyer == i,
                Who::Seller(i) => self.links[*l].seller == i,
            })
            .collect();
        match who {
            Who::Buyer(i) => {
                let b = &mut self.buyers[i];
                b.run += 1;
                b.tick_at = Timestamp::NEVER;
                b.last_put = now;
                let records = b.store.clone().into_iter();
                b.payer = Payer::new(b.config, seed, records);
                for order in b.orders.values_mut() {
                    // Unverified blocks are fetched again.
                    order
                        .todo
                        .extend(std::mem::take(&mut order.scratch).into_keys());
                }
                self.choose_account(i);
            }
            Who::Seller(i) => {
                let s = &mut self.sellers[i];
                s.run += 1;
                s.tick_at = Timestamp::NEVER;
                s.last_put = now;
                let records = s.store.clone().into_iter();
                s.payee = Payee::new(now, s.config, seed, records);
                self.run_actions(who);
            }
        }
        for link in links {
            self.disconnect(link);
        }
        self.schedule_crash(who);
    }
}
