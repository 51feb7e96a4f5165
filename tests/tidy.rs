//! The style of the sources, as far as a machine can tell.

use std::ops::Range;
use std::path::{Path, PathBuf};

use nodule_tests::repository;

/// Longest file of host and SDK, of tests and guests, longest function.
const FILE_LINES_MAX: usize = 500;
const TEST_FILE_LINES_MAX: usize = 700;
const FUNCTION_LINES_MAX: usize = 70;
const TEST_FUNCTION_LINES_MAX: usize = 100;

/// Where `unsafe` may stand, each with its reason.
const UNSAFE_FILES: &[(&str, &str)] = &[
    ("guest-sdk/abi/src/imports/mod.rs", "declarations of the imports"),
    ("guest-sdk/src/sys/", "calls of the imports"),
    ("guests/bench/src/lib.rs", "exported names"),
    ("guests/side/tally.rs", "a side module as C would write it"),
    ("guests/tests/src/bin/process_dlopen.rs", "calls of side modules"),
    ("guests/tests/src/bin/process_trap.rs", "traps of every kind"),
    ("guests/tests/src/bin/worker_diagnostics.rs", "exported names"),
    ("guests/tests/src/bin/stdio_streams.rs", "functions of the embedder"),
    ("host/src/diagnostics/pages.rs", "reads memory that others may write"),
    (
        "guests/tests/src/bin/shared_memory_buffer.rs",
        "a slice of a window that nobody else has",
    ),
    (
        "host/src/child_process/spawner.rs",
        "clone(2) and what follows in the child",
    ),
    ("host/src/inherited_fd.rs", "takes over descriptors by number"),
    ("host/src/readiness.rs", "watches borrowed descriptors"),
    ("host/src/guest_memory.rs", "copies by checked raw pointers"),
    ("host/src/ipc/descriptors.rs", "registers descriptors"),
    ("host/src/process/execve.rs", "gives fds of the process away"),
    ("host/src/process/signals.rs", "signal handlers"),
    ("host/src/process/title.rs", "overwrites the argument area"),
    ("host/src/runtime/cache.rs", "maps compiled code"),
    ("host/src/runtime/module.rs", "loads compiled code"),
    (
        "host/src/runtime/module_handover.rs",
        "loads code that the parent compiled",
    ),
    ("host/src/shared_memory/mapping.rs", "maps pages at fixed addresses"),
    ("host/src/runtime/stacks.rs", "maps stacks"),
];

/// Where tasks may be started: one tied to its owner, and the one that is an isolate.
const SPAWN_FILES: [&str; 2] = ["host/src/runtime/isolate.rs", "host/src/spawn_tied.rs"];

/// A source file.
struct Source {
    /// From the top of the repository.
    path: String,
    text: String,
    /// The text with comments and literals blanked out, of the same length.
    code: String,
}

/// All Rust sources of the project.
fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    for directory in ["host", "guest-sdk", "guests", "tests", "fuzz"] {
        collect(&repository().join(directory), &mut files);
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    let sources: Vec<_> = files.iter().map(|file| source(file)).collect();
    assert!(sources.len() > 50, "the sources were not found");
    sources
}

fn source(file: &Path) -> Source {
    let text = std::fs::read_to_string(file).unwrap();
    let path = file.strip_prefix(repository()).unwrap().to_str().unwrap().to_string();
    Source {
        path,
        code: blank(&text),
        text,
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_file() {
            files.push(path);
        } else if name != "target" && !name.starts_with('.') && name != "corpus" && name != "artifacts" {
            collect(&path, files);
        }
    }
    files.sort();
}

/// Blanks comments and literals of Rust text; lines stay where they are.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        match end {
            Some(end) => {
                let end = end.min(bytes.len());
                code[at..end]
                    .iter_mut()
                    .filter(|byte| **byte != b'\n')
                    .for_each(|byte| *byte = b' ');
                at = end;
            }
            None => at += 1,
        }
    }
    String::from_utf8(code).unwrap()
}

