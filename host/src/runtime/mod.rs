//! The runtime: engine, modules, isolates, their limits and their end.
//!
//! | file | what it does |
//! |---|---|
//! | `engine` | compiler settings, the ticker |
//! | `host` | [`Host`]: engine, linker, cache and executor together |
//! | `module`, `module_error`, `code`, `known_files`, `cache` | from bytes to compiled code, once a process and once on disk |
//! | `code_budget` | what the modules that guests bring along may hold |
//! | `stacks` | fiber stacks, used again |
//! | `admission` | room for isolates, and the queue in front of it |
//! | `linker` | registers every area; refuses unknown imports before anything runs |
//! | `state` | what the host keeps for one isolate |
//! | `group` | the isolates of one process |
//! | `isolate` | builder and handle: spawn, join, terminate |
//! | `handover` | isolates that wake each other take turns on a thread |
//! | `task`, `children` | an isolate as a task; its workers, which end with it |
//! | `lifecycle` | one isolate from its first to its last instruction |
//! | `plugin` | an instance whose exports the embedder calls |
//! | `snapshot` | a module after its initialisation |
//! | `control` | requests from outside, served at ticks |
//! | `limits`, `metered`, `trap` | hard limits, CPU accounting, traps as error records |
//! | `activity` | loop utilization and memory, for those who watch |

mod activity;
mod admission;
mod cache;
mod children;
mod code;
mod code_budget;
mod control;
mod engine;
mod group;
pub(crate) mod handover;
mod host;
mod isolate;
mod known_files;
mod lifecycle;
mod limits;
mod linker;
mod metered;
pub(crate) mod module;
mod module_error;
mod module_handover;
mod plugin;
pub(crate) mod room;
mod snapshot;
mod stacks;
mod state;
mod task;
mod trap;

pub use activity::Activity;
pub use cache::Cache;
pub(crate) use code_budget::{CodeBudget, CodeCharge};
pub use control::{Control, ControlRequest, Inspection, Refused};
pub(crate) use control::{park, serve_requests};
pub(crate) use engine::TICK;
pub use engine::{EngineOptions, Optimize};
pub use group::{IsolateGroup, ThreadId};
pub use host::{Host, HostBuilder};
pub use isolate::{ExitStatus, Isolate, IsolateBuilder, IsolateId, IsolateRole};
pub use limits::{LimitExceeded, Limits, OnMemoryLimit};
pub use metered::CpuUsage;
pub use module::Module;
pub(crate) use module::binary_form;
pub(crate) use module::compile_unlinked;
pub use module_error::ModuleError;
pub use plugin::Plugin;
pub use snapshot::SnapshotError;
pub use state::{Extensions, IsolateShared, IsolateState};
pub(crate) use task::{run_context, run_isolate};
pub(crate) use trap::current_backtrace;
