//! Every case of the corpus, on the decision itself.

use std::path::Path;

#[test]
fn every_case_is_decided_as_it_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases");
    let mut faults = Vec::new();
    for case in testkit::cases::load(&directory).unwrap() {
        for mismatch in testkit::cases::run(&case).unwrap() {
            faults.push(format!("{}: {mismatch}", case.name));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
