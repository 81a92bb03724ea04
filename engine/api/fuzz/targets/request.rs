//! libFuzzer's way in.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| api_fuzz::request(data));
