//! Branches, loops, calls, ends and barriers.

use super::{STORE, bytes, each_thread, fault, kernel, launch, launch_with, words};
use x0_cuda_simulator::{FaultKind, WarpOrder};

#[test]
fn lanes_take_both_sides_of_a_branch() {
    let body = "
        and.b32 r1, r15, 1;
        setp.eq.s32 c0, r1, 0;
        @c0 bra EVEN;
        add.s32 r0, r15, 100;
        bra JOIN;
        EVEN: mul.lo.s32 r0, r15, 3;
        JOIN: add.s32 r0, r0, 1;";
    let expected: Vec<u32> = (0..40).map(|i| if i % 2 == 0 { 3 * i + 1 } else { i + 101 }).collect();
    assert_eq!(each_thread(40, "", body), expected);
}

#[test]
fn lanes_join_after_a_branch() {
    // What is active after the branch is again the whole warp, also within a branch of a branch.
    let body = "
        setp.lt.u32 c0, r15, 20;
        @c0 bra LOW;
        setp.lt.u32 c1, r15, 25;
        @c1 bra MIDDLE;
        mov.u32 r1, 1;
        bra INNER;
        MIDDLE: mov.u32 r1, 2;
        INNER: activemask.b32 r2;
        bra JOIN;
        LOW: activemask.b32 r2;
        JOIN: activemask.b32 r3;
        xor.b32 r0, r2, r3;";
    let expected: Vec<u32> = (0..32).map(|i| if i < 20 { !0 << 20 } else { (1 << 20) - 1 }).collect();
    assert_eq!(each_thread(32, "", body), expected);
}

#[test]
fn each_lane_leaves_a_loop_at_its_time() {
    let body = "
        mov.u32 r0, 0;
        mov.u32 r1, 0;
        LOOP: setp.gt.u32 c0, r1, r15;
        @c0 bra DONE;
        add.u32 r0, r0, r1;
        add.u32 r1, r1, 1;
        bra.uni LOOP;
        DONE:
        activemask.b32 r2;
        popc.b32 r2, r2;
        mad.lo.u32 r0, r2, 1000, r0;";
    let expected: Vec<u32> = (0..32).map(|i| i * (i + 1) / 2 + 32_000).collect();
    assert_eq!(each_thread(32, "", body), expected);
}

#[test]
fn lanes_end_early() {
    let body = format!(
        "
        mov.u32 r0, 7;
        setp.ge.u32 c0, r15, 5;
        @c0 ret;
        {STORE}
        setp.eq.u32 c0, r15, 2;
        @c0 exit;
        mov.u32 r0, 9;"
    );
    let mut buffers = [vec![0; 32 * 4]];
    launch(&kernel("", &format!("{body}{STORE}")), 1, 32, &mut buffers).expect("the kernel runs");
    let expected: Vec<u32> = (0..32)
        .map(|i| {
            if i == 2 {
                7
            } else if i < 5 {
                9
            } else {
                0
            }
        })
        .collect();
    assert_eq!(words(&buffers[0]), expected);
}

#[test]
fn a_table_says_where_to_go() {
    let body = "
        rem.u32 r1, r15, 3;
        TABLE: .branchtargets A, B, C;
        brx.idx r1, TABLE;
        A: mov.u32 r0, 10; bra.uni JOIN;
        B: mov.u32 r0, 20; bra.uni JOIN;
        C: mov.u32 r0, 30;
        JOIN:";
    let expected: Vec<u32> = (0..32).map(|i| 10 * (i % 3 + 1)).collect();
    assert_eq!(each_thread(32, "", body), expected);
}

