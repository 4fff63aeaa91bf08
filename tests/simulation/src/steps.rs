//! Every step of the exchange of money that a node takes, so that it can be stopped at each: a message sent or
//! received, a block received, a record or a flush asked for and carried out, a signature.

use piecework::time::Duration;

use crate::node::NodeId;

/// Counts the steps of one node, and says at which of them it is stopped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps {
    /// The node whose steps are counted; `None`: no node's.
    node: Option<NodeId>,
    /// So many were taken.
    pub taken: u64,
    /// At this one it stops.
    stop: Option<u64>,
    /// Then nobody notices for so long, and what was on its way arrives; `None`: it is lost.
    pub unnoticed: Option<Duration>,
    /// Only the process is stopped, not the machine: what was written and not flushed stays.
    pub killed: bool,
}

impl Steps {
    /// Counts the steps of `node` from now on; at number `stop` it is stopped, if it takes so many.
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
