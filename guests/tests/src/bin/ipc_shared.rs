//! Buffers between processes: `ipc_shared <scenario>` forks itself. The child's part is `ipc_shared child <scenario>`.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use nodule_guest_tests::children::{Counter, Request, fields, myself};
use nodule_sdk::child_process::{self, ChildProcess, ForkOptions, SendOptions, Serialization};
use nodule_sdk::shared_memory::{Atomics, SharedBuffer};
use nodule_sdk::worker_threads::ArrayBuffer;
use nodule_sdk::{Result, process, timers};
use serde::{Deserialize, Serialize};

/// Additions of each process.
const ADDITIONS: u32 = 1_000_000;
const LARGE: usize = 1 << 20;

/// What the two send each other.
#[derive(Default, Serialize, Deserialize)]
struct Note {
    text: String,
    buffers: Vec<SharedBuffer>,
    arrays: Vec<ArrayBuffer>,
}

fn note(text: &str) -> Note {
    Note {
        text: text.to_owned(),
        ..Note::default()
    }
}

fn shared(text: &str, buffers: &[&SharedBuffer]) -> Note {
    Note {
        buffers: buffers.iter().copied().cloned().collect(),
        ..note(text)
    }
}

fn add_many(buffer: &SharedBuffer) {
    let cell = &buffer.as_u32()[3];
    for _ in 0..ADDITIONS {
        cell.fetch_add(1, SeqCst);
    }
}

/// The child's answer to a note.
fn answer(scenario: &str, got: &Note) -> Result<()> {
    match scenario {
        "add" => add_many(&got.buffers[0]),
        "wait" => {
            let cells = got.buffers[0].as_i32();
            process::send(&note("waiting"))?;
            let result = Atomics::wait(cells, 0, 0, None)?;
            // The wide cell at 8 is waited on by the parent.
            let mut woken = 0;
            while woken == 0 {
                woken = Atomics::notify(got.buffers[0].as_i64(), 1, Atomics::ALL)?;
            }
            return process::send(&note(&format!("{} and woke {woken}", result.name()))).map(drop);
        }
        "back" => {
            let same = got.buffers[0].is_same(&got.buffers[1]);
            return process::send(&shared(&format!("both the same {same}"), &[&got.buffers[0]])).map(drop);
        }
        "move" => {
            let [large, small] = &got.arrays[..] else { return Ok(()) };
            let sum = large.read(|bytes| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>())?;
            println!("child got {} {} sum {sum}", large.byte_length(), small.byte_length());
            large.write(|bytes| bytes.fill(2))?;
            let message = Note {
                arrays: vec![large.clone()],
                ..note("back")
            };
            process::send_with(&message, SendOptions::new().transfer_list(&[large]))?;
            println!("child detached {}", large.is_detached());
            return Ok(());
        }
        _ => {}
    }
    process::send(&note("done")).map(drop)
}

fn child(scenario: &str) -> Result<()> {
    match scenario {
        "outlive" => {
            let buffer = SharedBuffer::new(100)?;
            buffer.as_u32()[3].store(7, SeqCst);
            process::send(&shared("take it", &[&buffer]))?;
            process::exit(0);
        }
        "limit" => {
            for _ in 0..2 {
                process::send(&shared("another", &[&SharedBuffer::new(1)?]))?;
            }
            process::send(&note("no more"))?;
        }
        _ => {}
    }
    let scenario = scenario.to_owned();
    process::on_message(move |got: Note| answer(&scenario, &got).unwrap());
    Ok(())
}

/// Sends a buffer and prints what it holds when the child has answered.
fn add(child: &ChildProcess) -> Result<()> {
    let buffer = SharedBuffer::new(64)?;
    child.send(&shared("add", &[&buffer]))?;
    let hang_up = child.clone();
    let mine = buffer.clone();
    child.on_message(move |got: Note| {
        println!("{} {}", got.text, mine.as_u32()[3].load(SeqCst));
        hang_up.disconnect().unwrap();
    });
    add_many(&buffer);
    Ok(())
}

fn wait(child: &ChildProcess) -> Result<()> {
    let buffer = SharedBuffer::new(64)?;
    child.send(&shared("wait", &[&buffer]))?;
    let hang_up = child.clone();
    child.on_message(move |got: Note| {
        println!("child: {}", got.text);
        if got.text != "waiting" {
            return hang_up.disconnect().unwrap();
        }
        // It waits soon; stores alone do not wake it, and wide cells are cells of their own.
        let (cells, wide) = (buffer.as_i32(), buffer.as_i64());
        let mut woken = 0;
        while woken == 0 {
            woken = Atomics::notify(cells, 0, 5).unwrap();
        }
        println!("woke {woken} then {}", Atomics::notify(cells, 0, 5).unwrap());
        println!("parent: {}", Atomics::wait(wide, 1, 0, None).unwrap().name());
        println!(
            "parent: {}",
            Atomics::wait(wide, 1, 0, Some(Duration::from_millis(1)))
                .unwrap()
                .name()
        );
        println!("parent: {}", Atomics::wait(wide, 1, 1, None).unwrap().name());
    });
    Ok(())
}

