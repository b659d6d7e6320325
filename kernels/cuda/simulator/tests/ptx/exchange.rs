//! What lanes tell each other.

use super::{each_thread, fault};
use x0_cuda_simulator::FaultKind;

#[test]
fn shuffles() {
    // Each lane gives its number; what it gets, plus 100 if the predicate holds.
    let shuffled = |shuffle: &str| {
        each_thread(32, "", &format!("shfl.sync.{shuffle}, -1; selp.u32 r2, 100, 0, c0; add.u32 r0, r1, r2;"))
    };
    let expected = |of: fn(i32) -> (i32, bool)| -> Vec<u32> {
        (0..32).map(of).map(|(lane, valid)| lane as u32 + if valid { 100 } else { 0 }).collect()
    };
    assert_eq!(shuffled("bfly.b32 r1|c0, r15, 5, 31"), expected(|i| (i ^ 5, true)));
    assert_eq!(shuffled("up.b32 r1|c0, r15, 3, 0"), expected(|i| if i < 3 { (i, false) } else { (i - 3, true) }));
    assert_eq!(shuffled("down.b32 r1|c0, r15, 3, 31"), expected(|i| if i > 28 { (i, false) } else { (i + 3, true) }));
    assert_eq!(shuffled("idx.b32 r1|c0, r15, 7, 31"), expected(|_| (7, true)));
    // Segments of 8 lanes: the mask 0x18 is above the clamp.
    assert_eq!(
        shuffled("down.b32 r1|c0, r15, 2, 0x1807"),
        expected(|i| if i % 8 > 5 { (i, false) } else { (i + 2, true) })
    );
    assert_eq!(
        shuffled("up.b32 r1|c0, r15, 2, 0x1800"),
        expected(|i| if i % 8 < 2 { (i, false) } else { (i - 2, true) })
    );
    assert_eq!(shuffled("idx.b32 r1|c0, r15, 3, 0x181F"), expected(|i| (i / 8 * 8 + 3, true)));
}

#[test]
fn a_lane_that_is_not_there_gives_nothing() {
    let found = each_thread(20, "", "shfl.sync.bfly.b32 r0, r15, 16, 31, -1;");
    let expected: Vec<u32> = (0..20)
        .map(|i| {
            if i < 4 {
                i + 16
            } else if i < 16 {
                u32::MAX
            } else {
                i - 16
            }
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn lanes_are_waited_for() {
    // The even lanes take a longer way to the same shuffle.
    let body = "
        and.b32 r1, r15, 1;
        mov.u32 r2, r15;
        setp.ne.u32 c0, r1, 0;
        @c0 bra TOGETHER;
        add.u32 r2, r2, 1000;
        TOGETHER:
        shfl.sync.bfly.b32 r0, r2, 1, 31, -1;";
    let expected: Vec<u32> = (0..32).map(|i| if i % 2 == 0 { i + 1 } else { i - 1 + 1000 }).collect();
    assert_eq!(each_thread(32, "", body), expected);
}

#[test]
fn lanes_that_come_back_are_waited_for() {
    // A loop in which lanes shuffle in their own time, each half among itself.
    let body = "
        setp.lt.u32 c0, r15, 16;
        selp.u32 r3, 2, 5, c0;
        selp.b32 r4, 0xFFFF, 0xFFFF0000, c0;
        mov.u32 r0, r15;
        mov.u32 r5, 0;
        AGAIN:
        shfl.sync.bfly.b32 r6, r0, 1, 31, r4;
        add.u32 r0, r0, r6;
        add.u32 r5, r5, 1;
        setp.lt.u32 c1, r5, r3;
        @c1 bra AGAIN;";
    let pair = |i: u32| i + (i ^ 1);
    let expected: Vec<u32> = (0..32).map(|i| if i < 16 { 2 * pair(i) } else { 16 * pair(i) }).collect();
    assert_eq!(each_thread(32, "", body), expected);
}

#[test]
fn members_that_went_elsewhere() {
    let body =
        "setp.lt.u32 c0, r15, 16; @c0 bra A; shfl.sync.bfly.b32 r0, r15, 1, 31, -1; bra B; A: bar.warp.sync -1; B:";
    assert_eq!(fault(32, "", body), FaultKind::Deadlock);
    assert_eq!(
        fault(32, "", "setp.eq.u32 c0, r15, 3; @c0 vote.sync.any.pred c1, c0, -1; bar.sync 0;"),
        FaultKind::Deadlock
    );
    // Who has ended is not waited for.
    let body = "setp.eq.u32 c0, r15, 3; @c0 exit; bar.warp.sync -1; shfl.sync.bfly.b32 r0, r15, 1, 31, -1;";
    let found = each_thread(32, "", &format!("mov.u32 r0, 9; {body}"));
    assert_eq!(found[2..5], [u32::MAX, 0, 5]);
    assert_eq!(fault(32, "", "bar.warp.sync 1;"), FaultKind::NotMember);
}

#[test]
fn votes() {
    let voted = |vote: &str| each_thread(32, "", &format!("setp.gt.u32 c0, r15, 27; {vote}"));
    assert_eq!(voted("vote.sync.ballot.b32 r0, c0, -1;"), [0xF000_0000; 32]);
    assert_eq!(voted("vote.sync.ballot.b32 r0, !c0, -1;"), [0x0FFF_FFFF; 32]);
    let asked = |vote: &str| voted(&format!("vote.sync.{vote}.pred c1, c0, -1; selp.u32 r0, 1, 0, c1;"))[0];
    assert_eq!((asked("any"), asked("all"), asked("uni")), (1, 0, 0));
    // Each half among itself.
    let body = "
        setp.lt.u32 c2, r15, 16;
        selp.b32 r4, 0xFFFF, 0xFFFF0000, c2;
        vote.sync.any.pred c1, c0, r4;
        selp.u32 r0, 1, 0, c1;";
    assert_eq!(voted(body), [[0; 16], [1; 16]].concat());
}

#[test]
fn matches() {
    let found = each_thread(32, "", "and.b32 r1, r15, 3; match.any.sync.b32 r0, r1, -1;");
    assert_eq!(found, (0..32).map(|i| 0x1111_1111 << (i % 4)).collect::<Vec<u32>>());
    let all = "cvt.u64.u32 q1, r1; match.all.sync.b64 r0|c0, q1, -1; @!c0 add.u32 r0, r0, 5;";
    assert_eq!(each_thread(32, "", &format!("and.b32 r1, r15, 1; {all}")), [5; 32]);
    assert_eq!(each_thread(32, "", &format!("mov.u32 r1, 7; {all}")), [u32::MAX; 32]);
}

#[test]
fn reductions() {
    assert_eq!(each_thread(32, "", "redux.sync.add.u32 r0, r15, -1;"), [496; 32]);
    assert_eq!(each_thread(32, "", "sub.s32 r1, r15, 9; redux.sync.min.s32 r0, r1, -1;"), [(-9_i32) as u32; 32]);
    assert_eq!(each_thread(32, "", "sub.s32 r1, r15, 9; redux.sync.max.u32 r0, r1, -1;"), [u32::MAX; 32]);
    assert_eq!(each_thread(32, "", "redux.sync.or.b32 r0, r15, -1;"), [31; 32]);
}
