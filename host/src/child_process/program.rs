//! What a start runs: a program of the system, or a module in a host of its own.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use rustix::fs::{Mode, OFlags};

use super::options::Request;
use super::start_failure::StartFailure;
use crate::permissions::{CheckedPath, ForRead, Permissions};
use crate::process::ProcessState;
use crate::process::options::{self, OptionSource, OptionValue};
use crate::process::wasm_file::{begins_as_wasm, is_wasm_name};

/// Where programs are looked for without `PATH`.
const SEARCH_DEFAULT: &str = "/usr/bin:/bin";

/// A program of the system.
#[derive(Debug)]
pub struct Native {
    /// The file.
    pub path: PathBuf,
    /// Its arguments, its own name first.
    pub argv: Vec<String>,
}

/// A module.
#[derive(Debug)]
pub struct WasmChild {
    /// As it was named.
    pub module: String,
    /// Arguments after it.
    pub args: Vec<String>,
    /// Options before it.
    pub exec_argv: Vec<String>,
    /// What those who look at the process see.
    pub argv: Vec<String>,
}

/// What is run.
#[derive(Debug)]
pub enum Program {
    /// Outside of the sandbox.
    Native(Native),
    /// In a nodule of its own.
    Wasm(WasmChild),
}

/// The names Node has for what is started.
#[derive(Debug)]
pub struct Names {
    /// The file.
    pub spawnfile: String,
    /// All its arguments, its own name first.
    pub spawnargs: Vec<String>,
}

/// What a start asks about its surroundings.
pub struct Surroundings<'a> {
    /// Of the calling isolate.
    pub process: &'a ProcessState,
    /// What it may do.
    pub permissions: &'a Permissions,
    /// The environment of the child.
    pub env: &'a [(String, String)],
    /// The directory on the host that relative paths count from.
    pub directory: &'a Path,
}

impl Names {
    /// Of what a guest asks for.
    pub fn of(request: &Request, process: &ProcessState) -> Self {
        let argv0 = |name: &str| request.argv0.clone().unwrap_or_else(|| name.to_owned());
        if let Some(fork) = &request.fork {
            let spawnfile = fork.exec_path.clone().unwrap_or_else(|| process.exec_path.clone());
            let mut spawnargs = vec![argv0(&spawnfile)];
            spawnargs.extend(fork_exec_argv(request, process));
            spawnargs.push(request.file.clone());
            spawnargs.extend(request.args.iter().cloned());
            return Self { spawnfile, spawnargs };
        }
        if let Some(shell) = &request.shell {
            let mut line = vec![request.file.clone()];
            line.extend(request.args.iter().cloned());
            return Self {
                spawnfile: shell.clone(),
                spawnargs: vec![argv0(shell), "-c".into(), line.join(" ")],
            };
        }
        let mut spawnargs = vec![argv0(&request.file)];
        spawnargs.extend(request.args.iter().cloned());
        Self {
            spawnfile: request.file.clone(),
            spawnargs,
        }
    }
}

impl Program {
    /// Whether a module is run, in a host of its own.
    pub fn is_wasm(request: &Request, process: &ProcessState, permissions: &Permissions) -> bool {
        match &request.fork {
            Some(fork) => fork.exec_path.as_ref().is_none_or(|path| is_host(path, process)),
            None => request.shell.is_none() && is_wasm_file(&request.file, process, permissions),
        }
    }

    /// Finds what is run, and checks that it may be.
    ///
    /// # Errors
    /// A refused grant or a bad option; a program that is nowhere, as a failure of the start.
    pub fn find(
        request: &Request,
        names: &Names,
        is_wasm: bool,
        around: &Surroundings<'_>,
    ) -> std::result::Result<Self, StartFailure> {
        match is_wasm {
            true => Ok(wasm(request, names, around)?),
            false => native(names, around),
        }
    }
}

/// The options of a fork: the given ones, or those of the caller where the host runs the module.
fn fork_exec_argv(request: &Request, process: &ProcessState) -> Vec<String> {
    let Some(fork) = &request.fork else { return Vec::new() };
    match (&fork.exec_argv, &fork.exec_path) {
        (Some(given), _) => given.clone(),
        (None, None) => process.exec_argv.clone(),
        (None, Some(path)) if is_host(path, process) => process.exec_argv.clone(),
        // Another program has other options.
        (None, Some(_)) => Vec::new(),
    }
}

