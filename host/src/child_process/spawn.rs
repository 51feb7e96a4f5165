//! Starting a child: what is checked in the isolate, what is done while it waits, and what it has afterwards.

use std::fs::File;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nodule_abi::error::Result;
use nodule_abi::event::{EventKind, EventRecord};
use nodule_abi::limits::WORKER_MODULE_BYTES_MAX;

use super::ChildProcess;
use super::options::Request;
use super::process::{Reaper, Timeout, watch};
use super::program::{Directory, Names, Program, Surroundings, WasmChild, c_path, c_string, c_variables};
use super::spawner::{self, Ended, Image, Started};
use super::start_failure::StartFailure;
use super::start_record::{Code, START_FD_VARIABLE, StartRecord};
use super::stdio::{self, Plan, Pumps};
use crate::handles::{Handle, Resource};
use crate::ipc::{self, Reference, Serialization};
use crate::permissions::Permissions;
use crate::runtime::room::Place;
use crate::runtime::{Host, IsolateShared, IsolateState, Module};
use crate::spawn_tied::Tied;

type Outcome<T> = std::result::Result<T, StartFailure>;

/// How long a channel is read after the end of its process, when somebody below that holds it open.
const CHANNEL_DRAIN: Duration = Duration::from_millis(500);

/// Variables of the host itself that its nodule children inherit: how it logs, and its own options.
const INHERITED_VARIABLES: [&str; 5] = ["NODULE_LOG", "NODULE_OPTIONS", "RUST_BACKTRACE", "TZ", "TMPDIR"];

/// A start that is checked.
#[derive(Debug)]
pub struct Prepared {
    /// What is started.
    pub names: Arc<Names>,
    /// The descriptors.
    pub plan: Plan,
    program: Program,
    wasm: Option<WasmParts>,
    directory: Option<OwnedFd>,
    /// Of a program of the system; that of a module is in its record.
    env: Vec<(String, String)>,
    serialization: Serialization,
    new_session: bool,
    uid: Option<u32>,
    gid: Option<u32>,
    dies_with_host: bool,
    /// Whether it is of no use when whoever starts it is ended meanwhile.
    pub ends_with_caller: bool,
    /// The place among the isolate's processes.
    pub place: Place,
}

/// What the host of a module needs beside the program.
#[derive(Debug)]
struct WasmParts {
    host: Host,
    source: Source,
    reader: Permissions,
    cwd: PathBuf,
    record: StartRecord,
}

#[derive(Debug)]
enum Source {
    /// The module of the caller.
    Own(Module),
    /// A path of the guest.
    Path(String),
}

impl Prepared {
    /// Checks everything that can be checked, and makes the descriptors.
    ///
    /// # Errors
    /// Bad options, refused grants, no room; what the system says, as a failure of the start.
    pub fn new(state: &IsolateState, request: &Request, names: &Arc<Names>) -> Outcome<Self> {
        let (process, permissions) = (&state.process, &state.permissions);
        if request.uid.is_some() || request.gid.is_some() {
            let _proof = permissions.check_sys("uid")?;
        }
        let is_wasm = Program::is_wasm(request, process, permissions);
        let env = request.env.clone().unwrap_or_else(|| process.env.all());
        let directory = Directory::find(request.cwd.as_deref(), !is_wasm, process, permissions)?;
        let around = Surroundings {
            process,
            permissions,
            env: &env,
            directory: &directory.path,
        };
        let program = Program::find(request, names, is_wasm, &around)?;
        let directory = directory.open()?;
        let ends_with_host = !request.detached && state.process.kills_orphans;
        let ends_with_host = request.kill_on_parent_death.unwrap_or(ends_with_host);
        let (wasm, env) = match &program {
            Program::Wasm(child) => (
                Some(WasmParts::new(state, request, child, env, ends_with_host)?),
                Vec::new(),
            ),
            Program::Native(_) => (None, env),
        };
        // Two handles a pipe, the channel, the child.
        state.handles.check_room(request.stdio.len() * 2 + 2)?;
        let max = state.limits.max_children;
        let place = state.threads.processes.take(max).map_err(|running| {
            let message = format!("{running} child processes run, {max} are allowed (raise it with --max-children)");
            StartFailure::NoRoom(message)
        })?;
        Ok(Self {
            names: Arc::clone(names),
            plan: Plan::make(state, &request.stdio)?,
            program,
            wasm,
            directory,
            env,
            serialization: request.serialization,
            new_session: request.detached,
            uid: request.uid,
            gid: request.gid,
            dies_with_host: ends_with_host && !is_wasm,
            ends_with_caller: false,
            place,
        })
    }

