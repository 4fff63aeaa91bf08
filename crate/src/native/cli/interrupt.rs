//! The operator's wish that the program ends.

use super::output::CliError;

/// Ctrl-C or SIGTERM.
pub(super) struct Interrupt {
    // Both listen from the beginning: what comes while nobody waits is not lost.
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Interrupt {
    pub(super) fn new() -> Result<Interrupt, CliError> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let listen =
                |kind| signal(kind).map_err(|e| CliError::Failed(format!("no signals: {e}")));
            Ok(Interrupt {
                interrupt: listen(SignalKind::interrupt())?,
                terminate: listen(SignalKind::terminate())?,
            })
        }
        #[cfg(not(unix))]
        Ok(Interrupt {})
    }

    pub(super) async fn wait(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_interrupt_that_comes_while_nobody_waits_for_it_is_not_lost() {
        let mut interrupt = Interrupt::new().unwrap();
        // As the loops do: they wait, do something else, and wait again.
        tokio::select! {
            biased;
            () = interrupt.wait() => panic!("nobody interrupted"),
            () = std::future::ready(()) => {}
        }
        let mut witness =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).unwrap();
        let kill = std::process::Command::new("kill")
            .args(["-INT", &std::process::id().to_string()])
            .status()
            .unwrap();
        assert!(kill.success());
        assert!(witness.recv().await.is_some());
        tokio::time::timeout(std::time::Duration::from_secs(10), interrupt.wait())
            .await
            .unwrap();
    }
}
