//! libFuzzer's way in.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| matchmaker_fuzz::query(data));
