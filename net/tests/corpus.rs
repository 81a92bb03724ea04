//! Replays the fuzzer's corpus: inputs that once reached new code, or failed.

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "the fuzzer calls it from outside")]
mod fuzz;

#[test]
fn the_corpus_holds() {
    for (target, run) in [("http", fuzz::http as fn(&[u8])), ("tls", fuzz::tls), ("ws", fuzz::ws)] {
        let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(&folder).expect("the corpus is committed");
        let inputs: Vec<_> = files.map(|file| file.expect("a readable folder").path()).collect();
        assert!(inputs.len() > 10, "{folder} is no corpus");
        for input in inputs {
            run(&std::fs::read(&input).expect("a readable file"));
        }
    }
}
