//! Takes a command line apart before clap reads it: which command it is, where the options of nodule end and the
//! module's arguments begin, and what `NODULE_OPTIONS` adds.

use std::ffi::{OsStr, OsString};

use super::error::CliError;
use crate::process::options::{self, HostOption, OptionSource, OptionValue};

/// The variable whose options stand before those of the command line.
pub const ENVIRONMENT_OPTIONS: &str = "NODULE_OPTIONS";

/// The commands, `help` included.
pub const COMMANDS: &[&str] = &["run", "compile", "inspect", "completions", "version", "help"];

/// A command line, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// A module is run.
    Run(RunLine),
    /// Any other command; clap reads the words after the executable's name.
    Other(Vec<OsString>),
}

/// The words of `nodule run`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RunLine {
    /// The options before the module, as typed.
    pub options: Vec<OsString>,
    /// The module.
    pub module: Option<OsString>,
    /// What belongs to the guest.
    pub args: Vec<OsString>,
    /// Whether the word `run` was there.
    pub has_command: bool,
}

/// Takes the words after the executable's name apart.
pub fn split(words: Vec<OsString>) -> CommandLine {
    let Some(first) = words.first() else {
        return CommandLine::Other(words);
    };
    if first == "run" {
        return CommandLine::Run(split_run(words.into_iter().skip(1).collect(), true));
    }
    let is_command = COMMANDS.iter().any(|command| first == command);
    let is_about_nodule = ["--help", "-h", "--version", "-V"].iter().any(|flag| first == flag);
    if is_command || is_about_nodule {
        return CommandLine::Other(words);
    }
    let line = split_run(words, false);
    if line
        .options
        .iter()
        .any(|option| option == "--version" || option == "-V")
    {
        return CommandLine::Other(vec!["--version".into()]);
    }
    CommandLine::Run(line)
}

fn split_run(mut words: Vec<OsString>, has_command: bool) -> RunLine {
    let end = options_end(&words);
    let mut rest = words.split_off(end).into_iter().peekable();
    rest.next_if(|word| word == "--");
    RunLine {
        options: words,
        module: rest.next(),
        args: rest.collect(),
        has_command,
    }
}

/// The index of the first word that is neither an option nor the value of one.
fn options_end(words: &[OsString]) -> usize {
    let mut index = 0;
    while let Some(word) = words.get(index) {
        if !is_option(word) {
            return index;
        }
        index += 1;
        if takes_next_word(word) {
            index += 1;
        }
    }
    words.len()
}

/// `-` alone is the standard input, and `--` ends the options.
fn is_option(word: &OsStr) -> bool {
    word != "-" && word != "--" && word.as_encoded_bytes().starts_with(b"-")
}

/// Whether the value of the option `word` is the word after it.
fn takes_next_word(word: &OsStr) -> bool {
    let Some(word) = word.to_str().filter(|word| !word.contains('=')) else {
        return false;
    };
    options::find(word).is_some_and(|option| match option.value {
        OptionValue::Required(_) | OptionValue::OneOf(_) => true,
        OptionValue::None | OptionValue::Optional(_) => false,
    })
}

/// The options in `text`, the value of [`ENVIRONMENT_OPTIONS`]. Refuses what is not allowed there.
pub fn environment_options(text: &OsStr) -> Result<Vec<OsString>, CliError> {
    let Some(text) = text.to_str() else {
        return Err(CliError::usage(format!("{ENVIRONMENT_OPTIONS} is not UTF-8")));
    };
    let Some(words) = shlex::split(text) else {
        return Err(CliError::usage(format!(
            "{ENVIRONMENT_OPTIONS} has a quote that is not closed"
        )));
    };
    let mut options = Vec::new();
    let mut rest = words.into_iter();
    while let Some(mut word) = rest.next() {
        check_environment_option(&word)?;
        if takes_next_word(OsStr::new(&word)) {
            let Some(value) = rest.next() else {
                let message = format!("{word} in {ENVIRONMENT_OPTIONS} has no value");
                return Err(CliError::usage(message));
            };
            // One word, so that nothing can take the value for an option.
            word = format!("{word}={value}");
        }
        options.push(OsString::from(word));
    }
    Ok(options)
}

