//! Finalizers run for values that are still alive.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nodule_sdk::process::{self, finalization};
use nodule_sdk::timers;

#[nodule_sdk::main]
fn main() {
    let (alive, dropped, unregistered) = (Rc::new("alive"), Rc::new("dropped"), Rc::new("unregistered"));
    let shared = Arc::new(String::from("arc"));
    finalization::register(&alive, |value, event| println!("finalizer {value} {event}"));
    finalization::register(&dropped, |value, event| println!("finalizer {value} {event}"));
    finalization::register(&unregistered, |value, event| println!("finalizer {value} {event}"));
    finalization::register(&shared, |value, event| println!("finalizer {value} {event}"));
    finalization::register_before_exit(&alive, |value, event| {
        println!("finalizer {value} {event}");
        timers::set_timeout(|| println!("work"), Duration::from_millis(1));
    });
    finalization::unregister(&unregistered);
    finalization::unregister(&unregistered);
    drop(dropped);
    let rounds = Cell::new(0);
    process::on_before_exit(move |_| {
        rounds.set(rounds.get() + 1);
        println!("beforeExit {}", rounds.get());
    });
    process::on_exit(|_| println!("exit"));
    std::mem::forget((alive, unregistered, shared));
}
