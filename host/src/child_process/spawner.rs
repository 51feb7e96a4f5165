//! Starting a process: `clone(2)` with `CLONE_VFORK`, from one OS thread that does nothing else.
//!
//! The child borrows the memory of the host until it executes its program, so neither its size nor what is mapped counts.
//! A thread for it, because the kernel ties two things to the thread that started a child: who is stopped meanwhile, and
//! whose end `PR_SET_PDEATHSIG` is about.
#![allow(
    unsafe_code,
    reason = "clone(2), and what a process does before it executes its program"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustix::process::{Signal, WaitId, WaitIdOptions};
use tokio::sync::oneshot;

/// What to execute, and with what.
#[derive(Debug)]
pub struct Image {
    /// The file to execute.
    pub program: CString,
    /// Its arguments, its own name first.
    pub argv: Vec<CString>,
    /// Its environment, `KEY=VALUE`.
    pub env: Vec<CString>,
    /// Its working directory; the host's when absent.
    pub cwd: Option<OwnedFd>,
    /// Descriptors and the numbers they get. All others are closed when the program begins.
    pub fds: Vec<(OwnedFd, RawFd)>,
    /// Whether it leads a session of its own.
    pub new_session: bool,
    /// Its user.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
    /// Whether it is killed when the host ends, however that ends.
    pub dies_with_host: bool,
    /// Whether it is killed when whoever started it was ended before he had it.
    pub ends_with_caller: bool,
}

/// A process that runs. Dropped, it is reaped by somebody else.
#[derive(Debug)]
pub struct Started {
    /// Its number, while it is not reaped.
    pub pid: u32,
    /// What stands for it and for no other one, whatever becomes of the number.
    pidfd: Arc<OwnedFd>,
    is_taken: bool,
    ends_with_caller: bool,
}

impl Started {
    /// Takes the process over: whoever has it reaps it, or [forgets](forget) it.
    pub fn take(mut self) -> Arc<OwnedFd> {
        self.is_taken = true;
        Arc::clone(&self.pidfd)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.is_taken {
            return;
        }
        if self.ends_with_caller {
            // It may have ended.
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        }
        forget(Arc::clone(&self.pidfd));
    }
}

enum Order {
    Start(Box<Image>, oneshot::Sender<io::Result<Started>>),
    Reap(Arc<OwnedFd>),
}

/// How often the thread looks after processes that nobody waits for any more.
const REAP_INTERVAL: Duration = Duration::from_secs(1);

