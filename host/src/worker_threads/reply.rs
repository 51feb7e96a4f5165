//! Answers that take a while: an isolate is asked, its answer waits to be read.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::event::{EventKind, EventRecord};

use crate::diagnostics::{CpuProfile, HeapProfile, HeapSnapshot};
use crate::handles::Handle;
use crate::runtime::IsolateShared;
use crate::spawn_tied::Tied;

/// A profile that was started. Dropping it stops it.
#[derive(Debug)]
pub enum Profile {
    /// Where time is spent.
    Cpu(CpuProfile),
    /// Where memory is allocated.
    Heap(HeapProfile),
}

impl Profile {
    /// Its JSON text; the same again when asked again.
    pub async fn stop(&self) -> Result<String> {
        match self {
            Self::Cpu(profile) => profile.stop().await,
            Self::Heap(profile) => profile.stop().await,
        }
    }
}

/// What an answer is.
#[derive(Debug)]
pub enum Body {
    /// Bytes.
    Bytes(Vec<u8>),
    /// A core dump, counted as long as it is held.
    Snapshot(HeapSnapshot, Arc<()>),
    /// A profile has started.
    Profile(Arc<Profile>),
}

#[derive(Debug)]
enum State {
    Waiting,
    Failed(Box<ErrorRecord>),
    Reading {
        body: Body,
        /// The piece that is read, and how much of it was.
        piece: Vec<u8>,
        at: usize,
    },
}

/// An answer as the one who asked holds it. Dropping it gives it up.
#[derive(Debug)]
pub struct Reply {
    state: Arc<Mutex<State>>,
    /// Counts the open answers of an isolate.
    _counted: Arc<()>,
    _task: Tied,
}

/// Most bytes one read gives.
pub const READ_BYTES_MAX: u32 = nodule_abi::limits::STREAM_READ_BYTES_MAX;
/// Most answers an isolate may have open.
const REPLIES_MAX: usize = 64;

/// Most core dumps an isolate may hold: each is as large as the memory it shows.
const SNAPSHOTS_MAX: usize = 2;

/// `EAGAIN` when too many core dumps are held.
pub fn check_snapshots(counter: &Arc<()>) -> Result<()> {
    if Arc::strong_count(counter) > SNAPSHOTS_MAX {
        let message = format!("more than {SNAPSHOTS_MAX} heap snapshots are open: read and drop them first");
        return Err(ErrorRecord::new(ErrorCode::Eagain, message).into());
    }
    Ok(())
}

/// `EAGAIN` when too many answers are open.
pub fn check_room(counter: &Arc<()>) -> Result<()> {
    if Arc::strong_count(counter) > REPLIES_MAX {
        let message = format!("more than {REPLIES_MAX} answers about workers are open");
        return Err(ErrorRecord::new(ErrorCode::Eagain, message).into());
    }
    Ok(())
}

impl Reply {
    /// Runs `ask`; `handle` of `asker` hears when the answer is there.
    pub fn start(
        asker: &Arc<IsolateShared>,
        handle: Handle,
        counter: &Arc<()>,
        ask: impl Future<Output = Result<Body>> + Send + 'static,
    ) -> Self {
        let state = Arc::new(Mutex::new(State::Waiting));
        let (asker, place) = (Arc::clone(asker), Arc::clone(&state));
        let task = Tied::spawn(async move {
            let answer = match ask.await {
                Ok(body) => State::Reading {
                    body,
                    piece: Vec::new(),
                    at: 0,
                },
                Err(error) => State::Failed(error),
            };
            let number = match &answer {
                State::Failed(error) => u64::from(error.error_code().unwrap_or(ErrorCode::Internal).number()),
                State::Waiting | State::Reading { .. } => 0,
            };
            *lock(&place) = answer;
            // Whoever hears of it may drop the answer at once, and what it counts with it.
            drop(place);
            let record = EventRecord::new(EventKind::WorkerReply, handle.number(), [0, number, 0]);
            asker.events.push_counted(record);
        });
        Self {
            state,
            _counted: Arc::clone(counter),
            _task: task,
        }
    }

    /// The next bytes, at most `max`; none at the end. `EAGAIN` before the answer is there, its own error when asking
    /// failed.
    pub fn read(&self, max: usize) -> Result<Vec<u8>> {
        match &mut *lock(&self.state) {
            State::Waiting => Err(ErrorRecord::of(ErrorCode::Eagain).into()),
            State::Failed(error) => Err(error.clone()),
            State::Reading { body, piece, at } => {
                while *at == piece.len() {
                    let next = match body {
                        Body::Bytes(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
                        Body::Snapshot(snapshot, _) => snapshot.next_chunk(),
                        Body::Profile(_) => None,
                    };
                    let Some(next) = next else { return Ok(Vec::new()) };
                    (*piece, *at) = (next, 0);
                }
                let end = piece.len().min(at.saturating_add(max));
                let bytes = piece[*at..end].to_vec();
                *at = end;
                Ok(bytes)
            }
        }
    }

    /// The profile whose start this is the answer to.
    pub fn profile(&self) -> Option<Arc<Profile>> {
        match &*lock(&self.state) {
            State::Reading {
                body: Body::Profile(profile),
                ..
            } => Some(Arc::clone(profile)),
            State::Waiting | State::Failed(_) | State::Reading { .. } => None,
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