fn check_environment_option(word: &str) -> Result<(), CliError> {
    let name = word.split('=').next().unwrap_or_default();
    let message = format!("{name} is not allowed in {ENVIRONMENT_OPTIONS}");
    match options::find(word) {
        Some(HostOption {
            source: OptionSource::Anywhere,
            ..
        }) => Ok(()),
        Some(HostOption {
            source: OptionSource::CommandLine,
            ..
        }) => Err(CliError::usage(message).hint("give it on the command line")),
        None if name.starts_with('-') => {
            Err(CliError::usage(message).hint("there is no such option; see `nodule help run`"))
        }
        None => Err(CliError::usage(message).hint("only options may stand there, no modules or arguments")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    fn run_line(text: &str) -> (Vec<OsString>, Option<OsString>, Vec<OsString>) {
        match split(words(text)) {
            CommandLine::Run(line) => (line.options, line.module, line.args),
            CommandLine::Other(words) => panic!("{text} is another command: {words:?}"),
        }
    }

    #[test]
    fn what_follows_the_module_is_the_guests() {
        let expected = |options: &str, args: &str| (words(options), Some("app.wasm".into()), words(args));
        for (line, options, args) in [
            ("run app.wasm a b", "", "a b"),
            ("app.wasm a b", "", "a b"),
            ("app.wasm --help --env X -A -- z", "", "--help --env X -A -- z"),
            ("--allow-env app.wasm", "--allow-env", ""),
            ("--title x app.wasm", "--title x", ""),
            ("--title=x app.wasm", "--title=x", ""),
            ("--allow-net app.wasm x", "--allow-net", "x"),
            (
                "run --allow-net=h:1 -A --optimize 0 app.wasm",
                "--allow-net=h:1 -A --optimize 0",
                "",
            ),
            ("run -- app.wasm --x", "", "--x"),
            ("--no-warnings -- app.wasm", "--no-warnings", ""),
            ("--nope app.wasm", "--nope", ""),
        ] {
            assert_eq!(run_line(line), expected(options, args), "{line}");
        }
    }

    #[test]
    fn a_dash_is_a_module() {
        assert_eq!(run_line("-A - x"), (words("-A"), Some("-".into()), words("x")));
    }

    #[test]
    fn a_line_without_module_keeps_its_options() {
        assert_eq!(run_line("--title app.wasm"), (words("--title app.wasm"), None, vec![]));
        assert_eq!(run_line("run --title"), (words("--title"), None, vec![]));
        assert_eq!(run_line("run"), (vec![], None, vec![]));
    }

    #[test]
    fn other_commands_are_left_to_clap() {
        for line in [
            "inspect app.wasm",
            "help run",
            "--help",
            "-V",
            "version --json",
            "completions zsh",
        ] {
            assert_eq!(split(words(line)), CommandLine::Other(words(line)));
        }
        assert_eq!(split(vec![]), CommandLine::Other(vec![]));
        assert_eq!(
            split(words("--verbose --version")),
            CommandLine::Other(words("--version"))
        );
    }

    #[test]
    fn environment_options_are_split_as_a_shell_does() {
        let options = environment_options(OsStr::new("--title 'a b' --no-warnings --title=\"c d\"")).unwrap();
        assert_eq!(options, ["--title=a b", "--no-warnings", "--title=c d"]);
        assert_eq!(environment_options(OsStr::new("  ")).unwrap(), Vec::<OsString>::new());
    }

    #[test]
    fn the_environment_cannot_grant() {
        for (text, message) in [
            (
                "--allow-net",
                "--allow-net is not allowed in NODULE_OPTIONS (hint: give it on the command line)",
            ),
            ("--no-warnings -A", "-A is not allowed in NODULE_OPTIONS"),
            ("--dir=/", "--dir is not allowed"),
            (
                "--nope=1",
                "--nope is not allowed in NODULE_OPTIONS (hint: there is no such option",
            ),
            (
                "app.wasm",
                "app.wasm is not allowed in NODULE_OPTIONS (hint: only options",
            ),
            ("--", "-- is not allowed"),
            ("--title", "--title in NODULE_OPTIONS has no value"),
            ("--title 'x", "quote that is not closed"),
        ] {
            let error = environment_options(OsStr::new(text)).unwrap_err();
            assert!(error.to_string().contains(message), "{text}: {error}");
            assert_eq!(error.code.number(), 9);
        }
    }
}