static SPAWNER: LazyLock<io::Result<Sender<Order>>> = LazyLock::new(|| {
    let (sender, orders) = channel();
    let run = move || {
        let mut forgotten: Vec<Arc<OwnedFd>> = Vec::new();
        loop {
            // Without forgotten processes there is nothing to look after.
            let order = match forgotten.is_empty() {
                true => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => orders.recv_timeout(REAP_INTERVAL),
            };
            match order {
                Ok(Order::Start(image, answer)) => {
                    // Nobody listens when the isolate was ended meanwhile: the process is dropped then.
                    drop(answer.send(start_here(&image)));
                }
                Ok(Order::Reap(pidfd)) => forgotten.push(pidfd),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            forgotten.retain(|pidfd| matches!(reap_now(pidfd), Ok(None)));
        }
    };
    std::thread::Builder::new()
        .name("nodule-spawn".into())
        .spawn(run)
        .map(|_| sender)
});

fn order(order: Order) -> io::Result<()> {
    let sender = SPAWNER
        .as_ref()
        .map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    sender.send(order).map_err(io::Error::other)
}

/// Starts a process.
///
/// # Errors
/// What the system said, about the start or about the program.
pub async fn start(image: Image) -> io::Result<Started> {
    let (sender, answer) = oneshot::channel();
    order(Order::Start(Box::new(image), sender))?;
    answer.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Has a process reaped once it ends, by somebody else.
pub fn forget(pidfd: Arc<OwnedFd>) {
    if let Err(error) = order(Order::Reap(pidfd)) {
        tracing::warn!(%error, "an ended process will not be reaped before the host ends");
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

/// Reaps a process that has ended; `None` while it runs.
pub fn reap_now(pidfd: &OwnedFd) -> io::Result<Option<Ended>> {
    use std::os::fd::AsFd as _;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let Some(status) = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options)? else {
        return Ok(None);
    };
    Ok(Some(match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ended::Exited(code),
        (None, signal) => Ended::Signalled(signal.unwrap_or(libc::SIGKILL)),
    }))
}

/// Everything the child needs, made before it exists: it cannot allocate.
struct Child<'a> {
    image: &'a Image,
    argv: Vec<*const c_char>,
    /// To run a script without `#!` as `execvp(3)` does.
    script_argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    host: libc::pid_t,
    /// Above all numbers that descriptors get.
    first_free: c_int,
    /// Where each descriptor waits for its number.
    parked: Vec<c_int>,
    /// Why it failed.
    errno: AtomicI32,
}

const SHELL: &CStr = c"/bin/sh";
/// Enough for system calls.
const STACK_BYTES: usize = 64 * 1024;
/// Alignment that every ABI is content with.
const STACK_ALIGN: usize = 64;

fn pointers<'a>(texts: impl IntoIterator<Item = &'a CStr>) -> Vec<*const c_char> {
    texts.into_iter().map(CStr::as_ptr).chain([std::ptr::null()]).collect()
}

impl<'a> Child<'a> {
    fn new(image: &'a Image) -> Self {
        let argv = || image.argv.iter().map(CString::as_c_str);
        let highest = image.fds.iter().map(|(_, target)| *target).max().unwrap_or(2);
        Self {
            image,
            argv: pointers(argv()),
            script_argv: pointers([SHELL, image.program.as_c_str()].into_iter().chain(argv().skip(1))),
            envp: pointers(image.env.iter().map(CString::as_c_str)),
            // The host is the parent, whatever thread starts the child.
            host: i32::try_from(std::process::id()).unwrap_or(0),
            first_free: highest.max(2) + 1,
            parked: vec![-1; image.fds.len()],
            errno: AtomicI32::new(0),
        }
    }

    /// Runs in the child, on the memory of the host: only system calls.
    fn run(&mut self) -> c_int {
        match self.prepare() {
            Ok(()) => self.execute(),
            Err(errno) => self.errno.store(errno, Ordering::Relaxed),
        }
        127
    }

    fn prepare(&mut self) -> Result<(), c_int> {
        // SAFETY: plain system calls in a child that shares memory with a thread that stands still; each gets numbers,
        // or pointers to values that live.
        unsafe {
            restore_signals();
            if self.image.new_session {
                check(libc::setsid())?;
            }
            self.place_descriptors()?;
            if let Some(directory) = &self.image.cwd {
                check(libc::fchdir(directory.as_raw_fd()))?;
            }
            if self.image.uid.is_some() || self.image.gid.is_some() {
                // Refused to those who have nothing to give up.
                libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>());
            }
            // Not the functions of the C library: those would change all threads of the host.
            if let Some(gid) = self.image.gid {
                check_long(libc::syscall(libc::SYS_setgid, gid))?;
            }
            if let Some(uid) = self.image.uid {
                check_long(libc::syscall(libc::SYS_setuid, uid))?;
            }
            // After that: a change of ids takes the signal back.
            if self.image.dies_with_host {
                check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
                // It may have ended before that.
                if libc::getppid() != self.host {
                    return Err(libc::ESRCH);
                }
            }
        }
        Ok(())
    }

    /// # Safety
    /// In the child only: it changes what numbers mean.
    unsafe fn place_descriptors(&mut self) -> Result<(), c_int> {
        // SAFETY: system calls on numbers.
        unsafe {
            // Out of the way first: a source may have the number that another one gets.
            for ((source, _), parked) in self.image.fds.iter().zip(&mut self.parked) {
                *parked = libc::fcntl(source.as_raw_fd(), libc::F_DUPFD_CLOEXEC, self.first_free);
                check(*parked)?;
            }
            // What the host itself was started with is not for its children.
            libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            for ((_, target), parked) in self.image.fds.iter().zip(&self.parked) {
                check(libc::dup2(*parked, *target))?;
            }
        }
        Ok(())
    }

    fn execute(&self) {
        // SAFETY: both lists end with null and point to strings of the image, which lives.
        unsafe {
            libc::execve(self.image.program.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr());
            if *libc::__errno_location() == libc::ENOEXEC {
                libc::execve(SHELL.as_ptr(), self.script_argv.as_ptr(), self.envp.as_ptr());
            }
            self.errno.store(*libc::__errno_location(), Ordering::Relaxed);
        }
    }
}

