//! The options of the host, as data: for `process.allowedNodeEnvironmentFlags`, for `NODULE_OPTIONS`, and to check the
//! `execArgv` of a Worker.

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// `--flag`.
    None,
    /// `--flag=VALUE` or `--flag VALUE`.
    Required(&'static str),
    /// `--flag` or `--flag=VALUE`.
    Optional(&'static str),
    /// One of these.
    OneOf(&'static [&'static str]),
}

/// What an option acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionScope {
    /// One isolate: a Worker may be given its own.
    Thread,
    /// The whole process.
    Process,
}

/// Where an option may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionSource {
    /// On the command line and in `NODULE_OPTIONS`.
    Anywhere,
    /// On the command line only: grants, which an environment must not widen, and what names a file or module.
    CommandLine,
}

/// One option of the host.
#[derive(Clone, Copy, Debug)]
pub struct HostOption {
    /// The name with its dashes: `--title`.
    pub name: &'static str,
    /// A second name, such as `-A`.
    pub alias: Option<&'static str>,
    /// Its value.
    pub value: OptionValue,
    /// What it acts on.
    pub scope: OptionScope,
    /// Where it may stand.
    pub source: OptionSource,
    /// One line of help.
    pub help: &'static str,
}

use OptionScope::{Process, Thread};
use OptionSource::{Anywhere, CommandLine};
use OptionValue::{None as NoValue, OneOf, Optional, Required};

/// The modes of `--unhandled-rejections`.
pub const UNHANDLED_REJECTIONS: &[&str] = &["throw", "strict", "warn", "none", "warn-with-error-code"];
/// The levels of `--optimize`.
pub const OPTIMIZE_LEVELS: &[&str] = &["0", "1", "2"];

/// One row per option: name, alias, value, scope, source, help.
macro_rules! host_options {
    ($($name:literal $(/ $alias:literal)?: $value:expr, $scope:ident, $source:ident, $help:literal;)*) => {
        /// Every option of `nodule run`.
        pub const HOST_OPTIONS: &[HostOption] = &[$(HostOption {
            name: $name,
            alias: host_options!(@alias $($alias)?),
            value: $value,
            scope: $scope,
            source: $source,
            help: $help,
        }),*];
    };
    (@alias) => { None };
    (@alias $alias:literal) => { Some($alias) };
}

