//! A listener that fails on some messages loses none: each has its own turn with its own ticks.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use nodule_sdk::{process, timers};

const MESSAGES: u32 = 200;

#[nodule_sdk::main]
fn main() {
    let failures = Rc::new(Cell::new(0));
    let counted = Rc::clone(&failures);
    process::on_uncaught_exception(move |_, _| counted.set(counted.get() + 1));
    let next = Rc::new(Cell::new(0));
    let ticks = Rc::new(Cell::new(0));
    for number in 0..MESSAGES {
        let (next, ticks) = (Rc::clone(&next), Rc::clone(&ticks));
        let message = move || {
            assert_eq!(next.replace(number + 1), number, "order");
            assert_eq!(ticks.get(), number, "the ticks of the messages before have run");
            let ticks = Rc::clone(&ticks);
            process::next_tick(move || ticks.set(ticks.get() + 1));
            assert!(number % 3 != 0, "every third fails");
        };
        timers::set_timeout(message, Duration::from_millis(1 + u64::from(number)));
    }
    process::on_exit(move |code| {
        println!(
            "messages {} ticks {} failures {} code {code}",
            next.get(),
            ticks.get(),
            failures.get()
        );
    });
}
