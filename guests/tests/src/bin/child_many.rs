//! Many children that end in every way: `child_many <seed>` starts some, reads a line, starts as many as that says, and so on
//! to the end of its input. Each child is checked: its first and last events, how often they come, how it ended.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use nodule_guest_tests::children::myself;
use nodule_guest_tests::workers::{Random, argument};
use nodule_sdk::abort::AbortController;
use nodule_sdk::child_process::{self, ChildProcess, ExecOptions, SpawnOptions, SpawnSyncOptions, Stdio, StdioStream};
use nodule_sdk::{Result, process, timers};

/// Children that run at a time.
const BATCH: u64 = 16;

/// What one child told, in order.
type Trace = Rc<RefCell<Vec<String>>>;

fn watch(child: &ChildProcess) -> Trace {
    let trace = Trace::default();
    let note = |what: &'static str| {
        let trace = Rc::clone(&trace);
        move || trace.borrow_mut().push(what.to_owned())
    };
    for stream in child.stdio().iter().flatten() {
        if let Some(stream) = StdioStream::readable(stream) {
            let (data, end) = (note("data"), note("end"));
            stream.on_data(move |_| data());
            stream.on_end(end);
        }
    }
    child.on_spawn(note("spawn"));
    let error = Rc::clone(&trace);
    child.on_error(move |told| {
        let line = format!("error {}", told.code().unwrap_or(told.name()));
        error.borrow_mut().push(line);
    });
    for (what, is_exit) in [("exit", true), ("close", false)] {
        let trace = Rc::clone(&trace);
        let note = move |code: Option<i32>, signal: Option<&'static str>| {
            trace.borrow_mut().push(format!("{what} {code:?} {signal:?}"));
        };
        if is_exit {
            child.on_exit(note);
        } else {
            child.on_close(note);
        }
    }
    trace
}

/// Whether the events came as promised, of a child that started or did not; streams of one that was aborted may be left.
fn is_in_order(trace: &[String], may_fail: bool) -> bool {
    let count = |what: &str| trace.iter().filter(|line| line.starts_with(what)).count();
    let Some((last, first)) = trace.last().zip(trace.first()) else {
        return false;
    };
    let is_closed = last.starts_with("close") && count("close") == 1;
    if first == "spawn" {
        let exit = trace.iter().find(|line| line.starts_with("exit"));
        let is_same = exit.is_some_and(|exit| exit[4..] == last[5..]);
        let ends = [
            last.contains(" None Some("),
            last.contains(" Some(") && last.ends_with(" None"),
        ];
        return is_closed && is_same && count("spawn") == 1 && count("exit") == 1 && ends[0] != ends[1];
    }
    let is_failure = may_fail && count("error") == 1 && count("spawn") + count("exit") + count("data") == 0;
    is_closed && is_failure && last.starts_with("close Some(-")
}

fn shell(script: &str, options: SpawnOptions) -> Result<ChildProcess> {
    child_process::spawn("/bin/sh", &["-c", script], options)
}

/// Starts a child of some kind; gives it with the end that is expected of it.
fn start(random: &mut Random) -> Result<(ChildProcess, &'static [&'static str])> {
    let pipes = SpawnOptions::new;
    let later = Duration::from_millis(random.below(20));
    Ok(match random.below(11) {
        0 => (shell("exit 7", pipes())?, &["Some(7) None"]),
        1 => (shell("kill -TERM $$", pipes())?, &["None Some(\"SIGTERM\")"]),
        2 => (child_process::spawn("/nope", &[], pipes())?, &["Some(-2) None"]),
        3 => (child_process::spawn("/etc/passwd", &[], pipes())?, &["Some(-13) None"]),
        4 => {
            let missing = pipes().cwd("/nope").stdio(Stdio::Ignore);
            (shell("exit 1", missing)?, &["Some(-2) None"])
        }
        5 => {
            let child = shell("echo a; exec sleep 60", pipes())?;
            let killed = child.clone();
            timers::set_timeout(move || drop(killed.kill("SIGKILL")), later);
            (child, &["None Some(\"SIGKILL\")"])
        }
        6 => {
            let controller = AbortController::new();
            let child = shell("exec sleep 60", pipes().signal(&controller.signal()))?;
            timers::set_timeout(move || controller.abort(), later);
            (child, &["None Some(\"SIGTERM\")"])
        }
        7 => {
            let extra = [Stdio::Ignore, Stdio::Pipe, Stdio::Pipe, Stdio::Pipe, Stdio::Pipe];
            let script = "head -c 300000 /dev/zero; echo x >&2; echo y >&4";
            (shell(script, pipes().stdio(extra))?, &["Some(0) None"])
        }
        8 => {
            let options = pipes().timeout(later.max(Duration::from_millis(1)));
            let ends: &[_] = &["None Some(\"SIGTERM\")", "Some(0) None"];
            (shell("exec sleep 0.01", options)?, ends)
        }
        9 => {
            // The host of a module, while it starts, runs or ends.
            let child = child_process::spawn(&myself(), &["child"], pipes())?;
            let killed = child.clone();
            timers::set_timeout(move || drop(killed.kill("SIGKILL")), later);
            (child, &["Some(0) None", "None Some(\"SIGKILL\")"])
        }
        _ => (child_process::spawn(&myself(), &["child"], pipes())?, &["Some(0) None"]),
    })
}

async fn batch(random: &mut Random, count: u64) -> Result<u64> {
    let mut bad = 0;
    let mut running = Vec::new();
    for _ in 0..count {
        // One that is waited for, and one that nobody waits for.
        match random.below(20) {
            0 => {
                let result = child_process::spawn_sync("sh", &["-c", "echo a; exit 3"], SpawnSyncOptions::new())?;
                bad += u64::from(result.status != Some(3));
            }
            1 => drop(child_process::exec("exit 1", ExecOptions::new())),
            _ => {
                let (child, expected) = start(random)?;
                let trace = watch(&child);
                running.push((child, trace, expected));
            }
        }
    }
    for (child, trace, expected) in running {
        child.wait().await?;
        // Whatever comes after 'close' would come now.
        timers::sleep(Duration::ZERO).await;
        let trace = trace.borrow();
        let end = trace.last().map_or("", |line| line.trim_start_matches("close "));
        if !is_in_order(&trace, true) || !expected.contains(&end) {
            println!("bad {trace:?}, one of {expected:?} expected");
            bad += 1;
        }
    }
    Ok(bad)
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if argument(0) == "child" {
        return Ok(());
    }
    let mut random = Random(argument(0).parse()?);
    let mut wanted = 2 * BATCH;
    loop {
        let (mut left, mut bad) = (wanted, 0);
        while left > 0 {
            let count = left.min(BATCH);
            bad += batch(&mut random, count).await?;
            left -= count;
        }
        println!("started {wanted} bad {bad}");
        match process::stdin().read_line().await? {
            Some(line) => wanted = line.trim().parse()?,
            None => return Ok(()),
        }
    }
}