host_options! {
    "--unhandled-rejections": OneOf(UNHANDLED_REJECTIONS), Thread, Anywhere, "what a failed task nobody awaits does";
    "--no-warnings": NoValue, Thread, Anywhere, "print no warnings";
    "--trace-warnings": NoValue, Thread, Anywhere, "print warnings with their stack";
    "--redirect-warnings": Required("FILE"), Thread, Anywhere, "append warnings to a file";
    "--disable-warning": Required("NAME"), Thread, Anywhere, "do not print warnings of this code or name";
    "--no-deprecation": NoValue, Thread, Anywhere, "emit no deprecation warnings";
    "--throw-deprecation": NoValue, Thread, Anywhere, "throw deprecation warnings";
    "--trace-deprecation": NoValue, Thread, Anywhere, "print deprecation warnings with their stack";
    "--title": Required("TITLE"), Process, Anywhere, "the process title at start";
    "--env": Required("KEY[=VALUE]"), Process, CommandLine, "set a variable of the guest, or pass one on";
    "--env-file": Required("FILE"), Process, CommandLine, "set variables of the guest from a file";
    "--env-file-if-exists": Required("FILE"), Process, CommandLine, "as --env-file; a missing file is no error";
    "--cwd": Required("DIR"), Process, CommandLine, "the working directory at start";
    "--dir": Required("DIR[::GUEST][:ro]"), Process, CommandLine, "grant a directory";
    "--allow-net": Optional("LIST"), Process, CommandLine, "grant the network, or these hosts and ports of it";
    "--allow-run": Optional("LIST"), Process, CommandLine, "grant starting programs, or these of them";
    "--allow-child": NoValue, Process, CommandLine, "grant starting nodule children";
    "--allow-env": Optional("LIST"), Process, CommandLine, "pass the environment on, or these variables of it";
    "--allow-sys": NoValue, Process, CommandLine, "grant reading and setting identities";
    "--allow-signal": NoValue, Process, CommandLine, "grant signalling any process";
    "--allow-dlopen": NoValue, Process, CommandLine, "grant loading side modules";
    "--allow-worker": NoValue, Process, CommandLine, "grant starting workers (the default)";
    "--deny-worker": NoValue, Process, CommandLine, "refuse starting workers";
    "--allow-shared-memory": NoValue, Process, CommandLine, "grant creating and attaching shared buffers (the default)";
    "--deny-shared-memory": NoValue, Process, CommandLine, "refuse creating and attaching shared buffers";
    "--allow-all" / "-A": NoValue, Process, CommandLine, "grant everything";
    "--max-memory": Required("SIZE"), Process, Anywhere, "bound of the linear memory of an isolate";
    "--max-table-elements": Required("N"), Process, Anywhere, "bound of the table elements of an isolate";
    "--max-stack": Required("SIZE"), Process, Anywhere, "bound of the wasm stack of an isolate";
    "--max-cpu-ms": Required("N"), Process, Anywhere, "bound of the CPU time of an isolate";
    "--timeout-ms": Required("N"), Process, Anywhere, "bound of the run time of an isolate";
    "--fuel": Required("N"), Process, Anywhere, "bound of the instructions of an isolate";
    "--max-handles": Required("N"), Process, Anywhere, "bound of the open handles of an isolate";
    "--max-workers": Required("N"), Process, Anywhere, "bound of the live workers below an isolate";
    "--max-children": Required("N"), Process, Anywhere, "bound of the running child processes of an isolate";
    "--max-ports": Required("N"), Process, Anywhere, "bound of the open message ports of an isolate";
    "--max-queue": Required("SIZE"), Process, Anywhere, "bound of the queued messages and stream buffers of an isolate";
    "--max-code": Required("SIZE"), Process, Anywhere, "bound of the machine code of an isolate";
    "--max-shared-buffers": Required("N"), Process, Anywhere, "bound of the shared buffers of an isolate";
    "--max-shared-memory": Required("SIZE"), Process, Anywhere, "bound of the bytes of its shared buffers";
    "--report-on-fatalerror": NoValue, Process, Anywhere, "write a report on a fatal error";
    "--report-on-signal": NoValue, Process, Anywhere, "write a report on the report signal";
    "--report-signal": Required("SIGNAL"), Process, Anywhere, "the report signal (SIGUSR2)";
    "--report-uncaught-exception": NoValue, Thread, Anywhere, "write a report on an uncaught error";
    "--report-directory": Required("DIR"), Process, Anywhere, "where reports are written";
    "--report-filename": Required("FILE"), Process, Anywhere, "the file name of reports; stdout or stderr";
    "--report-compact": NoValue, Process, Anywhere, "write reports as one line";
    "--report-exclude-env": NoValue, Process, Anywhere, "leave the environment out of reports";
    "--report-exclude-network": NoValue, Process, Anywhere, "leave network interfaces out of reports";
    "--enable-source-maps": NoValue, Thread, Anywhere, "name source lines in backtraces";
    "--no-source-maps": NoValue, Thread, Anywhere, "do not name source lines in backtraces";
    "--debug-port": Required("PORT"), Process, Anywhere, "port of the debug server (9229)";
    "--kill-orphans": NoValue, Process, Anywhere, "end child processes together with this one";
    "--entry": Required("NAME"), Process, CommandLine, "the exported function to run";
    "--no-cache": NoValue, Process, Anywhere, "do not keep compiled modules";
    "--cache-dir": Required("DIR"), Process, CommandLine, "where compiled modules are kept";
    "--allow-precompiled": NoValue, Process, CommandLine, "run a compiled file, which is trusted blindly";
    "--optimize": OneOf(OPTIMIZE_LEVELS), Process, Anywhere, "how much the compiler optimizes";
    "--threads": Required("N"), Process, Anywhere, "OS threads that run isolates";
    "--verbose": NoValue, Process, Anywhere, "tell on stderr what the host does";
}

/// The option an argument stands for: `--title=x` is `--title`. Exact, unlike [`is_allowed_in_environment`].
pub fn find(argument: &str) -> Option<&'static HostOption> {
    let name = argument.split('=').next().unwrap_or_default();
    HOST_OPTIONS
        .iter()
        .find(|option| option.name == name || option.alias == Some(name))
}

/// The names allowed in `NODULE_OPTIONS`, sorted: `process.allowedNodeEnvironmentFlags`.
pub fn allowed_in_environment() -> Vec<&'static str> {
    let allowed = HOST_OPTIONS.iter().filter(|option| option.source == Anywhere);
    let mut names: Vec<_> = allowed
        .flat_map(|option| option.alias.into_iter().chain([option.name]))
        .collect();
    names.sort_unstable();
    names
}

/// `process.allowedNodeEnvironmentFlags.has(flag)`: leading dashes may be missing, `_` is `-`, and what follows `=` does
/// not count.
pub fn is_allowed_in_environment(flag: &str) -> bool {
    let name = flag.split('=').next().unwrap_or_default().replace('_', "-");
    let is_named = |known: &str| known == name || known.trim_start_matches('-') == name;
    let mut allowed = HOST_OPTIONS.iter().filter(|option| option.source == Anywhere);
    allowed.any(|option| is_named(option.name) || option.alias.is_some_and(is_named))
}