fn check(result: c_int) -> Result<(), c_int> {
    check_long(result.into())
}

fn check_long(result: libc::c_long) -> Result<(), c_int> {
    if result >= 0 {
        return Ok(());
    }
    // SAFETY: the address is valid for as long as the thread lives.
    Err(unsafe { *libc::__errno_location() })
}

/// Gives a new program the signals as a new program has them.
///
/// # Safety
/// In the child only.
unsafe fn restore_signals() {
    // SAFETY: an all-zero sigaction is the default action; refused for numbers that cannot be changed.
    unsafe {
        let default: libc::sigaction = std::mem::zeroed();
        for signal in 1..=libc::SIGRTMAX() {
            libc::sigaction(signal, &raw const default, std::ptr::null_mut());
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

extern "C" fn child_main(child: *mut c_void) -> c_int {
    // SAFETY: `start_here` passes its child, which it does not touch before this process is gone or another program.
    let child = unsafe { &mut *child.cast::<Child<'_>>() };
    child.run()
}

fn start_here(image: &Image) -> io::Result<Started> {
    let mut child = Child::new(image);
    let mut stack = vec![0_u8; STACK_BYTES];
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: the stack is used from its aligned end downwards, by a child that is gone from this memory when the call
    // returns. With all signals blocked no handler of ours runs in it.
    let (pid, errno) = unsafe {
        let end = stack.as_mut_ptr().add(STACK_BYTES);
        let top = end.sub(end as usize % STACK_ALIGN);
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let pid = libc::clone(child_main, top.cast(), flags, (&raw mut child).cast(), &raw mut pidfd);
        let errno = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        (pid, errno)
    };
    if pid < 0 {
        return Err(errno);
    }
    // SAFETY: the call has opened it for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    match child.errno.load(Ordering::Relaxed) {
        0 => Ok(Started {
            pid: pid.unsigned_abs(),
            pidfd: Arc::new(pidfd),
            is_taken: false,
            ends_with_caller: image.ends_with_caller,
        }),
        errno => {
            // It has ended already, or is about to.
            let _ = rustix::process::waitid(WaitId::PidFd(std::os::fd::AsFd::as_fd(&pidfd)), WaitIdOptions::EXITED);
            Err(io::Error::from_raw_os_error(errno))
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    use super::*;

    pub(in crate::child_process) fn image(program: &str, args: &[&str]) -> Image {
        let text = |text: &str| CString::new(text).unwrap();
        Image {
            program: text(program),
            argv: [program].iter().chain(args).map(|word| text(word)).collect(),
            env: vec![text("A=b")],
            cwd: None,
            fds: Vec::new(),
            new_session: false,
            uid: None,
            gid: None,
            dies_with_host: false,
            ends_with_caller: false,
        }
    }

    fn end(started: Started) -> Ended {
        let pidfd = started.take();
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options).unwrap();
        let ended = reap_now(&pidfd).unwrap().unwrap();
        assert!(reap_now(&pidfd).is_err(), "it was reaped");
        ended
    }

    /// What a shell script writes to its output.
    async fn output(script: &str, change: impl FnOnce(&mut Image)) -> String {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let mut image = image("/bin/sh", &["-c", script]);
        image.fds.push((write, 1));
        change(&mut image);
        let started = start(image).await.unwrap();
        let mut text = String::new();
        std::fs::File::from(read).read_to_string(&mut text).unwrap();
        end(started);
        text
    }

    #[tokio::test]
    async fn processes_end_with_a_code_or_by_a_signal() {
        let code = start(image("/bin/sh", &["-c", "exit 7"])).await.unwrap();
        assert_eq!(end(code), Ended::Exited(7));
        let signal = start(image("/bin/sh", &["-c", "kill -9 $$"])).await.unwrap();
        assert_eq!(end(signal), Ended::Signalled(9));
    }

    #[tokio::test]
    async fn failures_have_the_number_of_the_system() {
        for (program, errno) in [
            ("/nope", libc::ENOENT),
            ("/etc", libc::EACCES),
            ("/etc/passwd", libc::EACCES),
        ] {
            let error = start(image(program, &[])).await.unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno), "{program}");
        }
    }

    #[tokio::test]
    async fn a_script_without_a_first_line_runs_in_a_shell() {
        let path = std::env::temp_dir().join(format!("nodule-script-{}", std::process::id()));
        std::fs::write(&path, "exit $#").unwrap();
        std::os::unix::fs::PermissionsExt::set_mode(&mut std::fs::metadata(&path).unwrap().permissions(), 0o755);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let started = start(image(path.to_str().unwrap(), &["a", "b"])).await.unwrap();
        assert_eq!(end(started), Ended::Exited(2));
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn a_program_has_what_it_is_given_and_nothing_else() {
        let text = output("echo $A; ls /proc/self/fd | wc -w", |_| {}).await;
        // Output, the error output of the test and its input, and the listing itself.
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines, ["b", "4"]);
        let swapped = |image: &mut Image| {
            let first = rustix::fs::open("/etc/hostname", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
            let second = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
            let (first, second) = (first.unwrap(), second.unwrap());
            let (a, b) = (first.as_raw_fd(), second.as_raw_fd());
            image.fds.push((first, b));
            image.fds.push((second, a));
            image.argv[2] = CString::new(format!("readlink /proc/self/fd/{a} /proc/self/fd/{b}")).unwrap();
        };
        assert_eq!(output("", swapped).await, "/dev/null\n/etc/hostname\n");
    }

    #[tokio::test]
    async fn a_session_and_a_directory_of_its_own() {
        let text = output("ps -o sid= -p $$; echo $$; pwd", |image| {
            image.new_session = true;
            image.cwd = Some(rustix::fs::open("/usr", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap());
        });
        let text = text.await;
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        assert_eq!(lines[0], lines[1]);
        assert_eq!(lines[2], "/usr");
    }

    async fn is_gone(pid: u32) {
        let path = format!("/proc/{pid}");
        let begin = std::time::Instant::now();
        while std::path::Path::new(&path).exists() {
            assert!(begin.elapsed() < Duration::from_secs(20), "{pid} is there");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    #[tokio::test]
    async fn a_forgotten_process_is_reaped() {
        let started = start(image("/bin/true", &[])).await.unwrap();
        let pid = started.pid;
        forget(started.take());
        is_gone(pid).await;
    }

    #[tokio::test]
    async fn a_process_that_nobody_takes_is_reaped_and_ended_if_that_is_wanted() {
        let started = start(image("/bin/true", &[])).await.unwrap();
        let pid = started.pid;
        drop(started);
        is_gone(pid).await;
        let mut waited_for = image("/bin/sleep", &["1000"]);
        waited_for.ends_with_caller = true;
        let started = start(waited_for).await.unwrap();
        let pid = started.pid;
        drop(started);
        is_gone(pid).await;
    }
}
