//! What holds for every sampler with every option.

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use x0_model::generator::{Generator, NoiseSource};
use x0_model::sampler::{
    ModelCall, NoiseSchedule, Sampler, SamplerKind, SamplerSpec, SamplerState, SchedulerConfig, TimestepSpacing,
};

const LENGTH: usize = 20;

/// A map of one line of `LENGTH` pixels, from its channels one after the other.
fn map(values: Vec<f32>) -> Tensor {
    let channels = values.len() / LENGTH;
    let map = Tensor::from_vec(values, (1, channels, 1, LENGTH), &Device::Cpu).unwrap();
    map.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap()
}

/// The numbers of a map of one channel.
fn values(map: &Tensor) -> Vec<f32> {
    map.flatten_all().unwrap().to_vec1().unwrap()
}

const STABLE_DIFFUSION: &str = r#"{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "steps_offset": 1, "set_alpha_to_one": false, "clip_sample": false}"#;
const PIXELS: &str = r#"{"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear", "clip_sample": true}"#;
const VELOCITY: &str = r#"{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "steps_offset": 1, "prediction_type": "v_prediction", "timestep_spacing": "leading"}"#;

fn config() -> impl Strategy<Value = SchedulerConfig> {
    prop::sample::select(vec![STABLE_DIFFUSION, PIXELS, VELOCITY])
        .prop_map(|text| SchedulerConfig::from_json(text).unwrap())
}

/// Any sampler with options that it has.
fn spec() -> impl Strategy<Value = SamplerSpec> {
    let spacings = [TimestepSpacing::Linspace, TimestepSpacing::Leading, TimestepSpacing::Trailing].map(Some);
    let schedules = [NoiseSchedule::Default, NoiseSchedule::Karras, NoiseSchedule::Exponential, NoiseSchedule::Beta];
    (
        prop::sample::select(SamplerKind::ALL),
        prop::sample::select(schedules.to_vec()),
        prop::sample::select([[None].as_slice(), &spacings].concat()),
        prop::option::of(0.0..=1.0),
    )
        .prop_map(|(kind, noise_schedule, timestep_spacing, eta)| SamplerSpec {
            kind,
            noise_schedule: if kind.has_noise_schedule() { noise_schedule } else { NoiseSchedule::Default },
            timestep_spacing: timestep_spacing.filter(|_| kind.has_timestep_spacing()),
            eta: eta.filter(|_| kind.has_eta()),
        })
}

fn max_steps(kind: SamplerKind) -> usize {
    if kind == SamplerKind::Lcm { 50 } else { 150 }
}

fn calls(mut sampler: Sampler) -> Vec<ModelCall> {
    let mut calls = Vec::new();
    while let Some(call) = sampler.next_call() {
        calls.push(call);
        sampler.advance();
    }
    calls
}

fn run(state: &mut SamplerState, generator: &mut Generator) -> usize {
    let mut made = 0;
    while let Some(call) = state.sampler().next_call() {
        let squash = |value: &f32| (value * call.input_scale - call.timestep * 0.0005).tanh();
        let output = values(state.sample()).iter().map(squash).collect();
        state.step(&map(output), generator).unwrap();
        made += 1;
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn all_steps_lead_to_finite_samples(config in config(), spec in spec(), steps in 1_usize..=150, seed: u64) {
        let steps = steps.min(max_steps(spec.kind));
        let sampler = Sampler::new(&config, &spec, steps).unwrap();
        let expected = match spec.kind {
            SamplerKind::Heun | SamplerKind::Dpm2 | SamplerKind::Dpm2Ancestral => 2 * steps - 1,
            SamplerKind::Pndm => if steps > 1 { steps + 1 } else { 1 },
            SamplerKind::Ddpm | SamplerKind::Ddim | SamplerKind::Lms | SamplerKind::Euler
            | SamplerKind::EulerAncestral | SamplerKind::Dpmpp2m | SamplerKind::Dpmpp2mSde | SamplerKind::Dpmpp2s
            | SamplerKind::Unipc | SamplerKind::Deis | SamplerKind::Lcm => steps,
        };
        prop_assert_eq!(sampler.calls(), expected);

        let mut generator = Generator::new(NoiseSource::Torch, seed);
        let noise = generator.draw(LENGTH);
        let mut state = SamplerState::from_noise(sampler, &map(noise)).unwrap();
        prop_assert_eq!(run(&mut state, &mut generator), expected);
        prop_assert!([state.sample(), state.x0()].iter().all(|map| values(map).iter().all(|value| value.is_finite())));
        prop_assert_eq!(state.sampler().position(), expected);
        prop_assert!(state.sampler().next_call().is_none() && state.sampler().noising().is_none());
        prop_assert!(state.step(&map(vec![0.0; LENGTH]), &mut generator).is_err());
    }

    /// With `dpm2_ancestral` the second call of a step may lie below the level that the step goes to.
    #[test]
    fn noise_levels_fall(config in config(), spec in spec(), steps in 1_usize..=150) {
        let steps = steps.min(max_steps(spec.kind));
        let mut calls = calls(Sampler::new(&config, &spec, steps).unwrap());
        if spec.kind == SamplerKind::Dpm2Ancestral {
            calls = calls.into_iter().step_by(2).collect();
        }
        for pair in calls.windows(2) {
            let may_repeat = matches!(spec.kind, SamplerKind::Pndm | SamplerKind::Heun);
            prop_assert!(pair[1].sigma < pair[0].sigma || may_repeat && pair[1].sigma == pair[0].sigma, "{:?}", pair);
            // DPM2 rounds the Karras timesteps at the ends of a step and not the one in the middle.
            let rounding = if spec.kind == SamplerKind::Dpm2 { 0.5 } else { 0.0 };
            prop_assert!(pair[1].timestep <= pair[0].timestep + rounding);
        }
        prop_assert!(calls.iter().all(|call| call.sigma > 0.0));
    }

    #[test]
    fn image_to_image_makes_the_last_calls(
        config in config(), spec in spec(), steps in 1_usize..=150, strength in 0.01_f64..=1.0, seed: u64,
    ) {
        let steps = steps.min(max_steps(spec.kind));
        let partial = Sampler::image_to_image(&config, &spec, steps, strength);
        let done = (steps as f64 * strength) as usize;
        prop_assert_eq!(partial.is_err(), done == 0);
        let Ok(partial) = partial else { return Ok(()) };
        let all = calls(Sampler::new(&config, &spec, steps).unwrap());
        prop_assert_eq!(&calls(partial.clone()), &all[all.len() - partial.calls()..]);
        prop_assert!(done == steps || partial.calls() < all.len());

        let mut generator = Generator::new(NoiseSource::Philox, seed);
        let noise = generator.draw(LENGTH);
        let mut state = SamplerState::from_image(partial, &map(vec![0.5; LENGTH]), &map(noise)).unwrap();
        run(&mut state, &mut generator);
        prop_assert!(values(state.sample()).iter().all(|value| value.is_finite()));
    }
}
