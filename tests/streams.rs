//! Streams between isolates: what one reads another has written; lines stay whole however their writer ends.

use std::collections::VecDeque;
use std::time::Duration;

use nodule::stdio::{Input, Output, PipeReader, PipeWriter, insert_reader, insert_writer, pipe};
use nodule::wasmtime::{Caller, Linker};
use nodule::{Host, Isolate, IsolateState, Module};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::guests::{Guest, tests};
use crate::support::{cache_directory, guest};

/// Ends of pipes that the guest gets one after the other.
struct Ends {
    readers: VecDeque<PipeReader>,
    writers: VecDeque<PipeWriter>,
}

/// `embedder` `reader` and `writer` hand the ends out.
fn hand_out(linker: &mut Linker<IsolateState>) -> nodule::wasmtime::Result<()> {
    linker.func_wrap("embedder", "reader", |mut caller: Caller<'_, IsolateState>| {
        let state = caller.data_mut();
        let reader = state.extensions.get_mut::<Ends>().unwrap().readers.pop_front().unwrap();
        insert_reader(state, reader).unwrap()
    })?;
    linker.func_wrap("embedder", "writer", |mut caller: Caller<'_, IsolateState>| {
        let state = caller.data_mut();
        let writer = state.extensions.get_mut::<Ends>().unwrap().writers.pop_front().unwrap();
        insert_writer(state, writer).unwrap()
    })?;
    Ok(())
}

fn run<T>(test: impl AsyncFnOnce(Host) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let host = Host::builder()
            .cache_directory(cache_directory())
            .linker(hand_out)
            .build()
            .unwrap();
        tokio::time::timeout(Duration::from_secs(60), test(host))
            .await
            .expect("the test took too long")
    })
}

fn module(host: &Host, guest: Guest) -> Module {
    Module::from_file(host, guest.path()).unwrap()
}

/// The program with these ends; gives its output, which is to end with exit code 0.
async fn with_ends(host: &Host, case: &str, readers: Vec<PipeReader>, writers: Vec<PipeWriter>) -> String {
    let ends = Ends {
        readers: readers.into(),
        writers: writers.into(),
    };
    let mut isolate = host
        .isolate(&module(host, tests::STDIO_STREAMS))
        .args([case])
        .extension(ends)
        .stdout(Output::pipe())
        .stderr(Output::inherit_stderr())
        .spawn()
        .unwrap();
    let mut stdout = isolate.stdout.take().unwrap();
    let mut text = String::new();
    stdout.read_to_string(&mut text).await.unwrap();
    let status = isolate.join().await;
    assert!(status.success(), "{case}: {status:?}\n{text}");
    text
}

/// An isolate that writes what it reads.
fn echo(host: &Host) -> (Isolate, PipeReader, PipeWriter) {
    let mut isolate = host
        .isolate(&module(host, tests::PROCESS_STDIN))
        .args(["flow"])
        .stdin(Input::pipe())
        .stdout(Output::pipe())
        .spawn()
        .unwrap();
    let (reader, writer) = (isolate.stdout.take().unwrap(), isolate.stdin.take().unwrap());
    (isolate, reader, writer)
}

#[test]
fn a_guest_reads_and_writes_what_its_embedder_gives_it() {
    run(async |host| {
        for (case, expected) in [
            ("echo", "finish\nend 1048576 stops true\nexit 0\n"),
            (
                "futures",
                "written, 0 wait\nlate Some(\"ERR_STREAM_WRITE_AFTER_END\")\nread 1048576 ended true\nexit 0\n",
            ),
            ("failing", "uncaught boom\nend 1048576\nexit 0\n"),
        ] {
            // Through another isolate and back; what that one says at its end is not part of the data.
            let (isolate, mut echoed, to_echo) = echo(&host);
            let (mut back, reader) = pipe();
            let copying = tokio::spawn(async move {
                let mut left = 1 << 20;
                let mut buffer = vec![0; 50_000];
                loop {
                    let len = echoed.read(&mut buffer).await.unwrap();
                    if len == 0 {
                        return;
                    }
                    let now = len.min(left);
                    left -= now;
                    back.write_all(&buffer[..now]).await.unwrap();
                }
            });
            let text = with_ends(&host, case, vec![reader], vec![to_echo]).await;
            let text = text.replace("uncaught panicked: ", "uncaught ");
            assert_eq!(text, expected, "{case}");
            copying.await.unwrap();
            assert!(isolate.join().await.success());
        }
    });
}

#[test]
fn a_stream_that_is_paused_gives_nothing_until_it_flows_again() {
    run(async |host| {
        let (writer, reader) = pipe();
        let text = with_ends(&host, "paused", vec![reader], vec![writer]).await;
        assert_eq!(
            text,
            "data \"one\" flowing true\npaused true\ndata \"two\" flowing true\nend\nexit 0\n"
        );
    });
}

