//! Main thread and worker greet each other: the worker answers on a port that travelled in a message.

use nodule_sdk::worker_threads::{self, MessageChannel, MessagePort, Source, Worker, WorkerOptions};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Hello {
    worker_port: MessagePort,
    msg: String,
}

#[nodule_sdk::main]
async fn main() -> nodule_sdk::Result<()> {
    if worker_threads::is_main_thread() {
        let worker = Worker::new(Source::Current, WorkerOptions::new())?;
        let MessageChannel { port1, port2 } = MessageChannel::new();

        let hello = Hello {
            worker_port: port2.clone(),
            msg: "hello, I am mainThread".to_owned(),
        };
        worker.post_message_with(&hello, &[&port2])?;

        port1.once_message(|message: String| println!("port1: {message}"));
    } else if let Some(parent_port) = worker_threads::parent_port() {
        parent_port.once_message(|hello: Hello| {
            println!("port2: {}", hello.msg);
            hello.worker_port.post_message("hello, I am workerThread").unwrap();
        });
    }
    Ok(())
}
