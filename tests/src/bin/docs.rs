//! Writes the generated documents. `make docs` calls it.

use std::process::ExitCode;

use nodule_tests::documents::{self, Document};

fn main() -> ExitCode {
    match documents::all().and_then(|documents| documents.iter().try_for_each(write)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn write(document: &Document) -> Result<(), String> {
    let path = nodule_tests::repository().join(document.path);
    if std::fs::read_to_string(&path).is_ok_and(|text| text == document.text) {
        return Ok(());
    }
    let failed = |error: std::io::Error| format!("{}: {error}", document.path);
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    std::fs::write(&path, &document.text).map_err(failed)?;
    println!("wrote {}", document.path);
    Ok(())
}
