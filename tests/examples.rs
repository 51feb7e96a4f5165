//! The examples of the README do what it says.

use crate::guests::examples;
use crate::support::{guest, guest_with};

/// The README shows this program and this output of it.
fn the_readme_shows(program: &str, output: &str) {
    let readme = std::fs::read_to_string(nodule_tests::repository().join("README.md")).unwrap();
    assert!(readme.contains(output), "the README shows another output");
    let source = nodule_tests::repository().join(format!("guests/examples/src/bin/{program}.rs"));
    let source = std::fs::read_to_string(source).unwrap();
    let (_, text) = source.split_once("\n\n").unwrap();
    assert!(readme.contains(text.trim()), "the README shows another program");
}

#[test]
fn the_greeter_says_what_the_readme_shows() {
    let expected = "hello, Ada\nleaving with 3\n";
    guest(examples::GREETER).args(["Ada"]).run().code(3).stdout(expected);
    the_readme_shows("greeter", expected);
}

#[test]
fn main_thread_and_worker_greet_each_other_as_the_readme_shows() {
    let expected = "port2: hello, I am mainThread\nport1: hello, I am workerThread\n";
    guest(examples::WORKER_THREADS).run().success().stdout(expected);
    the_readme_shows("worker_threads", expected);
}

#[test]
fn parent_and_child_greet_each_other_as_the_readme_shows() {
    let expected = "child: hello, I am the parent\nparent: hello, I am the child\nparent: the child ended with 0\n";
    guest_with(&["--allow-child"], examples::FORK)
        .run()
        .success()
        .stdout(expected);
    the_readme_shows("fork", expected);
}

#[test]
fn a_picture_is_blurred_by_all_workers_as_by_one() {
    guest(examples::PARALLEL_BLUR)
        .run()
        .success()
        .stdout_has("1280 x 720 pixels: 1 worker ");
    // A filter: one white pixel becomes a spot whose brightness is spread around it.
    let (width, height) = (40, 30);
    let mut picture = b"P5\n40 30\n255\n".to_vec();
    let mut pixels = vec![0; width * height];
    pixels[15 * width + 20] = 255;
    picture.extend(&pixels);
    let run = guest(examples::PARALLEL_BLUR).stdin(picture).run().success();
    let blurred = run.stdout.strip_prefix("P5\n40 30\n255\n").unwrap().as_bytes();
    assert_eq!(blurred.len(), width * height);
    assert_eq!(blurred.iter().max(), Some(&blurred[15 * width + 20]));
    assert!(blurred[15 * width + 20] < 16 && blurred[15 * width + 22] > 0 && blurred[0] == 0);
    guest(examples::PARALLEL_BLUR)
        .stdin("P6 no")
        .run()
        .code(1)
        .stderr_has("standard input is no PGM picture");
}
