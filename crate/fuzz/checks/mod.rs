//! What must hold for any bytes from outside: the bodies of the fuzz targets.
//!
//! Each check takes one input and panics when its property fails; [`ALL`] names them. The peer's
//! `tests/corpus.rs` includes these files too and replays the committed corpora through them, so that the
//! ordinary test run covers what fuzzing found. A check does more than not panic: what is read is
//! written and read again, two readers of one format agree, and state machines keep their promises.

#[cfg(feature = "native-formats")]
mod chain;
mod choices;
mod client;
#[cfg(feature = "native-formats")]
mod deployment;
#[cfg(feature = "native-formats")]
mod network;
mod parsers;
mod records;
#[cfg(feature = "native-formats")]
mod signaling;
#[cfg(feature = "native-formats")]
mod signaling_messages;
#[cfg(feature = "native-formats")]
mod title;
#[cfg(feature = "native-formats")]
mod tracker;
mod web_seeds;

#[cfg(feature = "native-formats")]
pub use chain::chain_answers;
pub use client::client;
#[cfg(feature = "native-formats")]
pub use deployment::deployment;
#[cfg(feature = "native-formats")]
pub use network::network;
pub use parsers::{bencode, extensions, magnet, metainfo, wire_decoder};
pub use records::records;
#[cfg(feature = "native-formats")]
pub use signaling::signaling;
#[cfg(feature = "native-formats")]
pub use signaling_messages::signaling_messages;
#[cfg(feature = "native-formats")]
pub use title::title;
#[cfg(feature = "native-formats")]
pub use tracker::tracker;
pub use web_seeds::web_seeds;

/// One target: its name, which is also the name of its corpus folder, and its check.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. The names are those of `fuzz_targets/` and of `corpus/`.
pub const ALL: &[Target] = &[
    ("bencode", bencode),
    ("metainfo", metainfo),
    ("magnet", magnet),
    ("wire_decoder", wire_decoder),
    ("extensions", extensions),
    ("records", records),
    ("web_seeds", web_seeds),
    #[cfg(feature = "native-formats")]
    ("signaling_messages", signaling_messages),
    #[cfg(feature = "native-formats")]
    ("signaling", signaling),
    #[cfg(feature = "native-formats")]
    ("tracker", tracker),
    #[cfg(feature = "native-formats")]
    ("title", title),
    #[cfg(feature = "native-formats")]
    ("chain_answers", chain_answers),
    #[cfg(feature = "native-formats")]
    ("deployment", deployment),
    #[cfg(feature = "native-formats")]
    ("network", network),
    ("client", client),
];
