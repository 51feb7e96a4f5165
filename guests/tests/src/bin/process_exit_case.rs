//! The eleven exit-code cases that a process and a thread share: `process_exit_case <1..=10>`.
//! Case 11 needs a module whose uncaught hook has the wrong type.

use nodule_sdk::process;

#[nodule_sdk::main]
fn main() -> nodule_sdk::Result<()> {
    let case = process::argv().pop().unwrap_or_default();
    process::on_exit(|code| println!("exit {code} exitCode {:?}", process::exit_code()));
    match case.as_str() {
        "1" => process::set_exit_code(42),
        "2" => {
            process::set_exit_code(99);
            process::exit(42);
        }
        "3" => {
            process::set_exit_code(99);
            process::exit(0);
        }
        "4" => {
            process::set_exit_code(99);
            panic!("ok");
        }
        "5" => {
            process::on_exit(|_| process::set_exit_code(99));
            process::set_exit_code(95);
        }
        "6" => {
            process::on_uncaught_exception(|error, _| println!("uncaught {}", error.message()));
            panic!("ok");
        }
        "7" => {
            process::on_uncaught_exception(|_, _| process::set_exit_code(97));
            panic!("ok");
        }
        "8" => {
            process::on_exit(|_| process::set_exit_code(98));
            panic!("ok");
        }
        "9" => {
            process::on_exit(|_| process::set_exit_code(0));
            panic!("ok");
        }
        "10" => {
            process::on_uncaught_exception(|_, _| panic!("second"));
            panic!("first");
        }
        other => return Err(format!("no case {other}").into()),
    }
    Ok(())
}
