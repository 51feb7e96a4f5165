//! The worker's side: what a thread knows of itself.

use std::collections::HashMap;
use std::sync::Arc;

use nodule_abi::value::Value;

use super::contexts::Contexts;
use super::environment_data::EnvironmentData;
use super::thread_messages::Receipt;
use super::worker::WorkerLink;
use crate::handles::Handle;
use crate::messaging::Charged;
use crate::runtime::room::Room;
use crate::runtime::{CodeBudget, CodeCharge};

/// The thread's own state.
#[derive(Debug, Default)]
pub struct ThreadState {
    /// Its name; none in a root isolate.
    pub name: Option<String>,
    /// The limits to report; an empty object in a root isolate.
    pub resource_limits: Option<Value>,
    /// The port to its creator.
    pub parent_port: Option<Handle>,
    /// `workerData`, until it is taken.
    pub worker_data: Option<Charged>,
    /// What later workers start with.
    pub environment_data: EnvironmentData,
    /// The way to its creator.
    pub link: Option<Arc<WorkerLink>>,
    /// Messages of other threads that are being processed, by token.
    pub receipts: HashMap<u32, Receipt>,
    /// What its module is charged, or the bytes that it is to be compiled from.
    pub source_charge: Option<CodeCharge>,
    /// The modules that it compiled.
    pub compiled: Arc<CodeBudget>,
    /// Its contexts.
    pub contexts: Contexts,
    /// Its workers and theirs.
    pub room: Room,
    /// Processes that it and its workers started.
    pub processes: Room,
    /// Counts the answers about workers that are open.
    pub open_replies: Arc<()>,
    /// Counts the core dumps of workers that it holds.
    pub open_snapshots: Arc<()>,
    /// The last token.
    pub last_token: u32,
    /// A directory of its own was asked for: `chdir` is allowed.
    pub has_own_cwd: bool,
}

impl ThreadState {
    /// Its first instruction is about to run.
    pub fn online(&self) {
        if let Some(link) = &self.link {
            link.online();
        }
    }

    /// Keeps a receipt until the message is processed.
    pub fn add_receipt(&mut self, receipt: Receipt) -> u32 {
        self.last_token = self.last_token.wrapping_add(1);
        self.receipts.insert(self.last_token, receipt);
        self.last_token
    }
}
