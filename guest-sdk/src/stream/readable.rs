//! Streams to read from.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use nodule_abi::error::ErrorCode;
use nodule_abi::event::EventRecord;

use crate::error::{Error, Result};
use crate::event_loop::{self, Sink};
use crate::events::{Emitter, Listener};
use crate::sys::{self, IsolateCell};
use crate::timers;

/// Bytes of one `'data'` event at most, as in Node.
const CHUNK_BYTES: usize = 64 * 1024;

/// Whether `'data'` events flow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// Nobody asked yet.
    Initial,
    Flowing,
    Paused,
}

struct Source {
    /// The host's handle; 0 before it is opened and after the end.
    handle: Cell<u32>,
    open: fn() -> Result<u32>,
    /// The host will send an event; until then the event loop holds the stream.
    is_registered: Cell<bool>,
    has_ended: Cell<bool>,
    /// Nothing is read yet, whoever asks.
    is_held: Cell<bool>,
    /// Somebody has asked for data.
    is_used: Cell<bool>,
    flow: Cell<Flow>,
    /// A step of the flow is set as immediate.
    is_pump_set: Cell<bool>,
    /// What the guest's author wants.
    wants_ref: Cell<bool>,
    /// What the host was told.
    is_ref: Cell<bool>,
    /// How many `read` futures there are.
    readers: Cell<usize>,
    waiters: IsolateCell<Vec<Waker>>,
    /// Read, but not asked for yet: what follows a line.
    rest: IsolateCell<VecDeque<u8>>,
    data: Emitter<Vec<u8>>,
    end: Emitter<()>,
    error: Emitter<Error>,
    /// Hears once that nothing more can be read.
    watcher: IsolateCell<Option<Box<dyn FnOnce()>>>,
}

/// A readable stream (Node: `stream.Readable`): futures to read with, or `on_data` and `on_end`.
/// It keeps the isolate alive only while something reads. Clones are the same stream; with the last one, and when
/// nothing reads, the stream is closed for whoever writes to it.
#[derive(Clone)]
pub struct Readable {
    source: Rc<Source>,
}

impl Source {
    fn new(handle: u32, open: fn() -> Result<u32>) -> Self {
        Self {
            handle: Cell::new(handle),
            open,
            is_registered: Cell::new(false),
            has_ended: Cell::new(false),
            is_held: Cell::new(false),
            is_used: Cell::new(false),
            flow: Cell::new(Flow::Initial),
            is_pump_set: Cell::new(false),
            wants_ref: Cell::new(true),
            is_ref: Cell::new(true),
            readers: Cell::new(0),
            waiters: IsolateCell::new(Vec::new()),
            rest: IsolateCell::new(VecDeque::new()),
            data: Emitter::new(),
            end: Emitter::new(),
            error: Emitter::new(),
            watcher: IsolateCell::new(None),
        }
    }

    fn open(self: &Rc<Self>) -> Result<u32> {
        if self.handle.get() == 0 {
            self.handle.set((self.open)()?);
        }
        Ok(self.handle.get())
    }

    /// Reads what is there; `None` when a `Readable` event will tell.
    fn read(self: &Rc<Self>, buf: &mut [u8]) -> Result<Option<usize>> {
        let held = self.rest.with(|rest| {
            let len = rest.len().min(buf.len());
            rest.drain(..len)
                .zip(buf.iter_mut())
                .for_each(|(byte, slot)| *slot = byte);
            len
        });
        if held > 0 || buf.is_empty() {
            return Ok(Some(held));
        }
        if self.has_ended.get() {
            return Ok(Some(0));
        }
        if self.is_held.get() {
            return Ok(None);
        }
        let handle = self.open()?;
        // The host counts a waiting read when it begins, so it must know before.
        self.update_ref(self.wants_ref.get());
        let read = sys::stream_read(handle, buf);
        match read {
            Ok(Some(0)) | Err(_) => self.close(),
            Ok(None) if !self.is_registered.replace(true) => {
                event_loop::register(handle, Rc::clone(self) as Rc<dyn Sink>);
            }
            Ok(_) => {}
        }
        read
    }

    fn close(&self) {
        self.has_ended.set(true);
        if let Some(watcher) = self.watcher.with(Option::take) {
            event_loop::next_tick(watcher);
        }
        let handle = self.handle.replace(0);
        if handle != 0 {
            if self.is_registered.take() {
                event_loop::unregister(handle);
            }
            // The host may have closed it with the end.
            let _ = sys::close(handle);
        }
    }

