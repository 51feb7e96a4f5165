//! Greets, and prints the arguments it was given. Plain std: any WASI command runs in nodule.

fn main() {
    println!("hello, world");
    for argument in std::env::args().skip(1) {
        println!("{argument}");
    }
}
