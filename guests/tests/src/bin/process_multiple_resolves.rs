//! The first settlement counts; later ones are reported on the next tick.

use nodule_sdk::{Error, process, promise};

#[nodule_sdk::main]
async fn main() -> nodule_sdk::Result<()> {
    process::on_warning(|warning| println!("warning {}", warning.code().unwrap_or_default()));
    process::on_multiple_resolves(|event| {
        let value = event.value.downcast_ref::<u32>().copied();
        let error = event.value.downcast_ref::<Error>().map(Error::message);
        println!("multipleResolves {} {value:?} {error:?}", event.kind.name());
    });
    let (resolver, promise) = promise::deferred();
    resolver.resolve(1_u32);
    resolver.resolve(2);
    resolver.reject("late");
    println!("settled");
    println!("value {}", promise.await?);
    Ok(())
}
