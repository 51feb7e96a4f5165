//! What must hold however things fall out: `worker_rounds <property> <rounds> <seed>`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use nodule_guest_tests::workers::{Random, argument, online, role, shown, spin, start, start_with};
use nodule_sdk::value::Bytes;
use nodule_sdk::worker_threads::{Worker, WorkerOptions, parent_port, post_message_to_thread};
use nodule_sdk::{Error, Result, Value, process, timers};

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if let Some(port) = parent_port() {
        return worker(&role(), &port).await;
    }
    let rounds: u64 = argument(1).parse()?;
    let mut random = Random(argument(2).parse()?);
    match role().as_str() {
        "o2" => nothing_is_lost(rounds, &mut random).await,
        "o4" => life_cycle(rounds, &mut random).await,
        "o9" => trees(rounds, &mut random).await,
        "o16" => failing_listener(rounds, &mut random).await,
        "memory" => memory(rounds).await,
        "quick" => quick(rounds).await,
        other => Err(format!("no property {other}").into()),
    }
}

/// O2, O3: every message of a worker comes, in order, before its end.
async fn nothing_is_lost(rounds: u64, random: &mut Random) -> Result<()> {
    for round in 0..rounds {
        let count = random.below(20);
        let seed = random.below(u64::from(u32::MAX)) + 1;
        let ending = ["return", "exit", "panic", "err"][random.below(4) as usize];
        let worker = start_with(
            &["sender", &count.to_string(), &seed.to_string(), ending],
            WorkerOptions::new(),
        )?;
        let (seen, exits) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let counted = Rc::clone(&seen);
        let ended = Rc::clone(&exits);
        worker.on_message(move |(number, bytes): (u64, Bytes)| {
            assert_eq!(ended.get(), 0, "a message after the exit");
            assert_eq!(number, counted.get());
            assert!(bytes.0.iter().all(|byte| u64::from(*byte) == number));
            counted.set(number + 1);
        });
        worker.on_error(|_| ());
        let (ended, counted) = (Rc::clone(&exits), Rc::clone(&seen));
        worker.on_exit(move |_| {
            assert_eq!(counted.get(), count, "messages are missing at the exit");
            ended.set(ended.get() + 1);
        });
        worker.join().await;
        assert_eq!((seen.get(), exits.get()), (count, 1), "round {round}");
    }
    println!("{rounds} rounds");
    Ok(())
}

/// O3, O4, O8: ended at a random moment between its construction and its end.
async fn life_cycle(rounds: u64, random: &mut Random) -> Result<()> {
    let mut ends = [0_u64; 3];
    for round in 0..rounds {
        let worker = start_with(&["lives", &(random.below(3)).to_string()], WorkerOptions::new())?;
        let events = Rc::new(RefCell::new(String::new()));
        let add = |event: char| {
            let events = Rc::clone(&events);
            move || events.borrow_mut().push(event)
        };
        worker.on_online(add('o'));
        let message = add('m');
        worker.on_message(move |_: Value| message());
        let error = add('e');
        worker.on_error(move |_| error());
        let exit = add('x');
        worker.on_exit(move |_| exit());
        match random.below(6) {
            0 => {}
            1 => drop(nodule_sdk::spawn(timers::sleep(Duration::ZERO)).await),
            2 => timers::immediate().await,
            3 => online(&worker).await?,
            4 => {
                let until = process::hrtime() + random.below(200_000);
                while process::hrtime() < until {}
            }
            _ => timers::sleep(Duration::from_millis(random.below(3))).await,
        }
        let code = worker.terminate().await;
        let seen = events.borrow().clone();
        check_events(&seen).map_err(|problem| format!("round {round}: {problem} in {seen:?}"))?;
        ends[match code {
            None => 0,
            Some(1) => 1,
            Some(_) => 2,
        }] += 1;
        if round % 64 == 0 {
            timers::immediate().await;
            assert_eq!(*events.borrow(), seen, "an event after the exit");
        }
    }
    eprintln!(
        "ended before {}, terminated {}, otherwise {}",
        ends[0], ends[1], ends[2]
    );
    println!("{rounds} rounds");
    Ok(())
}

fn check_events(seen: &str) -> Result<(), String> {
    let rest = seen.strip_prefix('o').unwrap_or(seen);
    let is_online = rest.len() < seen.len();
    let rest = rest.trim_start_matches('m');
    if !is_online && rest.len() < seen.len() {
        return Err("a message before online".into());
    }
    match rest.strip_prefix('e').unwrap_or(rest) {
        "x" => Ok(()),
        _ => Err("the order is online, messages, error, exit".into()),
    }
}

