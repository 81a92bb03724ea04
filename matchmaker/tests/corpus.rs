//! Replays the fuzzer's corpus: inputs that once reached new code, or failed.

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "the fuzzer calls it from outside")]
mod fuzz;

#[test]
fn the_corpus_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/query");
    let files = std::fs::read_dir(folder).expect("the corpus is committed");
    let inputs: Vec<_> = files.map(|file| file.expect("a readable folder").path()).collect();
    assert!(inputs.len() > 10, "{folder} is no corpus");
    for input in inputs {
        fuzz::query(&std::fs::read(&input).expect("a readable file"));
    }
}
