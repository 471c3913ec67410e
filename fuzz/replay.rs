//! Runs a fuzz target on every input that a fuzzer or a person has kept for it. Each crate with
//! targets includes this file in its tests.

pub(super) fn replay(target: &str, run: fn(&[u8])) {
    let corpus = format!("{}/../../fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for input in std::fs::read_dir(corpus).unwrap() {
        run(&std::fs::read(input.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "{target} has no corpus");
}
