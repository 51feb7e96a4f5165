//! The options of `nodule run`: what was typed. [`super::settings`] says what it means.
//!
//! Names, and whether they take a value, agree with the table [`crate::process::options`]; a test compares them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, Args, ValueHint};

use crate::cli::size;
use crate::process::options::{OPTIMIZE_LEVELS, UNHANDLED_REJECTIONS};

/// Runs a WebAssembly module
///
/// Everything after MODULE belongs to the guest. `nodule MODULE` is short for `nodule run MODULE`; MODULE may be `-`
/// for the standard input. Options may also stand in the variable NODULE_OPTIONS, except those that grant something or
/// name a file of the guest; the command line's come after them and win.
#[derive(Args, Debug)]
#[command(
    args_override_self = true,
    override_usage = "nodule [run] [OPTIONS] MODULE [ARGS]...",
    after_help = "Sizes are bytes or have a unit: 65536, 512k, 64MiB, 1G."
)]
pub struct RunFlags {
    /// The module (.wasm, .wat or - for the standard input) and the guest's arguments
    #[arg(value_names = ["MODULE", "ARGS"], num_args = 1.., required = true, trailing_var_arg = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub command: Vec<OsString>,
    /// See [`PermissionFlags`].
    #[command(flatten)]
    pub permissions: PermissionFlags,
    /// See [`LimitFlags`].
    #[command(flatten)]
    pub limits: LimitFlags,
    /// See [`EnvironmentFlags`].
    #[command(flatten)]
    pub environment: EnvironmentFlags,
    /// See [`WarningFlags`].
    #[command(flatten)]
    pub warnings: WarningFlags,
    /// See [`ReportFlags`].
    #[command(flatten)]
    pub report: ReportFlags,
    /// See [`EngineFlags`].
    #[command(flatten)]
    pub engine: EngineFlags,
}

/// The value of a grant with a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantList {
    /// The flag alone, or `*`.
    All,
    /// A comma-separated list.
    Some(String),
}

/// An empty list is refused: `--allow-net=$HOSTS` with an unset variable must not grant everything.
fn grant_list(text: &str) -> Result<GrantList, String> {
    match text {
        "" => Err("the list is empty; leave out the = to grant everything".into()),
        "*" => Ok(GrantList::All),
        list => Ok(GrantList::Some(list.into())),
    }
}

/// What the guest may do.
#[derive(Args, Debug)]
#[command(next_help_heading = "Permissions (nothing is granted by default but workers and shared memory)")]
pub struct PermissionFlags {
    /// Grants a directory, under its own name or as GUEST; `ro` makes it read-only
    #[arg(long, value_name = "DIR[::GUEST][:ro]", action = ArgAction::Append, value_hint = ValueHint::DirPath)]
    pub dir: Vec<String>,
    /// Grants the network, or only these hosts and ports: 127.0.0.1:8080,example.com
    #[arg(long, value_name = "LIST", num_args = 0..=1, require_equals = true, default_missing_value = "*")]
    #[arg(value_parser = grant_list, action = ArgAction::Append)]
    pub allow_net: Vec<GrantList>,
    /// Grants starting programs of the system, or only these: git,/bin/ls
    #[arg(long, value_name = "LIST", num_args = 0..=1, require_equals = true, default_missing_value = "*")]
    #[arg(value_parser = grant_list, action = ArgAction::Append)]
    pub allow_run: Vec<GrantList>,
    /// Grants starting nodule children
    #[arg(long)]
    pub allow_child: bool,
    /// Passes the environment on, or only these variables: HOME,APP_*
    #[arg(long, value_name = "LIST", num_args = 0..=1, require_equals = true, default_missing_value = "*")]
    #[arg(value_parser = grant_list, action = ArgAction::Append)]
    pub allow_env: Vec<GrantList>,
    /// Grants reading and setting user and group ids
    #[arg(long)]
    pub allow_sys: bool,
    /// Grants signalling processes other than the guest's own and its descendants
    #[arg(long)]
    pub allow_signal: bool,
    /// Grants loading side modules
    #[arg(long)]
    pub allow_dlopen: bool,
    /// Grants starting workers; the default
    #[arg(long, conflicts_with = "deny_worker")]
    pub allow_worker: bool,
    /// Refuses starting workers
    #[arg(long)]
    pub deny_worker: bool,
    /// Grants creating and attaching shared buffers; the default
    #[arg(long, conflicts_with = "deny_shared_memory")]
    pub allow_shared_memory: bool,
    /// Refuses creating and attaching shared buffers
    #[arg(long)]
    pub deny_shared_memory: bool,
    /// Grants everything, the whole file system included
    #[arg(short = 'A', long)]
    pub allow_all: bool,
}

