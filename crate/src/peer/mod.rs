//! (see ARCHITECTURE.md)
pub mod choke;