#[test]
fn a_reader_that_is_gone_is_an_error_and_an_end_that_is_unused_keeps_nothing() {
    run(async |host| {
        let ends = || {
            let (mut writer, reader) = pipe();
            let writing = async move {
                writer.write_all(b"last words").await.unwrap();
            };
            (writing, reader)
        };
        let (writing, reader) = ends();
        writing.await;
        let (writer, _) = pipe();
        let (lenient, _) = pipe();
        let (_, unused) = pipe();
        let text = with_ends(&host, "gone", vec![reader, unused], vec![writer, lenient]).await;
        assert_eq!(
            text,
            "read 10\nwrite_all Err(\"Error: write EPIPE\")\nwrite false writable false\n\
             lenient false Ok(())\nerror Some(\"EPIPE\") Some(\"write\")\nexit 0\n"
        );

        let ((mut writer, reader), (to_nobody, _reader)) = (pipe(), pipe());
        let text = with_ends(&host, "unused", vec![reader], vec![to_nobody]).await;
        assert_eq!(text, "exit 0\n");
        assert!(writer.write_all(b"x").await.is_err(), "closed with its isolate");

        let ((mut writer, reader), (to_nobody, mut ended)) = (pipe(), pipe());
        let text = with_ends(&host, "dropped", vec![reader], vec![to_nobody]).await;
        assert_eq!(text, "exit 0\n");
        assert!(writer.write_all(b"x").await.is_err());
        assert_eq!(ended.read(&mut [0; 1]).await.unwrap(), 0);
    });
}

// proves: Worker.stdin, Worker.stdout, Worker.stderr, Worker.options.stdin, Worker.options.stdout, Worker.options.stderr
#[test]
fn a_megabyte_goes_through_a_worker_unchanged_and_its_output_is_complete_however_it_ends() {
    let run = |case: &str| guest(tests::STDIO_WORKER).arg(case).run().code(0);
    run("echo").stdout("unchanged true\nechoed\ncode 0\n");
    run("complete").stdout("exit 7 complete true\nerror after the output\ntrap 1 complete true\nstdin true\n0 None\n");
}

// proves: Worker.stdin, Worker.stdout
#[test]
fn input_for_a_worker_that_ended_vanishes_and_unread_output_does_not_hold_one() {
    let run = guest(tests::STDIO_WORKER).arg("gone").run().success();
    run.stdout("code 0\nOk(()) false\n[]\nread true terminated Some(1)\n");
}

/// How many lines of each writer are in an output. All must be whole, and in order.
fn lines_of(output: &[u8], writers: usize) -> Vec<usize> {
    let mut counts = vec![0; writers];
    for line in output.split_inclusive(|byte| *byte == b'\n') {
        let shown = || String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned();
        let text = std::str::from_utf8(line).unwrap();
        let mut words = text.split(' ');
        let mut number = || words.next().and_then(|word| word.parse::<usize>().ok());
        let (Some(writer), Some(number)) = (number(), number()) else {
            panic!("a line was torn: {}", shown());
        };
        assert_eq!(number, counts[writer], "order of writer {writer}: {}", shown());
        let expected = match number % 100 {
            99 => 64 * 1024,
            rest => rest * rest,
        };
        let head = format!("{writer} {number} ").len();
        assert_eq!(line.len(), expected.max(head + 1), "a line was torn: {}", shown());
        assert!(
            line[head..line.len() - 1].iter().all(|byte| *byte == b'.'),
            "a line was torn: {}",
            shown()
        );
        counts[writer] += 1;
    }
    counts
}

/// Eight isolates write to one output and end in every way, others are ended while they write; a reader takes its time.
async fn lines_to(host: Host, output: Output, mut reader: impl tokio::io::AsyncRead + Send + Unpin + 'static) {
    const LINES: usize = 1000;
    let reading = tokio::spawn(async move {
        let mut got = Vec::new();
        let mut buffer = vec![0; 30_000];
        loop {
            match reader.read(&mut buffer).await.unwrap() {
                0 => return got,
                len => got.extend_from_slice(&buffer[..len]),
            }
            tokio::task::yield_now().await;
        }
    });
    let module = module(&host, tests::STDIO_LINES);
    let start = |writer: usize, ending: &str| {
        let arguments = [writer.to_string(), LINES.to_string(), ending.to_string()];
        let builder = host.isolate(&module).args(arguments).stdout(output.clone());
        builder.stderr(Output::pipe()).spawn().unwrap()
    };
    let endings = ["return", "exit", "trap", "loop", "return", "exit", "trap", "loop"];
    let mut isolates: Vec<_> = endings
        .iter()
        .enumerate()
        .map(|(writer, ending)| start(writer, ending))
        .collect();
    let early: Vec<_> = (8..12).map(|writer| start(writer, "loop")).collect();
    drop(output);
    for (index, isolate) in early.into_iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(3 * index as u64)).await;
        isolate.terminate();
        assert_eq!(isolate.join().await.code, 1);
    }
    for (mut isolate, ending) in isolates.drain(..).zip(endings) {
        let mut stderr = isolate.stderr.take().unwrap();
        if ending == "loop" {
            let mut said = [0; 7];
            stderr.read_exact(&mut said).await.unwrap();
            assert_eq!(&said, b"written");
            isolate.terminate();
        } else {
            // A panic says so.
            stderr.read_to_end(&mut Vec::new()).await.unwrap();
        }
        let status = isolate.join().await;
        let code = if ending == "return" {
            0
        } else if ending == "exit" {
            3
        } else {
            1
        };
        assert_eq!(status.code, code, "{ending}: {status:?}");
    }
    let counts = lines_of(&reading.await.unwrap(), 12);
    assert_eq!(counts[..8], [LINES; 8]);
    assert!(counts[8..].iter().all(|count| *count <= LINES));
}

// proves: process.stdout, process.stderr
#[test]
fn lines_of_eight_isolates_are_whole_and_complete_however_they_end() {
    run(async |host| {
        let (writer, reader) = pipe();
        lines_to(host.clone(), Output::stream(writer), reader).await;
        // A stream of the embedder's that takes only a part of a line.
        let (writer, reader) = tokio::io::duplex(5000);
        lines_to(host, Output::stream(writer), reader).await;
    });
}