/// O9: a tree of depth 3; a random node of it ends, and what is below it with it.
async fn trees(rounds: u64, random: &mut Random) -> Result<()> {
    for _ in 0..rounds {
        let root = start_with(&["node", "2"], WorkerOptions::new())?;
        let ids: Vec<u32> = nodule_guest_tests::workers::next(&root).await?;
        if random.below(2) == 0 {
            timers::immediate().await;
        }
        root.terminate().await;
        // None of them can be reached any more.
        for id in &ids {
            let posted = post_message_to_thread(*id, &(), &[], None).await;
            assert!(
                posted.is_err_and(|error| error.is_code("ERR_WORKER_MESSAGING_FAILED")),
                "{id} runs"
            );
        }
        assert_eq!(ids.len(), 7);
    }
    println!("{rounds} rounds");
    Ok(())
}

/// O16: a listener that fails loses nothing that follows.
async fn failing_listener(rounds: u64, random: &mut Random) -> Result<()> {
    let worker = start_with(&["numbers", &rounds.to_string()], WorkerOptions::new())?;
    let failed = Rc::new(Cell::new(0_u64));
    let count = Rc::clone(&failed);
    process::on_uncaught_exception(move |error, _| {
        assert!(error.message().contains("as planned"), "{}", shown(error));
        count.set(count.get() + 1);
    });
    let state = Rc::new((Cell::new(0_u64), Cell::new(0_u64), Cell::new(0_u64)));
    let (seen, mut random) = (Rc::clone(&state), Random(random.below(1 << 40) + 1));
    worker.on_message(move |number: u64| {
        let (next, planned, ticks) = &*seen;
        assert_eq!(number, next.get(), "lost or twice");
        assert_eq!(ticks.get(), next.get(), "the ticks of the turn before have run");
        next.set(number + 1);
        let seen = Rc::clone(&seen);
        process::next_tick(move || seen.2.set(seen.2.get() + 1));
        if random.below(3) == 0 {
            planned.set(planned.get() + 1);
            panic!("as planned");
        }
    });
    worker.join().await;
    assert_eq!(state.0.get(), rounds);
    assert_eq!(state.1.get(), failed.get());
    println!("{rounds} rounds");
    Ok(())
}

/// Resident memory before and after that many workers that are terminated.
async fn memory(rounds: u64) -> Result<()> {
    let run = async |rounds: u64| -> Result<()> {
        for round in 0..rounds {
            let worker = start("spin")?;
            if round % 2 == 0 {
                online(&worker).await?;
            }
            worker.terminate().await;
        }
        Ok(())
    };
    run(rounds).await?;
    let before = process::rss();
    run(rounds).await?;
    let after = process::rss();
    println!("{before} {after}");
    Ok(())
}

/// How long a worker takes that does nothing.
async fn quick(rounds: u64) -> Result<()> {
    let start_ns = process::hrtime();
    for _ in 0..rounds {
        assert_eq!(start("nothing")?.join().await, 0);
    }
    eprintln!("{} us each", (process::hrtime() - start_ns) / 1000 / rounds.max(1));
    println!("{rounds} rounds");
    Ok(())
}

async fn worker(role: &str, port: &nodule_sdk::worker_threads::MessagePort) -> Result<()> {
    match role {
        "sender" => {
            let count: u64 = argument(1).parse()?;
            let mut random = Random(argument(2).parse()?);
            for number in 0..count {
                let len = if random.below(30) == 0 {
                    random.below(1 << 20)
                } else {
                    random.below(2000)
                };
                port.post_message(&(number, Bytes(vec![number as u8; len as usize])))?;
            }
            match argument(3).as_str() {
                "exit" => process::exit(5),
                "panic" => panic!("at the end"),
                "err" => return Err(Error::new("at the end")),
                _ => {}
            }
        }
        "lives" => {
            port.post_message(&1)?;
            timers::immediate().await;
            port.post_message(&2)?;
            match argument(1).as_str() {
                "0" => {}
                "1" => panic!("its end"),
                _ => spin(),
            }
        }
        "node" => {
            let depth: u32 = argument(1).parse()?;
            let mut ids = vec![nodule_sdk::worker_threads::thread_id()];
            if depth > 0 {
                let below: Result<Vec<Worker>> = (0..2)
                    .map(|_| start_with(&["node", &(depth - 1).to_string()], WorkerOptions::new()))
                    .collect();
                for worker in below? {
                    let deeper: Vec<u32> = nodule_guest_tests::workers::next(&worker).await?;
                    ids.extend(deeper);
                }
            }
            process::on_worker_message(|_, _| ());
            port.on_message(|_: Value| ());
            port.post_message(&ids)?;
        }
        "numbers" => {
            let count: u64 = argument(1).parse()?;
            for number in 0..count {
                port.post_message(&number)?;
            }
        }
        "spin" => spin(),
        _ => {}
    }
    Ok(())
}