fn back(child: &ChildProcess) -> Result<()> {
    let buffer = SharedBuffer::new(64)?;
    let other = SharedBuffer::new(64)?;
    buffer.as_u32()[0].store(11, SeqCst);
    child.send(&Note {
        buffers: vec![buffer.clone(), buffer.clone(), other],
        ..note("twice")
    })?;
    let hang_up = child.clone();
    child.on_message(move |got: Note| {
        let came = &got.buffers[0];
        println!(
            "{}, came back {} {}",
            got.text,
            came.is_same(&buffer),
            came.as_u32()[0].load(SeqCst)
        );
        hang_up.disconnect().unwrap();
    });
    Ok(())
}

/// What the child made and left.
fn outlive(child: &ChildProcess) -> Result<()> {
    let kept = std::rc::Rc::new(std::cell::RefCell::new(None));
    let keep = std::rc::Rc::clone(&kept);
    child.on_message(move |got: Note| {
        println!("{}", got.text);
        *keep.borrow_mut() = got.buffers.into_iter().next();
    });
    child.on_close(move |code, _| {
        let buffer: Option<SharedBuffer> = kept.take();
        let value = buffer.map(|buffer| (buffer.byte_length(), buffer.as_u32()[3].load(SeqCst)));
        println!("after {code:?} {value:?}");
    });
    Ok(())
}

fn moved(child: &ChildProcess) -> Result<()> {
    let large = ArrayBuffer::from(vec![1; LARGE]);
    let small = ArrayBuffer::from(vec![1; 100]);
    let message = || Note {
        arrays: vec![large.clone(), small.clone()],
        ..note("move")
    };
    // Nothing has moved when it fails.
    let growable = SharedBuffer::growable(1, 2)?;
    let with_growable = Note {
        buffers: vec![growable],
        ..message()
    };
    let refused = child.send_with(&with_growable, SendOptions::new().transfer_list(&[&large, &small]));
    println!("refused {}, still {}", refused.is_err(), large.byte_length());
    child.send_with(&message(), SendOptions::new().transfer_list(&[&large, &small]))?;
    println!("detached {} {}", large.is_detached(), small.is_detached());
    let hang_up = child.clone();
    child.on_message(move |got: Note| {
        let array = &got.arrays[0];
        let all_two = array.read(|bytes| bytes.iter().all(|byte| *byte == 2)).unwrap();
        println!("{} {} {all_two}", got.text, array.byte_length());
        hang_up.disconnect().unwrap();
    });
    Ok(())
}

/// What cannot be sent.
fn refused(child: &ChildProcess) -> Result<()> {
    let many: Vec<_> = (0..64).map(|_| SharedBuffer::new(1)).collect::<Result<_>>()?;
    let attempts = [
        child.send(&SharedBuffer::growable(1, 2)?),
        child.send(&many),
        child.send(&Note {
            buffers: many[..63].to_vec(),
            ..note("many")
        }),
    ];
    for attempt in &attempts {
        match attempt {
            Ok(_) => println!("sent"),
            Err(error) => println!("{}", fields(error)),
        }
    }
    // The child answers what was sent.
    let hang_up = child.clone();
    child.on_message(move |_: Note| hang_up.disconnect().unwrap());
    Ok(())
}

/// Buffers are sent until none is left over in either process.
fn many(child: &ChildProcess) -> Result<()> {
    let (counter, again) = (Counter::default(), child.clone());
    let next = |child: &ChildProcess| {
        let large = ArrayBuffer::new(LARGE);
        let message = Note {
            buffers: vec![SharedBuffer::new(1).unwrap()],
            arrays: vec![large.clone()],
            ..note("one")
        };
        child
            .send_with(&message, SendOptions::new().transfer_list(&[&large]))
            .unwrap();
    };
    next(child);
    child.on_message(move |_: Note| {
        if counter.next() < 999 {
            return next(&again);
        }
        println!("a thousand");
        again.disconnect().unwrap();
    });
    Ok(())
}

fn limit(child: &ChildProcess) -> Result<()> {
    let (own, hang_up) = (SharedBuffer::new(1)?, child.clone());
    let kept = std::cell::RefCell::new(Vec::new());
    child.on_error(|error| println!("error {}", fields(error)));
    child.on_message(move |got: Note| {
        println!("{} {}", got.text, got.buffers.len());
        if got.text == "no more" {
            println!("own {}", own.byte_length());
            hang_up.disconnect().unwrap();
        }
        kept.borrow_mut().push(got);
    });
    Ok(())
}

#[nodule_sdk::main]
fn main() -> Result<()> {
    let request = Request::read();
    if request.word(0) == "child" {
        return child(request.word(1));
    }
    let scenario = request.word(0);
    let serialization = if request.has("json") {
        Serialization::Json
    } else {
        Serialization::Advanced
    };
    let options = ForkOptions::new().serialization(serialization);
    let forked = child_process::fork(&myself(), &["child", scenario], options)?;
    match scenario {
        "add" => add(&forked)?,
        "wait" => wait(&forked)?,
        "back" => back(&forked)?,
        "outlive" => outlive(&forked)?,
        "move" => moved(&forked)?,
        "refused" => refused(&forked)?,
        "many" => many(&forked)?,
        "limit" => limit(&forked)?,
        other => println!("unknown scenario {other}"),
    }
    forked.on_exit(|code, signal| println!("exit {code:?} {signal:?}"));
    // A test that hangs is ended here rather than by its harness.
    timers::set_timeout(|| process::exit(99), Duration::from_secs(40)).unref();
    Ok(())
}