/// What the guest may use.
#[derive(Args, Debug)]
#[command(next_help_heading = "Limits of an isolate (exceeding one ends it)")]
pub struct LimitFlags {
    /// Bound of the linear memory; 4GiB
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub max_memory: Option<usize>,
    /// Bound of the table elements; 1048576
    #[arg(long, value_name = "N")]
    pub max_table_elements: Option<usize>,
    /// Bound of the wasm stack, 64KiB to 1GiB; 1MiB
    #[arg(long, value_name = "SIZE", value_parser = stack_size)]
    pub max_stack: Option<usize>,
    /// Bound of the CPU time; none
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_cpu_ms: Option<u64>,
    /// Bound of the run time; none
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout_ms: Option<u64>,
    /// Bound of the instructions, roughly; none, and counting them slows the guest down
    #[arg(long, value_name = "N")]
    pub fuel: Option<u64>,
    /// Bound of the open handles; 65536
    #[arg(long, value_name = "N")]
    pub max_handles: Option<usize>,
    /// Bound of the live workers below it; 10000
    #[arg(long, value_name = "N")]
    pub max_workers: Option<usize>,
    /// Bound of the running child processes; 1024
    #[arg(long, value_name = "N")]
    pub max_children: Option<usize>,
    /// Bound of the open message ports; 65536
    #[arg(long, value_name = "N")]
    pub max_ports: Option<usize>,
    /// Bound of queued messages and stream buffers together; none, each has its own
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub max_queue: Option<usize>,
    /// Bound of the machine code, side modules included; none
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub max_code: Option<usize>,
    /// Bound of the open shared buffers; 4096
    #[arg(long, value_name = "N")]
    pub max_shared_buffers: Option<usize>,
    /// Bound of the bytes of shared buffers; 4GiB
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub max_shared_memory: Option<usize>,
}

/// A stack must hold some frames, and is mapped whole for every isolate.
fn stack_size(text: &str) -> Result<usize, String> {
    let bytes = size::parse(text)?;
    match (64 << 10..=1 << 30).contains(&bytes) {
        true => Ok(bytes),
        false => Err("it is not in 64KiB..=1GiB".into()),
    }
}

/// What the guest finds.
#[derive(Args, Debug)]
#[command(next_help_heading = "Environment")]
pub struct EnvironmentFlags {
    /// Sets a variable of the guest; KEY alone passes the variable on
    #[arg(long, value_name = "KEY[=VALUE]", action = ArgAction::Append)]
    pub env: Vec<String>,
    /// Sets variables of the guest from a file, those that nothing else sets
    #[arg(long, value_name = "FILE", action = ArgAction::Append, value_hint = ValueHint::FilePath)]
    pub env_file: Vec<PathBuf>,
    /// As --env-file; a missing file is no error
    #[arg(long, value_name = "FILE", action = ArgAction::Append, value_hint = ValueHint::FilePath)]
    pub env_file_if_exists: Vec<PathBuf>,
    /// The working directory; MODULE and the paths of all other options count from it
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cwd: Option<PathBuf>,
    /// The process title, which ps shows
    #[arg(long, value_name = "TITLE")]
    pub title: Option<String>,
    /// Ends child processes together with this one, unless they are detached
    #[arg(long)]
    pub kill_orphans: bool,
    /// The exported function to run; _start
    #[arg(long, value_name = "NAME")]
    pub entry: Option<String>,
}