/// Where the comment or literal that starts at `at` ends, if one starts there.
fn literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let follows_name = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    let find = |needle: &[u8], from: usize| {
        rest[from..]
            .windows(needle.len())
            .position(|part| part == needle)
            .map(|found| from + found)
    };
    match rest {
        [b'/', b'/', ..] => Some(at + find(b"\n", 0).unwrap_or(rest.len())),
        [b'/', b'*', ..] => Some(at + find(b"*/", 2).map_or(rest.len(), |end| end + 2)),
        [b'r', b'"' | b'#', ..] | [b'b', b'r', b'"' | b'#', ..] if !follows_name => {
            let start = rest.iter().position(|byte| *byte == b'r')? + 1;
            let hashes = rest[start..].iter().take_while(|byte| **byte == b'#').count();
            if rest.get(start + hashes) != Some(&b'"') {
                return None;
            }
            let mut close = vec![b'"'];
            close.resize(hashes + 1, b'#');
            Some(at + find(&close, start + hashes + 1).map_or(rest.len(), |end| end + close.len()))
        }
        [b'"', ..] => {
            let mut end = 1;
            while end < rest.len() && rest[end] != b'"' {
                end += if rest[end] == b'\\' { 2 } else { 1 };
            }
            Some(at + end + 1)
        }
        // A character, not a lifetime.
        [b'\'', b'\\', ..] => Some(at + 3 + rest[3..].iter().position(|byte| *byte == b'\'')? + 1),
        [b'\'', ..] => {
            let text = std::str::from_utf8(&rest[1..rest.len().min(6)])
                .or_else(|error| std::str::from_utf8(&rest[1..1 + error.valid_up_to()]));
            let first = text.ok()?.chars().next()?;
            (rest.get(1 + first.len_utf8()) == Some(&b'\'')).then(|| at + 2 + first.len_utf8())
        }
        _ => None,
    }
}

/// The block that opens at or behind `from`, braces included; none when a `;` comes first.
fn block(code: &str, from: usize) -> Option<Range<usize>> {
    let mut depth = 0;
    let mut start = None;
    for (offset, byte) in code.as_bytes()[from..].iter().enumerate() {
        match byte {
            b'{' => {
                start.get_or_insert(from + offset);
                depth += 1;
            }
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(start?..from + offset + 1);
                }
            }
            b';' if start.is_none() => return None,
            _ => {}
        }
    }
    None
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Positions of a word in code.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_name = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let bytes = code.as_bytes();
    let starts_inside = move |at: usize| at > 0 && is_name(bytes.get(at - 1));
    let found = code.match_indices(word).map(|(at, _)| at);
    found.filter(move |at| !starts_inside(*at) && !is_name(bytes.get(at + word.len())))
}

/// The code without its test modules.
fn without_tests(source: &Source) -> String {
    let mut code = source.code.clone();
    for (at, _) in source.code.match_indices("#[cfg(test)]") {
        if let Some(block) = block(&source.code, at + "#[cfg(test)]".len()) {
            let blanked: String = code[block.clone()]
                .chars()
                .map(|c| if c == '\n' { '\n' } else { ' ' })
                .collect();
            code.replace_range(block, &blanked);
        }
    }
    code
}

/// Modules that a `#[cfg(test)] mod name;` declares, as paths without an ending.
fn test_only(sources: &[Source]) -> Vec<String> {
    let mut files = Vec::new();
    for source in sources {
        for (at, mark) in source.code.match_indices("#[cfg(test)]") {
            let mut rest = source.code[at + mark.len()..].trim_start();
            while rest.starts_with("#[") {
                rest = rest.split_once('\n').map_or("", |(_, next)| next).trim_start();
            }
            let rest = rest.strip_prefix("pub(crate) ").unwrap_or(rest);
            let Some((name, _)) = rest.strip_prefix("mod ").and_then(|rest| rest.split_once(';')) else {
                continue;
            };
            let path = Path::new(&source.path);
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let parent = path.parent().unwrap();
            let directory = if matches!(stem, "mod" | "lib" | "main") {
                parent.to_path_buf()
            } else {
                parent.join(stem)
            };
            files.push(directory.join(name).to_str().unwrap().to_string());
        }
    }
    files
}

/// Whether a file is one of those modules or lies in the directory of one.
fn is_test_only(path: &str, test_only: &[String]) -> bool {
    let belongs = |module: &String| {
        path.strip_prefix(module.as_str())
            .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    };
    test_only.iter().any(belongs)
}

