//! The parent's side of a child.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::signal;
use super::state::{ExitStatus, State};
use super::stdio::StdioStream;
use crate::error::{Error, Result};
use crate::events::Listener;
use crate::ipc::{Channel, SendHandle, SendOptions};
use crate::process::Signal;
use crate::promise;
use crate::stream::{Readable, Writable};

/// A child process (Node: class `ChildProcess`). Clones are the same child; dropping them leaves it running, unless
/// [`Self::kill_on_drop`] was called.
#[derive(Clone)]
pub struct ChildProcess(Rc<Owner>);

struct Owner {
    state: Rc<State>,
    is_killed_on_drop: Cell<bool>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.is_killed_on_drop.get() && !self.state.killed.get() {
            // It has ended, or nobody is left to tell that it cannot be ended.
            let _ = self.state.kill(signal::SIGTERM);
        }
    }
}

impl ChildProcess {
    pub(super) fn of(state: Rc<State>) -> Self {
        Self(Rc::new(Owner {
            state,
            is_killed_on_drop: Cell::new(false),
        }))
    }

    fn state(&self) -> &State {
        &self.0.state
    }

    /// Its process id; `None` when it did not start (Node: `subprocess.pid`).
    pub fn pid(&self) -> Option<u32> {
        self.state().pid
    }

    /// The file that was started: for a fork the executable, for a command of a shell that shell (Node:
    /// `subprocess.spawnfile`).
    pub fn spawnfile(&self) -> &str {
        &self.state().facts.spawnfile
    }

    /// All its arguments, from `argv[0]` on (Node: `subprocess.spawnargs`).
    pub fn spawnargs(&self) -> &[String] {
        &self.state().facts.spawnargs
    }

    /// Whether messages can be sent; `false` without a channel, and at once after [`Self::disconnect`] (Node:
    /// `subprocess.connected`).
    pub fn connected(&self) -> bool {
        self.state().end.is_connected()
    }

    /// The channel to it, which keeps this isolate alive while it is open; `None` without one and after its end (Node:
    /// `subprocess.channel`).
    pub fn channel(&self) -> Option<Channel> {
        Channel::of(&self.state().end)
    }

    /// Its exit code; `None` while it runs and when a signal ended it. The negative error number when it did not start
    /// (Node: `subprocess.exitCode`).
    pub fn exit_code(&self) -> Option<i32> {
        self.state().status.get().and_then(|status| status.code)
    }

