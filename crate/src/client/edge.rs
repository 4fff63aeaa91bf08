//! The part of an edge that is the same in every world: a browser's worker, a native process, a simulated net, a
//! recording.

use super::{Client, Input, Output};
use crate::time::Timestamp;

/// Carries out a client's outputs. [`start`] and [`feed`] drive it.
pub trait Edge {
    /// The time of the edge's clock.
    fn now(&self) -> Timestamp;

    /// Lends the client for one call. The edge carries nothing out during the call.
    fn with_client<T>(&mut self, call: impl FnOnce(&mut Client) -> T) -> T;

    /// Carries out one output, which is never an [`Output::Timeout`]. An immediate result becomes a later input.
    fn carry_out(&mut self, output: Output);

    /// Called before each input, for edges that keep a record.
    fn on_input(&mut self, _now: Timestamp, _input: &Input) {}

    /// Called when every output of one input was carried out. The edge makes here the reports that [`Output::Send`]
    /// asks for.
    fn end_of_batch(&mut self) {}
}

/// Gives the client one input and carries out everything that follows. Answers the time at which the client wants its
/// next [`Input::Tick`].
pub fn feed(edge: &mut impl Edge, input: Input) -> Timestamp {
    let now = edge.now();
    edge.on_input(now, &input);
    edge.with_client(|client| client.handle_input(now, input));
    start(edge)
}

/// Carries out the outputs that a client has before its first input. Answers as [`feed`] does.
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
