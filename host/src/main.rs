//! The `nodule` command.

fn main() {
    let code = nodule::cli::main(std::env::args_os());
    // Not a return from `main`: nothing may wait here for a thread that reads a silent stdin.
    std::process::exit(code.number().into());
}
