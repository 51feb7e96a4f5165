//! Warnings: `process_warning <case>`, with the flags the caller chose.

use nodule_sdk::process::{self, WarningOptions, emit_warning};
use nodule_sdk::{Error, Result};

#[nodule_sdk::main]
fn main() -> Result<()> {
    process::on_warning(|warning| {
        let record = warning.record();
        println!(
            "warning {} {:?} {} {:?}",
            record.name,
            record.code.as_deref(),
            record.message,
            record.info.as_deref()
        );
    });
    process::once_warning(|warning| {
        let names_main = warning
            .stack()
            .is_some_and(|stack| stack.contains("process_warning::main"));
        println!("stack names main {names_main}");
    });
    println!(
        "flags {:?} {:?} {:?} {:?}",
        process::no_deprecation(),
        process::throw_deprecation(),
        process::trace_deprecation(),
        process::trace_process_warnings()
    );
    match process::argv().pop().unwrap_or_default().as_str() {
        "forms" => {
            emit_warning("plain", ())?;
            emit_warning("named", "CustomWarning")?;
            emit_warning("coded", ("CustomWarning", "W001"))?;
            let options = WarningOptions {
                code: Some("W002".into()),
                detail: Some("more".into()),
                ..Default::default()
            };
            emit_warning("detailed", options)?;
            emit_warning(Error::new("an error").named("RangeError").coded("W003"), "ignored")?;
        }
        "deprecation" => {
            emit_warning("earlier", ())?;
            emit_warning("old", ("DeprecationWarning", "DEP0001"))?;
        }
        "set" => {
            process::set_no_deprecation(true)?;
            emit_warning("silenced", "DeprecationWarning")?;
            process::set_no_deprecation(false)?;
            process::set_throw_deprecation(true)?;
            process::on_uncaught_exception(|error, _| println!("uncaught {error}"));
            emit_warning("logged", ())?;
            emit_warning("thrown", ("DeprecationWarning", "DEP0002"))?;
        }
        _ => {}
    }
    println!("main");
    Ok(())
}
