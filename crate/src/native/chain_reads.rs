//! Reads of accounts for the core, on threads of their own.
//!
//! Owns a few threads and the queue before them. Strangers cause these reads, and a slow node holds one for up to
//! [`super::rpc::CALL_TIMEOUT`]: hashing and files never wait behind them. Never sends anything to the chain.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::{B256, U256};
use tokio::sync::mpsc;

use super::chain::Chain;
use crate::client::{EffectError, EffectResult, Input};
use crate::types::EffectId;

/// Reads under way at once.
pub const READS_AT_ONCE: usize = 4;
/// Most reads that wait; a further one fails, and the core asks again later.
pub const MAX_QUEUED_READS: usize = 256;

type Read = (EffectId, B256, U256);

/// The threads; they end when this is dropped, each after its read.
#[derive(Debug)]
pub struct ChainReads {
    queue: SyncSender<Read>,
}

impl ChainReads {
    /// Results are sent to `results` as [`Input::EffectDone`].
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(chain: &Chain, results: &mpsc::Sender<Input>) -> std::io::Result<ChainReads> {
        let (queue, reads) = sync_channel(MAX_QUEUED_READS);
        let reads = Arc::new(Mutex::new(reads));
        for _ in 0..READS_AT_ONCE {
            let (chain, reads, results) = (chain.clone(), reads.clone(), results.clone());
            std::thread::Builder::new()
                .name("chain-reads".to_owned())
                .spawn(move || run(&chain, &reads, &results))?;
        }
        Ok(ChainReads { queue })
    }

    /// Reads `state(account, word)`; never blocks.
    ///
    /// # Errors
    /// Too many wait: no result will be sent.
    pub fn submit(&self, id: EffectId, account: B256, word: U256) -> Result<(), EffectError> {
        self.queue.try_send((id, account, word)).map_err(|e| {
            EffectError::Chain(match e {
                TrySendError::Full(_) => {
                    format!("more than {MAX_QUEUED_READS} accounts wait to be read")
                }
                TrySendError::Disconnected(_) => "its readers have stopped".to_owned(),
            })
        })
    }
}

fn run(chain: &Chain, reads: &Mutex<Receiver<Read>>, results: &mpsc::Sender<Input>) {
    loop {
        // The lock is held only to wait.
        let next = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((id, account, word)) = next else {
            return;
        };
        let result = chain
            .account(account, word)
            .map(EffectResult::Account)
            .map_err(|e| EffectError::Chain(e.to_string()));
        if results
            .blocking_send(Input::EffectDone { id, result })
            .is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::chain::ChainConfig;
    use alloy_primitives::Address;
    use std::net::TcpListener;

    #[test]
    fn reads_of_a_silent_node_are_few_and_those_that_wait_are_bounded() {
        // It accepts connections by its backlog, and never answers.
        let node = TcpListener::bind("127.0.0.1:0").unwrap();
        let chain = Chain::new(&ChainConfig {
            vault: Address::ZERO,
            chain_id: 1,
            rpc_url: format!("http://{}", node.local_addr().unwrap()),
            token: None,
        })
        .unwrap();
        let (sender, _results) = mpsc::channel(1);
        let reads = ChainReads::start(&chain, &sender).unwrap();
        let submitted = (0..2 * (MAX_QUEUED_READS + READS_AT_ONCE) as u64)
            .map(|id| reads.submit(EffectId(id), B256::ZERO, U256::ZERO))
            .filter(Result::is_ok)
            .count();
        assert!(submitted >= MAX_QUEUED_READS, "{submitted}");
        assert!(submitted <= MAX_QUEUED_READS + READS_AT_ONCE, "{submitted}");
    }
}
