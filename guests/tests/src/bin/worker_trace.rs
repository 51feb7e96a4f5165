//! The events of a worker as its creator sees them: `worker_trace <case>`. Every case is also a script for Node.

use nodule_guest_tests::workers::{role, start, start_with, text, trace};
use nodule_sdk::worker_threads::{WorkerOptions, parent_port, thread_id, worker_data};
use nodule_sdk::{Error, Result, Value, process, task};

#[nodule_sdk::main]
async fn main() -> Result<()> {
    match parent_port() {
        None => creator(&role()).await,
        Some(_) => worker(&role()).await,
    }
}

async fn creator(case: &str) -> Result<()> {
    if case == "data" {
        let mut data = vec![1, 2];
        let worker = start_with(&[case], WorkerOptions::new().worker_data(&data))?;
        data.push(3);
        trace("", &worker);
        return Ok(());
    }
    if case == "event" {
        process::on_worker(|id| println!("worker {id}"));
    }
    let worker = start(case)?;
    trace("", &worker);
    match case {
        "early" => {
            worker.post_message("a")?;
            worker.post_message("b")?;
        }
        "ids" => {
            println!("id {}", worker.thread_id());
            let ended = worker.clone();
            worker.on_exit(move |_| println!("id {}", ended.thread_id()));
        }
        "late" => {
            worker.join().await;
            worker.post_message("nobody reads this")?;
            println!("terminated {:?}", worker.terminate().await);
        }
        "terminate" => {
            let running = worker.clone();
            worker.on_message(move |_: Value| {
                let ended = running.terminate();
                task::spawn(async move { println!("terminated {:?}", ended.await) });
            });
        }
        "listener-throws" => {
            process::on_uncaught_exception(|error, _| println!("uncaught {}", error.message()));
            worker.on_exit(|_| panic!("in the exit listener"));
        }
        "unref" => worker.unref(),
        "ref" => {
            worker.unref();
            worker.ref_();
        }
        _ => {}
    }
    Ok(())
}

async fn worker(case: &str) -> Result<()> {
    let parent = parent_port().ok_or("a worker has a port")?;
    let post = |value: &str| parent.post_message(value).map(drop);
    match case {
        "throw" => {
            post("1")?;
            post("2")?;
            return Err(Error::new("boom"));
        }
        "close" => {
            parent.on_message(|_: Value| ());
            post("1")?;
            post("2")?;
            parent.close();
        }
        "exit" => {
            post("1")?;
            process::exit(300);
        }
        "exit-minus" => process::exit(-1),
        "code" => process::set_exit_code(7),
        "early" => {
            let mut left = 2;
            let port = parent.clone();
            parent.on_message(move |value: Value| {
                port.post_message(&text(&value)).unwrap();
                left -= 1;
                if left == 0 {
                    port.close();
                }
            });
        }
        "listener" => {
            let listener = parent.on_message(|_: Value| ());
            listener.remove();
        }
        "ids" => post(&thread_id().to_string())?,
        "exit-listener" => {
            let port = parent.clone();
            process::on_exit(move |code| drop(port.post_message(&format!("bye {code}"))));
            post("1")?;
        }
        "value" => return Err(Error::from_reason(5)),
        "undefined" => return Err(Error::from_reason(Value::Undefined)),
        "rejection" => drop(task::spawn(async { Err::<(), _>(Error::new("rejected")) })),
        "handled" => {
            let port = parent.clone();
            process::on_uncaught_exception(move |error, _| drop(port.post_message(error.message())));
            panic!("caught");
        }
        "data" => {
            let numbers: Vec<u32> = worker_data()?;
            post(&format!("{numbers:?}"))?;
        }
        "terminate" | "unref" => {
            parent.on_message(|_: Value| ());
            post("up")?;
        }
        "nested" => {
            let inner = start("ids")?;
            let port = parent.clone();
            inner.on_message(move |value: Value| drop(port.post_message(&format!("inner {}", text(&value)))));
            let port = parent.clone();
            inner.on_exit(move |code| drop(port.post_message(&format!("inner exit {code}"))));
        }
        _ => post("1")?,
    }
    Ok(())
}
