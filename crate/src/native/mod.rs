//! Native edge.