fn is_host(path: &str, process: &ProcessState) -> bool {
    path == process.exec_path || std::fs::canonicalize(path).is_ok_and(|path| path == Path::new(&process.exec_path))
}

/// By its name, or, where it is named as a path the guest may read, by how it begins.
fn is_wasm_file(file: &str, process: &ProcessState, permissions: &Permissions) -> bool {
    is_wasm_name(file)
        || file.contains('/') && {
            let cwd = process.cwd(permissions).unwrap_or_default();
            begins_as_wasm(file, &cwd, permissions)
        }
}

fn wasm(request: &Request, names: &Names, around: &Surroundings<'_>) -> Result<Program> {
    let _proof = around.permissions.check_child(&request.file)?;
    let exec_argv = fork_exec_argv(request, around.process);
    check_exec_argv(&exec_argv, &around.process.exec_argv)?;
    // The name of the program, then what the caller wrote.
    let mut argv = vec![
        request
            .argv0
            .clone()
            .unwrap_or_else(|| around.process.exec_path.clone()),
    ];
    let is_fork = request.fork.is_some();
    argv.extend((!is_fork).then(|| request.file.clone()));
    argv.extend(names.spawnargs.iter().skip(1).cloned());
    Ok(Program::Wasm(WasmChild {
        module: request.file.clone(),
        args: request.args.clone(),
        exec_argv,
        argv,
    }))
}

fn native(names: &Names, around: &Surroundings<'_>) -> std::result::Result<Program, StartFailure> {
    let search = around
        .env
        .iter()
        .find(|(key, _)| key == "PATH")
        .map_or(SEARCH_DEFAULT, |(_, value)| value.as_str());
    let found = around
        .permissions
        .check_run(&names.spawnfile, around.directory, OsStr::new(search));
    let program = match found {
        Err(error) if error.is_code("ENOENT") => return Err(StartFailure::System(libc::ENOENT)),
        found => found?,
    };
    for (name, _) in around.env {
        program.check_env(name)?;
    }
    Ok(Program::Native(Native {
        path: program.path().to_owned(),
        argv: names.spawnargs.clone(),
    }))
}

/// Options that name a file of the host, or that trust one, are only passed on as the operator gave them.
fn check_exec_argv(wanted: &[String], own: &[String]) -> Result<()> {
    let pair = |words: &[String], at: usize| -> (String, Option<String>) {
        let word = words[at].clone();
        let takes_next = options::find(&word).is_some_and(|option| {
            matches!(option.value, OptionValue::Required(_) | OptionValue::OneOf(_)) && !word.contains('=')
        });
        let next = takes_next.then(|| words.get(at + 1).cloned()).flatten();
        (word, next)
    };
    let given: Vec<_> = (0..own.len()).map(|at| pair(own, at)).collect();
    for at in 0..wanted.len() {
        let word = &wanted[at];
        let is_harmless = options::find(word).is_none_or(|option| {
            let grants = option.name.starts_with("--allow-") || option.name.starts_with("--deny-");
            let may_be_chosen = option.source == OptionSource::Anywhere || option.name == "--entry";
            !NAMES_FILES.contains(&option.name) && (may_be_chosen || (grants && option.name != "--allow-precompiled"))
                || option.name == "--dir"
        });
        if !is_harmless && !given.contains(&pair(wanted, at)) {
            let reason = "must not hold options of files of the host that this process was not given itself";
            return Err(ErrorRecord::invalid_arg_value("options.execArgv", reason, &format!("'{word}'")).into());
        }
    }
    Ok(())
}

/// Options that may stand in the environment, which only the operator writes, but name files.
const NAMES_FILES: [&str; 3] = ["--redirect-warnings", "--report-directory", "--report-filename"];

