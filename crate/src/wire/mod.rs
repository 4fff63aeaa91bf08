//! (see ARCHITECTURE.md)

pub mod pay;
