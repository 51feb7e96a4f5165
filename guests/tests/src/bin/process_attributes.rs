//! Attributes, one line each.

use nodule_sdk::{Result, process};

#[nodule_sdk::main]
fn main() -> Result<()> {
    println!("arch {}", process::arch());
    println!("platform {}", process::platform());
    println!("guestArch {}", process::guest_arch());
    println!("release {}", process::release().name);
    println!("version {}", process::version());
    println!("versions {:?}", process::versions());
    println!("execPath {}", process::exec_path());
    println!("pid {}", process::pid());
    println!("ppid {}", process::ppid());
    println!("title {}", process::title());
    println!("argv {:?}", process::argv());
    println!("argv0 {}", process::argv0());
    println!("execArgv {:?}", process::exec_argv());
    println!("std {:?}", std::env::args().collect::<Vec<_>>());
    println!("debugPort {}", process::debug_port());
    println!("mainModule {:?}", process::main_module());
    println!("features {:?}", process::features());
    println!("config {}", process::config().get("variables").is_some());
    println!("sourceMapsEnabled {}", process::source_maps_enabled());
    println!(
        "connected {:?} channel {}",
        process::connected()?,
        process::channel()?.is_some()
    );
    println!("exitCode {:?}", process::exit_code());
    for (name, value) in [("version", "1"), ("config", "1"), ("versions", "1"), ("nothing", "1")] {
        let refused = process::set_attribute(name, value);
        println!(
            "set {name}: {}",
            refused
                .err()
                .and_then(|error| error.code().map(str::to_owned))
                .unwrap_or_default()
        );
    }
    for port in [0, 1, 1023, 1024, 65535, 65536] {
        let set = process::set_debug_port(port);
        println!(
            "debugPort {port}: {}",
            set.err()
                .map_or("ok".into(), |error| error.code().unwrap_or("-").to_owned())
        );
    }
    process::set_title("renamed")?;
    println!("title {}", process::title());
    let flags = process::allowed_node_environment_flags();
    println!(
        "flags {} {} {}",
        flags.has("--no-warnings"),
        flags.has("no_warnings"),
        flags.has("--nothing")
    );
    Ok(())
}
