//! The browser edge: the engine that runs in a dedicated worker of a page.
//!
//! It owns every real resource of the worker: data channels, signaling sockets, OPFS files, IndexedDB records, the keys
//! and the chain reads. The page owns peer connections, the wallet and the DOM. It talks to the engine by messages
//! (`www/npm/src/protocol.ts` names them all).
//!
//! Invariants:
//! - JavaScript is never called while the core is borrowed: inputs are queued, outputs are collected and then carried
//!   out.
//! - A listener or a timer is an owned field of the thing that it serves, and ends when that is dropped.
//! - No secret key leaves this worker.
//! - A trap is terminal.

pub mod hex;

#[cfg(target_arch = "wasm32")]
mod chain;
#[cfg(target_arch = "wasm32")]
mod data_channel;
#[cfg(target_arch = "wasm32")]
mod driver;
#[cfg(target_arch = "wasm32")]
mod engine;
#[cfg(target_arch = "wasm32")]
mod hash;
#[cfg(target_arch = "wasm32")]
mod js;
#[cfg(target_arch = "wasm32")]
mod keys;
#[cfg(target_arch = "wasm32")]
mod page;
#[cfg(target_arch = "wasm32")]
mod records;
#[cfg(target_arch = "wasm32")]
mod seed;
#[cfg(target_arch = "wasm32")]
mod snapshot;
#[cfg(target_arch = "wasm32")]
mod storage;
#[cfg(target_arch = "wasm32")]
mod stream;
#[cfg(all(target_arch = "wasm32", feature = "trace"))]
mod trace;
#[cfg(target_arch = "wasm32")]
mod tracker;

#[cfg(target_arch = "wasm32")]
pub use engine::Engine;
