//! Signals to a process and all below it.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal};

use super::process::Process;
use crate::readiness::readable;

/// Most processes of one tree, and most rounds of looking for new ones.
const PROCESSES_MAX: usize = 64 * 1024;
const ROUNDS_MAX: usize = 64;

/// A process of the tree that stands still.
struct Member {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Member {
    /// Takes hold of a process and stops it.
    fn stop(pid: Pid) -> io::Result<Self> {
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        rustix::process::pidfd_send_signal(&pidfd, Signal::STOP)?;
        Ok(Self { pid, pidfd })
    }

    fn signal(&self, signal: Signal) -> bool {
        rustix::process::pidfd_send_signal(&self.pidfd, signal).is_ok()
    }

    /// Ready when it has ended, reaped or not.
    async fn ended(&self) {
        // An error is as good as an end: there is nothing else to wait for.
        let _ = readable(&self.pidfd).await;
    }
}

/// The children of a process, of all its threads.
fn children(pid: Pid) -> Vec<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let lists = tasks
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            let numbers = list
                .split_whitespace()
                .filter_map(|word| Pid::from_raw(word.parse().ok()?));
            numbers.collect::<Vec<_>>()
        })
        .collect()
}

/// Stops all below processes that stand still already; a parent stands before its children. Looks again until nothing new
/// appears, because a process can start another one until it stands still.
fn freeze(mut members: Vec<Member>) -> Vec<Member> {
    let mut seen: HashSet<Pid> = members.iter().map(|member| member.pid).collect();
    for _ in 0..ROUNDS_MAX {
        let before = members.len();
        let mut next = 0;
        while next < members.len() && members.len() < PROCESSES_MAX {
            for child in children(members[next].pid) {
                if seen.insert(child)
                    && let Ok(member) = Member::stop(child)
                {
                    members.push(member);
                }
            }
            next += 1;
        }
        if members.len() == before {
            break;
        }
    }
    members
}

/// Sends `signal` to a process and all below it, from the bottom up. Reads `/proc`, so it is for a thread that may wait.
fn kill_blocking(root: Pid, signal: Signal) -> (usize, Vec<Member>) {
    let members = freeze(Member::stop(root).into_iter().collect());
    let count = members.iter().rev().filter(|member| member.signal(signal)).count();
    // Whoever was asked to stop stands still anyway.
    if signal != Signal::STOP {
        for member in members.iter().rev() {
            member.signal(Signal::CONT);
        }
    }
    (count, members)
}

/// What a signal was sent to.
pub struct Tree(Vec<Member>);

/// Sends `signal` to the process and all below it. Gives how many got it, and who they are.
pub async fn kill(process: &Process, signal: i32) -> (usize, Tree) {
    let (Some(root), Some(signal)) = (process.live_pid(), Signal::from_named_raw(signal)) else {
        return (0, Tree(Vec::new()));
    };
    let killed = tokio::task::spawn_blocking(move || kill_blocking(root, signal)).await;
    // The thread only ends early when the whole runtime does.
    let (count, members) = killed.unwrap_or_default();
    (count, Tree(members))
}

impl Tree {
    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Kills those that are left after `grace`, and what they have started meanwhile.
    pub async fn end_after(self, grace: Duration) {
        let deadline = tokio::time::Instant::now() + grace;
        let mut left = Vec::new();
        for member in self.0 {
            if tokio::time::timeout_at(deadline, member.ended()).await.is_err() {
                left.push(member);
            }
        }
        let kill = move || {
            left.retain(|member| member.signal(Signal::STOP));
            for member in freeze(left).iter().rev() {
                member.signal(Signal::KILL);
            }
        };
        // The thread only ends early when the whole runtime does.
        let _ = tokio::task::spawn_blocking(kill).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child_process::process::watch;
    use crate::child_process::spawner::tests::image;
    use crate::child_process::spawner::{self, Ended};

    async fn shell(script: &str) -> (std::sync::Arc<Process>, crate::child_process::process::Reaper) {
        watch(spawner::start(image("/bin/sh", &["-c", script])).await.unwrap())
    }

    /// The tree below, once it has `count` members.
    async fn grown(process: &Process, count: usize) -> Vec<Pid> {
        loop {
            let mut all = vec![process.live_pid().unwrap()];
            let mut next = 0;
            while next < all.len() {
                all.extend(children(all[next]));
                next += 1;
            }
            if all.len() >= count {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn all_below_are_ended() {
        let (process, reaper) = shell("(sleep 1000 & sleep 1001 & wait) & wait").await;
        let all = grown(&process, 4).await;
        let (count, tree) = kill(&process, libc::SIGTERM).await;
        assert_eq!((count, tree.0.len()), (all.len(), all.len()));
        assert_eq!(reaper.ended().await, Ended::Signalled(libc::SIGTERM));
        for member in &tree.0 {
            member.ended().await;
        }
        assert_eq!(kill(&process, libc::SIGTERM).await.0, 0, "it is gone");
    }

    #[tokio::test]
    async fn who_minds_the_signal_is_killed_after_the_grace() {
        let (process, reaper) = shell("trap '' TERM; while :; do sleep 1000; done").await;
        grown(&process, 2).await;
        let (count, tree) = kill(&process, libc::SIGTERM).await;
        assert_eq!(count, 2);
        tree.end_after(Duration::from_millis(50)).await;
        assert_eq!(reaper.ended().await, Ended::Signalled(libc::SIGKILL));
    }
}
