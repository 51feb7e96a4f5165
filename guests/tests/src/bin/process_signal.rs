//! Signals as events: `process_signal <case>`.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use nodule_sdk::{Result, process, timers};

fn raise(name: &str) -> Result<()> {
    process::kill(i32::try_from(process::pid()).unwrap_or(0), name)?;
    Ok(())
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    let arguments = process::argv();
    process::on_exit(|code| println!("exit {code}"));
    match arguments[2].as_str() {
        // Each named signal is sent to the own process; its listener says what it got.
        "own" => {
            for name in &arguments[3..] {
                let seen = Rc::new(Cell::new(false));
                let mark = Rc::clone(&seen);
                process::once_signal(name, move |name, number| {
                    println!("{name} {number}");
                    mark.set(true);
                })?;
                raise(name)?;
                while !seen.get() {
                    timers::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        // Removing the last listener restores the default action.
        "default" => {
            let seen = Rc::new(Cell::new(0));
            let (by_first, by_second) = (Rc::clone(&seen), Rc::clone(&seen));
            let first = process::on_signal("SIGTERM", move |_, _| {
                println!("first");
                by_first.set(by_first.get() + 1);
            })?;
            let second = process::on_signal("SIGTERM", move |_, _| {
                println!("second");
                by_second.set(by_second.get() + 1);
            })?;
            raise("SIGTERM")?;
            while seen.get() < 2 {
                timers::sleep(Duration::from_millis(1)).await;
            }
            first.remove();
            raise("SIGTERM")?;
            while seen.get() < 3 {
                timers::sleep(Duration::from_millis(1)).await;
            }
            second.remove();
            println!("removed");
            raise("SIGTERM")?;
            timers::sleep(Duration::from_secs(5)).await;
            println!("survived");
        }
        "refused" => {
            for name in ["SIGKILL", "SIGSTOP", "SIGNONE"] {
                if let Err(error) = process::on_signal(name, |_, _| {}) {
                    println!(
                        "{name} {} {:?}",
                        error.code().unwrap_or_default(),
                        error.record().syscall.as_deref()
                    );
                }
            }
            println!("SIGBREAK {}", process::on_signal("SIGBREAK", |_, _| {}).is_ok());
        }
        // A listener does not keep the isolate alive.
        "idle" => drop(process::on_signal("SIGUSR2", |_, _| {})?),
        // Waits for signals from outside until SIGTERM.
        "wait" => {
            let (resolver, stopped) = nodule_sdk::promise::deferred();
            for name in ["SIGINT", "SIGHUP", "SIGUSR2", "SIGWINCH"] {
                process::on_signal(name, |name, number| println!("{name} {number}"))?;
            }
            process::on_signal("SIGTERM", move |name, number| {
                println!("{name} {number}");
                resolver.resolve(());
            })?;
            let alive = timers::set_interval(|| {}, Duration::from_secs(60));
            println!("ready");
            stopped.await?;
            alive.clear();
        }
        "none" => {
            println!("ready");
            timers::sleep(Duration::from_secs(60)).await;
        }
        other => println!("no case {other}"),
    }
    Ok(())
}
