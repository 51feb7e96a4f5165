//! Children of worker threads: `child_worker <scenario>`. Commands run in `/bin/sh`; a mark is a variable of theirs.

use std::time::Duration;

use nodule_guest_tests::children::fields;
use nodule_guest_tests::workers::{Random, argument, next, role, start, start_with};
use nodule_sdk::child_process::{self, SpawnOptions, SpawnSyncOptions, Stdio};
use nodule_sdk::worker_threads::{self, WorkerOptions, parent_port};
use nodule_sdk::{Error, Result, process, timers};

fn post(text: &str) -> Result<()> {
    match parent_port() {
        Some(port) => port.post_message(text).map(drop),
        None => Err(Error::new("no worker")),
    }
}

/// Waits until there is a file with something in it.
async fn file(path: &str) -> String {
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text,
            _ => timers::sleep(Duration::from_millis(5)).await,
        }
    }
}

fn shell_sync(script: &str, mark: &str) -> Result<String> {
    let options = SpawnSyncOptions::new().stdio(Stdio::Ignore).env([("MARK", mark)]);
    let result = child_process::spawn_sync("/bin/sh", &["-c", script], options)?;
    Ok(format!("{:?} {:?}", result.status, result.signal))
}

async fn worker() -> Result<()> {
    match role().as_str() {
        "inherit" => {
            let options = SpawnOptions::new().stdio(Stdio::Inherit);
            let child = child_process::spawn("/bin/sh", &["-c", "cat; echo error >&2"], options)?;
            println!("ended {:?}", child.wait().await?.code);
        }
        // Until there is a file `go`.
        "sync" => post(&shell_sync("echo up >up; until [ -s go ]; do sleep 0.01; done", "-")?)?,
        "ticks" => {
            for _ in 0..20 {
                timers::sleep(Duration::from_millis(2)).await;
            }
            post("worker ticks")?;
        }
        "stuck" => {
            shell_sync("echo up >up; exec sleep 60", &argument(1))?;
        }
        "stuck-again" => loop {
            shell_sync("exec sleep 60", &argument(1))?;
        },
        "leave" => {
            let options = SpawnOptions::new().stdio(Stdio::Ignore);
            let child = child_process::spawn("/bin/sh", &["-c", "read line <go; echo done >done", "sh"], options)?;
            post(&child.pid().unwrap_or_default().to_string())?;
            process::exit(0);
        }
        "grants" => {
            let outcome = |result: Result<_>| result.map_or_else(|error| fields(&error), |_| "started".to_owned());
            let native = child_process::spawn("/bin/sh", &["-c", "exit"], SpawnOptions::new());
            println!("native {}", outcome(native));
            let module = argument(1);
            let probes = [
                "has",
                "child",
                ",",
                "has",
                "run",
                ",",
                "has",
                "net",
                ",",
                "has",
                "fs.read",
                &argument(2),
            ];
            let module = child_process::spawn(&module, &probes, SpawnOptions::new().stdio(Stdio::Inherit));
            if let Ok(child) = &module {
                child.wait().await?;
            }
            println!("module {}", outcome(module));
        }
        other => post(&format!("no role {other}"))?,
    }
    Ok(())
}

async fn inherit() -> Result<()> {
    let worker = start_with(&["inherit"], WorkerOptions::new().stdin(true).stdout(true).stderr(true))?;
    if let Some(stdin) = worker.stdin() {
        stdin.write("from the creator\n");
        stdin.end();
    }
    println!("stdout {:?}", worker.stdout().read_to_string().await?);
    println!("stderr {:?}", worker.stderr().read_to_string().await?);
    println!("exit {}", worker.join().await);
    Ok(())
}

/// One thread waits for a process; the others go on.
async fn sync() -> Result<()> {
    let waiting = start("sync")?;
    file("up").await;
    println!("{}", next::<String>(&start("ticks")?).await?);
    for _ in 0..20 {
        timers::sleep(Duration::from_millis(2)).await;
    }
    println!("main ticks");
    std::fs::write("go", "go\n")?;
    println!("sync {}", next::<String>(&waiting).await?);
    Ok(())
}

async fn terminate() -> Result<()> {
    let mark = argument(1);
    let worker = start_with(&["stuck", &mark], WorkerOptions::new())?;
    file("up").await;
    println!("terminated {:?}", worker.terminate().await);
    Ok(())
}

/// At any moment, also while a process is started.
async fn terminate_often() -> Result<()> {
    let (mark, mut random) = (argument(1), Random(argument(2).parse()?));
    for _ in 0..100 {
        let worker = start_with(&["stuck-again", &mark], WorkerOptions::new())?;
        nodule_guest_tests::workers::online(&worker).await?;
        timers::sleep(Duration::from_micros(random.below(800))).await;
        worker.terminate().await;
    }
    println!("all terminated");
    process::stdin().read_line().await?;
    Ok(())
}

async fn grants() -> Result<()> {
    let (module, directory) = (argument(1), argument(2));
    for flags in [
        vec![],
        vec!["--allow-child".to_owned(), format!("--dir={directory}:ro")],
    ] {
        let options = WorkerOptions::new().permissions(flags);
        let worker = start_with(&["grants", &module, &directory], options)?;
        worker.join().await;
    }
    Ok(())
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if !worker_threads::is_main_thread() {
        return worker().await;
    }
    match role().as_str() {
        "inherit" => inherit().await,
        "sync" => sync().await,
        "terminate" => terminate().await,
        "terminate-often" => terminate_often().await,
        "leave" => {
            let worker = start("leave")?;
            println!("child {}", next::<String>(&worker).await?);
            println!("exit {}", worker.join().await);
            process::stdin().read_line().await?;
            Ok(())
        }
        "grants" => grants().await,
        other => Err(format!("no scenario {other}").into()),
    }
}
