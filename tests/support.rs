//! Running the real binary: commands, their results, what is shown when one fails.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open};
use tempfile::TempDir;

use crate::guests::Guest;

/// How long a command may take unless its test says otherwise. Generous: machines that run tests are busy.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// How much output is kept; of what comes after nothing but the fact.
const OUTPUT_BYTES_MAX: usize = 16 << 20;
/// How much of an output a failure shows.
const SHOWN_BYTES_MAX: usize = 8 << 10;
/// How long output may stay open after its command ended.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// The built binary.
///
/// # Panics
/// When it is not built.
pub fn binary() -> PathBuf {
    // Tests lie in <target>/release/deps.
    let tests = std::env::current_exe().unwrap();
    let binary = tests.ancestors().nth(2).unwrap().join("nodule");
    assert!(
        binary.is_file(),
        "the binary is not built: run `make build` ({} is missing)",
        binary.display()
    );
    binary
}

/// `nodule` with these arguments.
pub fn nodule<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Cmd {
    Cmd::new(binary()).args(arguments)
}

/// `nodule run` of a guest program. [`Cmd::args`] adds the guest's arguments.
pub fn guest(guest: Guest) -> Cmd {
    guest_with(&[], guest)
}

/// `nodule run` with these flags of a guest program.
pub fn guest_with(flags: &[&str], guest: Guest) -> Cmd {
    nodule(["run"]).args(flags).arg(guest.path())
}

/// `nodule run` with these flags of a module in text format.
pub fn wat_with(flags: &[&str], text: &str) -> Cmd {
    let command = nodule(["run"]).args(flags);
    let path = command.directory().join("module.wat");
    std::fs::write(&path, text).unwrap();
    command.arg(path)
}

/// Node with these arguments, or `None`, with a line on the terminal, where there is no Node.
pub fn node(arguments: &[&str]) -> Option<Cmd> {
    static PRESENT: OnceLock<bool> = OnceLock::new();
    let is_present = || {
        Command::new("node")
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if !*PRESENT.get_or_init(is_present) {
        // Past the harness, which hides what passing tests print.
        let _ = std::io::stderr().write_all(b"SKIPPED: a comparison with Node, because node is not installed\n");
        return None;
    }
    Some(Cmd::new("node").args(arguments))
}

/// Compiled code of all tests, so that each guest is compiled once.
pub fn cache_directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("nodule-cache")
}

/// A command in a directory of its own, with an environment of its own.
pub struct Cmd {
    command: Command,
    directory: TempDir,
    stdin: Vec<u8>,
    stdout: Option<OwnedFd>,
    time_limit: Duration,
}

