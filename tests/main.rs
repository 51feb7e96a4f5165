//! Integration tests: the real binary and the library on real guests. One binary, because linking is the slow part.
//!
//! | module | what it tests |
//! |---|---|
//! | `abi` | the import table, the linker and the committed documents agree; modules for another host are refused |
//! | `child_exec` | commands whose output is collected: `exec`, `execFile`, the synchronous forms |
//! | `child_foreign` | guests and Node as each other's parents: the same traces, handles |
//! | `child_fork` | forked modules and the messages between parent and child |
//! | `child_interop` | a real Node as parent and as child of a module |
//! | `child_kill` | signals to children: kill, abort, timeout, whole trees |
//! | `child_life` | a thousand children, no leaks, no orphans, threads that wait for processes |
//! | `child_peer` | channels to a peer that keeps to nothing, and what they survive |
//! | `child_permissions` | a child may do what its parent may, however a guest asks |
//! | `child_rounds` | what holds for child processes however things fall out |
//! | `child_spawn` | starting children: events, what does not start, options, modules |
//! | `child_stdio` | the descriptors of children |
//! | `diagnostics` | snapshots, statistics and profiles of running isolates, from outside |
//! | `examples` | the examples of the README |
//! | `hostile` | modules that lie, hoard, loop and flood end as documented, the host in good order |
//! | `hostile_arguments` | every import with every kind of bad argument |
//! | `locks` | Web Locks and abort signals |
//! | `messaging` | message channels: delivery, order, ends, what keeps an isolate alive |
//! | `messaging_hostile` | the same against guests that lie: forged handles, lists, counts and pointers |
//! | `neighbours` | hostile isolates beside a good one in one host: the good one does not notice |
//! | `outside` | modules that nobody here wrote: ripgrep, SQLite, CPython |
//! | `process_attributes` | attributes, environment, figures, identity, directory, grants, resources |
//! | `process_dlopen` | side modules |
//! | `process_errors` | traps, panics, failed tasks: who sees them and what happens next |
//! | `process_execve` | the process is replaced, or goes on with an error |
//! | `process_exit` | exit codes, `exit` and `beforeExit`, finalizers, abort |
//! | `process_report` | the diagnostic report |
//! | `process_signals` | signals as events, their defaults, `kill` |
//! | `process_streams` | nothing written is lost, nothing unread is waited for |
//! | `process_warnings` | what is printed, what is emitted, what flags change |
//! | `regression` | defects that were found and fixed |
//! | `shared_memory` | shared buffers, `Atomics`, locks between threads, ArrayBuffers that move |
//! | `streams` | streams between isolates; lines of many isolates in one output stay whole |
//! | `timers` | timers and the order of turns |
//! | `worker_errors` | errors that end a worker, exit codes |
//! | `worker_life` | ids, names, data, events, streams, nested workers, messages to any thread |
//! | `worker_limits` | limits of workers; looking at them from outside |
//! | `worker_options` | sources and options of a worker |
//! | `worker_terminate` | ending workers at any moment; what holds however things fall out |
//! | `engines` | siblings, shared code, limits on code, loop utilization |
//! | `ipc_resources` | buffers and ports that go to another process |
//! | `library` | embedding: plugins, host functions, streams, terminate in every state; imports from C |
//! | `ledger` | every API id has a state, and every claim a test |
//! | `tidy` | the style of the sources |
//! | `worker_bounds` | what a guest with workers cannot do to the host |
//! | `worker_context` | ports that move to a second instance of an isolate |
//! | `guests`, `support`, `children` | no tests: the list of guest programs; running them |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod abi;
mod child_exec;
mod child_foreign;
mod child_fork;
mod child_interop;
mod child_kill;
mod child_life;
mod child_peer;
mod child_permissions;
mod child_rounds;
mod child_spawn;
mod child_stdio;
mod children;
mod diagnostics;
mod engines;
mod examples;
mod guests;
mod hostile;
mod hostile_arguments;
mod ipc_resources;
mod ledger;
mod library;
mod locks;
mod messaging;
mod messaging_hostile;
mod neighbours;
mod outside;
mod process_attributes;
mod process_dlopen;
mod process_errors;
mod process_execve;
mod process_exit;
mod process_report;
mod process_signals;
mod process_streams;
mod process_warnings;
mod regression;
mod shared_memory;
mod streams;
mod support;
mod tidy;
mod timers;
mod worker_bounds;
mod worker_context;
mod worker_errors;
mod worker_life;
mod worker_limits;
mod worker_options;
mod worker_terminate;
