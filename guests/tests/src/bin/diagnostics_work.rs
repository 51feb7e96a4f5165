//! Allocates, leaves a mark in memory, then computes, waits or ends, as its argument says.

use std::hint::black_box;

use nodule_sdk::timers;

#[inline(never)]
fn hoard() -> Vec<Vec<u8>> {
    (0..64_u8).map(|number| vec![number; 64 * 1024]).collect()
}

#[inline(never)]
fn hot_loop() -> ! {
    let mut number = 0_u64;
    loop {
        number = black_box(number.wrapping_mul(31).wrapping_add(7));
    }
}

#[inline(never)]
fn churn() -> ! {
    loop {
        drop(black_box(vec![1_u8; 4096]));
    }
}

#[nodule_sdk::main]
async fn main() -> nodule_sdk::Result<()> {
    // The mark is put together here, so that it is nowhere in the module.
    let mark: String = black_box(["buried", "treasure"]).join("-");
    let hoarded = hoard();
    println!("ready");
    match std::env::args().nth(1).as_deref() {
        Some("compute") => hot_loop(),
        Some("churn") => churn(),
        Some("wait") => timers::sleep(std::time::Duration::from_secs(3600)).await,
        _ => {}
    }
    black_box((mark, hoarded));
    Ok(())
}
