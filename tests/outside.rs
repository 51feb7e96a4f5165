//! Modules that nobody here wrote: ripgrep, SQLite, CPython. `make outside` fetches and builds them.
//!
//! Where a registry did not give one, its tests say so and pass.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::{Cmd, binary, nodule};

/// CPython is compiled here, and that takes a slow machine a while.
const COMPILE_LIMIT: Duration = Duration::from_secs(300);

/// A file in the directory of modules from outside, or `None`, with a line on the terminal, where it is missing.
fn outside(name: &str) -> Option<PathBuf> {
    let path = binary().ancestors().nth(2).unwrap().join("outside").join(name);
    if path.exists() {
        return Some(path);
    }
    // Past the harness, which hides what passing tests print.
    let line = format!(
        "SKIPPED: a module from outside, because {} is missing: run `make outside`\n",
        path.display()
    );
    let _ = std::io::stderr().write_all(line.as_bytes());
    None
}

/// `nodule run` with these flags of a module from outside with these arguments.
fn run(flags: &[&str], name: &str, arguments: &[&str]) -> Option<Cmd> {
    let module = outside(name)?;
    let command = nodule(["run"]).args(flags).arg(module).args(arguments);
    Some(command.time_limit(COMPILE_LIMIT))
}

/// Adds a small tree to search in.
fn with_tree(command: Cmd) -> Cmd {
    std::fs::create_dir_all(command.directory().join("src/deep")).unwrap();
    command
        .file("src/main.rs", "fn main() {}\n// a needle\n")
        .file("src/deep/notes.txt", "one\ntwo\nNEEDLE three\n")
        .file("src/trace.log", "needle that is ignored\n")
        .file("src/.ignore", "*.log\n")
}

#[test]
fn ripgrep_searches_a_granted_directory() {
    let arguments = ["-i", "-n", "--sort", "path", "needle", "src"];
    let Some(command) = run(&["--dir", ".:ro"], "rg.wasm", &arguments) else {
        return;
    };
    with_tree(command)
        .run()
        .success()
        .stdout("src/deep/notes.txt:3:NEEDLE three\nsrc/main.rs:2:// a needle\n");
}

#[test]
fn ripgrep_tells_by_its_code_that_nothing_matched() {
    let Some(command) = run(&["--dir", ".:ro"], "rg.wasm", &["haystack", "src"]) else {
        return;
    };
    with_tree(command).run().code(1).stdout("").stderr("");
}

#[test]
fn ripgrep_sees_nothing_without_a_grant() {
    let Some(command) = run(&[], "rg.wasm", &["needle", "src"]) else {
        return;
    };
    with_tree(command).run().code(2).stdout("").stderr_has("src");
}

#[test]
fn ripgrep_reads_stdin() {
    let Some(command) = run(&[], "rg.wasm", &["--count", "needle", "-"]) else {
        return;
    };
    let lines = "hay\nneedle\n".repeat(50_000);
    command.stdin(lines).run().success().stdout("50000\n");
}

#[test]
fn sqlite_keeps_a_database_in_a_granted_directory() {
    let fill = "create table squares(n integer primary key, square integer, word text);
        create index by_word on squares(word);
        with recursive up(n) as (select 1 union all select n + 1 from up where n < 20000)
        insert into squares select n, n * n, printf('%05x', n * 7919 % 20011) from up;
        delete from squares where n % 3 = 0;";
    let Some(command) = run(&["--dir", "."], "sqlite.wasm", &["numbers.db", fill]) else {
        return;
    };
    let filled = command.run().code(0).stdout("");
    let database = std::fs::read(filled.directory().join("numbers.db")).unwrap();
    assert!(database.starts_with(b"SQLite format 3\0"));

    let ask = "pragma integrity_check;
        select count(*), sum(square), max(n) from squares;
        select n from squares where word = printf('%05x', 77 * 7919 % 20011);";
    // Without locks: those of SQLite on WASI are directories, also for readers.
    let arguments = ["-vfs", "unix-none", "-readonly", "numbers.db", ask];
    let asked = run(&["--dir", ".:ro"], "sqlite.wasm", &arguments).unwrap();
    let (count, sum) = (1..=20_000_u64)
        .filter(|n| n % 3 != 0)
        .fold((0, 0), |(count, sum), n| (count + 1, sum + n * n));
    asked
        .file("numbers.db", database)
        .run()
        .code(0)
        .stdout(&format!("ok\n{count}|{sum}|20000\n77\n"));
}

#[test]
fn sqlite_undoes_what_was_not_committed() {
    let script = "create table t(a); insert into t values (1);
        begin; insert into t values (2), (3); select count(*) from t; rollback;
        select count(*) from t;\n";
    let Some(command) = run(&["--dir", "."], "sqlite.wasm", &["t.db"]) else {
        return;
    };
    command.stdin(script).run().code(0).stdout("3\n1\n");
}

#[test]
fn sqlite_cannot_write_where_it_may_only_read() {
    let arguments = ["t.db", "create table t(a)"];
    let Some(command) = run(&["--dir", ".:ro"], "sqlite.wasm", &arguments) else {
        return;
    };
    let run = command.run();
    run.check(run.code == Some(1), "exit code 1 expected");
    assert!(!run.directory().join("t.db").exists());
}

/// `python` of a script with its standard library.
fn python(script: &str) -> Option<Cmd> {
    let library = format!("{}::/usr", outside("python/usr")?.display());
    let command = run(
        &["--dir", ".", "--dir", &library],
        "python.wasm",
        &["main.py", "first", "second"],
    )?;
    Some(command.file("main.py", script))
}

#[test]
fn python_computes_reads_and_writes() {
    let script = r#"
import hashlib, json, pathlib, sys
words = sys.stdin.read().split()
print(sys.argv[1:], sorted(words, key=len))
print(json.dumps({"digest": hashlib.sha256(" ".join(words).encode()).hexdigest()[:16], "big": 2 ** 100}))
pathlib.Path("made").mkdir()
pathlib.Path("made/out.txt").write_text("\n".join(reversed(words)))
print([str(path) for path in pathlib.Path("made").iterdir()], file=sys.stderr)
sys.exit(42)
"#;
    let Some(command) = python(script) else { return };
    let run = command
        .stdin("three one fifteen")
        .run()
        .code(42)
        .stdout(
            "['first', 'second'] ['one', 'three', 'fifteen']\n\
             {\"digest\": \"55d13e54b31f0d9e\", \"big\": 1267650600228229401496703205376}\n",
        )
        .stderr("['made/out.txt']\n");
    let written = std::fs::read_to_string(run.directory().join("made/out.txt")).unwrap();
    assert_eq!(written, "fifteen\none\nthree");
}

#[test]
fn python_reports_its_exception() {
    let script = "def deep(n):\n    return 1 // n if n == 0 else deep(n - 1)\ndeep(50)\n";
    let Some(command) = python(script) else { return };
    command
        .run()
        .code(1)
        .stdout("")
        .stderr_has("ZeroDivisionError: integer division or modulo by zero");
}

#[test]
fn python_sees_only_its_environment() {
    let script = "import os\nprint(sorted(key for key in os.environ if key in ('COLOR', 'HOME', 'PATH')), os.environ.get('COLOR'))\n";
    let Some(library) = outside("python/usr") else { return };
    let library = format!("{}::/usr", library.display());
    let flags = ["--env", "COLOR=green", "--dir", ".", "--dir", &library];
    let Some(command) = run(&flags, "python.wasm", &["main.py"]) else {
        return;
    };
    command
        .file("main.py", script)
        .run()
        .success()
        .stdout("['COLOR'] green\n");
}