/// What becomes of warnings and of failures nobody handles.
#[derive(Args, Debug)]
#[command(next_help_heading = "Warnings")]
pub struct WarningFlags {
    /// Prints no warnings
    #[arg(long)]
    pub no_warnings: bool,
    /// Prints warnings with their stack
    #[arg(long)]
    pub trace_warnings: bool,
    /// Appends warnings to a file (also NODE_REDIRECT_WARNINGS)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub redirect_warnings: Option<PathBuf>,
    /// Does not print warnings of this code or name
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    pub disable_warning: Vec<String>,
    /// Emits no deprecation warnings
    #[arg(long)]
    pub no_deprecation: bool,
    /// Throws deprecation warnings
    #[arg(long)]
    pub throw_deprecation: bool,
    /// Prints deprecation warnings with their stack
    #[arg(long)]
    pub trace_deprecation: bool,
    /// What the failure of a task does that nobody awaits; throw
    #[arg(long, value_name = "MODE", value_parser = PossibleValuesParser::new(UNHANDLED_REJECTIONS))]
    pub unhandled_rejections: Option<String>,
}

/// When, where and how reports are written.
#[derive(Args, Debug)]
#[command(next_help_heading = "Reports")]
pub struct ReportFlags {
    /// Writes a report on a fatal error
    #[arg(long)]
    pub report_on_fatalerror: bool,
    /// Writes a report on the report signal
    #[arg(long)]
    pub report_on_signal: bool,
    /// The report signal; SIGUSR2
    #[arg(long, value_name = "SIGNAL", value_parser = signal_name)]
    pub report_signal: Option<String>,
    /// Writes a report on an uncaught error
    #[arg(long)]
    pub report_uncaught_exception: bool,
    /// Where reports are written; the working directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub report_directory: Option<String>,
    /// The file name of reports, or stdout or stderr
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub report_filename: Option<String>,
    /// Writes reports as one line
    #[arg(long)]
    pub report_compact: bool,
    /// Leaves the environment out of reports
    #[arg(long)]
    pub report_exclude_env: bool,
    /// Leaves network interfaces out of reports
    #[arg(long)]
    pub report_exclude_network: bool,
}

fn signal_name(text: &str) -> Result<String, String> {
    match nodule_abi::signal::number(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("there is no such signal; write it as SIGUSR2".into()),
    }
}

/// Most threads of the executor.
const THREADS_MAX: u64 = 1024;

/// How modules are compiled, kept and looked into.
#[derive(Args, Debug)]
#[command(next_help_heading = "Engine")]
pub struct EngineFlags {
    /// How much the compiler optimizes: 0 compiles fastest, 1 runs fastest, 2 is fast and small; 1
    #[arg(long, value_name = "LEVEL", value_parser = PossibleValuesParser::new(OPTIMIZE_LEVELS))]
    pub optimize: Option<String>,
    /// Does not keep compiled modules
    #[arg(long, conflicts_with = "cache_dir")]
    pub no_cache: bool,
    /// Where compiled modules are kept (also NODULE_CACHE_DIR); ~/.cache/nodule
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache_dir: Option<PathBuf>,
    /// Runs a .cwasm file, which is trusted blindly: only one that you made yourself
    #[arg(long)]
    pub allow_precompiled: bool,
    /// Names source lines in backtraces; the default
    #[arg(long, conflicts_with = "no_source_maps")]
    pub enable_source_maps: bool,
    /// Does not name source lines in backtraces
    #[arg(long)]
    pub no_source_maps: bool,
    /// Port of the debug server, 0 or 1024 to 65535; 9229
    #[arg(long, value_name = "PORT")]
    pub debug_port: Option<String>,
    /// OS threads that run isolates; one a CPU for a module that makes workers, else one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=THREADS_MAX))]
    pub threads: Option<u64>,
    /// Tells on stderr what the host does (also NODULE_LOG)
    #[arg(long)]
    pub verbose: bool,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::{Command, Parser};

