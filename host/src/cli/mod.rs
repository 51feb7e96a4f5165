//! The command line of nodule.
//!
//! | file | what it does |
//! |---|---|
//! | `arguments` | finds the command, the module and the guest's arguments; `NODULE_OPTIONS` |
//! | `run` | `nodule run`: its flags, what they mean, running |
//! | `compile`, `inspect`, `completions`, `version` | the other commands |
//! | `error` | one line on stderr, and the exit code |
//! | `progress` | the spinner of a long compilation |
//! | `size` | sizes with units |

mod arguments;
mod compile;
mod completions;
mod error;
mod inspect;
mod progress;
mod run;
mod size;
mod version;

use std::ffi::OsString;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::child_process::start_record::StartRecord;
use crate::exit_code::ExitCode;
use arguments::{CommandLine, ENVIRONMENT_OPTIONS, RunLine};
use error::CliError;

/// Runs compiled WebAssembly modules the way Node runs scripts
#[derive(Debug, Parser)]
#[command(
    name = "nodule",
    version,
    arg_required_else_help = true,
    override_usage = "nodule [OPTIONS] MODULE [ARGS]...\n       nodule COMMAND",
    after_help = "`nodule MODULE` is `nodule run MODULE`; `nodule help run` lists its options."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::flags::RunFlags>),
    Compile(compile::CompileFlags),
    Inspect(inspect::InspectFlags),
    Completions(completions::CompletionFlags),
    Version(version::VersionFlags),
}

/// Runs the command that `arguments` (the executable's name first) ask for. Prints its own errors.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    install_panic_hook();
    let words = arguments.into_iter().skip(1).collect();
    let result = catch_unwind(AssertUnwindSafe(|| dispatch(words)));
    match result {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            error.print();
            error.code
        }
        // The hook said what happened.
        Err(_) => ExitCode::Fatal,
    }
}

/// A panic is a mistake of ours: one line, and a backtrace only for those who ask.
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
        let what = panic.payload_as_str().unwrap_or("unknown");
        let error = CliError::fatal(format!("internal error of nodule: {what}{place}"));
        if std::env::var_os("RUST_BACKTRACE").is_some() || run::is_verbose() {
            error.print();
            let _ = writeln!(std::io::stderr(), "{}", std::backtrace::Backtrace::force_capture());
        } else {
            error.hint("please report this; --verbose shows a backtrace").print();
        }
    }));
}

fn dispatch(words: Vec<OsString>) -> Result<ExitCode, CliError> {
    if let Some(record) = run::record()? {
        return dispatch_child(record);
    }
    match arguments::split(words) {
        CommandLine::Run(line) => dispatch_run(line),
        CommandLine::Other(words) => match parse(words)? {
            Parsed::Command(command) => execute(command),
            Parsed::Printed(code) => Ok(code),
        },
    }
}

fn execute(command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::Run(flags) => run::run(*flags, Vec::new(), run::Form::Command),
        Command::Compile(flags) => compile::compile(&flags),
        Command::Inspect(flags) => inspect::inspect(&flags),
        Command::Completions(flags) => completions::completions(&flags),
        Command::Version(flags) => version::version(&flags),
    }
}

fn dispatch_run(line: RunLine) -> Result<ExitCode, CliError> {
    if let Some(module) = &line.module
        && let Some(command) = arguments::COMMANDS.iter().find(|command| module == *command)
        && !line.has_command
    {
        let message = format!("options stand before the command `{command}`");
        return Err(CliError::usage(message).hint(format!(
            "write `nodule {command} [OPTIONS]`, or ./{command} if you mean a file"
        )));
    }
    let from_environment = match std::env::var_os(ENVIRONMENT_OPTIONS) {
        Some(text) => arguments::environment_options(&text)?,
        None => Vec::new(),
    };
    let has_environment = !from_environment.is_empty();
    let mut words = vec![OsString::from("run")];
    words.extend(from_environment);
    words.extend(line.options.iter().cloned());
    if let Some(module) = line.module {
        words.extend([OsString::from("--"), module]);
        words.extend(line.args);
    }
    let parsed = parse(words).map_err(|error| match has_environment {
        true => error.hint(format!("{ENVIRONMENT_OPTIONS} is set")),
        false => error,
    })?;
    let form = if line.has_command {
        run::Form::Command
    } else {
        run::Form::Bare
    };
    match parsed {
        Parsed::Command(Command::Run(flags)) => run::run(*flags, line.options, form),
        Parsed::Command(other) => execute(other),
        Parsed::Printed(code) => Ok(code),
    }
}

