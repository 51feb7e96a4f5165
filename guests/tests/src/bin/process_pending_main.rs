//! A main that can never go on: exit code 13, unless `explicit` sets another.

use nodule_sdk::{process, promise, task};

#[nodule_sdk::main]
async fn main() {
    process::on_exit(|code| println!("exit {code} exitCode {:?}", process::exit_code()));
    process::on_before_exit(|code| println!("beforeExit {code}"));
    if process::argv().pop().as_deref() == Some("explicit") {
        process::set_exit_code(3);
    }
    task::spawn_named("reader", std::future::pending::<()>());
    let (_resolver, promise) = promise::deferred::<()>();
    let _ = promise.await;
    println!("main went on");
}
