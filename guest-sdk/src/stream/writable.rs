//! Streams to write to.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::event::EventRecord;
use nodule_abi::limits::STREAM_WRITE_BYTES_MAX;

use crate::error::{Error, Result};
use crate::event_loop::{self, Sink};
use crate::events::{Emitter, Listener};
use crate::sys::{self, IsolateCell};

/// Bytes that may wait before [`Writable::write`] asks to stop (Node: `writableHighWaterMark`).
const HIGH_WATER_BYTES: usize = 64 * 1024;

struct Target {
    /// The host's handle; 0 once it is closed.
    handle: Cell<u32>,
    /// The host will send an event; until then the event loop holds the stream.
    is_registered: Cell<bool>,
    is_ending: Cell<bool>,
    /// A write asked to stop and `'drain'` is due.
    needs_drain: Cell<bool>,
    is_ref: Cell<bool>,
    /// Whether a reader that is gone is no error.
    is_lenient: Cell<bool>,
    /// Bytes that wait for room.
    waiting: IsolateCell<VecDeque<u8>>,
    /// Why the stream broke.
    failure: IsolateCell<Option<Error>>,
    waiters: IsolateCell<Vec<Waker>>,
    drain: Emitter<()>,
    finish: Emitter<()>,
    error: Emitter<Error>,
}

/// A writable stream (Node: `stream.Writable`). What the reader has no room for yet waits in this isolate, which it keeps
/// alive meanwhile. Clones are the same stream; with the last one it ends when everything is written.
#[derive(Clone)]
pub struct Writable {
    owner: Rc<Owner>,
}

