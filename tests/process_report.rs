//! The diagnostic report: its settings, its content, when it is written.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::guests::tests;
use crate::support::{guest, guest_with, wat_with};

/// The one report in a directory.
fn report(directory: &Path) -> (PathBuf, Value) {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let reports: Vec<_> = files.filter(|path| path.extension() == Some("json".as_ref())).collect();
    let [path] = reports.as_slice() else {
        panic!("one report expected, not {reports:?}")
    };
    let text = std::fs::read_to_string(path).unwrap();
    (
        path.clone(),
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")),
    )
}

// proves: process.report, process.report.compact, process.report.directory, process.report.filename
// proves: process.report.signal, process.report.reportOnFatalError, process.report.reportOnSignal
// proves: process.report.reportOnUncaughtException, process.report.excludeEnv, process.report.excludeNetwork
#[test]
fn settings_have_nodes_defaults_and_are_checked() {
    guest(tests::PROCESS_REPORT).run().success().stdout(
        "false \"\" \"\" SIGUSR2\n\
         false false false false false\n\
         bad signal ERR_UNKNOWN_SIGNAL\n\
         bad type ERR_INVALID_ARG_TYPE\n\
         one line true\n\
         names the error true\n",
    );
    guest_with(
        &[
            "--report-compact",
            "--report-directory",
            "d",
            "--report-filename",
            "f",
            "--report-signal",
            "SIGUSR1",
            "--report-on-fatalerror",
            "--report-on-signal",
            "--report-uncaught-exception",
            "--report-exclude-env",
            "--report-exclude-network",
        ],
        tests::PROCESS_REPORT,
    )
    .run()
    .success()
    .stdout_has("true \"d\" \"f\" SIGUSR1\ntrue true true true true\n");
}

// proves: process.report.writeReport, process.report.getReport, process.report.directory
#[test]
fn reports_are_written_under_given_and_generated_names() {
    let command = guest_with(&["--dir", "."], tests::PROCESS_REPORT);
    std::fs::create_dir(command.directory().join("reports")).unwrap();
    let run = command
        .arg("reports")
        .run()
        .success()
        .stdout_has("written report.json\n")
        .stdout_has("generated report.");
    let directory = run.directory().join("reports");
    let names: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    run.check(
        names.len() == 2 && names.iter().any(|name| name == "report.json"),
        &format!("two reports expected, not {names:?}"),
    );
    let generated = names.iter().find(|name| *name != "report.json").unwrap();
    run.check(
        generated.split('.').count() == 7,
        &format!("report.<date>.<time>.<pid>.<tid>.<seq>.json expected, not {generated}"),
    );
    let report: Value = serde_json::from_str(&std::fs::read_to_string(directory.join("report.json")).unwrap()).unwrap();
    for key in [
        "header",
        "javascriptStack",
        "javascriptHeap",
        "nativeStack",
        "resourceUsage",
        "libuv",
        "workers",
        "environmentVariables",
        "userLimits",
        "sharedObjects",
        "wasm",
    ] {
        run.check(
            report.get(key).is_some(),
            &format!("a report with {key} expected: {report}"),
        );
    }
    for key in [
        "reportVersion",
        "event",
        "trigger",
        "filename",
        "dumpEventTime",
        "processId",
        "cwd",
        "commandLine",
        "arch",
        "platform",
        "componentVersions",
        "osName",
        "cpus",
        "host",
    ] {
        run.check(
            report["header"].get(key).is_some(),
            &format!("a header with {key} expected: {}", report["header"]),
        );
    }
}

// proves: process.report.reportOnUncaughtException
#[test]
fn an_uncaught_error_leaves_a_report() {
    let run = guest_with(&["--dir", ".", "--report-uncaught-exception"], tests::PROCESS_TRAP)
        .arg("division")
        .run()
        .code(1);
    let (_, report) = report(run.directory());
    run.check(
        report["header"]["event"]
            .as_str()
            .is_some_and(|event| !event.is_empty()),
        "the event is named",
    );
    run.check(
        report["javascriptStack"].to_string().contains("process_trap"),
        "the stack of the guest is in the report",
    );
    let handled = guest_with(&["--dir", ".", "--report-uncaught-exception"], tests::PROCESS_UNCAUGHT)
        .arg("capture")
        .run()
        .code(0);
    let files = std::fs::read_dir(handled.directory()).unwrap().count();
    handled.check(files == 0, "no report while a capture callback is set");
}

// proves: process.report.reportOnFatalError
#[test]
fn an_exceeded_limit_leaves_a_report() {
    let endless = r#"(module (func (export "_start") (loop $again (br $again))))"#;
    let flags = ["--dir", ".", "--max-cpu-ms", "50"];
    let run = wat_with(&[&flags[..], &["--report-on-fatalerror"]].concat(), endless)
        .run()
        .code(1);
    let (_, report) = report(run.directory());
    run.check(
        report["header"]["trigger"] == "FatalError",
        &format!("{}", report["header"]),
    );
    run.check(
        report["javascriptStack"]["message"].to_string().contains("limit"),
        "the limit is named",
    );
    let without = wat_with(&flags, endless).run().code(1);
    let reports = std::fs::read_dir(without.directory())
        .unwrap()
        .map(|file| file.unwrap().path());
    let reports = reports.filter(|path| path.extension() == Some("json".as_ref())).count();
    without.check(reports == 0, "no report without the flag");
}

// proves: process.report.reportOnSignal, process.report.signal
#[test]
fn a_signal_leaves_a_report_of_a_guest_that_waits() {
    let running = guest_with(&["--dir", ".", "--report-on-signal"], tests::PROCESS_SIGNAL)
        .arg("none")
        .start();
    running.wait_for_stdout("ready\n");
    running.signal(Signal::USR2);
    let path = running.wait_for_file(|path| path.extension() == Some("json".as_ref()));
    running.signal(Signal::TERM);
    let run = running.wait().signal(Signal::TERM);
    let (found, report) = report(run.directory());
    assert_eq!(found, path);
    run.check(
        report["header"]["trigger"]
            .as_str()
            .is_some_and(|trigger| trigger.contains("Signal")),
        &format!("{}", report["header"]),
    );
}

// proves: process.report.excludeEnv, process.report.excludeNetwork
#[test]
fn environment_and_network_are_left_out_on_demand() {
    let run = |flags: &[&str]| {
        let flags = [
            &["--dir", ".", "--allow-env=SECRET", "--report-uncaught-exception"],
            flags,
        ]
        .concat();
        let run = guest_with(&flags, tests::PROCESS_TRAP)
            .env("SECRET", "hidden")
            .arg("panic")
            .run()
            .code(1);
        report(run.directory()).1
    };
    let all = run(&[]);
    assert_eq!(all["environmentVariables"]["SECRET"], "hidden");
    assert!(all["header"].get("networkInterfaces").is_some());
    let without = run(&["--report-exclude-env", "--report-exclude-network"]);
    assert!(!without.to_string().contains("hidden"));
    assert!(without["header"].get("networkInterfaces").is_none());
}
