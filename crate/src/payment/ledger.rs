//! Who owes what.
