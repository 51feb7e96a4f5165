//! Warns of handles that did not reach the other side, where the isolate's warnings go.

use std::sync::Arc;

use nodule_abi::error::ErrorRecord;

use crate::process::warnings::{DeprecationFlags, WarningPrinter};
use crate::runtime::IsolateState;
use crate::stdio::Output;

/// Prints the warnings of a channel.
#[derive(Debug)]
pub struct Warner {
    printer: Arc<WarningPrinter>,
    deprecation: DeprecationFlags,
    stderr: Output,
}

impl Warner {
    /// For the channels of an isolate.
    pub fn of(state: &IsolateState) -> Self {
        Self {
            printer: Arc::clone(&state.process.warnings),
            deprecation: state.process.deprecation,
            stderr: state.stdio.stderr.clone(),
        }
    }

    /// So many handles were given up.
    pub async fn handles_lost(&self, count: usize) {
        let warning = ErrorRecord {
            name: "SentHandleNotReceivedWarning".into(),
            message: "Handle did not reach the receiving process correctly".into(),
            ..ErrorRecord::default()
        };
        for _ in 0..count {
            if let Some(text) = self.printer.print(&warning, self.deprecation)
                && let Err(error) = self.stderr.write_all(text.as_bytes()).await
            {
                tracing::debug!(%error, "a warning could not be printed");
            }
        }
    }
}
