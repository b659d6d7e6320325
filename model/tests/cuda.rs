//! Whole models on a CUDA device: against diffusers in float32, against float32 in half precision, and against themselves in other
//! company. Where there is no device, the simulator takes its place (kernels/cuda/simulator/README.md).

#![cfg(feature = "cuda")]

mod goldens;

use goldens::text_to_image::{TestModel, Tolerance, run};
use goldens::{flat, max_difference, relative_error};
use x0_model::{Placement, Precision, PreviewDecoder, Slot};

fn placed(precision: Precision) -> Placement {
    Placement::cuda(0, precision).unwrap()
}

/// Some cases in float32 are within the bounds that hold on the processor.
fn check(model: &str, cases: &[&str]) {
    let model = TestModel::open_on(model, &placed(Precision::Float32));
    for case in cases {
        model.check(model.case(case), Tolerance::STRICT).unwrap();
    }
}

#[test]
fn stable_diffusion_1_makes_diffusers_pictures() {
    let model = TestModel::open_on("sd15", &placed(Precision::Float32));
    println!("{:?}", model.cases.iter().map(|c| (&c.name, c)).collect::<Vec<_>>());
    let start = std::time::Instant::now();
    model.check(&model.cases[0], Tolerance::STRICT).unwrap();
    println!("{:?}", start.elapsed());
}