/// A directory to start in, not opened yet: what may be started is known first, so that those who may start nothing do not
/// learn which directories there are.
#[derive(Debug)]
pub struct Directory {
    /// Its path on the host.
    pub path: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// The host's own.
    Own,
    /// Inside of the grants.
    Granted(CheckedPath<ForRead>),
    /// Elsewhere on the host.
    Host,
}

impl Directory {
    /// The working directory of a child. What is named by the guest's names is looked for inside of its grants; for a
    /// program of the system, which is outside of the sandbox, any path of the host will do.
    ///
    /// # Errors
    /// A refused grant; a bad URL; as a failure of the start when there is none.
    pub fn find(
        wanted: Option<&str>,
        is_native: bool,
        process: &ProcessState,
        permissions: &Permissions,
    ) -> std::result::Result<Self, StartFailure> {
        let own = process.own_cwd().map(|path| path.to_string_lossy().into_owned());
        let Some(wanted) = wanted.map(str::to_owned).or(own) else {
            let path = std::env::current_dir().map_err(|error| StartFailure::of(&error))?;
            let place = Place::Own;
            return Ok(Self { path, place });
        };
        let wanted = super::urls::path_of(&wanted)?;
        let cwd = process.cwd(permissions)?;
        match permissions.check_read(&wanted, &cwd) {
            Ok(place) => Ok(Self {
                path: place.host().to_owned(),
                place: Place::Granted(place),
            }),
            Err(error) if !is_native => Err(error.into()),
            Err(_) => Ok(Self {
                path: std::path::absolute(&wanted).map_err(|error| StartFailure::of(&error))?,
                place: Place::Host,
            }),
        }
    }

    /// Opens it; nothing when the child starts where the host is.
    ///
    /// # Errors
    /// As a failure of the start when there is none.
    pub fn open(self) -> std::result::Result<Option<OwnedFd>, StartFailure> {
        match self.place {
            Place::Own => Ok(None),
            Place::Granted(place) => {
                let opened = place.dir().open_dir(place.relative());
                let directory = opened.map_err(|error| StartFailure::of(&error))?;
                Ok(Some(directory.into_std_file().into()))
            }
            Place::Host => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let opened = rustix::fs::open(&self.path, flags, Mode::empty());
                opened
                    .map(Some)
                    .map_err(|error| StartFailure::System(error.raw_os_error()))
            }
        }
    }
}

/// Text for the system.
pub fn c_string(text: impl Into<OsString>) -> Result<CString> {
    CString::new(text.into().into_vec()).map_err(|_| ErrorRecord::system(ErrorCode::Einval, "spawn").into())
}

/// `KEY=VALUE` for the system.
pub fn c_variables<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Vec<CString>> {
    variables
        .into_iter()
        .map(|(key, value)| c_string(format!("{key}={value}")))
        .collect()
}

/// A path for the system.
pub fn c_path(path: &Path) -> Result<CString> {
    c_string(OsStr::from_bytes(path.as_os_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: &[&str], own: &[&str]) -> Result<()> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        check_exec_argv(&words(wanted), &words(own))
    }

    #[test]
    fn options_that_name_files_of_the_host_are_only_passed_on() {
        for word in [
            "--cache-dir=/tmp",
            "--allow-precompiled",
            "--redirect-warnings=/etc/x",
            "--env-file=/etc/x",
            "--report-directory=/",
            "--cwd=/",
        ] {
            assert!(
                check(&[word], &[]).unwrap_err().is_code("ERR_INVALID_ARG_VALUE"),
                "{word}"
            );
            assert!(check(&["--no-warnings", word], &[word]).is_ok(), "{word}");
        }
        let own = ["--redirect-warnings", "a", "--title", "b"];
        assert!(check(&["--redirect-warnings", "a"], &own).is_ok());
        assert!(check(&["--redirect-warnings", "b"], &own).is_err());
        assert!(check(&["--redirect-warnings"], &own).is_err());
    }

    #[test]
    fn what_narrows_or_harms_nobody_can_be_chosen() {
        for word in [
            "--no-warnings",
            "--max-memory=1M",
            "-A",
            "--allow-net",
            "--deny-worker",
            "--dir=/x",
            "--nope",
        ] {
            assert!(check(&[word], &[]).is_ok(), "{word}");
        }
    }
}
