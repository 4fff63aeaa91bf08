//! A browser's player of a file: it reads ahead as fast as it is given bytes, a response after the other, and tells
//! where it is.

use piecework::client::{Command, Playhead};
use piecework::time::Duration;
use piecework::types::{InfoHash, StreamId};
use piecework_simulation::{NodeId, SimNet};

/// Bytes of one response, as the service worker answers.
const RESPONSE: u64 = 1024 * 1024;
/// It tells this often where it is.
const TELLS: Duration = Duration::from_millis(500);

pub struct Player {
    /// Its own name.
    id: u64,
    node: NodeId,
    info_hash: InfoHash,
    length: u64,
    /// Bytes per second of the film.
    rate: u64,
    /// What it shows.
    pub position: u64,
    /// It has all bytes of its part up to here.
    read: u64,
    stream: StreamId,
    stream_from: u64,
    /// It tells a place that is so many times too small.
    thinks: u64,
}

impl Player {
    /// Begins at the start of file 0.
    pub fn open(
        net: &mut SimNet,
        node: NodeId,
        info_hash: InfoHash,
        length: u64,
        rate: u64,
    ) -> Player {
        Player::open_at(net, node, 1, info_hash, length, rate, 0)
    }

    /// Another one, which begins elsewhere.
    pub fn open_at(
        net: &mut SimNet,
        node: NodeId,
        id: u64,
        info_hash: InfoHash,
        length: u64,
        rate: u64,
        at: u64,
    ) -> Player {
        let range = at..(at + RESPONSE).min(length);
        let stream = net.read_as(node, info_hash, 0, range, None, true);
        Player {
            id,
            node,
            info_hash,
            length,
            rate,
            position: at,
            read: at,
            stream,
            stream_from: at,
            thinks: 1,
        }
    }

    /// The film's beginning has more bytes a second than its end: the place as a share of the film is this much too
    /// small.
    pub fn thinks(&mut self, times: u64) {
        self.thinks = times;
    }

    /// Plays for this long: it stands still where it lacks data.
    pub fn play(&mut self, net: &mut SimNet, time: Duration) {
        for _ in 0..time.as_millis() / TELLS.as_millis() {
            net.run_for(TELLS);
            self.go_on(net);
        }
    }

    /// Plays for this long beside another one, which is paused and reads on all the same.
    pub fn play_beside(&mut self, net: &mut SimNet, paused: &mut Player, time: Duration) {
        for _ in 0..time.as_millis() / TELLS.as_millis() {
            net.run_for(TELLS);
            paused.read_on(net);
            paused.tell(net, false);
            self.go_on(net);
        }
    }

    /// Up to where it has its part of the file.
    pub fn has_read(&self) -> u64 {
        self.read
    }

    fn go_on(&mut self, net: &mut SimNet) {
        self.read_on(net);
        let ahead = self.rate * TELLS.as_millis() as u64 / 1000;
        let starved = self.position + ahead > self.read && self.read < self.length;
        if !starved {
            self.position = (self.position + ahead).min(self.length);
        }
        self.tell(net, starved);
    }

    /// Goes to another place: the read at the new one begins before the page has told of it.
    pub fn seek(&mut self, net: &mut SimNet, to: u64) {
        net.close_stream(self.node, self.stream);
        (self.position, self.read) = (to, to);
        self.request(net);
        self.tell(net, true);
    }

    /// Its page is left.
    pub fn leave(self, net: &mut SimNet) {
        net.close_stream(self.node, self.stream);
        self.say(net, None);
    }

    fn read_on(&mut self, net: &mut SimNet) {
        let reader = net.reader(self.node, self.stream);
        self.read = self.stream_from.max(reader.position);
        if reader.end.is_some() && self.read < self.length {
            self.request(net);
        }
    }

    fn request(&mut self, net: &mut SimNet) {
        let range = self.read..(self.read + RESPONSE).min(self.length);
        self.stream_from = self.read;
        self.stream = net.read_as(self.node, self.info_hash, 0, range, None, true);
    }

    fn tell(&self, net: &mut SimNet, starved: bool) {
        let head = Playhead {
            file: 0,
            position: self.position / self.thinks,
            rate: self.rate / self.thinks,
            starved,
        };
        self.say(net, Some(head));
    }

    fn say(&self, net: &mut SimNet, head: Option<Playhead>) {
        let command = Command::Play {
            info_hash: self.info_hash,
            player: self.id,
            head,
        };
        net.command(self.node, command);
    }
}