impl Cmd {
    /// A command. It runs in a new directory; of the environment it sees `PATH` and a home there.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let directory = TempDir::with_prefix("nodule-test-").unwrap();
        let mut command = Command::new(program);
        command.current_dir(directory.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", directory.path())
            .env("NODULE_CACHE_DIR", cache_directory());
        Self {
            command,
            directory,
            stdin: Vec::new(),
            stdout: None,
            time_limit: TIME_LIMIT,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// What it reads. Default: nothing.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Where its output goes instead of into the result.
    pub fn stdout_to(mut self, stdout: impl Into<OwnedFd>) -> Self {
        self.stdout = Some(stdout.into());
        self
    }

    /// Runs it by a shell script, in which it is `"$0" "$@"`.
    pub fn through_shell(mut self, script: &str) -> Self {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(script)
            .arg(self.command.get_program())
            .args(self.command.get_args());
        shell.current_dir(self.directory.path()).env_clear();
        shell.envs(self.command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        self.command = shell;
        self
    }

    /// After this time it is killed and the test fails.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// The directory it runs in. It is removed with the result of the command.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file into its directory.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.directory().join(name), content).unwrap();
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Run {
        let stdin = std::mem::take(&mut self.stdin);
        let mut running = self.start();
        let writer = running.stdin.take().map(|mut pipe| {
            // A command that ends without reading closes the pipe: no failure of the test.
            std::thread::spawn(move || drop(pipe.write_all(&stdin)))
        });
        let run = running.wait();
        if let Some(writer) = writer {
            writer.join().unwrap();
        }
        run
    }

    /// Starts it, for tests that talk to it while it runs.
    pub fn start(mut self) -> Running {
        self.command
            .stdin(Stdio::piped())
            .stdout(self.stdout.take().map_or_else(Stdio::piped, Stdio::from))
            .stderr(Stdio::piped());
        // A group of its own: a signal to the group does not reach the tests, and all of it can be ended.
        self.command.process_group(0);
        let shown = shown(&self.command);
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
        // The builder keeps the ends it passed on, which would keep pipes open.
        drop(self.command);
        let stdout = child
            .stdout
            .take()
            .map_or_else(|| Stream::collect(std::io::empty()), Stream::collect);
        let stderr = Stream::collect(child.stderr.take().unwrap());
        let deadline = Instant::now() + self.time_limit;
        let stdin = child.stdin.take();
        Running {
            child,
            shown,
            stdin,
            stdout,
            stderr,
            deadline,
            directory: Some(self.directory),
            ended: false,
        }
    }
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let argument: OsString = argument.into();
        let _ = write!(text, " {}", argument.to_string_lossy());
    }
    text
}

/// A command that runs. Dropping it kills it.
pub struct Running {
    child: Child,
    shown: String,
    /// Its input; taking and dropping it closes it.
    pub stdin: Option<ChildStdin>,
    stdout: Arc<Stream>,
    stderr: Arc<Stream>,
    deadline: Instant,
    directory: Option<TempDir>,
    ended: bool,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The directory it runs in.
    pub fn directory(&self) -> &Path {
        self.directory.as_ref().unwrap().path()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// Waits until its output contains a text; gives all output so far.
    pub fn wait_for_stdout(&self, text: &str) -> String {
        self.stdout
            .wait_for(text, self.deadline)
            .unwrap_or_else(|| self.fail(&format!("stdout never had {text:?}")))
    }

    /// Waits until its error output contains a text.
    pub fn wait_for_stderr(&self, text: &str) {
        if self.stderr.wait_for(text, self.deadline).is_none() {
            self.fail(&format!("stderr never had {text:?}"));
        }
    }

    /// Waits until its directory has a file with content that `wanted` accepts.
    pub fn wait_for_file(&self, wanted: impl Fn(&Path) -> bool) -> PathBuf {
        while Instant::now() < self.deadline {
            let files = std::fs::read_dir(self.directory())
                .unwrap()
                .map(|file| file.unwrap().path());
            if let Some(path) = files
                .into_iter()
                .find(|path| wanted(path) && path.metadata().is_ok_and(|file| file.len() > 0))
            {
                return path;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.fail("no such file came")
    }

    fn fail(&self, what: &str) -> ! {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = rustix::process::waitid(WaitId::Pid(self.pid()), options).ok().flatten();
        let state = match status {
            Some(status) => format!(
                "ended by code {:?}, signal {:?}",
                status.exit_status(),
                status.terminating_signal()
            ),
            None => "running".into(),
        };
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        panic!(
            "{what}\ncommand: {}, {state}\nstdout:\n{}\nstderr:\n{}",
            self.shown,
            cut(&stdout),
            cut(&stderr)
        )
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Run {
        let pidfd = pidfd_open(self.pid(), PidfdFlags::empty()).unwrap();
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        let timeout = rustix::event::Timespec::try_from(remaining).unwrap();
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        if poll(&mut fds, Some(&timeout)) != Ok(1) {
            self.fail("the command took too long");
        }
        let status = self.child.wait().unwrap();
        self.ended = true;
        let drained = Instant::now() + DRAIN_LIMIT;
        if !(self.stdout.wait_for_end(drained) && self.stderr.wait_for_end(drained)) {
            self.fail("the command ended but its output stays open");
        }
        Run {
            shown: std::mem::take(&mut self.shown),
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            directory: self.directory.take().unwrap(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            let _ = kill_process_group(self.pid(), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// What a command has written so far.
struct Stream {
    state: Mutex<(Vec<u8>, bool)>,
    changed: Condvar,
}

impl Stream {
    fn collect(mut pipe: impl Read + Send + 'static) -> Arc<Self> {
        let stream = Arc::new(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let collected = Arc::clone(&stream);
        std::thread::spawn(move || {
            let mut buffer = [0; 64 * 1024];
            loop {
                let len = pipe.read(&mut buffer).unwrap_or(0);
                let mut state = collected.state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.0.len() < OUTPUT_BYTES_MAX {
                    state.0.extend_from_slice(&buffer[..len]);
                }
                state.1 = len == 0;
                collected.changed.notify_all();
                if len == 0 {
                    return;
                }
            }
        });
        stream
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.state.lock().unwrap_or_else(PoisonError::into_inner).0).into_owned()
    }

    /// The text once it contains `wanted`; nothing when it ends or the time is over before.
    fn wait_for(&self, wanted: &str, deadline: Instant) -> Option<String> {
        let found = |bytes: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes());
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let remaining = deadline.saturating_duration_since(Instant::now());
        let waiting = |(bytes, ended): &mut (Vec<u8>, bool)| !*ended && !found(bytes);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, remaining, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        found(&state.0).then(|| String::from_utf8_lossy(&state.0).into_owned())
    }

    fn wait_for_end(&self, deadline: Instant) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let remaining = deadline.saturating_duration_since(Instant::now());
        let (state, _) = self
            .changed
            .wait_timeout_while(state, remaining, |(_, ended)| !*ended)
            .unwrap_or_else(PoisonError::into_inner);
        state.1
    }
}

/// How a command ended and what it wrote.
pub struct Run {
    shown: String,
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the system wrote a core file.

    /// Its output.
    pub stdout: String,
    /// Its error output.
    pub stderr: String,
    directory: TempDir,
}

impl Run {
    /// The directory it ran in.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Fails unless it ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        self.check(self.code == Some(code), &format!("exit code {code} expected"));
        self
    }

    /// Fails unless it ended with 0 and wrote no errors.
    #[track_caller]
    pub fn success(self) -> Self {
        self.check(
            self.code == Some(0) && self.stderr.is_empty(),
            "exit code 0 and empty stderr expected",
        );
        self
    }

    /// Fails unless this signal ended it.
    #[track_caller]
    pub fn signal(self, signal: Signal) -> Self {
        self.check(
            self.signal == Some(signal.as_raw()),
            &format!("death by {signal:?} expected"),
        );
        self
    }

    /// Fails unless its output is exactly this.
    #[track_caller]
    pub fn stdout(self, expected: &str) -> Self {
        let difference = first_difference(expected, &self.stdout);
        self.check(
            difference.is_none(),
            &format!("stdout differs\n{}", difference.unwrap_or_default()),
        );
        self
    }

    /// Fails unless its error output is exactly this.
    #[track_caller]
    pub fn stderr(self, expected: &str) -> Self {
        let difference = first_difference(expected, &self.stderr);
        self.check(
            difference.is_none(),
            &format!("stderr differs\n{}", difference.unwrap_or_default()),
        );
        self
    }

    /// Fails unless its output contains this.
    #[track_caller]
    pub fn stdout_has(self, part: &str) -> Self {
        self.check(self.stdout.contains(part), &format!("stdout with {part:?} expected"));
        self
    }

    /// Fails unless its error output contains this.
    #[track_caller]
    pub fn stderr_has(self, part: &str) -> Self {
        self.check(self.stderr.contains(part), &format!("stderr with {part:?} expected"));
        self
    }

    /// Fails, showing everything, unless `holds`.
    #[track_caller]
    pub fn check(&self, holds: bool, what: &str) {
        let Self {
            shown, code, signal, ..
        } = self;
        assert!(
            holds,
            "{what}\ncommand: {shown}\ncode: {code:?}, signal: {signal:?}\nstdout:\n{}\nstderr:\n{}",
            cut(&self.stdout),
            cut(&self.stderr)
        );
    }
}

/// Start and end of a text that is too long to show.
fn cut(text: &str) -> String {
    if text.len() <= SHOWN_BYTES_MAX {
        return text.into();
    }
    let bytes = text.as_bytes();
    let (start, end) = (
        &bytes[..SHOWN_BYTES_MAX / 2],
        &bytes[bytes.len() - SHOWN_BYTES_MAX / 2..],
    );
    let (start, end) = (String::from_utf8_lossy(start), String::from_utf8_lossy(end));
    format!("{start}\n[... of {} bytes ...]\n{end}", text.len())
}

/// The first line in which two texts differ, with its neighbours.
pub fn first_difference(expected: &str, actual: &str) -> Option<String> {
    if expected == actual {
        return None;
    }
    let (expected, actual): (Vec<_>, Vec<_>) = (expected.split('\n').collect(), actual.split('\n').collect());
    let same = expected
        .iter()
        .zip(&actual)
        .take_while(|(expected, actual)| expected == actual)
        .count();
    let mut text = format!("line {}:\n", same + 1);
    for line in &expected[same.saturating_sub(2)..same] {
        let _ = writeln!(text, "  {line}");
    }
    for (mark, lines) in [('-', &expected), ('+', &actual)] {
        for line in lines.iter().skip(same).take(3) {
            let _ = writeln!(text, "{mark} {}", cut(line));
        }
    }
    text.push_str("(- expected, + actual)");
    Some(text)
}
