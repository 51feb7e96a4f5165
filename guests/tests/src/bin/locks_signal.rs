//! Requests for locks that are given up, and signals themselves: `locks_signal <case>`.

use std::time::{Duration, Instant};

use nodule_sdk::abort::{AbortController, AbortSignal};
use nodule_sdk::locks::{self, Options};
use nodule_sdk::task::yield_now;
use nodule_sdk::{Error, Result, process, spawn};

fn with(signal: AbortSignal) -> Options {
    Options {
        signal: Some(signal),
        ..Options::default()
    }
}

fn show(error: &Error) -> String {
    format!("{} {:?} {}", error.name(), error.code(), error.message())
}

async fn pending() -> Result<()> {
    let controller = AbortController::new();
    locks::request("x", async |_| {
        let options = with(controller.signal());
        let waiting = spawn(async move { locks::request_with("x", options, async |_| println!("called")).await });
        yield_now().await;
        println!("pending {}", locks::query().await?.pending.len());
        controller.abort();
        println!("{}", show(&waiting.await.expect_err("given up")));
        println!("pending {}", locks::query().await?.pending.len());
        let options = with(AbortSignal::timeout(Duration::from_millis(5)));
        let late = locks::request_with("x", options, async |_| println!("called"));
        // The timeout alone keeps nothing alive.
        let alive = nodule_sdk::timers::set_timeout(|| {}, Duration::from_secs(10));
        println!("{}", show(&late.await.expect_err("too late")));
        alive.clear();
        Ok::<_, Error>(())
    })
    .await
}

/// Once it is held, the signal has no effect.
async fn granted() -> Result<()> {
    let controller = AbortController::new();
    let result = locks::request_with("x", with(controller.signal()), async |lock| {
        controller.abort_with("own reason");
        yield_now().await;
        lock.is_some()
    });
    println!("{}", result.await?);
    let refused = locks::request_with("x", with(controller.signal()), async |_| println!("called")).await;
    println!("{}", show(&refused.expect_err("aborted before")));
    Ok(())
}

async fn signals() {
    let controller = AbortController::new();
    let any = AbortSignal::any([&controller.signal(), &AbortSignal::timeout(Duration::from_secs(100))]);
    any.on_abort(|reason| println!("any {}", reason.message()));
    controller
        .signal()
        .on_abort(|reason| println!("own {}", reason.message()));
    let waiting = any.clone();
    let waiter = spawn(async move { println!("waited for {}", waiting.wait().await.message()) });
    yield_now().await;
    controller.abort_with("enough");
    println!("aborted {}", any.aborted());
    let _ = waiter.await;
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    let started = Instant::now();
    process::on_exit(move |_| println!("at once {}", started.elapsed() < Duration::from_secs(5)));
    match process::argv().pop().unwrap_or_default().as_str() {
        "pending" => pending().await?,
        "granted" => granted().await?,
        "signals" => signals().await,
        other => println!("no case {other:?}"),
    }
    Ok(())
}
