//! The reason why a command stopped, and its exit code.

use std::{io, path::Path, process::ExitCode};

/// The reason why a command stopped.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something the machine lacks and we cannot or may not install: exit code 3.
    #[error("missing: {what}\n  this brings it:  {line}")]
    Missing {
        /// The missing thing, and why it was not installed.
        what: String,
        /// The one line to type.
        line: String,
    },
    /// Something ran and failed: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// A file or a process could not be used: exit code 1.
    #[error("{what}: {source}")]
    Io {
        /// The work under way, with the path.
        what: String,
        /// The system's own words.
        source: io::Error,
    },
    /// The user asked to stop (Ctrl-C): exit code 130.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// A failure in one sentence.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }

    /// For `map_err` on a file operation: `verb` and the path make the sentence.
    pub fn io(verb: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("cannot {verb} {}", path.display());
        move |source| Self::Io { what, source }
    }

    /// The process's exit code for this failure.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Missing { .. } => 3,
            Self::Failed(_) | Self::Io { .. } => 1,
            Self::Interrupted => 130,
        })
    }
}
