//! What a thread knows of itself and of its workers: `worker_life <case>`.

use std::collections::BTreeSet;
use std::time::Duration;

use nodule_guest_tests::workers::{argument, code_of, next, online, role, shown, start, start_with, trace};
use nodule_sdk::worker_threads::{self, MessageChannel, MessagePort, WorkerOptions, parent_port};
use nodule_sdk::{Result, Value, process, timers};

#[nodule_sdk::main]
async fn main() -> Result<()> {
    match role().as_str() {
        "facts" => facts().await,
        "names" => names().await,
        "ids" => ids().await,
        "data" => data().await,
        "missing" => missing(),
        "after" => after().await,
        "refs" => refs().await,
        "scoped" => scoped().await,
        "messageerror" => messageerror().await,
        other => worker(other).await,
    }
}

fn known() -> String {
    format!(
        "id {} main {} name {:?} internal {} port {} data {:?} limits {}",
        worker_threads::thread_id(),
        worker_threads::is_main_thread(),
        worker_threads::thread_name(),
        worker_threads::is_internal_thread(),
        parent_port().is_some(),
        worker_threads::worker_data::<Value>(),
        worker_threads::resource_limits()
            .as_object()
            .is_some_and(|limits| !limits.is_empty()),
    )
}

async fn facts() -> Result<()> {
    println!("{}", known());
    let worker = start("facts-of-worker")?;
    println!("{}", next::<String>(&worker).await?);
    Ok(())
}

async fn names() -> Result<()> {
    for name in [
        None,
        Some("  trimmed\t"),
        Some(""),
        Some("a name that is longer than fifteen bytes"),
    ] {
        let options = match name {
            Some(name) => WorkerOptions::new().name(name),
            None => WorkerOptions::new(),
        };
        let worker = start_with(&["name"], options)?;
        let outside = worker.thread_name();
        let inside: String = next(&worker).await?;
        let id = worker.thread_id();
        worker.join().await;
        println!(
            "{outside:?} {} then {:?}",
            inside.replace(&format!(" {id}]"), " <id>]"),
            worker.thread_name()
        );
    }
    Ok(())
}

/// Ids of workers that run one after the other, each with one of its own.
async fn ids() -> Result<()> {
    let mut seen = BTreeSet::from([0]);
    for _ in 0..20 {
        let worker = start("ids-of-worker")?;
        let [own, nested]: [i64; 2] = next(&worker).await?;
        assert_eq!(own, worker.thread_id());
        worker.join().await;
        assert_eq!(worker.thread_id(), -1);
        assert!(
            seen.insert(own) && seen.insert(nested),
            "{own} or {nested} was there before"
        );
    }
    println!("{} ids", seen.len());
    Ok(())
}

async fn data() -> Result<()> {
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let list: [&dyn worker_threads::Transferable; 1] = [&port2];
    let data = (port2.clone(), "with a port");
    let worker = start_with(
        &["port-in-data"],
        WorkerOptions::new().worker_data(&data).transfer_list(&list),
    )?;
    port1.post_message("through the port")?;
    println!("{}", next::<String>(&worker).await?);
    // It moved: here it is of no use any more.
    println!("moved: {}", code_of(&port1.post_message_with(&(), &[&port2])));
    Ok(())
}

/// A port in the data that is not in the list: nothing is started.
fn missing() -> Result<()> {
    process::on_worker(|id| println!("worker {id}"));
    let MessageChannel { port1, port2 } = MessageChannel::new();
    let outcome = start_with(&["facts-of-worker"], WorkerOptions::new().worker_data(&port2));
    println!("{}", shown(&outcome.err().ok_or("it must fail")?));
    // It is still here.
    port2.post_message("usable")?;
    println!("{:?}", worker_threads::receive_message_on_port::<String>(&port1)?);
    Ok(())
}

async fn after() -> Result<()> {
    let worker = start("post")?;
    trace("", &worker);
    println!("join {}", worker.join().await);
    println!("post {:?}", worker.post_message("nobody")?);
    worker.unref();
    worker.ref_();
    println!("terminate {:?} join {}", worker.terminate().await, worker.join().await);
    println!(
        "limits {:?}",
        worker.resource_limits() == worker_threads::ResourceLimits::default()
    );
    timers::sleep(Duration::from_millis(20)).await;
    Ok(())
}

async fn refs() -> Result<()> {
    let worker = start("wait")?;
    worker.on_exit(|_| println!("exit is not seen"));
    worker.unref();
    match argument(1).as_str() {
        // The process ends although it runs.
        "unref" => {}
        "ref" => {
            worker.ref_();
            worker.post_message("end")?;
        }
        // Waits for the end although nothing is ref'd but that.
        "terminate" => println!("{:?}", worker.terminate().await),
        _ => return Err("unref, ref or terminate".into()),
    }
    println!("main is done");
    Ok(())
}

async fn scoped() -> Result<()> {
    let worker = start("wait")?;
    trace("", &worker);
    let id = worker.thread_id();
    let up = online(&worker);
    let same = worker
        .clone()
        .scoped(async |worker| {
            let _ = up.await;
            worker.thread_id() == id
        })
        .await;
    println!("{same} {}", worker.thread_id());
    Ok(())
}

async fn messageerror() -> Result<()> {
    let worker = start("post")?;
    worker.on_message(|_: Vec<u32>| println!("a string is no list"));
    worker.on_messageerror(|error| println!("messageerror {}", error.name()));
    println!("exit {}", worker.join().await);
    Ok(())
}

async fn worker(role: &str) -> Result<()> {
    let parent = parent_port().ok_or("a worker has a port")?;
    match role {
        "facts-of-worker" => drop(parent.post_message(&known())?),
        "name" => {
            let name = worker_threads::thread_name();
            parent.post_message(&format!("{name:?} {:?}", process::title()))?;
        }
        "ids-of-worker" => {
            let nested = start("post")?;
            parent.post_message(&[i64::from(worker_threads::thread_id()), nested.thread_id()])?;
        }
        "port-in-data" => {
            let (port, text): (MessagePort, String) = worker_threads::worker_data()?;
            let through = worker_threads::receive_message_on_port::<String>(&port)?;
            parent.post_message(&format!("{text}: {through:?}"))?;
        }
        "wait" => {
            let port = parent.clone();
            parent.on_message(move |_: Value| port.close());
        }
        _ => drop(parent.post_message("a message")?),
    }
    Ok(())
}