/// What a Worker cannot be given of `arguments`, its `execArgv`, in the words of `ERR_WORKER_INVALID_EXEC_ARGV`: unknown
/// and process-wide options as they stand, and what is wrong with the value of others. As in Node the first argument
/// that is no option ends the options.
pub fn invalid_for_worker(arguments: &[String]) -> Vec<String> {
    let mut invalid = Vec::new();
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next_if(|argument| argument.starts_with('-') && *argument != "--") {
        let Some(option) = find(argument).filter(|option| option.scope == Thread) else {
            invalid.push(argument.clone());
            continue;
        };
        let own = argument.split_once('=').map(|(_, value)| value);
        let value = match option.value {
            NoValue | Optional(_) => own,
            // A value of its own argument; an option is none.
            Required(_) | OneOf(_) => own.or_else(|| rest.next_if(|next| !next.starts_with('-')).map(String::as_str)),
        };
        invalid.extend(value_mistake(option, value));
    }
    invalid
}

/// What is wrong with the value given to an option, in Node's words.
fn value_mistake(option: &HostOption, value: Option<&str>) -> Option<String> {
    let name = option.name;
    match (option.value, value) {
        (NoValue, Some(_)) => Some(format!("{name} takes no argument")),
        (Required(_) | OneOf(_), None | Some("")) => Some(format!("{name} requires an argument")),
        (OneOf(choices), Some(value)) if !choices.contains(&value) => Some(format!("invalid value for {name}")),
        (NoValue, None) | (Optional(_), _) | (Required(_) | OneOf(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn invalid(arguments: &[&str]) -> Vec<String> {
        invalid_for_worker(
            &arguments
                .iter()
                .map(|argument| (*argument).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn names_are_unique_and_well_formed() {
        let mut names = HashSet::new();
        for option in HOST_OPTIONS {
            assert!(
                option.name.starts_with("--") && !option.name.contains(['=', '_', ' ']),
                "{}",
                option.name
            );
            assert!(names.insert(option.name), "{} is listed twice", option.name);
            assert!(option.alias.is_none_or(|alias| names.insert(alias)));
            assert!(!option.help.is_empty());
        }
    }

    #[test]
    fn no_grant_is_allowed_in_the_environment() {
        for option in HOST_OPTIONS {
            let grants = option.name.starts_with("--allow-") || option.name == "--dir" || option.name == "--env";
            assert!(!(grants && option.source == Anywhere), "{}", option.name);
        }
        assert!(!is_allowed_in_environment("-A") && !is_allowed_in_environment("A"));
    }

    #[test]
    fn membership_is_tolerant() {
        for flag in [
            "--title",
            "title",
            "--title=5",
            "title=5",
            "--trace_warnings",
            "trace_warnings",
            "__title",
            "-_title",
            "--trace-warnings=",
        ] {
            assert!(is_allowed_in_environment(flag), "{flag}");
        }
        for flag in [
            "-title",
            "--Title",
            "",
            "-",
            "--",
            "---title",
            "--trace--warnings",
            "_trace_warnings",
            "--cwd",
        ] {
            assert!(!is_allowed_in_environment(flag), "{flag}");
        }
        let names = allowed_in_environment();
        assert!(names.is_sorted() && names.contains(&"--title") && !names.contains(&"--allow-net"));
        assert!(names.iter().all(|name| is_allowed_in_environment(name)));
    }

    #[test]
    fn an_argument_leads_to_its_option() {
        assert_eq!(find("--title=a=b").map(|option| option.value), Some(Required("TITLE")));
        assert_eq!(find("-A").map(|option| option.name), Some("--allow-all"));
        assert!(find("--titles").is_none() && find("title").is_none() && find("").is_none());
    }

    #[test]
    fn a_worker_takes_options_of_threads_only() {
        let none: [&str; 0] = [];
        assert_eq!(
            invalid(&["--no-warnings", "--disable-warning=X", "--redirect-warnings", "f"]),
            none
        );
        assert_eq!(
            invalid(&["--no-warnings", "--title=x", "--nope"]),
            ["--title=x", "--nope"]
        );
        assert_eq!(invalid(&["--unhandled-rejections", "warn"]), none);
        assert_eq!(
            invalid(&["--unhandled-rejections=bad"]),
            ["invalid value for --unhandled-rejections"]
        );
        assert_eq!(
            invalid(&["--unhandled-rejections"]),
            ["--unhandled-rejections requires an argument"]
        );
        assert_eq!(
            invalid(&["--redirect-warnings", "--no-warnings"]),
            ["--redirect-warnings requires an argument"]
        );
        assert_eq!(invalid(&["--no-warnings=1"]), ["--no-warnings takes no argument"]);
        assert_eq!(
            invalid(&["--no-warnings", "module.wasm", "--nope"]),
            none,
            "options end at the first other argument"
        );
        assert_eq!(invalid(&["--", "--nope"]), none);
    }
}