    /// Readies the parent's ends of the pipes, for an isolate that goes on beside the child.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub fn ready(mut self) -> Outcome<Self> {
        self.plan.ready_ends(self.serialization)?;
        Ok(self)
    }

    /// Starts it.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub async fn launch(&mut self) -> Outcome<Started> {
        let image = self.image().await?;
        spawner::start(image).await.map_err(|error| StartFailure::of(&error))
    }

    async fn image(&mut self) -> Outcome<Image> {
        let mut fds = std::mem::take(&mut self.plan.fds);
        let mut variables: Vec<(String, String)> = Vec::new();
        let (program, argv) = match &self.program {
            Program::Native(native) => {
                variables.clone_from(&self.env);
                variables.retain(|(key, _)| !ipc::is_channel_variable(key));
                (c_path(&native.path)?, native.argv.clone())
            }
            Program::Wasm(child) => (c_path(Path::new("/proc/self/exe"))?, child.argv.clone()),
        };
        if let Some(number) = &self.plan.channel_number {
            variables.push((ipc::FD_VARIABLE.into(), number.to_string()));
            variables.push((ipc::SERIALIZATION_VARIABLE.into(), self.serialization.name().into()));
        }
        if let Some(wasm) = self.wasm.take() {
            let number = fds.iter().map(|(_, target)| *target).max().unwrap_or(2).max(2) + 1;
            let (record, code) = wasm.record(number + 1, &self.plan.streams).await?;
            fds.push((record, number));
            fds.extend(code.map(|code| (code, number + 1)));
            variables.push((START_FD_VARIABLE.into(), number.to_string()));
            let inherited = INHERITED_VARIABLES
                .iter()
                .filter_map(|name| Some(((*name).into(), std::env::var(name).ok()?)));
            variables.extend(inherited);
        }
        let argv = argv.into_iter().map(c_string).collect::<Result<_>>()?;
        Ok(Image {
            program,
            argv,
            env: c_variables(variables.iter().map(|(key, value)| (key.as_str(), value.as_str())))?,
            cwd: self.directory.take(),
            fds,
            new_session: self.new_session,
            uid: self.uid,
            gid: self.gid,
            dies_with_host: self.dies_with_host,
            ends_with_caller: self.ends_with_caller,
        })
    }
}

impl WasmParts {
    fn new(
        state: &IsolateState,
        request: &Request,
        child: &WasmChild,
        env: Vec<(String, String)>,
        ends_with_host: bool,
    ) -> Result<Self> {
        let process = &state.process;
        let mut cwd = process.cwd(&state.permissions)?;
        if let Some(wanted) = &request.cwd {
            cwd = crate::wasi::normalize(&cwd.join(super::urls::path_of(wanted)?));
        }
        let mut permissions = state.permissions.clone();
        let flags = grant_flags(&child.exec_argv);
        if !flags.is_empty() && child.exec_argv != process.exec_argv {
            permissions = permissions.narrow_by_flags(&flags, &grant_flags(&process.exec_argv), &cwd)?;
        }
        if let Some(flags) = &request.permissions {
            permissions = permissions.narrow_by_flags(flags, &[], &cwd)?;
        }
        let module = super::urls::path_of(&child.module)?;
        // Of the path as it is written: what lies on the way to a directory above is not looked at.
        let named = crate::wasi::normalize(&cwd.join(&module));
        let own = state.module.path();
        let is_own = own.is_some_and(|own| named.canonicalize().is_ok_and(|path| path == own));
        let record = StartRecord {
            module: module.clone(),
            path: match is_own {
                true => own.map(Path::to_path_buf),
                false => Some(named),
            },
            is_host_path: is_own,
            code: Code::Missing,
            args: child.args.clone(),
            exec_argv: child.exec_argv.clone(),
            env,
            permissions: permissions.flags(),
            limits: state.limits,
            engine: state.host.options(),
            cache: state.host.cache().map(|cache| cache.directory().to_path_buf()),
            streams: Vec::new(),
            ends_with: ends_with_host.then(std::process::id),
            kills_orphans: process.kills_orphans,
        };
        Ok(Self {
            host: state.host.clone(),
            source: match is_own {
                true => Source::Own(state.module.clone()),
                false => Source::Path(module),
            },
            reader: state.permissions.clone(),
            cwd,
            record,
        })
    }

