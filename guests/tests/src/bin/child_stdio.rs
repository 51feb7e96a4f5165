//! Descriptors of a child: `child_stdio <scenario>`. Commands run in `/bin/sh`.

use std::time::Duration;

use nodule_guest_tests::children::{Counter, Request, fields, myself, trace, trace_events};
use nodule_sdk::child_process::{self, ChildProcess, SpawnOptions, SpawnSyncOptions, Stdio, StdioStream};
use nodule_sdk::{Error, Result, process, timers};

fn shell(script: &str, stdio: impl Into<child_process::StdioList>) -> Result<ChildProcess> {
    child_process::spawn("/bin/sh", &["-c", script], SpawnOptions::new().stdio(stdio))
}

/// Writes until it is asked to stop, then reads what comes back.
async fn pressure() -> Result<()> {
    let child = shell("sleep 0.2; cat", Stdio::Pipe)?;
    let (Some(stdin), Some(stdout)) = (child.stdin(), child.stdout()) else {
        return Err(Error::new("no pipes"));
    };
    let piece = vec![b'x'; 64 * 1024];
    let mut written = piece.len();
    while stdin.write(&piece) {
        written += piece.len();
    }
    println!("asked to stop, waiting {}", stdin.writable_length() > 0);
    stdin.on_drain(|| println!("drain"));
    stdin.end();
    let read = stdout.read_to_end().await?;
    println!("all came back {}", read.len() == written);
    println!("ended {:?}", child.wait().await?);
    Ok(())
}

/// A child that writes much, of which nothing is read for a while.
async fn unread() -> Result<()> {
    let child = shell("head -c 10000000 /dev/zero; echo done >&2", Stdio::Pipe)?;
    let (Some(stdout), Some(stderr)) = (child.stdout(), child.stderr()) else {
        return Err(Error::new("no pipes"));
    };
    let stopped = timers::timeout(Duration::from_millis(300), stderr.read_line()).await;
    println!("the child waits {}", stopped.is_err());
    println!("read {}", stdout.read_to_end().await?.len());
    println!("then {:?}", stderr.read_line().await?);
    Ok(())
}

/// Many children, a hundred at a time.
async fn many(count: u32) -> Result<()> {
    let finished = Counter::default();
    let mut running = Vec::new();
    for number in 0..count {
        let (child, finished) = (shell("echo x", Stdio::Pipe)?, finished.clone());
        child.on_close(move |code, _| {
            finished.next();
            assert_eq!(code, Some(0));
        });
        running.push(child);
        if number % 100 == 99 {
            for child in running.drain(..) {
                child.wait().await?;
            }
        }
    }
    process::on_exit(move |_| println!("finished {}", finished.get()));
    Ok(())
}

/// Children that run until their input ends, one more than there may be, and another one when there is room.
async fn hold(count: u32) -> Result<()> {
    let start = || shell("cat", [Stdio::Pipe, Stdio::Ignore]);
    let held = (0..count).map(|_| start()).collect::<Result<Vec<_>>>()?;
    println!("held {}", held.iter().filter(|child| child.pid().is_some()).count());
    let one_more = start()?;
    trace(&one_more);
    one_more.wait().await?;
    println!(
        "sync {:?}",
        child_process::spawn_sync("true", &[], SpawnSyncOptions::new())?
            .error
            .as_ref()
            .map(fields)
    );
    let end = |child: &ChildProcess| {
        if let Some(stdin) = child.stdin() {
            stdin.end();
        }
    };
    let Some((first, others)) = held.split_first() else {
        return Ok(());
    };
    end(first);
    first.wait().await?;
    let another = start()?;
    println!("room {}", another.pid().is_some());
    others.iter().chain([&another]).for_each(end);
    Ok(())
}

/// This program once more, with a descriptor above the standard ones.
fn module() -> Result<()> {
    let stdio = [Stdio::Ignore, Stdio::Pipe, Stdio::Inherit, Stdio::Pipe];
    let child = child_process::spawn(&myself(), &["child"], SpawnOptions::new().stdio(stdio))?;
    trace(&child);
    if let Some(extra) = child.stdio()[3].as_ref().and_then(StdioStream::writable) {
        extra.write("a line\n");
    }
    Ok(())
}

