//! The diagnostic report and its settings.

use nodule_sdk::process::{self, report};
use nodule_sdk::{Error, Result};

#[nodule_sdk::main]
fn main() -> Result<()> {
    println!(
        "{} {:?} {:?} {}",
        report::compact(),
        report::directory(),
        report::filename(),
        report::signal()
    );
    println!(
        "{} {} {} {} {}",
        report::report_on_fatal_error(),
        report::report_on_signal(),
        report::report_on_uncaught_exception(),
        report::exclude_env(),
        report::exclude_network()
    );
    println!(
        "bad signal {}",
        report::set_signal("SIGNONE")
            .err()
            .as_ref()
            .and_then(Error::code)
            .unwrap_or_default()
    );
    println!(
        "bad type {}",
        process::set_attribute("report.compact", 5)
            .err()
            .as_ref()
            .and_then(Error::code)
            .unwrap_or("-")
    );
    report::set_compact(true);
    let text = report::get_report(Some(&Error::new("what it is about")))?;
    println!("one line {}", !text.trim_end().contains('\n'));
    println!("names the error {}", text.contains("what it is about"));
    if let Some(directory) = process::argv().get(2) {
        report::set_directory(directory)?;
        println!("written {}", report::write_report(Some("report.json"), None)?);
        println!("generated {}", report::write_report(None, None)?);
    }
    Ok(())
}