/// Ends the stream when no clone is left; the event loop may hold the target for longer.
struct Owner(Rc<Target>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Target {
    /// Writes what the host takes. Gives whether nothing is left.
    fn flush(self: &Rc<Self>) -> Result<bool> {
        loop {
            let handle = self.handle.get();
            let written = self.waiting.with(|waiting| {
                if waiting.is_empty() {
                    return None;
                }
                let bytes = waiting.make_contiguous();
                let piece = &bytes[..bytes.len().min(STREAM_WRITE_BYTES_MAX as usize)];
                let written = sys::stream_write(handle, piece);
                if let Ok(Some(len)) = written {
                    waiting.drain(..len);
                }
                Some(written)
            });
            match written {
                None => return Ok(true),
                Some(Ok(Some(_))) => {}
                Some(Ok(None)) => {
                    if !self.is_registered.replace(true) {
                        event_loop::register(handle, Rc::clone(self) as Rc<dyn Sink>);
                    }
                    return Ok(false);
                }
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// Takes bytes for writing.
    fn push(self: &Rc<Self>, bytes: &[u8]) -> Result<bool> {
        if let Some(failure) = self.failure.with(|failure| failure.clone()) {
            return Err(failure);
        }
        if self.is_ending.get() {
            return Err(Error::new("write after end").coded("ERR_STREAM_WRITE_AFTER_END"));
        }
        self.waiting.with(|waiting| waiting.extend(bytes));
        if self.is_registered.get() {
            return Ok(false);
        }
        self.flush().map_err(|error| self.fail(error))
    }

    /// The stream is broken: nothing waits any more. Gives the error whoever wrote is told.
    fn fail(&self, error: Error) -> Error {
        self.failure.with(|failure| *failure = Some(error.clone()));
        drop(self.waiting.with(std::mem::take));
        self.close();
        self.wake();
        error
    }

    fn is_gone(&self, error: &Error) -> bool {
        self.is_lenient.get() && error.is_code("EPIPE")
    }

    fn close(&self) {
        let handle = self.handle.replace(0);
        if handle != 0 {
            if self.is_registered.take() {
                event_loop::unregister(handle);
            }
            // Closing cannot fail in a way that matters: the host forgets the handle.
            let _ = sys::close(handle);
        }
    }

    fn wake(&self) {
        let waiters = self.waiters.with(std::mem::take);
        waiters.into_iter().for_each(Waker::wake);
    }

    fn len(&self) -> usize {
        self.waiting.with(|waiting| waiting.len())
    }

    fn end(self: &Rc<Self>) {
        if !self.is_ending.replace(true) && self.len() == 0 {
            self.finish();
        }
    }

    /// Everything is written and no more comes.
    fn finish(self: &Rc<Self>) {
        let has_failed = self.failure.with(|failure| failure.is_some());
        self.close();
        self.wake();
        if !has_failed {
            let target = Rc::clone(self);
            event_loop::next_tick(move || {
                target.finish.emit(&());
            });
        }
    }

    /// Tells listeners of a failure that no call returned.
    fn report(self: &Rc<Self>, error: Error) {
        if !self.is_gone(&error) {
            let target = Rc::clone(self);
            event_loop::next_tick(move || target.error.emit_error(&error));
        }
    }

    fn poll_empty(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(failure) = self.failure.with(|failure| failure.clone()) {
            return Poll::Ready(if self.is_gone(&failure) { Ok(()) } else { Err(failure) });
        }
        if self.len() == 0 {
            return Poll::Ready(Ok(()));
        }
        let waker = context.waker().clone();
        self.waiters.with(|waiters| {
            if !waiters.iter().any(|known| known.will_wake(&waker)) {
                waiters.push(waker);
            }
        });
        Poll::Pending
    }
}

impl Sink for Target {
    fn dispatch(self: Rc<Self>, record: EventRecord) {
        self.is_registered.set(false);
        event_loop::unregister(record.handle);
        match self.flush() {
            Ok(false) => {}
            Err(error) => {
                let error = self.fail(error);
                self.report(error);
            }
            Ok(true) => {
                self.wake();
                if self.is_ending.get() {
                    self.finish();
                } else if self.needs_drain.take() {
                    self.drain.emit(&());
                }
            }
        }
    }
}

impl Writable {
    /// The stream behind a handle to write to, which it takes over: one that a host function of the embedder gave.
    pub fn from_handle(handle: u32) -> Self {
        let target = Target {
            handle: Cell::new(handle),
            is_registered: Cell::new(false),
            is_ending: Cell::new(false),
            needs_drain: Cell::new(false),
            is_ref: Cell::new(true),
            is_lenient: Cell::new(false),
            waiting: IsolateCell::new(VecDeque::new()),
            failure: IsolateCell::new(None),
            waiters: IsolateCell::new(Vec::new()),
            drain: Emitter::new(),
            finish: Emitter::new(),
            error: Emitter::new(),
        };
        Self {
            owner: Rc::new(Owner(Rc::new(target))),
        }
    }

    /// A reader that is gone is no error: what is written then vanishes, as with the input of a worker that ended.
    #[must_use]
    pub fn lenient(self) -> Self {
        self.target().is_lenient.set(true);
        self
    }

    /// The host's handle; 0 when there is none.
    pub(crate) fn raw_handle(&self) -> u32 {
        self.target().handle.get()
    }

    /// Closes the stream; what waits is not written, and later writes fail with `EPIPE` (Node: `stream.destroy`).
    pub fn destroy(&self) {
        let target = self.target();
        let was_ending = target.is_ending.replace(true);
        if target.handle.get() != 0 || !was_ending {
            let _ = target.fail(ErrorRecord::system(ErrorCode::Epipe, "write").into());
        }
    }

    fn target(&self) -> &Rc<Target> {
        &self.owner.0
    }

    /// Writes `bytes`, at once or when there is room. Gives `false` when so much waits that the writer should stop until
    /// [`Writable::on_drain`] (Node: `stream.write`). Failures are told by [`Writable::on_error`].
    pub fn write(&self, bytes: impl AsRef<[u8]>) -> bool {
        let target = self.target();
        if let Err(error) = target.push(bytes.as_ref()) {
            target.report(error);
            return false;
        }
        let has_room = target.len() < HIGH_WATER_BYTES;
        if !has_room {
            target.needs_drain.set(true);
        }
        has_room
    }

    /// Writes `bytes` and waits until the reader's pipe took all of them.
    ///
    /// # Errors
    /// `EPIPE` when the reader is gone, `ERR_STREAM_WRITE_AFTER_END` after [`Writable::end`].
    pub async fn write_all(&self, bytes: impl AsRef<[u8]>) -> Result<()> {
        let target = self.target();
        match target.push(bytes.as_ref()) {
            Err(error) if target.is_gone(&error) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => self.flushed().await,
        }
    }

    /// Waits until nothing waits to be written.
    ///
    /// # Errors
    /// `EPIPE` when the reader is gone.
    pub async fn flushed(&self) -> Result<()> {
        poll_fn(|context| self.target().poll_empty(context)).await
    }

    /// No more is written: the reader's end comes after what waits (Node: `stream.end`). Repeating has no effect.
    pub fn end(&self) {
        self.target().end();
    }

    /// Calls `listener` when everything is written after [`Writable::write`] gave `false` (Node: `'drain'`).
    pub fn on_drain(&self, mut listener: impl FnMut() + 'static) -> Listener {
        self.target().drain.on(move |()| listener())
    }

    /// Calls `listener` when everything is written after [`Writable::end`] (Node: `'finish'`).
    pub fn on_finish(&self, mut listener: impl FnMut() + 'static) -> Listener {
        self.target().finish.on(move |()| listener())
    }

    /// Calls `listener` when writing fails; without one the error is uncaught (Node: `'error'`).
    pub fn on_error(&self, mut listener: impl FnMut(&Error) + 'static) -> Listener {
        self.target().error.on(move |error| listener(error))
    }

    /// How many bytes wait (Node: `writableLength`).
    pub fn writable_length(&self) -> usize {
        self.target().len()
    }

    /// Whether `'drain'` is due (Node: `writableNeedDrain`).
    pub fn writable_need_drain(&self) -> bool {
        self.target().needs_drain.get()
    }

    /// Whether more may be written (Node: `writable`).
    pub fn is_writable(&self) -> bool {
        !self.target().is_ending.get() && self.target().handle.get() != 0
    }

    /// Lets waiting bytes keep the isolate alive, as they do at first.
    pub fn ref_(&self) {
        self.set_ref(true);
    }

    /// Lets the isolate end although bytes wait.
    pub fn unref(&self) {
        self.set_ref(false);
    }

    fn set_ref(&self, is_ref: bool) {
        let target = self.target();
        let handle = target.handle.get();
        if handle != 0 && target.is_ref.replace(is_ref) != is_ref {
            let set = if is_ref { sys::ref_handle } else { sys::unref_handle };
            // The handle is open.
            let _ = set(handle);
        }
    }
}

impl fmt::Debug for Writable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writable")
            .field("writable_length", &self.writable_length())
            .finish_non_exhaustive()
    }
}