    fn update_ref(&self, is_ref: bool) {
        let handle = self.handle.get();
        if handle != 0 && self.is_ref.replace(is_ref) != is_ref {
            let set = if is_ref { sys::ref_handle } else { sys::unref_handle };
            // The handle is open.
            let _ = set(handle);
        }
    }

    /// A read that nobody waits for any more must not keep the isolate alive.
    fn update_interest(&self) {
        let is_wanted = self.flow.get() == Flow::Flowing || self.readers.get() > 0;
        self.update_ref(self.wants_ref.get() && is_wanted);
    }

    fn set_flow(self: &Rc<Self>, flow: Flow) {
        self.is_used.set(true);
        self.flow.set(flow);
        if flow == Flow::Flowing {
            self.set_pump();
        } else {
            self.update_interest();
        }
    }

    /// Sets the next step of the flow. It is an immediate so that other events get their turn.
    fn set_pump(self: &Rc<Self>) {
        if !self.is_pump_set.replace(true) {
            let source = Rc::clone(self);
            let step = timers::set_immediate(move || source.pump());
            if !self.wants_ref.get() {
                step.unref();
            }
        }
    }

    fn wake(&self) {
        let waiters = self.waiters.with(std::mem::take);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// One step: at most one event. The next step is set before the listeners run, which may not return.
    fn pump(self: &Rc<Self>) {
        self.is_pump_set.set(false);
        if self.flow.get() != Flow::Flowing || self.handle.get() == 0 && self.has_ended.get() {
            return;
        }
        let mut chunk = vec![0; CHUNK_BYTES];
        match self.read(&mut chunk) {
            Ok(None) => {}
            Ok(Some(0)) => {
                self.end.emit(&());
            }
            Ok(Some(len)) => {
                chunk.truncate(len);
                self.set_pump();
                self.data.emit(&chunk);
            }
            Err(error) => self.error.emit_error(&error),
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.close();
    }
}

impl Sink for Source {
    fn dispatch(self: Rc<Self>, record: EventRecord) {
        self.is_registered.set(false);
        event_loop::unregister(record.handle);
        self.wake();
        if self.flow.get() == Flow::Flowing {
            self.is_pump_set.set(false);
            self.pump();
        }
    }
}

impl Readable {
    /// The stream behind a handle to read from, which it takes over: one that a host function of the embedder gave.
    pub fn from_handle(handle: u32) -> Self {
        let open = || Err(Error::with_code(ErrorCode::HandleClosed, "the stream is closed"));
        Self {
            source: Rc::new(Source::new(handle, open)),
        }
    }

    /// A stream that has ended: nothing will ever be read from it.
    pub(crate) fn ended() -> Self {
        let stream = Self::from_handle(0);
        stream.source.has_ended.set(true);
        stream
    }

    /// One step of the flow now; gives whether there is more to come.
    pub(crate) fn deliver_next(&self) -> bool {
        let is_flowing = self.source.flow.get() == Flow::Flowing && !self.source.has_ended.get();
        if is_flowing {
            self.source.pump();
        }
        is_flowing
    }

    /// Gives nothing until [`Self::release`].
    pub(crate) fn held(self) -> Self {
        self.source.is_held.set(true);
        self
    }

    /// Data may come.
    pub(crate) fn release(&self) {
        if self.source.is_held.replace(false) {
            self.source.wake();
            if self.source.flow.get() == Flow::Flowing {
                self.source.set_pump();
            }
        }
    }

    /// Calls `watcher` in a tick when the end was read, reading failed or the stream was destroyed.
    pub(crate) fn watch_close(&self, watcher: impl FnOnce() + 'static) {
        if self.source.has_ended.get() {
            event_loop::next_tick(watcher);
        } else {
            self.source.watcher.with(|slot| *slot = Some(Box::new(watcher)));
        }
    }

    /// Whether somebody ever asked for data.
    pub(crate) fn is_used(&self) -> bool {
        self.source.is_used.get()
    }

    /// The host's handle; 0 when there is none.
    pub(crate) fn raw_handle(&self) -> u32 {
        self.source.handle.get()
    }

    /// Closes the stream for whoever writes to it; nothing more is read and no event comes (Node: `stream.destroy`).
    pub fn destroy(&self) {
        self.source.rest.with(VecDeque::clear);
        self.source.close();
        self.source.wake();
    }

    /// A stream that is opened when somebody reads from it.
    pub(crate) fn opened_by(open: fn() -> Result<u32>) -> Self {
        Self {
            source: Rc::new(Source::new(0, open)),
        }
    }

    /// Reads up to `buf.len()` bytes; 0 means the end.
    ///
    /// # Errors
    /// When reading fails.
    pub async fn read(&self, buf: &mut [u8]) -> Result<usize> {
        let _interest = Interest::new(&self.source);
        poll_fn(|context| self.poll_read(context, buf)).await
    }

    fn poll_read(&self, context: &mut Context<'_>, buf: &mut [u8]) -> Poll<Result<usize>> {
        self.source.is_used.set(true);
        match self.source.read(buf) {
            Ok(Some(len)) => Poll::Ready(Ok(len)),
            Err(error) => Poll::Ready(Err(error)),
            Ok(None) => {
                let waker = context.waker().clone();
                self.source.waiters.with(|waiters| {
                    if !waiters.iter().any(|known| known.will_wake(&waker)) {
                        waiters.push(waker);
                    }
                });
                Poll::Pending
            }
        }
    }

    /// Reads everything up to the end.
    ///
    /// # Errors
    /// When reading fails.
    pub async fn read_to_end(&self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match self.read(&mut chunk).await? {
                0 => return Ok(all),
                len => all.extend_from_slice(&chunk[..len]),
            }
        }
    }

    /// Reads everything up to the end as text.
    ///
    /// # Errors
    /// When reading fails or the text is not UTF-8.
    pub async fn read_to_string(&self) -> Result<String> {
        Ok(String::from_utf8(self.read_to_end().await?)?)
    }

    /// Reads a line without its line end; `None` at the end of the stream.
    ///
    /// # Errors
    /// When reading fails or the text is not UTF-8.
    pub async fn read_line(&self) -> Result<Option<String>> {
        let mut line = Vec::new();
        let mut chunk = vec![0; 4096];
        loop {
            let len = self.read(&mut chunk).await?;
            let read = &chunk[..len];
            if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                line.extend_from_slice(&read[..end]);
                self.source
                    .rest
                    .with(|rest| read[end + 1..].iter().rev().for_each(|byte| rest.push_front(*byte)));
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(String::from_utf8(line)?));
            }
            line.extend_from_slice(read);
            if len == 0 {
                return Ok(if line.is_empty() {
                    None
                } else {
                    Some(String::from_utf8(line)?)
                });
            }
        }
    }

    /// Calls `listener` with each piece of data; the first listener starts the flow (Node: `'data'`).
    pub fn on_data(&self, mut listener: impl FnMut(&[u8]) + 'static) -> Listener {
        let added = self.source.data.on(move |chunk: &Vec<u8>| listener(chunk));
        if self.source.flow.get() == Flow::Initial {
            self.source.set_flow(Flow::Flowing);
        }
        added
    }

    /// Calls `listener` when the flow reached the end (Node: `'end'`).
    pub fn on_end(&self, mut listener: impl FnMut() + 'static) -> Listener {
        self.source.end.on(move |()| listener())
    }

    /// Calls `listener` when reading in the flow fails; without one the error is uncaught (Node: `'error'`).
    pub fn on_error(&self, mut listener: impl FnMut(&Error) + 'static) -> Listener {
        self.source.error.on(move |error| listener(error))
    }

    /// Stops the flow (Node: `stream.pause`).
    pub fn pause(&self) {
        self.source.set_flow(Flow::Paused);
    }

    /// Starts the flow (Node: `stream.resume`).
    pub fn resume(&self) {
        self.source.set_flow(Flow::Flowing);
    }

    /// Whether the end was reached or reading failed.
    pub fn has_ended(&self) -> bool {
        self.source.has_ended.get() && self.source.rest.with(|rest| rest.is_empty())
    }

    /// Whether the flow was stopped (Node: `stream.isPaused`).
    pub fn is_paused(&self) -> bool {
        self.source.flow.get() == Flow::Paused
    }

    /// Lets a read keep the isolate alive, as it does at first.
    pub fn ref_(&self) {
        self.source.wants_ref.set(true);
        self.source.update_interest();
    }

    /// Lets the isolate end although something reads.
    pub fn unref(&self) {
        self.source.wants_ref.set(false);
        self.source.update_interest();
    }
}

/// Counts a read future; when it ends or is given up, somebody else may still want to read.
struct Interest<'a>(&'a Rc<Source>);

impl<'a> Interest<'a> {
    fn new(stream: &'a Rc<Source>) -> Self {
        stream.readers.set(stream.readers.get() + 1);
        Self(stream)
    }
}

impl Drop for Interest<'_> {
    fn drop(&mut self) {
        self.0.readers.set(self.0.readers.get() - 1);
        self.0.update_interest();
    }
}

impl fmt::Debug for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readable")
            .field("has_ended", &self.source.has_ended.get())
            .finish_non_exhaustive()
    }
}