/// Runs what the parent says; the command line is for those who look at it.
fn dispatch_child(record: StartRecord) -> Result<ExitCode, CliError> {
    let from_environment = match std::env::var_os(ENVIRONMENT_OPTIONS) {
        Some(text) => arguments::environment_options(&text)?,
        None => Vec::new(),
    };
    let mut words = vec![OsString::from("run")];
    words.extend(from_environment);
    words.extend(record.exec_argv.iter().map(OsString::from));
    words.extend(["--".into(), OsString::from(&record.module)]);
    match parse(words)? {
        Parsed::Command(Command::Run(flags)) => run::run_child(*flags, record),
        Parsed::Command(other) => execute(other),
        Parsed::Printed(code) => Ok(code),
    }
}

/// What clap made of a command line.
enum Parsed {
    Command(Command),
    /// Help or the version, already printed.
    Printed(ExitCode),
}

fn parse(words: Vec<OsString>) -> Result<Parsed, CliError> {
    let command = arguments::COMMANDS
        .iter()
        .find(|command| words.first().is_some_and(|word| word == *command));
    let help = command.map_or("nodule help".to_owned(), |command| format!("nodule help {command}"));
    match Cli::try_parse_from(std::iter::once("nodule".into()).chain(words)) {
        Ok(cli) => Ok(Parsed::Command(cli.command)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // A reader that went away has seen enough.
            let _ = error.print();
            Ok(Parsed::Printed(ExitCode::Success))
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Goes to stderr, and may be closed.
            let _ = error.print();
            Ok(Parsed::Printed(ExitCode::Usage))
        }
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument && command == Some(&"run") => {
            Err(CliError::usage("no module is given").hint("write it after the options: nodule run app.wasm"))
        }
        Err(error) => Err(CliError::from_clap(&error, &help)),
    }
}

/// Writes the output of a command. A reader that goes away (`| head`) is no failure.
fn print(text: &str) -> Result<ExitCode, CliError> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let reason = error::reason(&error);
            Err(CliError::new(
                ExitCode::Failure,
                format!("cannot write to stdout: {reason}"),
            ))
        }
        _ => Ok(ExitCode::Success),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_list_of_commands_is_complete() {
        let mut command = Cli::command();
        command.build();
        let names: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(names, arguments::COMMANDS);
    }

    #[test]
    fn mistakes_are_one_line_with_a_hint_and_exit_with_9() {
        for (line, message) in [
            ("run", "no module is given"),
            (
                "run --titel x -- m",
                "unexpected argument '--titel' found (hint: a similar argument exists: '--title')",
            ),
            (
                "run --xyz -- m",
                "unexpected argument '--xyz' found (hint: see `nodule help run`)",
            ),
            (
                "run --optimize 7 -- m",
                "[possible values: 0, 1, 2] (hint: see `nodule help run`)",
            ),
            ("run --max-memory 1x -- m", "unknown unit 'x'; write it as 65536"),
            ("run --no-cache --cache-dir d -- m", "cannot be used with"),
            ("inspect", "(hint: see `nodule help inspect`)"),
            (
                "completions tcsh",
                "[possible values: bash, elvish, fish, powershell, zsh]",
            ),
            ("help nope", "unrecognized subcommand 'nope'"),
        ] {
            let Err(error) = parse(words(line)) else {
                panic!("{line} is accepted")
            };
            let text = error.to_string();
            assert!(text.contains(message) && !text.contains('\n'), "{line}: {text}");
            assert_eq!(error.code, ExitCode::Usage);
        }
    }

    #[test]
    fn options_before_a_command_are_explained() {
        let error = dispatch(words("--no-warnings inspect app.wasm")).unwrap_err();
        assert!(
            error.to_string().contains("options stand before the command `inspect`"),
            "{error}"
        );
    }
}
