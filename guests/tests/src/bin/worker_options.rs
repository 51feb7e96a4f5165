//! The options of a worker and what they change in it: `worker_options <case>`.

use nodule_guest_tests::workers::{argument, code_of, next, outcome, role, shown, start_with};
use nodule_sdk::process::{self, env, permission};
use nodule_sdk::worker_threads::{self, Env, Module, Source, Worker, WorkerOptions, parent_port};
use nodule_sdk::{Error, Result, Value, task};

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if !worker_threads::is_main_thread() {
        return worker(&role()).await;
    }
    match role().as_str() {
        "argv" => argv().await,
        "env" => environment().await,
        "exec-argv" => exec_argv().await,
        "permissions" => permissions().await,
        "dropped" => dropped(),
        "denied" => denied(),
        "cwd" => directory().await,
        "module" => module().await,
        "entry" => entry().await,
        "fds" => fds().await,
        other => Err(format!("no case {other}").into()),
    }
}

/// What a worker with this role and these options sends first.
async fn told(arguments: &[&str], options: WorkerOptions<'_>) -> Result<String> {
    let worker = start_with(arguments, options)?;
    let text = next(&worker).await?;
    worker.terminate().await;
    Ok(text)
}

async fn argv() -> Result<()> {
    let options = || WorkerOptions::new().argv([Value::Null.describe(), 1.5.to_string(), true.to_string()]);
    let worker = Worker::new(Source::Current, options())?;
    println!("{}", next::<String>(&worker).await?);
    let worker = Worker::new(Source::Current, WorkerOptions::new())?;
    println!("{}", next::<String>(&worker).await?);
    Ok(())
}

async fn environment() -> Result<()> {
    env::set("A", "creator")?;
    println!("copy: {}", told(&["env"], WorkerOptions::new()).await?);
    println!("here: {:?}", env::get("A"));
    println!("share: {}", told(&["env"], WorkerOptions::new().env(Env::Share)).await?);
    println!("here: {:?}", env::get("A"));
    // The other direction: it sees what is set here while it runs.
    let worker = start_with(&["env-later"], WorkerOptions::new().env(Env::Share))?;
    env::set("B", "set later")?;
    worker.post_message(&())?;
    println!("later: {}", next::<String>(&worker).await?);
    let own = Env::Only(vec![("C".to_owned(), "own".to_owned())]);
    println!("own: {}", told(&["env-all"], WorkerOptions::new().env(own)).await?);
    println!(
        "none: {}",
        told(&["env-all"], WorkerOptions::new().env(Env::Only(Vec::new()))).await?
    );
    let bad = Env::Only(vec![("a=b".to_owned(), "x".to_owned())]);
    println!(
        "bad key: {}",
        code_of(&start_with(&["env"], WorkerOptions::new().env(bad)))
    );
    Ok(())
}

async fn exec_argv() -> Result<()> {
    println!("inherited: {}", told(&["exec-argv"], WorkerOptions::new()).await?);
    let options = WorkerOptions::new().exec_argv(["--unhandled-rejections=warn", "--no-warnings"]);
    println!("own: {}", told(&["exec-argv"], options).await?);
    for mode in ["throw", "strict", "warn", "none", "warn-with-error-code"] {
        let options =
            WorkerOptions::new().exec_argv([format!("--unhandled-rejections={mode}"), "--no-warnings".into()]);
        let worker = start_with(&["reject"], options)?;
        println!("{mode}: {}", outcome(&worker).await);
    }
    for flags in [
        &["--title=x"][..],
        &["--no-such-flag"],
        &["--max-memory=1", "--allow-all"],
        &["--redirect-warnings=x"],
    ] {
        let refused = start_with(&["exec-argv"], WorkerOptions::new().exec_argv(flags.iter().copied()));
        println!("{}", refused.err().map_or("started".to_owned(), |error| shown(&error)));
    }
    Ok(())
}

/// Of each scope, whether it is granted.
fn grants() -> Result<String> {
    let scopes = ["fs", "worker", "env", "net", "signal", "shared_memory"];
    let granted: Result<Vec<_>> = scopes.iter().map(|scope| permission::has(scope, None)).collect();
    Ok(scopes
        .iter()
        .zip(granted?)
        .filter(|(_, granted)| *granted)
        .map(|(scope, _)| *scope)
        .collect::<Vec<_>>()
        .join(" "))
}

