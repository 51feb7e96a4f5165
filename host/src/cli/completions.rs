//! `nodule completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::error::CliError;
use crate::exit_code::ExitCode;

/// Prints the completion script of a shell
#[derive(Args, Debug)]
#[command(after_help = "For bash: nodule completions bash > ~/.local/share/bash-completion/completions/nodule")]
pub struct CompletionFlags {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn completions(flags: &CompletionFlags) -> Result<ExitCode, CliError> {
    super::print(&script(flags.shell))
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::Cli::command(), "nodule", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_has_a_script_with_our_flags() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            assert!(
                script.contains("allow-shared-memory") && script.contains("inspect"),
                "{shell}"
            );
        }
    }
}
