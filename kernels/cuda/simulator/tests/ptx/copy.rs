//! Asynchronous copies.

use super::{bytes, kernel, launch, words};
use x0_cuda_simulator::FaultKind;

/// What a thread finds in the first words of shared memory after some instructions. `q15` points to the numbers 100 to 131.
fn after(instructions: &str) -> Vec<u32> {
    let body = format!(
        "
        mov.u32 r1, memory;
        {instructions}
        ld.param.u64 q14, [p1];
        ld.shared.v4.u32 {{r2, r3, r4, r5}}, [memory]; st.global.v4.u32 [q14], {{r2, r3, r4, r5}};
        ld.shared.v4.u32 {{r2, r3, r4, r5}}, [memory+16]; st.global.v4.u32 [q14+16], {{r2, r3, r4, r5}};"
    );
    let mut buffers = [bytes(100..132), vec![0; 32]];
    launch(&kernel(".shared .align 16 .b8 memory[64];", &body), 1, 1, &mut buffers)
        .unwrap_or_else(|fault| panic!("{fault}"));
    words(&buffers[1])
}

/// What nobody has written.
const NOTHING: u32 = u32::MAX;

#[test]
fn copies_of_all_sizes() {
    assert_eq!(
        after("cp.async.cg.shared.global [r1], [q15], 16; cp.async.wait_all;")[..5],
        [100, 101, 102, 103, NOTHING]
    );
    assert_eq!(
        after("cp.async.ca.shared::cta.global.L2::128B [r1+8], [q15+8], 8; cp.async.wait_all;")[1..5],
        [NOTHING, 102, 103, NOTHING]
    );
    assert_eq!(after("cp.async.ca.shared.global [r1+4], [q15+8], 4; cp.async.wait_all;")[..3], [NOTHING, 102, NOTHING]);
    // Less than all is read, and the rest is zero.
    assert_eq!(
        after("cp.async.cg.shared.global [r1], [q15], 16, 8; cp.async.wait_all;")[..5],
        [100, 101, 0, 0, NOTHING]
    );
    assert_eq!(
        after("mov.u32 r7, 6; cp.async.ca.shared.global [r1], [q15], 8, r7; cp.async.wait_all;")[..2],
        [100, 101]
    );
    assert_eq!(
        after("mov.u32 r7, 0; cp.async.cg.shared.global [r1], [q15+1024], 16, r7; cp.async.wait_all;")[..4],
        [0; 4]
    );
    // With a hint for the cache, which is an operand of its own.
    assert_eq!(
        after("cp.async.cg.shared.global.L2::cache_hint [r1], [q15], 16, q15; cp.async.wait_all;")[..5],
        [100, 101, 102, 103, NOTHING]
    );
}

#[test]
fn what_is_not_waited_for_is_not_there() {
    assert_eq!(after("cp.async.cg.shared.global [r1], [q15], 16;"), [NOTHING; 8]);
    assert_eq!(after("cp.async.cg.shared.global [r1], [q15], 16; cp.async.commit_group;"), [NOTHING; 8]);
    // Not committed, hence in no group.
    assert_eq!(after("cp.async.cg.shared.global [r1], [q15], 16; cp.async.wait_group 0;"), [NOTHING; 8]);
}

#[test]
fn groups_are_waited_for_from_the_oldest() {
    let two = "
        cp.async.cg.shared.global [r1], [q15], 16; cp.async.commit_group;
        cp.async.cg.shared.global [r1+16], [q15+16], 16; cp.async.commit_group;";
    assert_eq!(after(&format!("{two} cp.async.wait_group 2;")), [NOTHING; 8]);
    let first = [100, 101, 102, 103, NOTHING, NOTHING, NOTHING, NOTHING];
    assert_eq!(after(&format!("{two} cp.async.wait_group 1;")), first);
    // An empty group counts too.
    assert_eq!(after(&format!("{two} cp.async.commit_group; cp.async.wait_group 2;")), first);
    assert_eq!(after(&format!("{two} cp.async.wait_group 0;")), (100..108).collect::<Vec<u32>>());
}

#[test]
fn the_source_is_read_when_it_is_waited_for() {
    let late = "cp.async.ca.shared.global [r1], [q15], 4; st.global.u32 [q15], 7; cp.async.wait_all;";
    assert_eq!(after(late)[0], 7);
}

/// A copy is done at any moment until it is waited for.
#[test]
fn where_a_copy_is_on_its_way_to_nothing_else_is_written() {
    let fault =
        |body: &str| super::fault(1, ".shared .align 16 .b8 memory[64];", &format!("mov.u32 r1, memory; {body}"));
    let race = |body: &str| assert!(matches!(fault(body), FaultKind::Race { address: 4 }), "{body}");
    race("cp.async.ca.shared.global [r1+4], [q15], 4; st.shared.u32 [r1+4], r1;");
    race("cp.async.ca.shared.global [r1+4], [q15], 4; cp.async.ca.shared.global [r1+4], [q15], 4;");
    race(
        "cp.async.ca.shared.global [r1+4], [q15], 4; cp.async.commit_group; cp.async.wait_group 1; st.shared.u8 [r1+5], r1;",
    );
    assert_eq!(
        after("cp.async.ca.shared.global [r1+4], [q15], 4; st.shared.u32 [r1], 7; cp.async.wait_all;")[..2],
        [7, 100]
    );
}

#[test]
fn wrong_addresses_fault_where_the_copy_begins() {
    let fault =
        |body: &str| super::fault(1, ".shared .align 16 .b8 memory[64];", &format!("mov.u32 r1, memory; {body}"));
    let outside = |kind| matches!(kind, FaultKind::OutOfBounds { .. });
    let misaligned = |kind| matches!(kind, FaultKind::Misaligned { alignment: 16, .. });
    assert!(outside(fault("cp.async.cg.shared.global [r1+64], [q15], 16;")));
    assert!(outside(fault("cp.async.cg.shared.global [r1], [q15+256], 16;")));
    assert!(misaligned(fault("cp.async.cg.shared.global [r1+8], [q15], 16;")));
    assert!(misaligned(fault("cp.async.cg.shared.global [r1], [q15+8], 16;")));
}
