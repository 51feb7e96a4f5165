//! `nodule compile`: writes compiled code to a file.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueHint};

use super::error::CliError;
use super::progress::Progress;
use super::{run, size};
use crate::exit_code::ExitCode;
use crate::process::options::OPTIMIZE_LEVELS;
use crate::runtime::{EngineOptions, Host, Module, module};
use crate::stdio::Output;

/// Compiles a module to a .cwasm file
///
/// Such a file starts without compiling, also where there is no cache: `nodule run --allow-precompiled FILE.cwasm`. It
/// is not checked when it is loaded, so run only files that you made yourself, and it fits this version of nodule and
/// this kind of machine only.
///
/// With --snapshot it writes a module (.wasm) instead: the given one after its initialisation, which then starts from
/// there everywhere. Handles, timers and files that the initialisation opened are not part of it.
#[derive(Args, Debug)]
pub struct CompileFlags {
    /// The module (.wasm or .wat)
    #[arg(value_hint = ValueHint::FilePath)]
    module: PathBuf,
    /// Calls this export without grants and writes the module as it is then; wizer.initialize when no name is given
    #[arg(long, value_name = "EXPORT", num_args = 0..=1, require_equals = true, default_missing_value = "wizer.initialize")]
    snapshot: Option<String>,
    /// The file to write; MODULE with .cwasm, or with .snapshot.wasm
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// How much the compiler optimizes: 0 compiles fastest, 1 runs fastest, 2 is fast and small; 1
    #[arg(long, value_name = "LEVEL", value_parser = PossibleValuesParser::new(OPTIMIZE_LEVELS))]
    optimize: Option<String>,
    /// Makes code that `run --fuel` can bound; it is slower, and runs with --fuel only
    #[arg(long)]
    count_fuel: bool,
}

/// Compiles and writes.
pub fn compile(flags: &CompileFlags) -> Result<ExitCode, CliError> {
    let output = flags.output.clone().unwrap_or_else(|| {
        flags.module.with_extension(if flags.snapshot.is_some() {
            "snapshot.wasm"
        } else {
            "cwasm"
        })
    });
    let bytes = std::fs::read(&flags.module).map_err(|error| CliError::file("cannot read", &flags.module, &error))?;
    if is_same_file(&flags.module, &output) {
        let message = format!("{} is the module itself", output.display());
        return Err(CliError::usage(message).hint("name another file with --output"));
    }
    let options = EngineOptions {
        optimize: flags.optimize.as_deref().map_or_else(Default::default, run::optimize),
        fuel: flags.count_fuel,
        ..EngineOptions::default()
    };
    let host = Host::builder()
        .engine_options(options)
        .no_cache()
        .build()
        .map_err(CliError::fatal)?;
    let name = flags.module.display().to_string();
    let code = {
        let message = run::compile_message(&name, bytes.len());
        let _progress = Progress::start(move || message);
        match &flags.snapshot {
            Some(init) => snapshot(&host, &name, &bytes, init)?,
            None => Module::precompile(&host, &name, &bytes)?,
        }
    };
    write_whole(&output, &code).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "its directory does not exist",
            _ => "name another file with --output",
        };
        CliError::file("cannot write", &output, &error).hint(hint)
    })?;
    let (from, to) = (size::show(bytes.len()), size::show(code.len()));
    super::print(&format!("{}: {to}, from {from} of {name}\n", output.display()))
}

/// Runs the initialisation without any grant; its output goes to stderr.
fn snapshot(host: &Host, name: &str, bytes: &[u8], init: &str) -> Result<Vec<u8>, CliError> {
    let binary = module::binary_form(name, bytes)?;
    let module = Module::from_bytes(host, name, &binary)?;
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::fatal)?;
    let settings = host
        .isolate(&module)
        .stdout(Output::inherit_stderr())
        .stderr(Output::inherit_stderr());
    let snapshot = executor.block_on(host.snapshot(settings, &binary, init));
    snapshot.map_err(|error| CliError::snapshot(&error))
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    match (std::fs::metadata(a), std::fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// Written beside and renamed, so that a reader sees all of it or nothing. Nobody else may write the file: it is
/// trusted when it is loaded.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or(OsStr::new("module.cwasm"));
    let mut temporary = OsStr::new(".").to_os_string();
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // Best effort: the error that counts is the first one.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}
