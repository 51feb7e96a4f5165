//! Eight workers that never give way beside one that has a timer and answers messages.

use std::time::Duration;

use nodule_guest_tests::workers::{next, online, role, spin, start};
use nodule_sdk::worker_threads::{Worker, parent_port};
use nodule_sdk::{Result, Value, process, timers};

/// Of the timer.
const PERIOD: Duration = Duration::from_millis(10);

#[nodule_sdk::main]
async fn main() -> Result<()> {
    match role().as_str() {
        "" => creator().await,
        "spin" => spin(),
        "timer" => timer().await,
        _ => {
            let port = parent_port().ok_or("a worker has a port")?;
            let answer = port.clone();
            port.on_message(move |value: Value| drop(answer.post_message(&value)));
            Ok(())
        }
    }
}

/// Sends by how much each of its timers was late, in µs.
async fn timer() -> Result<()> {
    let mut late_us = Vec::new();
    for _ in 0..100 {
        let start = process::hrtime();
        timers::sleep(PERIOD).await;
        let took = Duration::from_nanos(process::hrtime() - start);
        late_us.push(u32::try_from(took.saturating_sub(PERIOD).as_micros()).unwrap_or(u32::MAX));
    }
    parent_port().ok_or("a worker has a port")?.post_message(&late_us)?;
    Ok(())
}

async fn creator() -> Result<()> {
    let spinning: Result<Vec<Worker>> = (0..8).map(|_| start("spin")).collect();
    let spinning = spinning?;
    let up: Vec<_> = spinning.iter().map(online).collect();
    for up in up {
        up.await?;
    }
    let timer = start("timer")?;
    let mut late_us: Vec<u32> = next(&timer).await?;
    late_us.sort_unstable();
    let echo = start("echo")?;
    let mut trips_us = Vec::new();
    for number in 0..50_u32 {
        let start = process::hrtime();
        echo.post_message(&number)?;
        assert_eq!(next::<u32>(&echo).await?, number);
        trips_us.push((process::hrtime() - start) / 1000);
    }
    trips_us.sort_unstable();
    echo.terminate().await;
    let start = process::hrtime();
    for worker in spinning {
        assert_eq!(worker.terminate().await, Some(1));
    }
    let ending_us = (process::hrtime() - start) / 1000;
    println!(
        "late_us {} {} trip_us {} {} ending_us {ending_us}",
        late_us[50], late_us[99], trips_us[25], trips_us[49]
    );
    Ok(())
}