#[track_caller]
fn report(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let is_silent = |source: &&Source| !source.text.starts_with("//!") && !source.text.starts_with("#![no_main]\n//!");
    report(
        &sources()
            .iter()
            .filter(is_silent)
            .map(|source| format!("{} has no module documentation at its top", source.path))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn files_and_functions_are_short() {
    let mut problems = Vec::new();
    let sources = sources();
    let test_only = test_only(&sources);
    for source in &sources {
        let is_test = ["tests/", "guests/tests/", "fuzz/"]
            .iter()
            .any(|part| source.path.starts_with(part))
            || source.path.contains("/tests/")
            || is_test_only(&source.path, &test_only);
        let (file_max, function_max) = match is_test {
            true => (TEST_FILE_LINES_MAX, TEST_FUNCTION_LINES_MAX),
            false => (FILE_LINES_MAX, FUNCTION_LINES_MAX),
        };
        let lines = source.text.lines().count();
        if lines > file_max {
            problems.push(format!("{} has {lines} lines, {file_max} are allowed", source.path));
        }
        let code = without_tests(source);
        for at in words(&code, "fn") {
            // The list of what an area registers is a table, however long.
            if code[at..].starts_with("fn register(") {
                continue;
            }
            let Some(block) = block(&code, at) else { continue };
            let (first, last) = (line_of(&code, at), line_of(&code, block.end));
            let lines = last - first + 1;
            if lines > function_max {
                problems.push(format!(
                    "{}:{first}: function of {lines} lines, {function_max} are allowed",
                    source.path
                ));
            }
        }
    }
    report(&problems);
}

#[test]
fn unsafe_is_rare_and_explained() {
    let mut problems = Vec::new();
    let sources = sources();
    for source in sources.iter().filter(|source| !source.path.starts_with("tests/")) {
        let allowed = UNSAFE_FILES.iter().any(|(file, _)| source.path.starts_with(file));
        let lines: Vec<_> = source.text.lines().collect();
        for at in words(&source.code, "unsafe") {
            let line = line_of(&source.code, at);
            if !allowed {
                problems.push(format!("{}:{line}: unsafe in a file that is not listed", source.path));
            }
            // Declarations promise nothing; blocks and impls do.
            let rest = source.code[at + "unsafe".len()..].trim_start();
            if !(rest.starts_with('{') || rest.starts_with("impl")) {
                continue;
            }
            // The explanation stands above the statement, whose first lines may come before the block.
            if !lines[line.saturating_sub(12)..line]
                .iter()
                .any(|line| line.contains("SAFETY:"))
            {
                problems.push(format!(
                    "{}:{line}: unsafe without a SAFETY: line above it",
                    source.path
                ));
            }
        }
    }
    for (file, _) in UNSAFE_FILES {
        if !sources
            .iter()
            .any(|source| source.path.starts_with(file) && words(&source.code, "unsafe").next().is_some())
        {
            problems.push(format!("{file} is listed but has no unsafe"));
        }
    }
    report(&problems);
}

#[test]
fn host_code_does_not_give_up() {
    const BANNED: [&str; 7] = [
        ".unwrap()",
        ".expect(",
        "panic!(",
        "todo!(",
        "unimplemented!(",
        "unreachable!(",
        "dbg!(",
    ];
    let sources = sources();
    let test_only = test_only(&sources);
    let mut problems = Vec::new();
    for source in &sources {
        let checked = source.path.starts_with("host/src/") || source.path.starts_with("guest-sdk/abi/src/");
        if !checked || is_test_only(&source.path, &test_only) {
            continue;
        }
        let code = without_tests(source);
        for banned in BANNED {
            problems.extend(
                code.match_indices(banned)
                    .map(|(at, _)| format!("{}:{}: {banned}", source.path, line_of(&code, at))),
            );
        }
    }
    report(&problems);
}

#[test]
fn tasks_are_tied_to_their_owner() {
    let mut problems = Vec::new();
    let sources = sources();
    let test_only = test_only(&sources);
    for source in sources
        .iter()
        .filter(|source| !is_test_only(&source.path, &test_only))
        .filter(|source| source.path.starts_with("host/src/") && !SPAWN_FILES.contains(&source.path.as_str()))
    {
        let code = without_tests(source);
        for call in ["tokio::spawn(", "task::spawn(", "spawn_local("] {
            let places = code.match_indices(call);
            problems.extend(
                places.map(|(at, _)| format!("{}:{}: {call} instead of spawn_tied", source.path, line_of(&code, at))),
            );
        }
    }
    report(&problems);
}

/// Windows of shared memory change under the host, so no reference may be formed over a linear memory.
#[test]
fn linear_memories_are_never_borrowed() {
    // Raw pointers to them, each with its reason.
    const RAW_FILES: [&str; 3] = [
        // Copies.
        "host/src/guest_memory.rs",
        // Reads words atomically.
        "host/src/diagnostics/pages.rs",
        // Maps.
        "host/src/shared_memory/mapping.rs",
    ];
    const BORROWS: [&str; 7] = [
        "memory.data(",
        "memory.data_mut(",
        ".data_and_store_mut(",
        "memory.read(",
        "memory.write(",
        "add_to_linker_async(",
        "add_to_linker_sync(",
    ];
    let sources = sources();
    let test_only = test_only(&sources);
    let mut problems = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with("host/src/")) {
        if is_test_only(&source.path, &test_only) {
            continue;
        }
        let code = without_tests(source);
        let raw = [".data_ptr("]
            .into_iter()
            .filter(|_| !RAW_FILES.contains(&source.path.as_str()));
        // The memory of wasmtime's own threads, whose data is a slice of cells.
        let cells = source.path == "host/src/diagnostics/pages.rs";
        let borrows = BORROWS
            .into_iter()
            .filter(|borrow| !(cells && *borrow == "memory.data("));
        for banned in borrows.chain(raw) {
            problems.extend(code.match_indices(banned).map(|(at, _)| {
                format!(
                    "{}:{}: {banned} instead of guest_memory",
                    source.path,
                    line_of(&code, at)
                )
            }));
        }
        // With an argument it is the bytes of a memory; without, the data of a store.
        for (at, call) in code.match_indices(".data(").chain(code.match_indices(".data_mut(")) {
            if !code[at + call.len()..].starts_with(')') {
                problems.push(format!("{}:{}: {call} of a memory", source.path, line_of(&code, at)));
            }
        }
    }
    report(&problems);
}

#[test]
fn names_say_what_things_are() {
    let vague = |source: &&Source| {
        source.path.split('/').any(|part| {
            matches!(
                part.trim_end_matches(".rs"),
                "utils" | "util" | "helpers" | "misc" | "common"
            )
        })
    };
    report(
        &sources()
            .iter()
            .filter(vague)
            .map(|source| format!("{}: a name that says nothing", source.path))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn todos_carry_an_issue_number() {
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| source.path != "tests/tidy.rs") {
        for (number, line) in source.text.lines().enumerate() {
            let Some((_, rest)) = line.split_once("TODO").or_else(|| line.split_once("FIXME")) else {
                continue;
            };
            let digits = rest
                .strip_prefix("(#")
                .map_or(0, |rest| rest.chars().take_while(char::is_ascii_digit).count());
            if digits == 0 {
                problems.push(format!("{}:{}: write TODO(#<issue>)", source.path, number + 1));
            }
        }
    }
    report(&problems);
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    // In pieces, so that this file does not contain them.
    let places = [
        ["/work/ma", "in"],
        ["/tmp/w", "t/"],
        ["/root", "/"],
        ["/home/", "user"],
        ["../sha", "red"],
    ]
    .map(|parts| parts.concat());
    let mut files = Vec::new();
    for directory in ["host", "guest-sdk", "guests", "tests", "fuzz", "docs", "scripts"] {
        collect(&repository().join(directory), &mut files);
    }
    files.extend(["README.md", "Makefile", "Cargo.toml"].map(|name| repository().join(name)));
    let mut problems = Vec::new();
    for file in files {
        // Binary files and a README that is not there name nothing.
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        let name = file.strip_prefix(repository()).unwrap().display().to_string();
        problems.extend(
            places
                .iter()
                .filter(|place| text.contains(place.as_str()))
                .map(|place| format!("{name} names {place}")),
        );
    }
    report(&problems);
}

#[test]
fn blanking_leaves_code_alone() {
    let text = "a(\"}\\\"\", '{', '\\'', b\"x\"); // }\nr#\"\" {\"# /* { */ 'a: loop {} fn r() {}";
    let code = blank(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(code.matches('{').count(), 2, "{code}");
    assert_eq!(code.matches('}').count(), 2, "{code}");
    assert!(code.contains("'a: loop {} fn r() {}"), "{code}");
    let function = block(&code, code.find("fn").unwrap()).unwrap();
    assert_eq!(&code[function], "{}");
}
