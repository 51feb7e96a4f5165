//! Descriptors of a child: `child_stdio <scenario>`. Commands run in `/bin/sh`.

use std::time::Duration;

use nodule_guest_tests::children::{Counter, Request, ended, myself, trace, trace_events};
use nodule_sdk::child_process::{self, ChildProcess, SpawnOptions, Stdio, StdioStream};
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

#[nodule_sdk::main]
async fn main() -> Result<()> {
    let request = Request::read();
    match request.word(0) {
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
            let log = || Stdio::file(request.word(1), "a");
            let mut status = None;
            for _ in 0..2 {
                status = Some(shell("echo into the file", [Stdio::Ignore, log()])?.wait().await?);
            }
            let status = status.ok_or("nothing ran")?;
            println!(
                "{} {:?}",
                ended(status.code, status.signal),
                std::fs::read_to_string(request.word(1))?
            );
        }
        // A module has the descriptor as a stream.
        "module" if request.word(1) == "child" => {
            let stream = process::stdio(4)?;
            let (Some(input), Some(output)) = (stream.readable(), stream.writable()) else {
                return Err(Error::new("the stream is not whole"));
            };
            println!(
                "no such stream {:?}",
                process::stdio(5).err().as_ref().and_then(Error::code)
            );
            while let Some(line) = input.read_line().await? {
                output.write(format!("got {line}\n"));
            }
            output.end();
        }
        "module" => {
            let stdio = [
                Stdio::Ignore,
                Stdio::Inherit,
                Stdio::Inherit,
                Stdio::Ignore,
                Stdio::Pipe,
            ];
            let options = SpawnOptions::new().stdio(stdio);
            let child = child_process::spawn(&myself(), &["module", "child"], options)?;
            trace(&child);
            if let Some(stream) = child.stdio()[4].as_ref().and_then(StdioStream::writable) {
                stream.write("one\ntwo\n");
                stream.end();
            }
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
        "many" => {
            let (count, finished) = (request.word(1).parse()?, Counter::default());
            for _ in 0..count {
                let (child, finished) = (shell("echo x", Stdio::Pipe)?, finished.clone());
                child.on_close(move |code, _| {
                    finished.next();
                    assert_eq!(code, Some(0));
                });
            }
            process::on_exit(move |_| println!("finished {}", finished.get()));
        }
        "pressure" => pressure().await?,
        "unread" => unread().await?,
        other => println!("unknown {other}"),
    }
    Ok(())
}
