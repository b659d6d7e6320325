//! The threads that kernels run on.
//!
//! One pool for the whole process, so that two models never oversubscribe the machine. Its size is what the machine, the
//! process's affinity and its cgroup's quota allow; `X0_THREADS` asks for another. Idle threads sleep. With `X0_PIN=1` each
//! thread stays on one processor, which helps where nothing else runs, and hurts where something does.
//!
//! Subnormal numbers are left as they are: Rust's floating-point arithmetic is only defined with the processor's default modes,
//! and no kernel here makes many of them.

use std::sync::OnceLock;

use rayon::ThreadPool;
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

fn pool() -> &'static ThreadPool {
    static POOL: OnceLock<ThreadPool> = OnceLock::new();
    POOL.get_or_init(|| {
        let asked = std::env::var("X0_THREADS").ok().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
        let threads = asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
        let pinned = std::env::var("X0_PIN").is_ok_and(|pin| pin == "1");
        let processors = if pinned { affinity::processors() } else { Vec::new() };
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("x0-kernel-{i}"))
            .start_handler(move |i| {
                if !processors.is_empty() {
                    affinity::stay_on(processors[i % processors.len()]);
                }
            })
            .build()
            .expect("the operating system gives a process its first threads")
    })
}

/// How many threads kernels use.
pub fn threads() -> usize {
    rayon::current_thread_index().map_or_else(|| pool().current_num_threads(), |_| rayon::current_num_threads())
}

/// Runs `f` on a thread of the pool, so that the kernels it calls start without a hand-over. Worth it around a whole model
/// call; never needed for correctness.
pub fn install<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    pool().install(f)
}

/// Calls `f(0)` to `f(tasks - 1)`, each once, on the threads of the pool that the caller is in, or of ours.
pub(crate) fn for_each(tasks: usize, f: impl Fn(usize) + Sync + Send) {
    inside(|| {
        if tasks == 1 {
            f(0);
        } else {
            (0..tasks).into_par_iter().with_max_len(1).for_each(&f);
        }
    });
}

/// Calls `f` with the number of each chunk of `size` elements and the chunk.
pub(crate) fn for_each_chunk<T: Send>(values: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Sync + Send) {
    inside(|| values.par_chunks_mut(size).enumerate().with_max_len(1).for_each(|(i, chunk)| f(i, chunk)));
}

/// Runs `f` on a thread of the pool that the caller is in, or of ours.
fn inside(f: impl FnOnce() + Send) {
    match rayon::current_thread_index() {
        Some(_) => f(),
        None => pool().install(f),
    }
}

/// Splits `0..len` into ranges of `grain`, the last one shorter, and calls `f` with each.
pub(crate) fn for_each_range(len: usize, grain: usize, f: impl Fn(std::ops::Range<usize>) + Sync + Send) {
    let grain = grain.max(1);
    for_each(len.div_ceil(grain), |i| f(i * grain..len.min((i + 1) * grain)));
}

#[cfg(target_os = "linux")]
mod affinity {
    //! On which processors a thread may run.

    use std::mem::{size_of, zeroed};

    /// Those that the process may use, by number.
    pub(super) fn processors() -> Vec<usize> {
        // SAFETY: a set of processors is plain bits, for which zero is a value; the call fills it in, and indices are below
        // its size.
        unsafe {
            let mut set: libc::cpu_set_t = zeroed();
            if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
                return Vec::new();
            }
            (0..libc::CPU_SETSIZE as usize).filter(|i| libc::CPU_ISSET(*i, &set)).collect()
        }
    }

    /// Keeps the calling thread on one processor. Where that fails it runs on any.
    pub(super) fn stay_on(processor: usize) {
        // SAFETY: as above.
        unsafe {
            let mut set: libc::cpu_set_t = zeroed();
            libc::CPU_SET(processor, &mut set);
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod affinity {
    //! Elsewhere threads run where the system puts them.

    pub(super) fn processors() -> Vec<usize> {
        Vec::new()
    }

    pub(super) fn stay_on(_processor: usize) {}
}
