//! The end of an isolate: finalizers, then listeners in order, once; what they start never runs.
//! `nested` ends with a nested `exit` inside a listener, `panic` with a panic inside one.

use std::rc::Rc;
use std::time::Duration;

use nodule_sdk::{process, task, timers};

#[nodule_sdk::main]
async fn main() {
    let how = process::argv().pop().unwrap_or_default();
    let kept = Rc::new("kept");
    process::finalization::register(&kept, |value, event| println!("finalizer {value} {event}"));
    process::on_before_exit(|code| println!("beforeExit {code}"));
    process::on_exit(|code| {
        println!("first {code}");
        process::next_tick(|| println!("a tick ran after exit"));
        timers::set_immediate(|| println!("an immediate ran after exit"));
        timers::set_timeout(|| println!("a timer ran after exit"), Duration::ZERO);
        task::spawn(async { println!("a task ran after exit") });
    });
    process::on_exit(move |_| match how.as_str() {
        "nested" => process::exit(9),
        "panic" => panic!("in the exit listener"),
        _ => println!("second"),
    });
    process::on_exit(|_| println!("third"));
    process::next_tick(|| println!("pending tick"));
    if process::argv().pop().as_deref() == Some("natural") {
        std::mem::forget(kept);
        return;
    }
    // Without a line end: what std holds back is written all the same.
    print!("partial ");
    process::exit(5);
}
