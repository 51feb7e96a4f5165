//! Sleeps: `bench_sleep <times> <ms>` prints how late each sleep ended, in ns.

use std::time::{Duration, Instant};

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|text| text.parse::<u64>().ok());
    let times = numbers.next().unwrap_or(1);
    let time = Duration::from_millis(numbers.next().unwrap_or(10));
    for _ in 0..times {
        let start = Instant::now();
        std::thread::sleep(time);
        println!("{}", start.elapsed().saturating_sub(time).as_nanos());
    }
}
