//! The spinner of a long compilation.

use std::io::IsTerminal as _;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};

/// What is done sooner needs no spinner.
const QUIET: Duration = Duration::from_millis(300);

/// Time between two steps of the spinner.
const STEP: Duration = Duration::from_millis(100);

/// Shows a spinner on stderr while it lives, if it lives long and stderr is a terminal.
pub struct Progress {
    /// Dropped to stop the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts waiting. `message` is only asked for when the spinner is shown.
    pub fn start(message: impl FnOnce() -> String + Send + 'static) -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        if is_dumb || !std::io::stderr().is_terminal() {
            return Self {
                stop: None,
                thread: None,
            };
        }
        let (stop, stopped) = mpsc::channel::<()>();
        let spin = move || {
            if stopped.recv_timeout(QUIET) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_message(message());
            while stopped.recv_timeout(STEP) == Err(RecvTimeoutError::Timeout) {
                bar.tick();
            }
            bar.finish_and_clear();
        };
        // Without a thread there is no spinner, which is no failure.
        let thread = std::thread::Builder::new()
            .name("nodule-progress".into())
            .spawn(spin)
            .ok();
        Self {
            stop: Some(stop),
            thread,
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The line is cleared before anything else is printed.
            let _ = thread.join();
        }
    }
}