/// What that does: reads from its descriptor, answers, and passes it on.
async fn module_child() -> Result<()> {
    let stream = process::stdio(3)?;
    let (Some(input), Some(output)) = (stream.readable(), stream.writable()) else {
        return Err(Error::new("no stream"));
    };
    let line = input.read_line().await?.unwrap_or_default();
    output.write_all(format!("got {line}\n")).await?;
    let below = shell("echo from below", [Stdio::Ignore, Stdio::Fd(3), Stdio::Inherit])?;
    println!("ended {:?}", below.wait().await?.code);
    for fd in [0, 4] {
        println!(
            "fd {fd}: {}",
            process::stdio(fd)
                .err()
                .as_ref()
                .and_then(Error::code)
                .unwrap_or("open")
        );
    }
    Ok(())
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    let request = Request::read();
    match request.word(0) {
        "module" => module()?,
        "child" => module_child().await?,
        "extra" => {
            let stdio = [
                Stdio::Ignore,
                Stdio::Pipe,
                Stdio::Inherit,
                Stdio::Pipe,
                Stdio::Overlapped,
            ];
            let child = shell("read line <&3; echo \"got $line\" >&4; echo out", stdio)?;
            trace(&child);
            if let Some(extra) = child.stdio()[3].as_ref().and_then(StdioStream::writable) {
                extra.write("a line\n");
            }
        }
        "inherit" => trace(&shell("echo from the child; echo error >&2", Stdio::Inherit)?),
        "ignore" => trace(&shell("cat; echo nothing; echo ignored >&2", Stdio::Ignore)?),
        "fds" => trace(&shell(
            "echo out; echo err >&2",
            [Stdio::Ignore, Stdio::Fd(2), Stdio::Fd(1)],
        )?),
        "file" => {
            let path = request.word(1);
            let write = |script, flags| shell(script, [Stdio::Ignore, Stdio::file(path, flags)]);
            for (script, flags) in [("echo one", "w"), ("echo two", "a"), ("echo three", "wx")] {
                match write(script, flags) {
                    Ok(child) => println!("{flags} {:?}", child.wait().await?.code),
                    Err(error) => println!("{flags} {}", fields(&error)),
                }
            }
            println!("{:?}", std::fs::read_to_string(path)?);
            trace(&shell("cat", [Stdio::file(path, "r"), Stdio::Pipe])?);
        }
        // The output of one child is the input of another.
        "stream" => {
            let first = shell("printf 'b\\na\\n'", Stdio::Pipe)?;
            let Some(output) = first.stdout() else { return Ok(()) };
            trace(&shell("sort", [output.into(), Stdio::Pipe, Stdio::Inherit])?);
        }
        "padded" => {
            let child = shell("echo out", [Stdio::Ignore])?;
            println!("entries {}", child.stdio().len());
            trace(&child);
        }
        "discard" => {
            let child = shell("head -c 100000 /dev/zero", Stdio::Pipe)?;
            trace_events(&child);
        }
        // The reader goes on after the end.
        "slow_reader" => {
            let child = shell("echo one; echo two", Stdio::Pipe)?;
            trace_events(&child);
            let Some(stdout) = child.stdout() else { return Ok(()) };
            while let Some(line) = stdout.read_line().await? {
                timers::sleep(Duration::from_millis(100)).await;
                println!("line {line}");
            }
        }
        "stdin_late" => {
            let child = shell("true", Stdio::Pipe)?;
            let Some(stdin) = child.stdin().cloned() else {
                return Ok(());
            };
            child.wait().await?;
            stdin.on_error(|error| println!("event {}", error.code().unwrap_or("-")));
            println!("write {}", stdin.write("late"));
            let late = stdin.write_all("late").await;
            println!(
                "write_all {}",
                late.err().as_ref().and_then(Error::code).unwrap_or("ok")
            );
        }
        "many" => many(request.word(1).parse()?).await?,
        "hold" => hold(request.word(1).parse()?).await?,
        "pressure" => pressure().await?,
        "unread" => unread().await?,
        other => println!("unknown {other}"),
    }
    Ok(())
}
