//! Timers: order, clearing, refreshing, intervals, `unref`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use nodule_sdk::timers::{self, Timeout};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[nodule_sdk::main]
async fn main() -> nodule_sdk::Result<()> {
    for delay in [30, 10, 20, 10] {
        timers::set_timeout(move || println!("timeout {delay}"), ms(delay));
    }
    let cleared = timers::set_timeout(|| println!("cleared"), ms(5));
    cleared.clear();
    cleared.clear();
    timers::sleep(ms(60)).await;

    let interval: Rc<RefCell<Option<Timeout>>> = Rc::default();
    let (own, count) = (Rc::clone(&interval), Cell::new(0));
    *interval.borrow_mut() = Some(timers::set_interval(
        move || {
            count.set(count.get() + 1);
            println!("interval {}", count.get());
            if count.get() == 3 {
                own.borrow().as_ref().map(Timeout::clear);
            }
        },
        ms(2),
    ));
    timers::sleep(ms(60)).await;

    let runs = Rc::new(Cell::new(0));
    let counted = Rc::clone(&runs);
    let refreshed = timers::set_timeout(move || counted.set(counted.get() + 1), ms(40));
    timers::sleep(ms(20)).await;
    refreshed.refresh();
    timers::sleep(ms(30)).await;
    println!("refreshed in time: {} runs", runs.get());
    timers::sleep(ms(30)).await;
    println!("then: {} runs", runs.get());
    refreshed.refresh();
    timers::sleep(ms(60)).await;
    println!("refreshed after it ran: {} runs", runs.get());

    let mut ticks = timers::interval(ms(2));
    for tick in 1..=2 {
        ticks.tick().await;
        println!("tick {tick}");
    }
    match timers::timeout(ms(2), std::future::pending::<()>()).await {
        Err(error) => println!("timeout: {}", error.code().unwrap_or_default()),
        Ok(()) => println!("pending completed"),
    }

    let unref = timers::set_timeout(|| println!("unref'd timer ran"), ms(60_000));
    unref.unref();
    println!("has_ref {}", unref.has_ref());
    timers::set_immediate(|| println!("unref'd immediate ran")).unref();
    Ok(())
}
