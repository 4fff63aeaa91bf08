//! The operator's wish that the program ends.
//!
//! A closed terminal (SIGHUP) is such a wish, too, unless the program was started to outlive it, as by `nohup`. Then
//! the signal is ignored from the beginning, and listening to it would take that away. Without unsafe code only Linux
//! shows whether it is ignored; elsewhere the program leaves the signal as it is.

use super::output::CliError;

/// Ctrl-C, SIGTERM or the end of the terminal.
pub(super) struct Interrupt {
    // Both listen from the beginning, so that a signal is not lost while nobody waits.
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
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
                hangup: match hangup_counts() {
                    true => Some(listen(SignalKind::hangup())?),
                    false => None,
                },
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
            () = hung_up(&mut self.hangup) => {}
        }
        #[cfg(not(unix))]
        {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

#[cfg(unix)]
async fn hung_up(hangup: &mut Option<tokio::signal::unix::Signal>) {
    match hangup {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether SIGHUP was not ignored when the program began.
#[cfg(unix)]
fn hangup_counts() -> bool {
    const HANGUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status");
    status.is_ok_and(|status| ignored_signals(&status).is_some_and(|mask| mask & HANGUP == 0))
}

/// The mask of ignored signals in `/proc/PID/status`; the first signal in the lowest bit.
#[cfg(unix)]
fn ignored_signals(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_hangup_that_is_ignored_is_told_from_one_that_is_not() {
        for (mask, ignored) in [
            ("0000000000000001", Some(true)),
            ("0000000000001003", Some(true)),
            ("0000000000001000", Some(false)),
            ("0000000000000000", Some(false)),
            ("", None),
        ] {
            let status = format!("Name:\tpiecework\nSigBlk:\t0001\nSigIgn:\t{mask}\n");
            assert_eq!(ignored_signals(&status).map(|mask| mask & 1 == 1), ignored);
        }
        assert_eq!(ignored_signals("Name:\tpiecework\n"), None);
    }

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
