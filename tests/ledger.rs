//! The ledger of Node's API is complete and honest.

use nodule_tests::{documents, ledger, proofs, repository};

#[test]
fn every_id_has_a_state_and_every_claim_a_test() {
    let entries = ledger::read().unwrap_or_else(|problems| panic!("{problems}"));
    let proofs = proofs::read().unwrap_or_else(|problem| panic!("{problem}"));
    let problems = proofs::disagreements(&entries, &proofs);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn committed_documents_are_what_make_docs_writes() {
    for document in documents::all().unwrap_or_else(|problem| panic!("{problem}")) {
        let committed = std::fs::read_to_string(repository().join(document.path)).unwrap_or_default();
        let differs = crate::support::first_difference(&document.text, &committed);
        assert!(
            differs.is_none(),
            "{}: run `make docs` and commit it\n{}",
            document.path,
            differs.unwrap_or_default()
        );
    }
}

#[test]
fn every_module_is_part_of_the_test_binary() {
    let directory = repository().join("tests");
    let modules = proofs::modules(&directory).unwrap_or_else(|problem| panic!("{problem}"));
    for file in std::fs::read_dir(&directory).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let Some(module) = name.strip_suffix(".rs") else {
            continue;
        };
        let known = matches!(module, "main" | "build") || modules.iter().any(|known| known == module);
        assert!(
            known,
            "tests/{name} is not declared in tests/main.rs, so its tests never run"
        );
    }
}

#[test]
fn marks_are_read_from_above_tests_only() {
    let marks =
        proofs::marks("// proves: a.b, c\n// proves: d\n/// Text.\n#[test]\nfn works() {\n}\n#[test]\nfn other() {}\n");
    let expected = ["a.b", "c", "d"].map(|id| (id.to_string(), "works".to_string()));
    assert_eq!(marks.unwrap(), expected);
    assert!(
        proofs::marks("// proves: a\nfn helper() {}\n").is_err(),
        "a mark above a function that is no test"
    );
    assert!(
        proofs::marks("// proves: a\nlet x = 1;\n").is_err(),
        "a mark above no function"
    );
}

#[test]
fn bad_rows_are_named() {
    let api = "id\tarea\tkind\torigin\tsummary\na\tx\tmethod\tseed\tA\nb\tx\tmethod\tseed\tB\n";
    for (status, problem) in [
        ("id\tstate\twhy\na\tdone\t\n", "b has no row"),
        (
            "id\tstate\twhy\na\tdone\t\nb\tdone\t\nc\tdone\t\n",
            "c is not in docs/api.tsv",
        ),
        ("id\tstate\twhy\na\tdone\tbecause\nb\tdone\t\n", "needs no reason"),
        ("id\tstate\twhy\na\tdiffers\t\nb\tdone\t\n", "a reason is missing"),
        ("id\tstate\twhy\na\tdone\t\na\tdone\t\nb\tdone\t\n", "a has two rows"),
        ("id\tstate\twhy\na\tnearly\twhy\nb\tdone\t\n", "unknown state"),
    ] {
        let problems = ledger::join(api, status).expect_err(problem);
        assert!(problems.contains(problem), "{problems}");
    }
    let entries = ledger::join(api, "id\tstate\twhy\na\tdone\t\nb\tabsent\tlater\n").unwrap();
    let claims = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(id, test)| ((*id).to_string(), vec![(*test).to_string()]))
            .collect()
    };
    assert!(proofs::disagreements(&entries, &claims(&[("a", "t")])).is_empty());
    assert_eq!(
        proofs::disagreements(&entries, &claims(&[])),
        ["a is done but no test proves it"]
    );
    assert_eq!(
        proofs::disagreements(&entries, &claims(&[("a", "t"), ("b", "u")])),
        ["b is absent but proven by u"]
    );
    assert_eq!(
        proofs::disagreements(&entries, &claims(&[("a", "t"), ("z", "u")])),
        ["z is not in docs/api.tsv but claimed by u"]
    );
}
