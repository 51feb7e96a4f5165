//! Web Locks within one thread: `locks_request <case>`.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use nodule_sdk::abort::{AbortController, AbortSignal};
use nodule_sdk::locks::{self, Mode, Options};
use nodule_sdk::task::yield_now;
use nodule_sdk::{Error, Result, process, spawn, timers};

fn options(mode: Mode) -> Options {
    Options {
        mode,
        ..Options::default()
    }
}

/// Requests a lock for a task of its own, which holds it for `turns` turns.
fn hold(label: &'static str, mode: Mode, turns: usize) -> nodule_sdk::task::JoinHandle<()> {
    spawn(async move {
        let callback = async |lock: Option<locks::Lock>| {
            println!(
                "{label} granted {}",
                lock.map_or("-".into(), |lock| format!("{} {}", lock.name(), lock.mode()))
            );
            for _ in 0..turns {
                yield_now().await;
            }
            println!("{label} ends");
        };
        locks::request_with("x", options(mode), callback).await
    })
}

async fn order() -> Result<()> {
    let tasks = [
        hold("a", Mode::Exclusive, 2),
        hold("b", Mode::Shared, 3),
        hold("c", Mode::Shared, 1),
        hold("d", Mode::Exclusive, 1),
        hold("e", Mode::Shared, 1),
    ];
    yield_now().await;
    let all = locks::query().await?;
    let show = |list: &[locks::LockInfo]| {
        let list: Vec<String> = list.iter().map(|lock| format!("{} {}", lock.name, lock.mode)).collect();
        list.join(", ")
    };
    println!("held {}; pending {}", show(&all.held), show(&all.pending));
    let ids = all.held.iter().chain(&all.pending).map(|lock| &lock.client_id);
    println!(
        "one client {}",
        ids.clone().all(|id| *id == all.held[0].client_id && !id.is_empty())
    );
    for task in tasks {
        task.await?;
    }
    println!("left {}", locks::query().await? == locks::Snapshot::default());
    Ok(())
}

async fn if_available() -> Result<()> {
    let request = async |name: &str, mode| {
        let options = Options {
            if_available: true,
            ..options(mode)
        };
        locks::request_with(name, options, async |lock| {
            format!("{:?}", lock.map(|lock| lock.mode()))
        })
        .await
    };
    println!("free {}", request("x", Mode::Exclusive).await?);
    let held = locks::request("x", async |_| {
        println!("held {}", request("x", Mode::Exclusive).await?);
        println!("other {}", request("y", Mode::Shared).await?);
        Ok::<_, Error>(())
    });
    held.await?;
    let shared = locks::request_with("x", options(Mode::Shared), async |_| {
        println!("shared {}", request("x", Mode::Shared).await?);
        let waiting = hold("w", Mode::Exclusive, 0);
        yield_now().await;
        println!("behind {}", request("x", Mode::Shared).await?);
        Ok::<_, Error>(waiting)
    });
    shared.await?.await
}

/// Prints when it is dropped.
struct Dropped(&'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        println!("{} dropped", self.0);
    }
}

async fn steal() -> Result<()> {
    let holder = spawn(async {
        locks::request("x", async |_| {
            let _dropped = Dropped("holder");
            std::future::pending::<()>().await;
        })
        .await
    });
    yield_now().await;
    let waiter = hold("waiter", Mode::Exclusive, 0);
    yield_now().await;
    let thief = Options {
        steal: true,
        ..Options::default()
    };
    let stolen = locks::request_with("x", thief, async |lock| {
        println!("thief {}", lock.is_some());
        yield_now().await;
        println!("thief ends");
        "loot"
    });
    println!("result {}", stolen.await?);
    let error = holder.await.expect_err("stolen");
    println!("{} {:?} {}", error.name(), error.code(), error.message());
    waiter.await
}

async fn invalid() {
    let signal = Some(AbortController::new().signal());
    let aborted = Some(AbortSignal::abort_with("reason"));
    let (shared, exclusive) = (Mode::Shared, Mode::Exclusive);
    for (name, mode, if_available, steal, signal) in [
        ("-x", exclusive, false, false, None),
        ("-", exclusive, true, true, None),
        ("x", exclusive, true, true, None),
        ("x", shared, true, true, None),
        ("x", shared, false, true, None),
        ("x", exclusive, false, true, signal.clone()),
        ("x", exclusive, true, false, signal.clone()),
        ("-x", exclusive, true, false, aborted),
    ] {
        let options = Options {
            mode,
            if_available,
            steal,
            signal,
        };
        let failed = locks::request_with(name, options, async |_| println!("called")).await;
        let error = failed.expect_err("refused");
        println!("{} {:?} {}", error.name(), error.code(), error.message());
    }
    let long = "n".repeat(1025);
    let failed = locks::request(&long, async |_| ()).await;
    println!("{:?}", failed.map_err(|error| error.code().map(str::to_owned)));
    println!("{:?}", locks::request("", async |lock| lock.name().len()).await);
}

/// Whatever ends the callback releases the lock.
async fn release() -> Result<()> {
    process::on_uncaught_exception(|error, _| println!("uncaught {}", error.message()));
    let free = async |what: &str| {
        let options = Options {
            if_available: true,
            ..Options::default()
        };
        let is_free = locks::request_with("x", options, async |lock| lock.is_some()).await;
        println!("{what}: free {is_free:?}");
    };
    println!("{:?}", locks::request("x", async |_| 5).await);
    free("value").await;
    let failed: Result<()> = locks::request("x", async |_| Err::<(), _>("failed")).await;
    println!("{:?}", failed.map_err(|error| error.message().to_owned()));
    free("error").await;
    let trapped = spawn(async {
        locks::request("x", async |_| {
            yield_now().await;
            assert!(std::hint::black_box(false), "boom");
        })
        .await
    });
    let waiting = hold("after the trap", Mode::Exclusive, 0);
    println!("{}", trapped.await.is_err());
    waiting.await?;
    free("trap").await;
    let aborted = spawn(async { locks::request("x", async |_| std::future::pending::<()>().await).await });
    yield_now().await;
    free("held").await;
    aborted.abort();
    free("abort").await;
    {
        let request = locks::request("x", async |_| std::future::pending::<()>().await);
        let _ = timers::timeout(Duration::from_millis(5), request).await;
    }
    free("dropped").await;
    Ok(())
}

/// A callback may use what its caller has.
async fn borrow() -> Result<()> {
    let mut log = Vec::new();
    locks::request("x", async |_| log.push("first")).await?;
    locks::request("x", async |_| log.push("second")).await?;
    println!("{log:?}");
    Ok(())
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    match process::argv().pop().unwrap_or_default().as_str() {
        "order" => order().await?,
        "if_available" => if_available().await?,
        "steal" => steal().await?,
        "invalid" => invalid().await,
        "release" => release().await?,
        "borrow" => borrow().await?,
        // Nothing can happen any more: the program ends.
        "deadlock" => {
            locks::request("x", async |_| locks::request("x", async |_| println!("never")).await).await?;
        }
        // Many requests; a counter that is changed in two steps shows whether two ever held the lock.
        "many" => {
            let counter = Rc::new(Cell::new(0));
            let tasks: Vec<_> = (0..1000)
                .map(|_| {
                    let counter = Rc::clone(&counter);
                    spawn(async move {
                        locks::request("x", async |_| {
                            let before = counter.get();
                            yield_now().await;
                            counter.set(before + 1);
                        })
                        .await
                    })
                })
                .collect();
            for task in tasks {
                task.await?;
            }
            println!("{}", counter.get());
        }
        other => println!("no case {other:?}"),
    }
    Ok(())
}
