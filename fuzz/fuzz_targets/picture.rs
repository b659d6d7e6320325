#![no_main]

// A decoder of somebody else's may panic, which is caught and is an answer. libFuzzer's own hook would end the process before that; what is
// not caught still does.
libfuzzer_sys::fuzz_target!(init: drop(std::panic::take_hook()), |data: &[u8]| x0_fuzz::picture(data));
