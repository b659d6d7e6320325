//! The noise generators against what PyTorch 2.15 drew on an x86 processor (`data/rng/rng.json`, `data/rng/make.py`) and
//! against a numpy version of Philox (`data/rng/make.py`). All comparisons are of bits: the bound is 0 ulp.

use half::{bf16, f16};
use safetensors::SafeTensors;
use serde::Deserialize;
use x0_model::generator::{Generator, NoiseSource, PhiloxGenerator, TorchGenerator};

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Dtype {
    #[default]
    F32,
    F16,
    Bf16,
}

/// Successive draws of one generator.
#[derive(Deserialize)]
struct Draws {
    seed: u64,
    #[serde(default)]
    dtype: Dtype,
    shapes: Vec<Vec<usize>>,
    tensors: Vec<String>,
}

#[derive(Deserialize)]
struct Extra {
    half: Vec<HalfDraw>,
    philox: Vec<PhiloxDraws>,
}

#[derive(Deserialize)]
struct HalfDraw {
    dtype: Dtype,
    bits: Vec<u32>,
    after: Vec<u32>,
}

#[derive(Deserialize)]
struct PhiloxDraws {
    seed: u64,
    draws: Vec<Vec<u32>>,
}

fn extra() -> Extra {
    serde_json::from_str(include_str!("data/rng/extra.json")).unwrap()
}

/// One draw, as bits widened to 32.
fn draw(generator: &mut TorchGenerator, dtype: Dtype, count: usize) -> Vec<u32> {
    match dtype {
        Dtype::F32 => {
            let mut values = vec![0.0; count];
            generator.fill_f32(&mut values);
            values.into_iter().map(f32::to_bits).collect()
        }
        Dtype::F16 => {
            let mut values = vec![f16::ZERO; count];
            generator.fill_f16(&mut values);
            values.into_iter().map(|value| value.to_bits().into()).collect()
        }
        Dtype::Bf16 => {
            let mut values = vec![bf16::ZERO; count];
            generator.fill_bf16(&mut values);
            values.into_iter().map(|value| value.to_bits().into()).collect()
        }
    }
}

fn bits(tensors: &SafeTensors, name: &str) -> Vec<u32> {
    let tensor = tensors.tensor(name).unwrap();
    let widen = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
    tensor.data().chunks_exact(tensor.dtype().bitsize() / 8).map(widen).collect()
}

#[test]
fn torch_draws_have_the_bits_of_pytorch() {
    let tensors = SafeTensors::deserialize(include_bytes!("data/rng/rng.safetensors")).unwrap();
    let cases: Vec<Draws> = serde_json::from_str(include_str!("data/rng/rng.json")).unwrap();
    let mut compared = 0;
    for case in cases {
        let mut generator = TorchGenerator::new(case.seed);
        for (shape, name) in case.shapes.iter().zip(&case.tensors) {
            let drawn = draw(&mut generator, case.dtype, shape.iter().product());
            assert_eq!(drawn, bits(&tensors, name), "{name}");
            compared += drawn.len();
        }
    }
    assert_eq!(compared, 59_168);
}

#[test]
fn torch_half_draws_use_the_generator_as_pytorch_does() {
    for case in extra().half {
        let mut generator = TorchGenerator::new(7);
        assert_eq!(draw(&mut generator, case.dtype, case.bits.len()), case.bits);
        assert_eq!(draw(&mut generator, Dtype::F32, 2), case.after);
    }
}

#[test]
fn philox_draws_have_the_bits_of_the_numpy_version() {
    for case in extra().philox {
        let mut generator = PhiloxGenerator::new(case.seed);
        for expected in case.draws {
            let mut values = vec![0.0; expected.len()];
            generator.fill_f32(&mut values);
            assert_eq!(values.into_iter().map(f32::to_bits).collect::<Vec<_>>(), expected, "seed {}", case.seed);
        }
    }
}

/// The documented output of AUTOMATIC1111's `modules/rng_philox.py` for `Generator(seed=0).randn(shape=(3, 4))`. Its last
/// digits come from exact constants, where the code has single-precision ones.
#[test]
fn philox_draws_the_documented_numbers() {
    let documented: [f32; 12] = [
        -0.924_662_6,
        -0.425_344_15,
        -2.643_845_7,
        0.145_183_88,
        -0.120_866_47,
        -0.579_725_6,
        -0.622_851_2,
        -0.328_387_1,
        -1.074_542_3,
        -0.363_144_07,
        -1.671_050_7,
        2.265_505,
    ];
    for (drawn, documented) in Generator::new(NoiseSource::Philox, 0).draw(12).into_iter().zip(documented) {
        assert!((drawn - documented).abs() < 5e-7, "{drawn} {documented}");
    }
}

#[test]
fn a_generator_draws_from_the_chosen_source() {
    let mut torch = TorchGenerator::new(3);
    let mut expected = vec![0.0; 20];
    torch.fill_f32(&mut expected);
    assert_eq!(Generator::new(NoiseSource::Torch, 3).draw(20), expected);
    assert_ne!(Generator::new(NoiseSource::Philox, 3).draw(20), expected);
    assert!(Generator::new(NoiseSource::default(), 3).draw(0).is_empty());
}
