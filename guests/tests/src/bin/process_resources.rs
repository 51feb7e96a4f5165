//! `getActiveResourcesInfo`, `ref` and `unref`, `getBuiltinModule`.

use std::time::Duration;

use nodule_sdk::{process, timers};

#[nodule_sdk::main]
async fn main() {
    println!("idle {:?}", process::get_active_resources_info());
    let timeout = timers::set_timeout(|| {}, Duration::from_secs(60));
    let immediate = timers::set_immediate(|| {});
    println!("both {:?}", process::get_active_resources_info());
    process::unref(&timeout);
    println!("unref {:?}", process::get_active_resources_info());
    process::ref_(&timeout);
    immediate.clear();
    println!("cleared {:?}", process::get_active_resources_info());
    timeout.clear();
    println!("none {:?}", process::get_active_resources_info());
    for id in ["process", "node:process", "nothing"] {
        let module = process::get_builtin_module(id);
        println!(
            "{id} {:?}",
            module.map(|module| (
                module.name,
                module.version,
                module.imports.iter().any(|import| import == "kill")
            ))
        );
    }
}
