//! What holds however things fall out, over many rounds: `child_rounds <property> <rounds> <seed>`, several children at a time.
//! The first round that breaks it is printed and ends the program with 1.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use nodule_guest_tests::children::myself;
use nodule_guest_tests::workers::Random;
use nodule_sdk::child_process::{self, ChildProcess, ForkOptions, Serialization, SpawnOptions, Stdio};
use nodule_sdk::promise;
use nodule_sdk::{Error, Result, process, task, timers};

/// Children at a time.
const LANES: u64 = 4;

/// A place in a list of so many.
fn pick(random: &mut Random, len: u64) -> usize {
    usize::try_from(random.below(len)).unwrap_or_default()
}

/// Events of a child, in order.
#[derive(Clone, Default)]
struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    fn push(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    fn of(child: &ChildProcess) -> Self {
        let trace = Self::default();
        let of = |name: &'static str| {
            let trace = trace.clone();
            move || trace.push(name)
        };
        child.on_spawn(of("spawn"));
        child.on_disconnect(of("disconnect"));
        let seen = trace.clone();
        child.on_exit(move |code, signal| seen.push(format!("exit {code:?} {signal:?}")));
        let seen = trace.clone();
        child.on_close(move |code, signal| seen.push(format!("close {code:?} {signal:?}")));
        let seen = trace.clone();
        child.on_error(move |error| seen.push(format!("error {}", error.code().unwrap_or("-"))));
        trace
    }

    fn fails(&self, why: &str) -> Error {
        Error::new(format!("{why}: {:?}", self.0.borrow()))
    }
}

/// Listens from now on.
fn closed(child: &ChildProcess) -> impl Future<Output = Result<()>> + use<> {
    let (resolver, closed) = promise::deferred();
    child.on_close(move |_, _| resolver.resolve(()));
    async move {
        closed.await?;
        // What comes after the last event would be a mistake.
        timers::sleep(Duration::from_millis(1)).await;
        Ok(())
    }
}

/// `spawn` is the first event of what starts; what does not start has `error` and `close` only.
async fn first_event(random: &mut Random) -> Result<()> {
    let commands = ["/bin/true", "/bin/false", "/nope", "nope", "/etc", "/etc/passwd"];
    let command = commands[pick(random, 6)];
    let starts = command.starts_with("/bin");
    let child = child_process::spawn(command, &[], SpawnOptions::new())?;
    let trace = Trace::of(&child);
    if let Some(stdout) = child.stdout() {
        let seen = trace.clone();
        stdout.on_data(move |_| seen.push("data"));
    }
    closed(&child).await?;
    let events = trace.0.borrow().join(", ");
    let code = if command == "/bin/true" { 0 } else { 1 };
    let holds = match starts {
        true => events == format!("spawn, exit Some({code}) None, close Some({code}) None"),
        false => [
            "error ENOENT, close Some(-2) None",
            "error EACCES, close Some(-13) None",
        ]
        .contains(&events.as_str()),
    };
    if holds { Ok(()) } else { Err(trace.fails(command)) }
}

/// All messages come, in order, before the end, whose events come once and in order.
async fn last_words(random: &mut Random) -> Result<()> {
    let end = ["return", "exit", "trap", "disconnect"][pick(random, 4)];
    let (count, bytes) = (random.below(60), random.below(3000));
    let mode = [Serialization::Json, Serialization::Advanced][pick(random, 2)];
    let words = ["child", end, &count.to_string(), &bytes.to_string()];
    let options =
        ForkOptions::new()
            .serialization(mode)
            .stdio([Stdio::Ignore, Stdio::Ignore, Stdio::Ignore, Stdio::Ipc]);
    let child = child_process::fork(&myself(), &words, options)?;
    let trace = Trace::of(&child);
    let seen = trace.clone();
    child.on_message(move |(number, text): (u64, String)| seen.push(format!("message {number} {}", text.len())));
    closed(&child).await?;
    let code = match end {
        "exit" => 7,
        "trap" => 1,
        _ => 0,
    };
    let mut expected = vec!["spawn".to_owned()];
    expected.extend((0..count).map(|number| format!("message {number} {bytes}")));
    expected.push("disconnect".to_owned());
    expected.extend(["exit", "close"].map(|event| format!("{event} Some({code}) None")));
    if *trace.0.borrow() == expected {
        Ok(())
    } else {
        Err(trace.fails(end))
    }
}

/// However a child is ended, and whoever is faster, each end event comes once, with the same of code and signal.
async fn end_once(random: &mut Random) -> Result<()> {
    let child = match random.below(3) {
        0 => child_process::spawn("/bin/sleep", &["0.003"], SpawnOptions::new())?,
        1 => child_process::spawn("/bin/true", &[], SpawnOptions::new().timeout(Duration::from_millis(1)))?,
        _ => child_process::fork(
            &myself(),
            &["child", "return", "3", "10"],
            ForkOptions::new().silent(true),
        )?,
    };
    let trace = Trace::of(&child);
    let ended = closed(&child);
    if random.below(4) > 0 {
        timers::sleep(Duration::from_micros(random.below(4000))).await;
    }
    for signal in ["SIGKILL", "SIGTERM"].iter().take(pick(random, 3)) {
        child.kill(*signal)?;
    }
    ended.await?;
    let events = trace.0.borrow();
    let count = |name: &str| events.iter().filter(|event| event.starts_with(name)).count();
    let pair = |name: &str| {
        events
            .iter()
            .find_map(|event| event.strip_prefix(name).map(str::to_owned))
    };
    let is_one = |text: &str| text.contains("None") && text.contains("Some");
    let holds = count("exit ") == 1
        && count("close ") == 1
        && events.last().is_some_and(|event| event.starts_with("close"))
        && pair("exit ") == pair("close ")
        && pair("exit ").is_some_and(|pair| is_one(&pair));
    drop(events);
    if holds { Ok(()) } else { Err(trace.fails("end")) }
}

fn as_child(words: &[String]) -> Result<()> {
    let number = |at: usize| {
        words
            .get(at)
            .and_then(|word| word.parse::<u64>().ok())
            .unwrap_or_default()
    };
    let filler = "x".repeat(usize::try_from(number(2))?);
    for index in 0..number(1) {
        process::send(&(index, &filler))?;
    }
    match words.first().map_or("", String::as_str) {
        "exit" => process::exit(7),
        "trap" => panic!("at the end"),
        "disconnect" => process::disconnect(),
        _ => Ok(()),
    }
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    let words: Vec<String> = process::argv().into_iter().skip(2).collect();
    if words.first().is_some_and(|word| word == "child") {
        return as_child(&words[1..]);
    }
    let (property, rounds, seed) = (words[0].clone(), words[1].parse::<u64>()?, words[2].parse::<u64>()?);
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let property = property.clone();
            task::spawn(async move {
                let mut random = Random(seed * LANES + lane + 1);
                for round in 0..rounds / LANES {
                    let outcome = match property.as_str() {
                        "first_event" => first_event(&mut random).await,
                        "last_words" => last_words(&mut random).await,
                        _ => end_once(&mut random).await,
                    };
                    outcome
                        .map_err(|error| Error::new(format!("round {round} of lane {lane}: {}", error.message())))?;
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    for lane in lanes {
        lane.await?;
    }
    println!("ok");
    Ok(())
}
