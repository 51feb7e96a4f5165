//! Buffers in messages: shared ones are shared, the pages of large ArrayBuffers move.

use std::sync::atomic::Ordering::SeqCst;

use nodule_sdk::shared_memory::SharedBuffer;
use nodule_sdk::worker_threads::{
    self, ArrayBuffer, MessageChannel, Source, Worker, WorkerOptions, receive_message_on_port, structured_clone,
    structured_clone_with,
};
use nodule_sdk::{Error, Result};
use serde::{Deserialize, Serialize};

const LARGE: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Pair<T> {
    first: T,
    second: T,
}

fn show(what: &str, error: Option<Error>) {
    match error {
        None => println!("{what}: ok"),
        Some(error) => println!(
            "{what}: {} {} {}",
            error.name(),
            error.code().unwrap_or("-"),
            error.message()
        ),
    }
}

fn shared() -> Result<()> {
    let buffer = SharedBuffer::growable(64, 200_000)?;
    buffer.as_u32()[3].store(7, SeqCst);
    let clone: SharedBuffer = structured_clone(&buffer)?;
    println!("same {} {}", clone.is_same(&buffer), clone.as_u32()[3].load(SeqCst));
    clone.grow(128)?;
    println!("length {} {}", buffer.byte_length(), buffer.is_growable());
    let pair: Pair<SharedBuffer> = structured_clone(&Pair {
        first: buffer.clone(),
        second: buffer.clone(),
    })?;
    println!(
        "pair {} {}",
        pair.first.is_same(&pair.second),
        pair.first.is_same(&buffer)
    );
    drop((clone, pair));
    println!("still there {}", buffer.as_u32()[3].load(SeqCst));
    let MessageChannel { port1, port2 } = MessageChannel::new();
    port1.post_message(&buffer)?;
    drop(buffer);
    let received: Option<SharedBuffer> = receive_message_on_port(&port2)?;
    println!("outlives {:?}", received.map(|buffer| buffer.as_u32()[3].load(SeqCst)));
    port1.close();
    Ok(())
}

fn arrays() -> Result<()> {
    for len in [10, LARGE] {
        let buffer = ArrayBuffer::new(len);
        buffer.write(|bytes| bytes[len - 1] = 9)?;
        // Copied, when it is not in the list.
        let copy: ArrayBuffer = structured_clone(&buffer)?;
        copy.write(|bytes| bytes[len - 1] += 1)?;
        let last = |buffer: &ArrayBuffer| buffer.read(|bytes| bytes[len - 1]);
        println!("copy {} {}", last(&buffer)?, last(&copy)?);
        let pair = Pair {
            first: buffer.clone(),
            second: buffer.clone(),
        };
        let moved: Pair<ArrayBuffer> = structured_clone_with(&pair, &[&buffer])?;
        println!("detached {} {}", buffer.is_detached(), buffer.byte_length());
        println!("moved {} {}", last(&moved.first)?, moved.second.byte_length());
        show("use", buffer.to_vec().err());
        show("again", structured_clone_with::<_, ArrayBuffer>(&1, &[&buffer]).err());
        let twice = structured_clone_with::<_, ArrayBuffer>(&moved.first, &[&moved.first, &moved.first]);
        show("twice", twice.err());
        println!("kept {}", last(&moved.first)?);
        worker_threads::mark_as_untransferable(&moved.first);
        show(
            "marked",
            structured_clone_with::<_, ArrayBuffer>(&1, &[&moved.first]).err(),
        );
        // In the list, but not in the value.
        let other = ArrayBuffer::from(vec![1; len]);
        structured_clone_with::<_, u32>(&1, &[&other])?;
        println!("dropped {}", other.is_detached());
    }
    Ok(())
}

async fn workers() -> Result<()> {
    let buffer = SharedBuffer::new(100)?;
    let echo = Worker::new(Source::Current, WorkerOptions::new().worker_data(&buffer))?;
    let array = ArrayBuffer::new(LARGE);
    array.write(|bytes| bytes.fill(3))?;
    echo.post_message_with(&array, &[&array])?;
    println!("sent {}", array.byte_length());
    echo.on_message(|array: ArrayBuffer| {
        let bytes = array.to_vec().unwrap_or_default();
        println!("back {} {:?}", bytes.len(), (bytes[0], bytes[LARGE - 1]));
    });
    println!("code {}", echo.join().await);
    println!("shared {}", buffer.as_u8()[5].load(SeqCst));

    let denied = WorkerOptions::new()
        .permissions(["--deny-shared-memory"])
        .argv(["denied"]);
    let denied = Worker::new(Source::Current, denied)?;
    denied.on_message(|text: String| println!("{text}"));
    denied.post_message(&buffer)?;
    println!("code {}", denied.join().await);
    Ok(())
}

fn in_worker() -> Result<()> {
    let Some(port) = worker_threads::parent_port() else {
        return Ok(());
    };
    let answer = port.clone();
    if std::env::args().nth(1).as_deref() == Some("denied") {
        show(
            "create",
            SharedBuffer::new(1)
                .err()
                .map(|error| Error::new("").coded(error.code().unwrap_or("-").to_owned())),
        );
        port.on_messageerror(move |_| {
            let _ = answer.post_message("messageerror");
            answer.close();
        });
        port.on_message(|_: SharedBuffer| println!("received"));
        return Ok(());
    }
    let buffer: SharedBuffer = worker_threads::worker_data()?;
    buffer.as_u8()[5].store(55, SeqCst);
    port.once_message(move |array: ArrayBuffer| {
        array.write(|bytes| bytes[0] = 4).unwrap();
        answer.post_message_with(&array, &[&array]).unwrap();
        println!("passed on {}", array.byte_length());
    });
    Ok(())
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if !worker_threads::is_main_thread() {
        return in_worker();
    }
    shared()?;
    arrays()?;
    workers().await
}
