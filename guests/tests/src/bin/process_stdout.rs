//! Standard output: `process_stdout <case>`.

use std::io::Write as _;

use nodule_sdk::{Result, process};

#[nodule_sdk::main]
fn main() -> Result<()> {
    let stdout = process::stdout();
    match process::argv().pop().unwrap_or_default().as_str() {
        "order" => {
            print!("std ");
            stdout.write_all(b"sdk ")?;
            print!("std ");
            writeln!(process::stdout(), "sdk {}", 1)?;
            print!("held back");
            process::exit(0);
        }
        "attributes" => {
            println!(
                "{:?} {} {:?} {:?}",
                stdout.fd(),
                stdout.is_tty(),
                stdout.columns(),
                stdout.rows()
            );
            println!("{:?}", process::stderr().fd());
        }
        // 8 MiB in one call; all of it arrives although the program exits at once.
        "large" => {
            let line = [b'x'; 1023];
            let mut text = Vec::with_capacity(8 << 20);
            for _ in 0..8192 {
                text.extend_from_slice(&line);
                text.push(b'\n');
            }
            stdout.write_all(&text)?;
            process::exit(0);
        }
        // Writes until the reader is gone; standard error gets the reason.
        "closed" => loop {
            if let Err(error) = stdout.write_all(&[b'y'; 4096]) {
                process::stderr().write_all(error.code().unwrap_or_default().as_bytes())?;
                process::exit(0);
            }
        },
        other => println!("no case {other}"),
    }
    Ok(())
}
