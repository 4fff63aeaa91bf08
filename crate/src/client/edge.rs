//! What stands between a client and the world, whatever the world is: a browser's worker, a native process, a
//! simulated net, a recording.

use super::{Client, Input, Output};
use crate::time::Timestamp;

/// Carries out what a client puts out. Drive it with [`start`] and [`feed`].
pub trait Edge {
    /// The time.
    fn now(&self) -> Timestamp;

    /// Lends the client for one call, during which nothing is carried out.
    fn with_client<T>(&mut self, call: impl FnOnce(&mut Client) -> T) -> T;

    /// Carries out one output; never a [`Output::Timeout`]. What it brings about at once becomes a later input.
    fn carry_out(&mut self, output: Output);

    /// An input is about to be handled: for those who keep a record.
    fn on_input(&mut self, _now: Timestamp, _input: &Input) {}

    /// Every output of one input was carried out. Here the reports are made that [`Output::Send`] asks for.
    fn end_of_batch(&mut self) {}
}

/// Gives one input and carries out all that follows. Answers when the client wants its next [`Input::Tick`].
pub fn feed(edge: &mut impl Edge, input: Input) -> Timestamp {
    let now = edge.now();
    edge.on_input(now, &input);
    edge.with_client(|client| client.handle_input(now, input));
    start(edge)
}

/// Carries out what a client puts out before its first input.
pub fn start(edge: &mut impl Edge) -> Timestamp {
    let mut outputs = Vec::new();
    let until = edge.with_client(|client| {
        loop {
            match client.poll_output() {
                Output::Timeout(at) => return at,
                output => outputs.push(output),
            }
        }
    });
    for output in outputs {
        edge.carry_out(output);
    }
    edge.end_of_batch();
    until
}