#[test]
fn functions_are_called() {
    let declarations = "
        .func (.param .b32 result) twice(.param .b32 x, .param .align 8 .b8 more[8])
        {
            .reg .b32 a<3>;
            .reg .pred c;
            ld.param.u32 a0, [x];
            ld.param.u32 a1, [more+4];
            setp.lt.u32 c, a0, 4;
            @c bra SMALL;
            add.u32 a0, a0, a0;
            add.u32 a0, a0, a1;
            st.param.b32 [result], a0;
            ret;
            SMALL: st.param.b32 [result+0], 0;
            ret;
        }";
    let call = |from: &str| {
        format!(
            "{{
            .param .b32 x; st.param.b32 [x+0], {from};
            .param .align 8 .b8 more[8]; st.param.b32 [more+4], 1;
            .param .b32 back;
            call.uni (back), twice, (x, more);
            ld.param.b32 r0, [back+0];
        }}"
        )
    };
    let expected: Vec<u32> = (0..32).map(|i| if i < 4 { 0 } else { (2 * i + 1) * 2 + 1 }).collect();
    assert_eq!(each_thread(32, declarations, &format!("{}{}", call("r15"), call("r0"))), expected);
}

#[test]
fn names_in_braces_end_with_them() {
    let body = "mov.u32 r0, 1; { .reg .b32 r0; mov.u32 r0, 2; { .reg .b32 low; mov.u32 low, 3; } } add.u32 r0, r0, 4;";
    assert_eq!(each_thread(1, "", body), [5]);
}

/// Each thread leaves its number in shared memory, and takes what the thread at the other end left.
const EXCHANGE: &str = "
    mov.u32 r1, memory;
    mad.lo.u32 r2, r15, 4, r1;
    st.shared.u32 [r2], r15;
    BARRIER
    mov.u32 r3, %ntid.x;
    sub.u32 r3, r3, r15;
    mad.lo.u32 r3, r3, 4, r1;
    ld.shared.u32 r0, [r3+-4];";

#[test]
fn a_barrier_lets_all_warps_arrive() {
    for barrier in ["bar.sync 0;", "barrier.sync 3;", "barrier.sync.aligned 1, 96;", "bar.cta.sync 0;"] {
        for order in [WarpOrder::Forward, WarpOrder::Backward] {
            let body = format!("{}{STORE}", EXCHANGE.replace("BARRIER", barrier));
            let ptx = kernel(".shared .align 4 .b8 memory[384];", &body);
            let mut buffers = [vec![0; 96 * 4]];
            launch_with(&ptx, 1, 96, 0, order, &mut buffers).expect("the kernel runs");
            assert_eq!(words(&buffers[0]), (0..96).rev().collect::<Vec<u32>>(), "{barrier} {order:?}");
        }
    }
}

#[test]
fn without_a_barrier_the_order_of_warps_shows() {
    let ptx = kernel(".shared .align 4 .b8 memory[256];", &format!("{}{STORE}", EXCHANGE.replace("BARRIER", "")));
    let run = |order| {
        let mut buffers = [vec![0; 64 * 4]];
        launch_with(&ptx, 1, 64, 0, order, &mut buffers).expect("the kernel runs");
        words(&buffers[0])
    };
    // The warp that comes first finds memory that nobody has written.
    assert_eq!(run(WarpOrder::Forward)[..32], [u32::MAX; 32]);
    assert_eq!(run(WarpOrder::Backward)[32..], [u32::MAX; 32]);
}

#[test]
fn a_barrier_counts_votes() {
    let body = "
        setp.lt.u32 c0, r15, 40;
        bar.red.popc.u32 r1, 0, c0;
        bar.red.and.pred c1, 0, c0;
        bar.red.or.pred c2, 0, !c0;
        selp.u32 r2, 1000, 0, c1;
        selp.u32 r3, 2000, 0, c2;
        add.u32 r0, r1, r2;
        add.u32 r0, r0, r3;";
    assert_eq!(each_thread(64, "", body), [2040; 64]);
}

#[test]
fn producers_arrive_and_consumers_wait() {
    // The first warp waits for the second, which does not wait.
    let body = "
        setp.lt.u32 c0, r15, 32;
        mov.u32 r1, memory;
        @c0 bra CONSUMER;
        st.shared.u32 [r1], 77;
        bar.arrive 5, 64;
        mov.u32 r0, 1;
        bra JOIN;
        CONSUMER: bar.sync 5, 64;
        ld.shared.u32 r0, [r1];
        JOIN:";
    let found = each_thread(64, ".shared .align 4 .b8 memory[4];", body);
    assert_eq!((&found[..32], &found[32..]), (&[77; 32][..], &[1; 32][..]));
}

