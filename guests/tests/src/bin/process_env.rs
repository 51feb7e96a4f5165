//! The environment: reading, writing, what is refused, and that std sees the same.

use nodule_sdk::{Result, process::env};

fn code(result: Result<()>) -> String {
    result
        .err()
        .map_or("ok".into(), |error| error.code().unwrap_or("-").to_owned())
}

#[nodule_sdk::main]
fn main() -> Result<()> {
    println!("inherited {:?}", env::get("NODULE_TEST_INHERITED"));
    println!("missing {:?}", env::get("NODULE_TEST_MISSING"));
    env::set("A", "text")?;
    env::set("B", 5)?;
    env::set("C", true)?;
    env::set("D", None::<&str>)?;
    env::set("E", ())?;
    env::set("", "ignored")?;
    for key in ["A", "B", "C", "D", "E", ""] {
        println!(
            "{key:?} {:?} std {:?}",
            env::get(key),
            std::env::var(if key.is_empty() { "-" } else { key }).ok()
        );
    }
    env::remove("A")?;
    env::remove("A")?;
    println!("removed {:?}", env::get("A"));
    println!("a {:?}", env::get("b"));
    println!("key with = {}", code(env::set("F=G", "x")));
    println!("key with NUL {}", code(env::set("F\0G", "x")));
    println!("value with NUL {}", code(env::set("F", "x\0y")));
    println!("all has B {}", env::all()?.contains_key("B"));
    Ok(())
}
