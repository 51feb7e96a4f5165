//! `process.execve`: another program in this process.
#![allow(unsafe_code, reason = "close_range(2) has no safe wrapper")]

use std::convert::Infallible;
use std::ffi::CString;

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::value::Value;

use super::env::EnvStore;
use super::wasm_file::{begins_as_wasm, is_wasm_name};
use crate::permissions::Permissions;
use crate::runtime::{Cache, Limits};

/// What to run.
#[derive(Debug)]
pub struct Request {
    file: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Request {
    /// From the guest's object `{file, args, env}`; absent `args` are none, an absent `env` is the isolate's.
    pub fn from_value(value: &Value, env: &EnvStore) -> Result<Self> {
        let field = |name| value.get(name).unwrap_or(&Value::Undefined);
        let file = field("file");
        let file = file
            .as_str()
            .ok_or_else(|| ErrorRecord::invalid_arg_type("execPath", "of type string", &file.describe()))?;
        let args = match field("args") {
            Value::Undefined => &[],
            args => args
                .as_array()
                .ok_or_else(|| ErrorRecord::invalid_arg_type("args", "an instance of Array", &args.describe()))?,
        };
        let mut texts = Vec::with_capacity(args.len());
        for (index, argument) in args.iter().enumerate() {
            let text = argument.as_str().filter(|text| !text.contains('\0'));
            texts.push(
                text.ok_or_else(|| invalid_text(&format!("args[{index}]"), argument))?
                    .to_string(),
            );
        }
        let env = match field("env") {
            Value::Undefined => env.all(),
            given => {
                let object = given
                    .as_object()
                    .ok_or_else(|| ErrorRecord::invalid_arg_type("env", "of type object", &given.describe()))?;
                let mut entries = Vec::with_capacity(object.len());
                for (key, value) in object.entries() {
                    let text = value
                        .as_str()
                        .filter(|text| !text.contains('\0') && !key.contains('\0'));
                    entries.push((key.clone(), text.ok_or_else(|| invalid_text("env", given))?.to_string()));
                }
                entries
            }
        };
        Ok(Self {
            file: file.to_string(),
            args: texts,
            env,
        })
    }
}

fn invalid_text(argument: &str, value: &Value) -> Box<ErrorRecord> {
    let reason = if argument == "env" {
        "must be an object with string keys and values without null bytes"
    } else {
        "must be a string without null bytes"
    };
    ErrorRecord::invalid_arg_value(argument, reason, &value.describe()).into()
}

/// Replaces the process; returns only on failure. Keeps fds 0–2. A wasm module is run by this host, with at most
/// the grants and limits of the caller.
pub fn execve(permissions: &Permissions, limits: &Limits, request: Request) -> Result<Infallible> {
    let Request { file, args, mut env } = request;
    let failed = |code| ErrorRecord::system_path(code, "execve", &file, None);
    let directory = std::env::current_dir().map_err(|_| failed(ErrorCode::Enoent))?;
    let cwd = permissions.guest_path(&directory).unwrap_or_else(|| directory.clone());
    let (program, arguments) = if is_wasm_name(&file) || begins_as_wasm(&file, &cwd, permissions) {
        let _proof = permissions.check_child(&file)?;
        // What the guest may not read it may not run, also not through a link.
        let module = permissions
            .check_read(&file, &cwd)?
            .host()
            .to_string_lossy()
            .into_owned();
        let host = std::env::current_exe()
            .map_err(|_| failed(ErrorCode::Enoent))?
            .to_string_lossy()
            .into_owned();
        let mut arguments = vec![host.clone(), "run".into()];
        arguments.extend(permissions.flags());
        arguments.extend(limits.flags());
        arguments.push(cache_flag());
        env.retain(|(name, _)| !steers_host(name));
        arguments.extend(env.iter().map(|(name, _)| format!("--env={name}")));
        // Whatever it is called, it is no option.
        arguments.extend(["--".into(), module]);
        // As everywhere, args[0] names the program; the module's arguments follow it.
        arguments.extend(args.into_iter().skip(1));
        (host, arguments)
    } else {
        let search = env
            .iter()
            .find(|(key, _)| key == "PATH")
            .map_or("", |(_, value)| value.as_str());
        let program = permissions.check_run(&file, &directory, search.as_ref())?;
        for (name, _) in &env {
            program.check_env(name)?;
        }
        (program.path().to_string_lossy().into_owned(), args)
    };
    let invalid = |_| failed(ErrorCode::Einval);
    let program = CString::new(program).map_err(invalid)?;
    let arguments = arguments
        .into_iter()
        .map(CString::new)
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(invalid)?;
    let env = env
        .into_iter()
        .map(|(key, value)| CString::new(format!("{key}={value}")));
    let env = env.collect::<std::result::Result<Vec<_>, _>>().map_err(invalid)?;
    close_on_exec();
    match nix::unistd::execve(&program, &arguments, &env) {
        Ok(never) => match never {},
        Err(errno) => Err(failed(ErrorCode::from_errno(errno as i32)).into()),
    }
}

/// Variables that steer the host, or what loads it. A guest must not set them for a host that it starts: cached code
/// is trusted, and the options and the loader decide what runs.
fn steers_host(name: &str) -> bool {
    const PREFIXES: [&str; 4] = ["NODULE_", "NODE_", "LD_", "DYLD_"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || matches!(name, "GCONV_PATH" | "GLIBC_TUNABLES")
}

/// The cache of this host, so that the new one does not look for it in an environment the guest wrote.
fn cache_flag() -> String {
    match Cache::default_directory() {
        Some(directory) => format!("--cache-dir={}", directory.display()),
        None => "--no-cache".into(),
    }
}

/// Marks every fd but the standard streams.
fn close_on_exec() {
    // SAFETY: close_range(2) with CLOEXEC closes nothing now and touches no memory. A kernel without it leaves
    // only fds open that this process inherited itself.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}