#[test]
fn a_barrier_opens_when_the_last_arrives() {
    // The producer arrives for the second time before the consumer has had its turn again: the first time is over by then.
    let body = "
        setp.lt.u32 c0, r15, 32;
        mov.u32 r0, 5;
        @c0 bra CONSUMER;
        bar.arrive 1, 64;
        bar.sync 2, 64;
        bar.arrive 1, 64;
        bra JOIN;
        CONSUMER: bar.sync 1, 64;
        bar.sync 2, 64;
        bar.sync 1, 64;
        JOIN:";
    for order in [WarpOrder::Forward, WarpOrder::Backward] {
        let mut buffers = [vec![0; 256]];
        let ptx = kernel("", &format!("{body}{STORE}"));
        launch_with(&ptx, 1, 64, 0, order, &mut buffers).expect("the kernel runs");
        assert_eq!(words(&buffers[0]), [5; 64], "{order:?}");
    }
}

#[test]
fn the_first_of_many_blocks_that_fault() {
    // Blocks run on several threads, and all from the 100th on fault.
    let body = "mov.u32 r1, %ctaid.x; setp.ge.u32 c0, r1, 100; @c0 trap;";
    let fault = launch(&kernel("", body), 1000, 32, &mut []).expect_err("the kernel traps");
    assert_eq!(fault.block, [100, 0, 0]);
}

#[test]
fn warps_that_ended_are_not_waited_for() {
    let body = "mov.u32 r0, 3; setp.ge.u32 c0, r15, 32; @c0 ret; bar.sync 0;";
    let mut buffers = [vec![0; 64 * 4]];
    launch(&kernel("", &format!("{body}{STORE}")), 1, 64, &mut buffers).expect("the kernel runs");
    assert_eq!(words(&buffers[0])[..32], [3; 32]);
}

#[test]
fn a_barrier_that_is_never_reached() {
    // Half of a warp, and a warp that waits at another barrier.
    assert_eq!(fault(32, "", "setp.lt.u32 c0, r15, 16; @c0 bra A; bar.sync 0; A: bar.sync 1;"), FaultKind::Deadlock);
    let body = "setp.lt.u32 c0, r15, 32; @c0 bra A; bar.sync 0; bra B; A: bar.sync 1; B:";
    assert_eq!(fault(64, "", body), FaultKind::Deadlock);
}

#[test]
fn a_loop_without_end() {
    assert_eq!(fault(32, "", "LOOP: add.u32 r0, r0, 1; bra.uni LOOP;"), FaultKind::Endless);
}

#[test]
fn a_fault_says_where() {
    let mut buffers = [bytes([0; 4])];
    let body = "mov.u32 r1, %ctaid.x; setp.eq.u32 c0, r1, 2; setp.eq.and.u32 c0, r15, 35, c0;\n@c0   trap;";
    let fault = launch(&kernel("", body), 4, 64, &mut buffers).expect_err("the kernel traps");
    assert_eq!((fault.block, fault.thread), ([2, 0, 0], [35, 0, 0]));
    assert_eq!((fault.function.as_str(), fault.instruction.as_str()), ("kernel", "@c0 trap"));
    assert_eq!(fault.kind, FaultKind::Trap);
}

#[test]
fn what_is_not_simulated_faults_where_it_is_reached() {
    let body =
        "setp.gt.u32 c0, r15, 99; @c0 bra A; mov.u32 r0, 4; bra.uni B; A: setmaxnreg.dec.sync.aligned.u32 40; B:";
    assert_eq!(each_thread(32, "", body), [4; 32]);
    assert_eq!(fault(32, "", "setmaxnreg.dec.sync.aligned.u32 40;"), FaultKind::Unsupported);
    // A modifier that is not known is not passed over.
    assert_eq!(fault(32, "", "add.rn.oob.f32 r0, r1, r2;"), FaultKind::Unsupported);
}
