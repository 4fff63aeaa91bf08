//! The native peer's command line.
fn main() {}
