//! Warnings: what is printed, what is emitted, what the flags change.

use crate::guests::tests;
use crate::support::{Run, guest, guest_with};

fn warning(flags: &[&str], case: &str) -> Run {
    guest_with(flags, tests::PROCESS_WARNING).arg(case).run()
}

/// Standard error with the process id replaced.
fn printed(run: &Run) -> String {
    let mut text = String::new();
    for line in run.stderr.lines() {
        let rest = line.strip_prefix("(nodule:").and_then(|rest| rest.split_once(')'));
        match rest {
            Some((pid, rest)) if pid.parse::<u32>().is_ok() => text.push_str(&format!("(nodule:PID){rest}\n")),
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

/// The events of the case `forms`.
const FORMS: &str = "flags None None None None\n\
    main\n\
    warning Warning None plain None\n\
    stack names main true\n\
    warning CustomWarning None named None\n\
    warning CustomWarning Some(\"W001\") coded None\n\
    warning Warning Some(\"W002\") detailed Some(\"more\")\n\
    warning RangeError Some(\"W003\") an error None\n";

// proves: process.emitWarning, process.emitWarning.positional, process.event.warning
#[test]
fn warnings_are_printed_and_emitted_in_all_their_forms() {
    let run = warning(&[], "forms").code(0).stdout(FORMS);
    let text = printed(&run);
    let expected = "(nodule:PID) Warning: plain\n";
    run.check(
        text.starts_with(expected),
        &format!("stderr starting with {expected} expected"),
    );
    for line in [
        "(nodule:PID) CustomWarning: named\n",
        "(nodule:PID) [W001] CustomWarning: coded\n",
        "(nodule:PID) [W002] Warning: detailed\nmore\n",
        "(nodule:PID) [W003] RangeError: an error\n",
    ] {
        run.check(text.contains(line), &format!("stderr with {line} expected"));
    }
    run.check(text.matches("--trace-warnings").count() == 1, "the hint comes once");
}

// proves: process.option.no-warnings
#[test]
fn no_warnings_prints_nothing_but_emits() {
    warning(&["--no-warnings"], "forms").success().stdout(FORMS);
}

// proves: process.option.disable-warning
#[test]
fn single_warnings_are_disabled_by_code_or_name() {
    let run = warning(
        &["--disable-warning", "W001", "--disable-warning", "RangeError"],
        "forms",
    )
    .code(0)
    .stdout(FORMS);
    let text = printed(&run);
    run.check(
        !text.contains("coded") && !text.contains("an error"),
        "disabled warnings are not printed",
    );
    run.check(
        text.contains("CustomWarning: named") && text.contains("[W002]"),
        "others are",
    );
}

// proves: process.option.redirect-warnings
#[test]
fn warnings_go_to_a_file_and_back_to_stderr_when_it_cannot_be_written() {
    let redirected = |run: Run| {
        let text = std::fs::read_to_string(run.directory().join("warnings.txt")).unwrap_or_default();
        run.check(
            text.contains("kept\n") && text.contains(") Warning: plain"),
            &format!("appended warnings expected, not {text:?}"),
        );
        run.check(!run.stderr.contains("plain"), "nothing on stderr");
    };
    let command = |flags: &[&str]| {
        guest_with(flags, tests::PROCESS_WARNING)
            .arg("forms")
            .file("warnings.txt", "kept\n")
    };
    redirected(command(&["--redirect-warnings", "warnings.txt"]).run().code(0));
    redirected(command(&[]).env("NODE_REDIRECT_WARNINGS", "warnings.txt").run().code(0));
    warning(&["--redirect-warnings", "no/such/directory"], "forms")
        .code(0)
        .stderr_has("Warning: plain");
}

// proves: process.option.trace-warnings, process.traceProcessWarnings
#[test]
fn traced_warnings_come_with_their_stack() {
    let run = warning(&["--trace-warnings"], "forms")
        .code(0)
        .stdout_has("flags None None None Some(true)\n");
    run.check(
        run.stderr.contains("process_warning"),
        "a backtrace names the guest's functions",
    );
    run.check(!run.stderr.contains("--trace-warnings"), "no hint when traces are on");
}

// proves: process.option.no-deprecation, process.noDeprecation
#[test]
fn deprecations_can_be_silenced() {
    let run = warning(&["--no-deprecation"], "deprecation")
        .code(0)
        .stdout_has("flags Some(true) None None None\n");
    run.check(run.stderr.contains("earlier"), "other warnings are printed");
    run.check(
        !run.stderr.contains("old") && !run.stdout.contains("DEP0001"),
        "the deprecation is neither printed nor emitted",
    );
}

// proves: process.option.throw-deprecation, process.throwDeprecation
#[test]
fn deprecations_can_be_thrown() {
    let run = warning(&["--throw-deprecation"], "deprecation")
        .code(1)
        .stdout_has("flags None Some(true) None None\nmain\n");
    run.check(
        run.stderr.contains("Warning: earlier"),
        "earlier warnings are printed first",
    );
    run.check(
        run.stderr.contains("Uncaught DeprecationWarning"),
        "the deprecation is uncaught",
    );
}

// proves: process.option.trace-deprecation, process.traceDeprecation
#[test]
fn deprecations_can_be_traced() {
    let run = warning(&["--trace-deprecation"], "deprecation")
        .code(0)
        .stdout_has("flags None None Some(true) None\n");
    run.check(
        run.stderr.contains("[DEP0001]") && run.stderr.contains("process_warning"),
        "the stack of the deprecation expected",
    );
    let plain = warning(&[], "deprecation")
        .code(0)
        .stderr_has("[DEP0001] DeprecationWarning: old");
    plain.check(!plain.stderr.contains("process_warning"), "no stack without the flag");
}

// proves: process.noDeprecation, process.throwDeprecation
#[test]
fn deprecation_settings_change_while_the_program_runs() {
    let run = guest(tests::PROCESS_WARNING).arg("set").run().code(0);
    run.check(
        !run.stdout.contains("silenced") && !run.stderr.contains("silenced"),
        "noDeprecation silences",
    );
    run.stdout_has("warning Warning None logged None\n")
        .stdout_has("uncaught DeprecationWarning")
        .stdout_has("thrown");
}
