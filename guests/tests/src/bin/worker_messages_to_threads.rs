//! `postMessageToThread`: `worker_messages_to_threads <case>`.

use std::time::Duration;

use nodule_guest_tests::workers::{next, role, shown, spin, start};
use nodule_sdk::worker_threads::{
    self, MessageChannel, MessagePort, Transferable, on_thread_message, parent_port, post_message_to_thread, thread_id,
};
use nodule_sdk::{Result, Value, process, timers};

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if !worker_threads::is_main_thread() {
        return worker(&role()).await;
    }
    match role().as_str() {
        "delivers" => delivers().await,
        "fails" => fails().await,
        "blocked-main" => blocked_main().await,
        "keeps-nobody" => keeps_nobody().await,
        "order" => order().await,
        other => Err(format!("no case {other}").into()),
    }
}

async fn post(thread: u32, value: &str, timeout_ms: Option<u64>) -> String {
    let posted = post_message_to_thread(thread, value, &[], timeout_ms.map(Duration::from_millis)).await;
    posted.map_or_else(|error| shown(&error), |()| "done".to_owned())
}

fn id_of(worker: &worker_threads::Worker) -> u32 {
    u32::try_from(worker.thread_id()).unwrap_or(u32::MAX)
}

async fn delivers() -> Result<()> {
    process::on_worker_message(|value, source| {
        println!("main got {} from worker {}", value.as_str().unwrap_or("-"), source > 0)
    });
    let worker = start("answers")?;
    let _: String = next(&worker).await?;
    println!("{}", post(id_of(&worker), "question", None).await);
    println!("{}", next::<String>(&worker).await?);
    // With a port.
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let list: [&dyn Transferable; 1] = [&port2];
    let typed = start("typed")?;
    let _: String = next(&typed).await?;
    post_message_to_thread(id_of(&typed), &port2, &list, None).await?;
    println!("{:?}", worker_threads::receive_message_on_port::<String>(&port1)?);
    worker.terminate().await;
    typed.terminate().await;
    Ok(())
}

async fn fails() -> Result<()> {
    println!("same: {}", post(thread_id(), "x", None).await);
    println!("unknown: {}", post(4_000_000, "x", None).await);
    let deaf = start("deaf")?;
    let _: String = next(&deaf).await?;
    println!("no listener: {}", post(id_of(&deaf), "x", None).await);
    let id = id_of(&deaf);
    deaf.terminate().await;
    println!("ended: {}", post(id, "x", None).await);

    let throws = start("throws")?;
    let _: String = next(&throws).await?;
    println!("throws: {}", post(id_of(&throws), "x", None).await);
    println!("and goes on: {}", post(id_of(&throws), "y", None).await);
    throws.terminate().await;

    let busy = start("busy")?;
    let _: String = next(&busy).await?;
    println!("busy: {}", post(id_of(&busy), "x", Some(20)).await);
    let waiting = post_message_to_thread(id_of(&busy), "x", &[], None);
    busy.terminate().await;
    println!(
        "ended while waiting: {}",
        waiting.await.map_or_else(|error| shown(&error), |()| "done".into())
    );
    Ok(())
}

/// Two workers talk while this thread does nothing else than spin.
async fn blocked_main() -> Result<()> {
    let answers = start("answers-nobody")?;
    let _: String = next(&answers).await?;
    let asks = start("asks")?;
    asks.post_message(&id_of(&answers))?;
    let until = process::hrtime() + 300_000_000;
    while process::hrtime() < until {}
    let end = process::hrtime();
    let at: u64 = next(&asks).await?;
    println!("while main was blocked: {}", at < end);
    answers.terminate().await;
    asks.terminate().await;
    Ok(())
}

/// A request that is never answered and a listener: both leave the process free to end.
async fn keeps_nobody() -> Result<()> {
    process::on_worker_message(|_, _| ());
    let busy = start("busy")?;
    let _: String = next(&busy).await?;
    busy.unref();
    drop(post_message_to_thread(id_of(&busy), "x", &[], None));
    println!("main is done");
    Ok(())
}

/// In order, each in a turn of its own.
async fn order() -> Result<()> {
    let sender = start("sender")?;
    let mut expected = 0;
    on_thread_message(move |number: u32, _| {
        assert_eq!(number, expected);
        expected += 1;
        if number == 999 {
            println!("1000 in order");
        }
    });
    sender.post_message(&())?;
    println!("{}", next::<String>(&sender).await?);
    sender.terminate().await;
    Ok(())
}

async fn worker(role: &str) -> Result<()> {
    let parent = parent_port().ok_or("a worker has a port")?;
    match role {
        "answers" => {
            let port = parent.clone();
            process::on_worker_message(move |value, source| {
                let text = value.as_str().unwrap_or("-").to_owned();
                let answer = post_message_to_thread(source, &format!("answer to {text}"), &[], None);
                let port = port.clone();
                nodule_sdk::spawn(async move {
                    answer.await?;
                    port.post_message("answered").map(drop)
                });
            });
        }
        "answers-nobody" => drop(process::on_worker_message(|_, _| ())),
        "typed" => drop(on_thread_message(|port: MessagePort, _| {
            drop(port.post_message("by the port"))
        })),
        "throws" => drop(process::on_worker_message(|value, _| {
            assert_ne!(value.as_str(), Some("x"))
        })),
        "busy" => {
            process::on_worker_message(|_, _| ());
            parent.post_message("up")?;
            spin();
        }
        "asks" => {
            let port = parent.clone();
            parent.once_message(move |thread: u32| {
                nodule_sdk::spawn(async move {
                    post_message_to_thread(thread, "question", &[], None).await?;
                    port.post_message(&process::hrtime()).map(drop)
                });
            });
        }
        "sender" => {
            let port = parent.clone();
            parent.once_message(move |_: Value| {
                nodule_sdk::spawn(async move {
                    let posts: Vec<_> = (0..1000_u32)
                        .map(|number| post_message_to_thread(0, &number, &[], None))
                        .collect();
                    for post in posts {
                        post.await?;
                    }
                    timers::sleep(Duration::from_millis(1)).await;
                    port.post_message("all done").map(drop)
                });
            });
            // Neither the request nor its answer keeps this thread.
            parent.on_message(|_: Value| ());
            return Ok(());
        }
        _ => {}
    }
    if role != "asks" {
        parent.post_message("up")?;
    }
    // Stays.
    parent.on_message(|_: Value| ());
    Ok(())
}
