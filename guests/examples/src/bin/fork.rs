//! Parent and child process greet each other: the program forks itself. The child ends when the parent hangs up.

use nodule_sdk::child_process::{self, ForkOptions};
use nodule_sdk::process;

#[nodule_sdk::main]
fn main() -> nodule_sdk::Result<()> {
    let argv = process::argv();

    if argv.get(2).is_none() {
        let child = child_process::fork(&argv[1], &["child"], ForkOptions::new())?;
        child.send("hello, I am the parent")?;

        let hang_up = child.clone();
        child.once_message(move |message: String| {
            println!("parent: {message}");
            hang_up.disconnect().unwrap();
        });
        child.on_exit(|code, _signal| println!("parent: the child ended with {}", code.unwrap_or(-1)));
    } else {
        process::on_message(|message: String| {
            println!("child: {message}");
            process::send("hello, I am the child").unwrap();
        });
    }
    Ok(())
}