    /// The name of the signal that ended it (Node: `subprocess.signalCode`).
    pub fn signal_code(&self) -> Option<&'static str> {
        self.state().status.get().and_then(|status| status.signal)
    }

    /// Whether [`Self::kill`] delivered a signal, also 0; says nothing about its death (Node: `subprocess.killed`).
    pub fn killed(&self) -> bool {
        self.state().killed.get()
    }

    /// Its standard input, if that is a pipe. It is destroyed when the child ends: writing fails with `EPIPE` then (Node:
    /// `subprocess.stdin`).
    pub fn stdin(&self) -> Option<&Writable> {
        self.stream(0).and_then(StdioStream::writable)
    }

    /// Its standard output, if that is a pipe. What nobody reads is discarded after the child's end (Node:
    /// `subprocess.stdout`).
    pub fn stdout(&self) -> Option<&Readable> {
        self.stream(1).and_then(StdioStream::readable)
    }

    /// Its error output, if that is a pipe; as [`Self::stdout`] (Node: `subprocess.stderr`).
    pub fn stderr(&self) -> Option<&Readable> {
        self.stream(2).and_then(StdioStream::readable)
    }

    /// The streams to all its descriptors, `None` for those that are no pipes; empty when it did not start because there
    /// were too many descriptors. The first three are [`Self::stdin`], [`Self::stdout`], [`Self::stderr`] (Node:
    /// `subprocess.stdio`).
    pub fn stdio(&self) -> &[Option<StdioStream>] {
        &self.state().stdio
    }

    fn stream(&self, fd: usize) -> Option<&StdioStream> {
        self.state().stdio.get(fd).and_then(Option::as_ref)
    }

    /// Sends it a signal, by name or number; `()` is `SIGTERM`, 0 tests. Gives whether it was delivered: `false` when it
    /// has ended. Processes below it get nothing. That it is not allowed (`EPERM`) is an `'error'` (Node:
    /// `subprocess.kill`).
    ///
    /// # Errors
    /// `ERR_UNKNOWN_SIGNAL`, `EINVAL`.
    pub fn kill<'a>(&self, signal: impl Into<Signal<'a>>) -> Result<bool> {
        self.state().kill(signal::number(signal.into())?)
    }

    /// Stops it and all processes below it, sends them a signal, bottom-up, and lets them go on; what is left after
    /// `grace` gets `SIGKILL`. Gives how many got the signal (nodule only).
    ///
    /// # Errors
    /// `ERR_UNKNOWN_SIGNAL`, `EPERM`.
    pub fn kill_tree<'a>(&self, signal: impl Into<Signal<'a>>, grace: Option<Duration>) -> Result<u32> {
        let signal = signal::number(signal.into())?;
        self.state()
            .kill_tree(signal, grace.map_or(-1.0, |grace| grace.as_secs_f64() * 1000.0))
    }

    /// Sends it `SIGTERM`, unless it was sent a signal before (Node: `subprocess[Symbol.dispose]`).
    pub fn dispose(&self) {
        if !self.killed() {
            // The signal is known; that it is not allowed is an event.
            let _ = self.kill(());
        }
    }

    /// Whether the last clone that is dropped does what [`Self::dispose`] does (nodule only). Default: it does not.
    pub fn kill_on_drop(&self, is_wanted: bool) {
        self.0.is_killed_on_drop.set(is_wanted);
    }

    /// Lets the running child keep this isolate alive, as it does at first (Node: `subprocess.ref`).
    pub fn ref_(&self) {
        self.state().set_ref(true);
    }

    /// Lets this isolate end although the child runs. A channel and streams that are read keep it alive by themselves
    /// (Node: `subprocess.unref`).
    pub fn unref(&self) {
        self.state().set_ref(false);
    }

    /// Sends it a message (Node: `subprocess.send`). Gives whether little waits to be sent: `false` asks to stop for a
    /// while. After the channel was closed it gives `false`, and `'error'` with `ERR_IPC_CHANNEL_CLOSED` follows on the
    /// next tick.
    ///
    /// # Errors
    /// `ERR_IPC_CHANNEL_CLOSED` when there never was a channel; `ERR_IPC_BACKPRESSURE` when too much waits to be sent, see
    /// [`Self::send_async`]; `ERR_IPC_MESSAGE_TOO_LARGE`; `ERR_MISSING_ARGS` for undefined; over a channel with JSON
    /// `TypeError` for a bigint or cycle in the message and `ERR_INVALID_ARG_TYPE` for a bigint; `DataCloneError` for what
    /// cannot be sent.
    pub fn send(&self, message: &(impl Serialize + ?Sized)) -> Result<bool> {
        self.send_with(message, SendOptions::new())
    }

    /// As [`Self::send`], with a native handle, with what moves, or with a callback. After the channel was closed the
    /// callback gets `ERR_IPC_CHANNEL_CLOSED`.
    ///
    /// # Errors
    /// As [`Self::send`]; `ERR_INVALID_HANDLE_TYPE`.
    pub fn send_with(&self, message: &(impl Serialize + ?Sized), options: SendOptions<'_>) -> Result<bool> {
        self.state().end.send(message, options)
    }

    /// As [`Self::send`], but waits while too much waits to be sent (nodule only). The message is cloned now.
    ///
    /// # Errors
    /// As [`Self::send`], without `ERR_IPC_BACKPRESSURE`; `ERR_IPC_CHANNEL_CLOSED` when the channel is closed.
    pub fn send_async<T: Serialize + ?Sized>(&self, message: &T) -> impl Future<Output = Result<()>> + use<T> {
        self.state().end.send_async(message)
    }

    /// Closes the channel after what was sent; `'disconnect'` follows on both sides (Node: `subprocess.disconnect`). The
    /// second time `'error'` follows with `ERR_IPC_DISCONNECTED`.
    ///
    /// # Errors
    /// `ERR_IPC_DISCONNECTED` when there is no channel any more and nobody listens for `'error'`.
    pub fn disconnect(&self) -> Result<()> {
        self.state().end.disconnect()
    }

    /// Calls `listener` when it runs: the first event of a child that started (Node: `'spawn'`).
    pub fn on_spawn(&self, mut listener: impl FnMut() + 'static) -> Listener {
        self.state().spawn.on(move |()| listener())
    }

    /// Calls `listener` with each message of the child, decoded, each in a turn of its own. All come before `'disconnect'`.
    /// What does not fit `T` is an `'error'` (Node: `'message'`).
    pub fn on_message<T: DeserializeOwned + 'static>(&self, mut listener: impl FnMut(T) + 'static) -> Listener {
        self.state().end.on_message(move |message, _handle| listener(message))
    }

    /// As [`Self::on_message`], for the next one only.
    pub fn once_message<T: DeserializeOwned + 'static>(&self, listener: impl FnOnce(T) + 'static) -> Listener {
        self.state().end.once_message(move |message, _handle| listener(message))
    }

    /// As [`Self::on_message`], with the native handle that came along.
    pub fn on_message_with_handle<T: DeserializeOwned + 'static>(
        &self,
        listener: impl FnMut(T, Option<SendHandle>) + 'static,
    ) -> Listener {
        self.state().end.on_message(listener)
    }

    /// Calls `listener` when the channel is closed, by either side or with the child's end; never without a channel (Node:
    /// `'disconnect'`).
    pub fn on_disconnect(&self, mut listener: impl FnMut() + 'static) -> Listener {
        self.state().end.disconnects().on(move |()| listener())
    }

    /// Calls `listener` once with exit code and signal name when the child has ended; one of them is `None`. Its streams
    /// may still have something to read (Node: `'exit'`).
    pub fn on_exit(&self, mut listener: impl FnMut(Option<i32>, Option<&'static str>) + 'static) -> Listener {
        self.state()
            .exit
            .on(move |status: &ExitStatus| listener(status.code, status.signal))
    }

    /// As [`Self::on_exit`], when its streams have ended, too: the last event. It also comes, with the negative error
    /// number, for a child that did not start (Node: `'close'`).
    pub fn on_close(&self, mut listener: impl FnMut(Option<i32>, Option<&'static str>) + 'static) -> Listener {
        self.state()
            .close
            .on(move |status: &ExitStatus| listener(status.code, status.signal))
    }

    /// Calls `listener` when the child could not be started, signalled or sent to, when a message of it cannot be read,
    /// and when it was aborted. Without a listener the error is uncaught (Node: `'error'`).
    pub fn on_error(&self, mut listener: impl FnMut(&Error) + 'static) -> Listener {
        self.state().error.on(move |error| listener(error))
    }

    /// As [`Self::on_error`], for the next time only.
    pub fn once_error(&self, listener: impl FnOnce(&Error) + 'static) -> Listener {
        self.state().error.once(listener)
    }

    /// Waits for `'close'` and gives how it ended (nodule only).
    pub fn wait(&self) -> impl Future<Output = Result<ExitStatus>> + use<> {
        let known = self.state().status.get().filter(|_| self.state().is_closed());
        let (resolver, promise) = promise::deferred();
        match known {
            Some(status) => resolver.resolve(status),
            None => self.state().waiting.with(|waiting| waiting.push(resolver)),
        }
        promise
    }
}

impl fmt::Debug for ChildProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildProcess")
            .field("pid", &self.pid())
            .field("spawnfile", &self.spawnfile())
            .field("exit_code", &self.exit_code())
            .field("signal_code", &self.signal_code())
            .finish_non_exhaustive()
    }
}
