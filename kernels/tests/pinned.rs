//! That threads stay on one processor each if that is asked for.

#![cfg(target_os = "linux")]

/// On how many processors the calling thread may run.
fn allowed() -> i32 {
    // SAFETY: a set of processors is plain bits, which the call fills in.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set), 0);
        libc::CPU_COUNT(&set)
    }
}

#[test]
fn threads_are_pinned_on_request() {
    // SAFETY: this test is alone in its process and has started no thread yet that reads the environment.
    unsafe {
        std::env::set_var("X0_PIN", "1");
        std::env::set_var("X0_THREADS", "3");
    }
    let before = allowed();
    assert_eq!(x0_kernels::threads(), 3);
    assert_eq!(x0_kernels::install(allowed), 1);
    assert_eq!(allowed(), before, "only the pool's threads are pinned");
}