async fn permissions() -> Result<()> {
    println!("creator: {}", grants()?);
    println!("inherited: {}", told(&["grants"], WorkerOptions::new()).await?);
    let narrowed = |flags: &[&str]| WorkerOptions::new().permissions(flags.iter().copied());
    println!("none: {}", told(&["grants"], narrowed(&[])).await?);
    println!("signal: {}", told(&["grants"], narrowed(&["--allow-signal"])).await?);
    println!(
        "wider: {}",
        told(&["grants"], narrowed(&["--allow-net", "--allow-signal"])).await?
    );
    println!("all: {}", told(&["grants"], narrowed(&["-A"])).await?);
    println!(
        "deny: {}",
        told(&["grants"], narrowed(&["--allow-signal", "--deny-worker"])).await?
    );
    // Nor by its environment.
    let options = Env::Only(vec![("NODULE_OPTIONS".to_owned(), "--allow-net".to_owned())]);
    println!(
        "by env: {}",
        told(&["grants"], WorkerOptions::new().env(options)).await?
    );
    println!(
        "unknown: {}",
        code_of(&start_with(&["grants"], narrowed(&["--allow-everything"])))
    );
    Ok(())
}

/// Gives the right to start workers up.
fn dropped() -> Result<()> {
    println!("before: {}", permission::has("worker", None)?);
    permission::drop("worker", None)?;
    denied()
}

fn denied() -> Result<()> {
    let error = start_with(&["grants"], WorkerOptions::new())
        .err()
        .ok_or("it must fail")?;
    println!("{} {:?}", shown(&error), error.record().permission);
    Ok(())
}

async fn directory() -> Result<()> {
    let own = process::cwd()?;
    println!(
        "follows: {}",
        told(&["cwd"], WorkerOptions::new()).await? == format!("{own} ERR_WORKER_UNSUPPORTED_OPERATION")
    );
    let options = || WorkerOptions::new().cwd("./inner");
    println!("own: {}", told(&["cwd"], options()).await?.replace(&own, "<cwd>"));
    println!("unchanged here: {}", process::cwd()? == own);
    println!(
        "missing: {}",
        code_of(&start_with(&["cwd"], WorkerOptions::new().cwd("./nowhere")))
    );
    Ok(())
}

/// A compiled module travels to a worker, which runs it.
async fn module() -> Result<()> {
    let module = Module::current()?;
    let worker = start_with(&["module"], WorkerOptions::new().worker_data(&module))?;
    println!("{}", next::<String>(&worker).await?);
    println!("{}", next::<String>(&worker).await?);
    println!("same module: {}", next::<String>(&worker).await? == module.digest()?);
    Ok(())
}

async fn entry() -> Result<()> {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "_start") (call $exit (i32.const 1)))
        (func (export "second") (call $exit (i32.const 2))))"#;
    for entry in [None, Some("second"), Some("third")] {
        let options = match entry {
            Some(entry) => WorkerOptions::new().entry(entry),
            None => WorkerOptions::new(),
        };
        let worker = Worker::new(Source::Bytes(text.as_bytes().to_vec()), options)?;
        println!("{}", outcome(&worker).await);
    }
    Ok(())
}

/// Files that workers leave open are closed, whatever is asked for.
async fn fds() -> Result<()> {
    for wanted in [true, false] {
        let worker = start_with(&["open"], WorkerOptions::new().track_unmanaged_fds(wanted))?;
        println!("{} {}", next::<String>(&worker).await?, worker.join().await);
    }
    Ok(())
}

async fn worker(role: &str) -> Result<()> {
    let parent = parent_port().ok_or("a worker has a port")?;
    let post = |text: &str| parent.post_message(text).map(drop);
    match role {
        "env" => {
            let before = env::get("A");
            env::set("A", "worker")?;
            post(&format!("{before:?} {:?}", env::get("A")))
        }
        "env-later" => {
            let port = parent.clone();
            parent.once_message(move |_: Value| drop(port.post_message(&format!("{:?}", env::get("B")))));
            Ok(())
        }
        "env-all" => post(&format!("{:?}", env::all()?)),
        "exec-argv" => post(&format!("{:?}", process::exec_argv())),
        "reject" => {
            drop(task::spawn(async { Err::<(), _>(Error::new("rejected")) }));
            Ok(())
        }
        "grants" => post(&grants()?),
        "cwd" => {
            let before = process::cwd()?;
            let changed =
                process::chdir("./deeper").map_or_else(|error| code_of::<()>(&Err(error)), |()| "changed".into());
            let after = process::cwd()?;
            post(&if before == after {
                format!("{before} {changed}")
            } else {
                format!("{before} {changed} {after}")
            })
        }
        "module" => {
            let module: Module = worker_threads::worker_data()?;
            let nested = Worker::new(&module, WorkerOptions::new().argv(["digest"]))?;
            post(&format!("nested {}", nested.thread_id() > 0))?;
            let digest: String = next(&nested).await?;
            post(&format!("exit {}", nested.join().await))?;
            post(&digest)
        }
        "digest" => post(&Module::current()?.digest()?),
        "open" => {
            let file = std::fs::File::open("file.txt").map_err(|error| error.to_string())?;
            std::mem::forget(file);
            post("open")
        }
        _ => {
            let argv = process::argv();
            post(&format!("{:?} {:?}", &argv[2..], argument(0)))
        }
    }
}