    use super::*;
    use crate::process::options::{HOST_OPTIONS, OptionValue};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        run: RunFlags,
    }

    fn parse(line: &str) -> Result<RunFlags, clap::Error> {
        let words = ["nodule"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.run)
    }

    /// What a flag takes: least and most values, and the values themselves where they are listed.
    type Shape = (Option<char>, usize, usize, Vec<String>);

    fn shapes_of_clap() -> BTreeMap<String, Shape> {
        let mut command = RunFlags::augment_args(Command::new("run"));
        command.build();
        let flags = command
            .get_arguments()
            .filter(|arg| !["help", "command"].contains(&arg.get_id().as_str()));
        let shape = |arg: &clap::Arg| {
            let range = arg.get_num_args().unwrap();
            let values = arg
                .get_possible_values()
                .into_iter()
                .map(|value| value.get_name().to_owned());
            let values = if range.takes_values() {
                values.collect()
            } else {
                Vec::new()
            };
            (arg.get_short(), range.min_values(), range.max_values(), values)
        };
        flags
            .map(|arg| (format!("--{}", arg.get_long().unwrap()), shape(arg)))
            .collect()
    }

    #[test]
    fn flags_and_the_table_of_options_agree() {
        let table = HOST_OPTIONS.iter().map(|option| {
            let (least, most, values): (_, _, &[&str]) = match option.value {
                OptionValue::None => (0, 0, &[]),
                OptionValue::Required(_) => (1, 1, &[]),
                OptionValue::Optional(_) => (0, 1, &[]),
                OptionValue::OneOf(values) => (1, 1, values),
            };
            let short = option
                .alias
                .and_then(|alias| alias.strip_prefix('-'))
                .and_then(|alias| alias.chars().next());
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            (option.name.to_owned(), (short, least, most, values))
        });
        assert_eq!(shapes_of_clap(), table.collect());
    }

    #[test]
    fn every_flag_has_a_heading_and_a_help_line() {
        let mut command = RunFlags::augment_args(Command::new("run"));
        command.build();
        for arg in command
            .get_arguments()
            .filter(|arg| arg.get_long().is_some_and(|long| long != "help"))
        {
            assert!(arg.get_help_heading().is_some(), "{arg}");
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                !help.is_empty() && !help.ends_with('.') && !help.contains('\n'),
                "{arg}: {help}"
            );
        }
    }

    #[test]
    fn a_bare_grant_is_everything_and_an_empty_one_is_refused() {
        let flags = parse("--allow-net --allow-env=A,B --allow-env=C --allow-run=* m")
            .unwrap()
            .permissions;
        assert_eq!(flags.allow_net, [GrantList::All]);
        assert_eq!(
            flags.allow_env,
            [GrantList::Some("A,B".into()), GrantList::Some("C".into())]
        );
        assert_eq!(flags.allow_run, [GrantList::All]);
        assert!(
            parse("--allow-net= m")
                .unwrap_err()
                .to_string()
                .contains("the list is empty")
        );
    }

    #[test]
    fn the_last_of_equal_flags_counts_and_lists_add_up() {
        let flags = parse("--title a --no-warnings --title b --no-warnings --disable-warning x --disable-warning y m");
        let flags = flags.unwrap();
        assert_eq!(flags.environment.title.as_deref(), Some("b"));
        assert_eq!(flags.warnings.disable_warning, ["x", "y"]);
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "--allow-worker --deny-worker",
            "--allow-shared-memory --deny-shared-memory",
            "--no-cache --cache-dir d",
            "--enable-source-maps --no-source-maps",
        ] {
            let error = parse(&format!("{line} m")).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict, "{line}");
        }
    }

    #[test]
    fn values_are_checked() {
        for line in [
            "--max-memory 1x",
            "--max-stack 1k",
            "--max-stack 2G",
            "--timeout-ms 0",
            "--max-cpu-ms -1",
            "--fuel x",
            "--optimize 3",
            "--report-signal SIGNOPE",
            "--unhandled-rejections maybe",
            "--no-warnings=1",
            "--title",
            "--nope",
        ] {
            assert!(parse(&format!("{line} -- m")).is_err(), "{line}");
        }
        assert_eq!(parse("--max-memory 64MiB m").unwrap().limits.max_memory, Some(64 << 20));
    }
}
