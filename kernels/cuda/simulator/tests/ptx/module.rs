//! What a module says about itself, and what is refused.

use super::kernel;
use x0_cuda_simulator::{FaultKind, Launch, Memory, Module, Parameter, WarpOrder};

#[test]
fn functions_and_parameters() {
    let ptx = "
        .version 9.0
        .target sm_80
        .address_size 64
        .extern .func (.param .b32 x) other (.param .b64 y);
        .visible .global .align 4 .u32 counter = 5;
        .visible .entry first(.param .u64 .ptr .global .align 16 a, .param .u8 b, .param .f32 c, .param .align 8 .b8 d[24])
        .maxntid 256, 1, 1
        .minnctapersm 2
        { ret; }
        .entry second() { .pragma \"nounroll\"; .loc 1 2 3
            ret; }";
    let mut memory = Memory::new();
    let module = Module::parse(ptx, &mut memory).expect("it can be read");
    assert_eq!(module.functions().collect::<Vec<_>>(), ["first", "second"]);
    let expected = [(0, 8), (8, 1), (12, 4), (16, 24)].map(|(offset, bytes)| Parameter { offset, bytes });
    assert_eq!(module.function("first").expect("there is one").parameters(), expected);
    assert!(module.function("second").expect("there is one").parameters().is_empty());
    assert!(module.function("other").is_none());
    let (address, bytes) = module.global("counter").expect("there is one");
    let mut value = [0; 4];
    assert!(memory.read(address, &mut value));
    assert_eq!((bytes, value), (4, [5, 0, 0, 0]));
}

#[test]
fn what_is_no_ptx() {
    let wrong = [
        ("", 1),
        ("hello", 1),
        (".version 8.0\n.target sm_80\n.entry k() {", 3),
        (".version 8.0\n.entry k() {\nadd.u32 a, b;\n}", 3),
        (".version 8.0\n.entry k() {\n.reg .b32 a;\nadd.u32 a, a, a\n}", 5),
        (".version 8.0\n.entry k() { .reg .b32 a;\nbra NOWHERE;\n}", 3),
        (".version 8.0\n.global .u32 a[2] = {1, 2, 3};", 2),
        (".version 8.0\n/* no end", 1),
        (".version 8.0\n.shared .align 3 .b8 a[4];", 2),
        (".version 8.0\n.global .b8 a[99999999999999999999];", 2),
    ];
    for (ptx, line) in wrong {
        let error = Module::parse(ptx, &mut Memory::new()).expect_err("it is wrong");
        assert_eq!(error.line, line, "{ptx:?}: {error}");
    }
}

#[test]
fn what_no_device_would_launch() {
    let mut memory = Memory::new();
    let ptx = kernel(".shared .align 4 .b8 memory[1024];", "mov.u32 r0, memory;");
    let module = Module::parse(&ptx, &mut memory).expect("it can be read");
    let function = module.function("kernel").expect("there is one");
    assert_eq!(function.static_shared_bytes(), 1024);
    assert_eq!(function.unsupported().count(), 0);
    let fits =
        Launch { grid: [1; 3], block: [32, 1, 1], shared_bytes: 0, parameters: &[0; 32], order: WarpOrder::Forward };
    function.launch(&memory, &fits).expect("it runs");
    let wrong = [
        Launch { grid: [0, 1, 1], ..fits.clone() },
        Launch { grid: [1, 65_536, 1], ..fits.clone() },
        Launch { block: [1025, 1, 1], ..fits.clone() },
        Launch { block: [64, 32, 1], ..fits.clone() },
        Launch { block: [1, 1, 65], ..fits.clone() },
        Launch { block: [32, 0, 1], ..fits.clone() },
        Launch { shared_bytes: 227 * 1024 - 1023, ..fits.clone() },
        Launch { parameters: &[0; 31], ..fits.clone() },
    ];
    for launch in wrong {
        let fault = function.launch(&memory, &launch).expect_err("it does not");
        assert!(matches!(fault.kind, FaultKind::Launch(_)), "{launch:?}: {fault}");
    }
}

#[test]
fn a_function_outlives_its_module() {
    let mut memory = Memory::new();
    let module = Module::parse(&kernel("", ""), &mut memory).expect("it can be read");
    let function = module.function("kernel").expect("there is one").clone();
    drop(module);
    let launch =
        Launch { grid: [1; 3], block: [1; 3], shared_bytes: 0, parameters: &[0; 32], order: WarpOrder::Forward };
    function.launch(&memory, &launch).expect("it runs");
}

#[test]
fn modules_go_from_thread_to_thread() {
    fn is_sent_and_shared<T: Send + Sync>() {}
    is_sent_and_shared::<Module>();
    fn is_sent<T: Send>() {}
    is_sent::<Memory>();
}
