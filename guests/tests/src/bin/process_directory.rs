//! Working directory, mask, env file: `process_directory <directory> <env file>`.

use nodule_sdk::{Error, Result, process};

fn show(what: &str, result: Result<()>) {
    match result {
        Ok(()) => println!("{what}: ok"),
        Err(error) => {
            let record = error.record();
            println!(
                "{what}: {} {:?} {:?}",
                error.code().unwrap_or("-"),
                record.syscall.as_deref(),
                error.message()
            );
        }
    }
}

#[nodule_sdk::main]
fn main() -> Result<()> {
    let arguments = process::argv();
    println!("cwd {}", process::cwd()?);
    show("chdir missing", process::chdir("/definitely/missing"));
    if let Some(directory) = arguments.get(2) {
        show("chdir", process::chdir(directory));
        println!("cwd {}", process::cwd()?);
    }
    let old = process::set_umask("077")?;
    println!(
        "umask {:o} was {}",
        process::umask()?,
        if old <= 0o777 { "a mask" } else { "none" }
    );
    process::set_umask(old)?;
    println!("restored {}", process::umask()? == old);
    println!(
        "bad mask {}",
        process::set_umask("9")
            .err()
            .as_ref()
            .and_then(Error::code)
            .unwrap_or_default()
    );
    show("env file", process::load_env_file(arguments.get(3).map(String::as_str)));
    println!(
        "FROM_FILE {:?} std {:?}",
        process::env::get("FROM_FILE"),
        std::env::var("FROM_FILE").ok()
    );
    Ok(())
}
