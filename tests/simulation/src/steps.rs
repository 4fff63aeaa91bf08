//! Every step of the exchange of money that a node takes, so that it can be stopped at each: a message sent or
//! received, a block received, a record or a flush asked for and carried out, a signature.

use piecework::time::Duration;

use crate::node::NodeId;

/// Counts the steps of one node, and says at which of them it is stopped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps {
    /// The node whose steps are counted; `None`: no node's.
    node: Option<NodeId>,
    /// The number of steps taken.
    pub taken: u64,
    /// At this one it stops.
    stop: Option<u64>,
    /// Then nobody notices for this long, and messages on their way arrive; `None`: they are lost.
    pub unnoticed: Option<Duration>,
    /// Only the process is stopped, not the machine: writes that were not flushed stay.
    pub killed: bool,
}

impl Steps {
    /// Counts the steps of `node` from now on. Stops it at number `stop`, if it takes that many.
    pub fn of(node: NodeId, stop: Option<u64>) -> Steps {
        Steps {
            node: Some(node),
            taken: 0,
            stop,
            unnoticed: None,
            killed: false,
        }
    }

    /// It was stopped.
    pub fn stopped(&self) -> bool {
        self.stop.is_some_and(|stop| self.taken >= stop)
    }

    /// A step of `node`; true: here it stops.
    pub(crate) fn take(&mut self, node: NodeId) -> bool {
        if self.node != Some(node) || self.stopped() {
            return false;
        }
        self.taken += 1;
        self.stopped()
    }
}
