//! The examples of the README do what it says.

use crate::guests::examples;
use crate::support::guest;

#[test]
fn the_greeter_says_what_the_readme_shows() {
    let expected = "hello, Ada\nleaving with 3\n";
    guest(examples::GREETER).args(["Ada"]).run().code(3).stdout(expected);
    let readme = std::fs::read_to_string(nodule_tests::repository().join("README.md")).unwrap();
    assert!(readme.contains(expected), "the README shows another output");
    let source = nodule_tests::repository().join("guests/examples/src/bin/greeter.rs");
    let source = std::fs::read_to_string(source).unwrap();
    let (_, program) = source.split_once("\n\n").unwrap();
    assert!(readme.contains(program.trim()), "the README shows another program");
}
