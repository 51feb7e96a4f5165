//! `abort`: dies by SIGABRT without any event.

use nodule_sdk::process;

#[nodule_sdk::main]
fn main() -> nodule_sdk::Result<()> {
    process::on_exit(|_| println!("an exit listener ran"));
    println!("before");
    process::abort()?;
    Ok(())
}