    /// The record, and the code that it speaks of, which the child gets as `code_fd`.
    async fn record(mut self, code_fd: RawFd, streams: &[RawFd]) -> Outcome<(OwnedFd, Option<OwnedFd>)> {
        let code = self.code(code_fd).await?;
        self.record.streams = streams.to_vec();
        let record = self.record.write().map_err(|error| StartFailure::of(&error))?;
        Ok((record, code))
    }

    async fn code(&mut self, fd: RawFd) -> Outcome<Option<OwnedFd>> {
        let compiles_itself = self.record.exec_argv.iter().any(|word| changes_code(word));
        let (module, file) = match &self.source {
            Source::Own(module) => (Some(module.clone()), None),
            Source::Path(path) => match crate::worker_threads::open_module(&self.reader, &self.cwd, path).await {
                Ok(file) => self.compiled(file, compiles_itself).await?,
                // The child says that there is none.
                Err(error) if error.is_code("ERR_MODULE_NOT_FOUND") => return Ok(None),
                Err(error) => return Err(error.into()),
            },
        };
        let compiled = module.filter(|_| !compiles_itself);
        if let Some(module) = compiled {
            let file = module
                .compiled_file(&self.host)
                .map_err(|error| StartFailure::of(&error))?;
            let digest = module.digest();
            self.record.code = Code::Compiled { fd, digest };
            return Ok(Some(file));
        }
        let file = match (file, &self.record.path) {
            (Some(file), _) => file,
            (None, Some(path)) => File::open(path).map_err(|error| StartFailure::of(&error))?,
            (None, None) => return Ok(None),
        };
        self.record.code = Code::Source { fd };
        Ok(Some(file.into()))
    }

    /// The module in a file, when it can be compiled here: what is wrong with it is the child's to say.
    async fn compiled(&self, file: File, compiles_itself: bool) -> Outcome<(Option<Module>, Option<File>)> {
        if compiles_itself {
            return Ok((None, Some(file)));
        }
        let copy = file.try_clone().map_err(|error| StartFailure::of(&error))?;
        let path = self.record.path.clone().unwrap_or_default();
        let module = Module::load_open_file(&self.host, copy, &path, WORKER_MODULE_BYTES_MAX).await;
        Ok((module.ok(), Some(file)))
    }
}

