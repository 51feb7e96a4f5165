//! Contexts: further instances in the task of an isolate. They run while it waits for events, in turns with it, and
//! begin without grants.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::limits::CONTEXTS_MAX;

use super::options::WorkerOptions;
use super::spawn::{self, Prepared};
use crate::handles::{Handle, Resource};
use crate::messaging::{self, Transferred};
use crate::permissions::{Capability, Permissions};
use crate::runtime::{IsolateShared, IsolateState, TICK};
use crate::worker_threads::worker::{Worker, WorkerLink};

type Run = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The contexts of an isolate that have not ended.
#[derive(Default)]
pub struct Contexts {
    running: VecDeque<Run>,
}

impl Contexts {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Lets each run as far as it comes. After a tick others of the executor have their turn first.
    pub fn run(&mut self, context: &mut Context<'_>) {
        let start = Instant::now();
        for _ in 0..self.running.len() {
            if let Some(mut run) = self.running.pop_front()
                && run.as_mut().poll(context).is_pending()
            {
                self.running.push_back(run);
            }
            if start.elapsed() >= TICK {
                context.waker().wake_by_ref();
                break;
            }
        }
    }
}

impl fmt::Debug for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contexts").field("running", &self.len()).finish()
    }
}

/// Makes a context: gives its handle and that of the port to its `parentPort`. It runs as soon as the caller waits.
pub fn create(state: &mut IsolateState, options: &WorkerOptions, code: Option<Vec<u8>>) -> Result<[Handle; 2]> {
    if state.threads.contexts.len() >= CONTEXTS_MAX {
        let message = format!("an isolate has at most {CONTEXTS_MAX} contexts");
        return Err(ErrorRecord::new(ErrorCode::Eagain, message).into());
    }
    let mut prepared: Prepared = spawn::prepare(state, options, code)?;
    // Contexts in contexts would nest without end.
    let nothing = Permissions::none()
        .deny(Capability::Worker)
        .deny(Capability::SharedMemory);
    prepared.give_nothing(&nothing);
    let place = prepared.place.take();
    let shared = IsolateShared::context(&state.shared);
    let [creator_end, context_end] = messaging::entangle(&state.shared.group);
    let (port, _) = messaging::admit(state, Transferred::Port(creator_end))?;
    let creator = Arc::clone(&state.shared);
    let context = state.handles.insert_with(true, |handle| {
        let link = Arc::new(WorkerLink::new(creator, handle));
        Resource::Worker(Worker::new(Arc::clone(&shared), link))
    })?;
    let Resource::Worker(worker) = state.handles.get(context)? else {
        return Err(ErrorRecord::of(ErrorCode::Internal).into());
    };
    let link = worker.link();
    let start = prepared.into_start(state, &shared, context_end, None, Arc::clone(&link));
    state.threads.contexts.running.push_back(Box::pin(async move {
        let status = start.run_as_context().await;
        drop(place);
        link.end(status);
    }));
    Ok([context, port])
}
