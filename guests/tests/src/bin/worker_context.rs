//! Contexts: ports that move to a second instance of the same isolate, which runs while this one waits.

use nodule_sdk::shared_memory::SharedBuffer;
use nodule_sdk::worker_threads::{
    self, MessageChannel, MessageEvent, Source, WorkerOptions, create_context, move_message_port_to_context,
};
use nodule_sdk::{Result, process};

fn in_context() {
    println!("context: thread {}", worker_threads::thread_id());
    println!("context: env {:?}", process::env::get("SECRET"));
    let refused = worker_threads::Worker::new(Source::Current, WorkerOptions::new()).unwrap_err();
    println!("context: worker {:?}", refused.code());
    println!("context: shared memory {}", SharedBuffer::new(8).is_ok());
    worker_threads::on_context_port(|number, port| {
        println!("context: port {number}");
        let answers = port.clone();
        port.set_onmessage(move |event: MessageEvent<String>| {
            println!("context: got {}", event.data);
            if event.data == "end" {
                process::exit(7);
            }
            answers.post_message(&format!("{}!", event.data)).unwrap();
        });
    });
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if process::argv().get(2).is_some_and(|argument| argument == "context") {
        in_context();
        return Ok(());
    }
    let context = create_context(Source::Current, WorkerOptions::new().argv(["context"]))?;
    let MessageChannel { port1, port2 } = MessageChannel::new();
    port1.post_message("one")?;
    port1.post_message("two")?;
    println!("moved as {}", move_message_port_to_context(&port2, &context)?);
    let again = move_message_port_to_context(&port2, &context).unwrap_err();
    println!("again: {} {}", again.code().unwrap_or_default(), again.message());
    println!("posting on it: {:?}", port2.post_message("lost").is_ok());
    let answers = port1.clone();
    port1.on_message(move |text: String| {
        println!("main: {text}");
        if text == "two!" {
            answers.post_message("end").unwrap();
        }
    });
    port1.on_close(|| println!("main: port closed"));
    println!("exit {}", context.join().await);

    let busy = create_context(Source::Current, WorkerOptions::new().argv(["context"]))?;
    println!("terminated {:?}", busy.terminate().await);
    let broken = create_context(b"not wasm".to_vec(), WorkerOptions::new())?;
    broken.on_error(|error| println!("broken: {}", error.code().unwrap_or_default()));
    println!("broken exit {}", broken.join().await);
    Ok(())
}
