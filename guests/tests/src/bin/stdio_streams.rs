//! Streams of other isolates, which the embedder hands out: `stdio_streams <case>`.
#![allow(unsafe_code, reason = "functions of the embedder")]

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use nodule_sdk::stream::{Readable, Writable};
use nodule_sdk::{Result, process, spawn, timers};

#[link(wasm_import_module = "embedder")]
unsafe extern "C" {
    fn reader() -> u32;
    fn writer() -> u32;
}

fn streams() -> (Readable, Writable) {
    // SAFETY: the embedder's functions take nothing and give handles.
    let (reader, writer) = unsafe { (reader(), writer()) };
    (Readable::from_handle(reader), Writable::from_handle(writer))
}

/// Byte `index` of what is sent.
fn pattern(index: usize) -> u8 {
    u8::try_from(index % 251).unwrap_or_default()
}

/// Checks bytes as they come.
#[derive(Default)]
struct Received(Cell<usize>);

impl Received {
    fn take(&self, bytes: &[u8]) {
        let at = self.0.get();
        let is_right = bytes
            .iter()
            .enumerate()
            .all(|(index, byte)| *byte == pattern(at + index));
        assert!(is_right, "a byte is wrong behind {at}");
        self.0.set(at + bytes.len());
    }
}

const TOTAL: usize = 1 << 20;

/// Writes until it is told to stop, goes on when there is room, ends.
fn send(writer: &Writable, sent: &Rc<Cell<usize>>, stops: &Rc<Cell<usize>>) {
    while sent.get() < TOTAL {
        let at = sent.get();
        let chunk: Vec<u8> = (at..TOTAL.min(at + 10_000)).map(pattern).collect();
        sent.set(at + chunk.len());
        if !writer.write(&chunk) {
            stops.set(stops.get() + 1);
            return;
        }
    }
    writer.end();
}

fn echo() {
    let (reader, writer) = streams();
    let received = Rc::<Received>::default();
    let (sent, stops) = (Rc::<Cell<usize>>::default(), Rc::<Cell<usize>>::default());
    let taken = Rc::clone(&received);
    reader.on_data(move |bytes| taken.take(bytes));
    let counted = Rc::clone(&stops);
    reader.on_end(move || println!("end {} stops {}", received.0.get(), counted.get() > 0));
    writer.on_finish(|| println!("finish"));
    let again = writer.clone();
    let (sent2, stops2) = (Rc::clone(&sent), Rc::clone(&stops));
    writer.on_drain(move || send(&again, &sent2, &stops2));
    send(&writer, &sent, &stops);
}

async fn futures() -> Result<()> {
    let (reader, writer) = streams();
    let writing = spawn(async move {
        let all: Vec<u8> = (0..TOTAL).map(pattern).collect();
        writer.write_all(&all).await?;
        println!("written, {} wait", writer.writable_length());
        writer.end();
        let late = writer.write_all(b"late").await;
        println!(
            "late {:?}",
            late.err().as_ref().and_then(|error| error.code().map(str::to_owned))
        );
        Ok::<_, nodule_sdk::Error>(())
    });
    let received = Received::default();
    received.take(&reader.read_to_end().await?);
    writing.await?;
    println!("read {} ended {}", received.0.get(), reader.has_ended());
    Ok(())
}

/// The listener fails now and then; nothing is lost.
fn failing() {
    let (reader, writer) = streams();
    process::on_uncaught_exception(|error, _| println!("uncaught {}", error.message()));
    let received = Rc::<Received>::default();
    let taken = Rc::clone(&received);
    let calls = Cell::new(0);
    reader.on_data(move |bytes| {
        taken.take(bytes);
        calls.set(calls.get() + 1);
        assert!(calls.get() != 2, "boom");
    });
    reader.on_end(move || println!("end {}", received.0.get()));
    let sent: Vec<u8> = (0..TOTAL).map(pattern).collect();
    writer.write(&sent);
    writer.end();
}

async fn paused() -> Result<()> {
    let (reader, writer) = streams();
    let flowing = Rc::new(Cell::new(true));
    let seen = Rc::clone(&flowing);
    let pausing = reader.clone();
    reader.on_data(move |bytes| {
        println!("data {:?} flowing {}", String::from_utf8_lossy(bytes), seen.get());
        pausing.pause();
        seen.set(false);
    });
    reader.on_end(|| println!("end"));
    writer.write_all(b"one").await?;
    timers::sleep(Duration::from_millis(20)).await;
    writer.write_all(b"two").await?;
    writer.end();
    timers::sleep(Duration::from_millis(20)).await;
    println!("paused {}", reader.is_paused());
    flowing.set(true);
    reader.resume();
    timers::sleep(Duration::from_millis(20)).await;
    reader.resume();
    Ok(())
}

/// The reader of what is written is gone.
async fn gone() -> Result<()> {
    let (reader, writer) = streams();
    // The end of the other isolate's output is its end.
    let rest = reader.read_to_end().await?;
    println!("read {}", rest.len());
    let failed = writer.write_all(b"x").await;
    println!("write_all {:?}", failed.map_err(|error| error.to_string()));
    writer.on_error(|error| println!("error {:?} {:?}", error.code(), error.record().syscall));
    println!("write {} writable {}", writer.write(b"x"), writer.is_writable());
    let lenient = streams().1.lenient();
    println!("lenient {} {:?}", lenient.write(b"x"), lenient.write_all(b"y").await);
    Ok(())
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    process::on_exit(|code| println!("exit {code}"));
    match process::argv().pop().unwrap_or_default().as_str() {
        "echo" => echo(),
        "futures" => futures().await?,
        "failing" => failing(),
        "paused" => paused().await?,
        "gone" => gone().await?,
        // Neither keeps the program.
        "unused" => {
            let (reader, writer) = streams();
            reader.on_data(|_| {});
            reader.pause();
            std::mem::forget((reader, writer));
        }
        // Whoever writes to it sees that nobody reads any more.
        "dropped" => drop(streams()),
        other => println!("no case {other:?}"),
    }
    Ok(())
}
