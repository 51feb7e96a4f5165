//! Permissions: asks for and drops what the arguments say: `has <scope> [reference]`, `drop <scope> [reference]`…
//! separated by `,`.

use nodule_sdk::process::{self, permission};

#[nodule_sdk::main]
fn main() {
    let arguments = process::argv();
    for step in arguments[2..].split(|argument| argument == ",") {
        let [action, scope, reference @ ..] = step else {
            continue;
        };
        let reference = reference.first().map(String::as_str);
        let outcome = match action.as_str() {
            "drop" => permission::drop(scope, reference).map(|()| "dropped".to_owned()),
            _ => permission::has(scope, reference).map(|granted| granted.to_string()),
        };
        let outcome = outcome.unwrap_or_else(|error| error.to_string());
        println!("{action} {scope} {}: {outcome}", reference.unwrap_or("-"));
    }
}
