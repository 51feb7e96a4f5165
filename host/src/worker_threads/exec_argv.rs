//! Per-thread options of the host, given as `execArgv`.

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};

use crate::process::options::{self, UNHANDLED_REJECTIONS};
use crate::process::{ProcessOptions, UnhandledRejections};

/// Applies options to the settings of a worker. `ERR_WORKER_INVALID_EXEC_ARGV` names those a worker cannot have.
pub fn apply(arguments: &[String], settings: &mut ProcessOptions) -> Result<()> {
    let invalid = options::invalid_for_worker(arguments);
    if !invalid.is_empty() {
        let message = format!("Initiated Worker with invalid execArgv flags: {}", invalid.join(", "));
        return Err(ErrorRecord::new(ErrorCode::WorkerInvalidExecArgv, message).into());
    }
    let mut rest = arguments.iter().map(String::as_str).peekable();
    while let Some(argument) = rest.next_if(|argument| argument.starts_with('-') && *argument != "--") {
        let (name, own) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument, None),
        };
        let takes_value = matches!(
            name,
            "--unhandled-rejections" | "--redirect-warnings" | "--disable-warning"
        );
        let value = match own {
            None if takes_value => rest.next().unwrap_or_default(),
            own => own.unwrap_or_default(),
        };
        apply_one(name, value, settings)?;
    }
    settings.exec_argv = arguments.to_vec();
    Ok(())
}

fn apply_one(name: &str, value: &str, settings: &mut ProcessOptions) -> Result<()> {
    let warnings = &mut settings.warnings;
    match name {
        "--unhandled-rejections" => settings.unhandled_rejections = rejections_mode(value),
        "--no-warnings" => warnings.no_warnings = true,
        "--trace-warnings" => warnings.trace_warnings = true,
        "--redirect-warnings" => {
            // The file would be written with the host's rights, not with the worker's grants.
            let message = "Initiated Worker with invalid execArgv flags: --redirect-warnings needs the command line";
            return Err(ErrorRecord::new(ErrorCode::WorkerInvalidExecArgv, message).into());
        }
        "--disable-warning" => warnings.disabled.push(value.to_string()),
        "--no-deprecation" => settings.deprecation.no_deprecation = Some(true),
        "--throw-deprecation" => settings.deprecation.throw_deprecation = Some(true),
        "--trace-deprecation" => settings.deprecation.trace_deprecation = Some(true),
        "--report-uncaught-exception" => {
            settings
                .report
                .set("reportOnUncaughtException", &nodule_abi::value::Value::Bool(true))?;
        }
        "--enable-source-maps" => settings.source_maps = Some(true),
        "--no-source-maps" => settings.source_maps = Some(false),
        // `invalid_for_worker` refused every other name.
        _ => {}
    }
    Ok(())
}

fn rejections_mode(name: &str) -> UnhandledRejections {
    debug_assert!(UNHANDLED_REJECTIONS.contains(&name), "checked by the table");
    match name {
        "strict" => UnhandledRejections::Strict,
        "warn" => UnhandledRejections::Warn,
        "none" => UnhandledRejections::None,
        "warn-with-error-code" => UnhandledRejections::WarnWithErrorCode,
        _ => UnhandledRejections::Throw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(arguments: &[&str]) -> Result<ProcessOptions> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let mut settings = ProcessOptions::default();
        apply(&arguments, &mut settings).map(|()| settings)
    }

    #[test]
    fn thread_options_take_effect() {
        let settings = applied(&["--no-warnings", "--disable-warning", "X", "--unhandled-rejections=warn"]).unwrap();
        assert!(settings.warnings.no_warnings);
        assert_eq!(settings.warnings.disabled, ["X"]);
        assert_eq!(settings.unhandled_rejections, UnhandledRejections::Warn);
        assert_eq!(settings.exec_argv.len(), 4);
    }

    #[test]
    fn process_options_and_files_of_the_host_are_refused() {
        for arguments in [&["--title=x", "--nope"][..], &["--redirect-warnings=/etc/x"]] {
            assert!(applied(arguments).unwrap_err().is_code("ERR_WORKER_INVALID_EXEC_ARGV"));
        }
        let message = applied(&["--title=x", "--nope"]).unwrap_err().message.clone();
        assert_eq!(
            message,
            "Initiated Worker with invalid execArgv flags: --title=x, --nope"
        );
    }
}