/// Whether code that the parent compiled will not do for a child with this option.
fn changes_code(word: &str) -> bool {
    ["--optimize", "--max-stack", "--fuel"].iter().any(|name| {
        word.strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

/// The flags of grants among options, each in one word.
fn grant_flags(words: &[String]) -> Vec<String> {
    let mut flags = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let name = word.split('=').next().unwrap_or_default();
        let is_grant = name == "-A" || name.starts_with("--deny-") || name.starts_with("--allow-");
        if word == "--dir" {
            flags.extend(rest.next().map(|directory| format!("--dir={directory}")));
        } else if name == "--dir" || is_grant && name != "--allow-precompiled" {
            flags.push(word.clone());
        }
    }
    flags
}

/// What the guest gets of a start.
#[derive(Debug)]
pub struct Answer {
    /// Handle of the child.
    pub child: Handle,
    /// Its number, 0 when it did not start.
    pub pid: u32,
    /// Handle of the channel.
    pub channel: Option<Handle>,
    /// By entry of `stdio`: handles to read from and to write to.
    pub stdio: Vec<[u32; 2]>,
}

/// Gives the isolate a child that was started, or one that was not, if the guest hears of that later.
///
/// # Errors
/// Why it was not started, when that is an error of the call.
pub fn adopt(
    state: &mut IsolateState,
    prepared: Prepared,
    launched: Outcome<Started>,
    timeout: Option<Timeout>,
) -> Result<Answer> {
    let Prepared { names, plan, place, .. } = prepared;
    let started = match launched {
        Ok(started) => started,
        Err(failure) if failure.is_told_later() => {
            return adopt_failed(state, failure, names, plan);
        }
        Err(failure) => return Err(failure.thrown("spawn")),
    };
    let pid = started.pid;
    let (process, reaper) = watch(started);
    let stdio = stdio::insert(state, plan.ends.streams)?;
    let channel = match plan.ends.channel {
        Some(channel) => Some((channel.watch(), ipc::insert(state, channel, Reference::Ref)?)),
        None => None,
    };
    let child = state.handles.insert(
        Resource::ChildProcess(ChildProcess {
            process: Some(Arc::clone(&process)),
            failure: None,
            names,
        }),
        true,
    )?;
    let watch = Watch {
        reaper,
        timeout,
        channel: channel.as_ref().map(|(watch, _)| watch.clone()),
        pumps: plan.pumps,
        place,
        owner: Arc::clone(&state.shared),
        child,
    };
    state
        .shared
        .group
        .processes
        .add(Some(process), |number| Tied::spawn(watch.run(number)));
    Ok(Answer {
        child,
        pid,
        channel: channel.map(|(_, handle)| handle),
        stdio,
    })
}

/// As [`adopt`], of a child that was found out to be impossible before its descriptors were made.
///
/// # Errors
/// `EMFILE` when the isolate has too many handles.
pub fn adopt_unstarted(
    state: &mut IsolateState,
    failure: StartFailure,
    names: Arc<Names>,
    request: &Request,
) -> Result<Answer> {
    // Its streams exist, and end.
    let made = match failure.is_out_of_descriptors() {
        true => Err(failure),
        false => Plan::make(state, &request.stdio).and_then(|mut plan| {
            plan.ready_ends(request.serialization)?;
            Ok((failure, plan))
        }),
    };
    let (failure, plan) = match made {
        Ok(made) => made,
        Err(failure) if failure.is_out_of_descriptors() => (failure, Plan::without_descriptors(&request.stdio)),
        Err(failure) => return Err(failure.thrown("spawn")),
    };
    adopt_failed(state, failure, names, plan)
}

fn adopt_failed(state: &mut IsolateState, failure: StartFailure, names: Arc<Names>, plan: Plan) -> Result<Answer> {
    let stdio = match failure.is_out_of_descriptors() {
        true => vec![[0; 2]; plan.ends.streams.len()],
        false => stdio::insert(state, plan.ends.streams)?,
    };
    let failure = failure.record("spawn", &names);
    let child = ChildProcess {
        process: None,
        failure: Some(failure),
        names,
    };
    Ok(Answer {
        child: state.handles.insert(Resource::ChildProcess(child), false)?,
        pid: 0,
        channel: None,
        stdio,
    })
}

/// The task of a child that runs.
struct Watch {
    reaper: Reaper,
    timeout: Option<Timeout>,
    channel: Option<ipc::ChannelWatch>,
    pumps: Pumps,
    place: Place,
    owner: Arc<IsolateShared>,
    child: Handle,
}

impl Watch {
    async fn run(self, number: u64) {
        let (ended, _) = self.reaper.ended_or_killed(self.timeout).await;
        // What it sent comes before the news of its end.
        if let Some(channel) = &self.channel {
            channel.drained(CHANNEL_DRAIN).await;
        }
        // Before the guest hears of it: it may start another one at once.
        drop(self.place);
        let (code, signal) = match ended {
            Ended::Exited(code) => (i64::from(code), 0),
            Ended::Signalled(signal) => (0, u64::from(signal.unsigned_abs())),
        };
        let arguments = [u64::from_ne_bytes(code.to_ne_bytes()), signal, 0];
        let record = EventRecord::new(EventKind::ChildExit, self.child.number(), arguments);
        self.owner.events.push_counted(record);
        self.pumps.ended().await;
        self.owner.group.processes.remove(number);
    }
}
