//! Every sampler, step by step, against the diffusers class that defines it (`data/samplers/make.py`), with real noise and a
//! model that needs no weights.

use candle_core::{Device, Tensor};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::{Map, Value};
use x0_model::generator::{Generator, NoiseSource};
use x0_model::sampler::{
    NoiseSchedule, Sampler, SamplerError, SamplerKind, SamplerSpec, SamplerState, SchedulerConfig, TimestepSpacing,
};

const LENGTH: usize = 27;

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

#[derive(Deserialize)]
struct Case {
    request: Request,
    /// None where the numbers of diffusers are not finite.
    result: Option<Expected>,
}

#[derive(Debug, Deserialize)]
struct Request {
    sampler: String,
    config: Map<String, Value>,
    steps: usize,
    #[serde(default)]
    noise_schedule: NoiseSchedule,
    timestep_spacing: Option<TimestepSpacing>,
    strength: Option<f64>,
    eta: Option<f64>,
}

#[derive(Deserialize)]
struct Expected {
    seed: u64,
    initial_noise_scale: f32,
    calls: usize,
    /// The steps whose tensors are in the data file.
    stored: Vec<usize>,
    /// What the generator draws after the last step.
    after: f32,
}

/// A tensor of the data file, whose rows the cases take one after the other.
struct Rows {
    values: Vec<f32>,
    width: usize,
    next: usize,
}

impl Rows {
    fn new(tensors: &SafeTensors, name: &str) -> Self {
        let tensor = tensors.tensor(name).unwrap();
        let values = tensor.data().as_chunks().0.iter().copied().map(f32::from_le_bytes).collect();
        Self { values, width: tensor.shape()[1..].iter().product(), next: 0 }
    }

    fn take(&mut self) -> &[f32] {
        self.next += self.width;
        &self.values[self.next - self.width..self.next]
    }

    fn is_used_up(&self) -> bool {
        self.next == self.values.len()
    }
}

impl Request {
    fn config(&self) -> SchedulerConfig {
        SchedulerConfig::from_json(&Value::Object(self.config.clone()).to_string()).unwrap()
    }

    fn sampler(&self) -> Result<Sampler, SamplerError> {
        let (kind, _) = SamplerKind::parse(&self.sampler)?;
        let spec = SamplerSpec {
            kind,
            noise_schedule: self.noise_schedule,
            timestep_spacing: self.timestep_spacing,
            eta: self.eta,
        };
        match self.strength {
            Some(strength) => Sampler::image_to_image(&self.config(), &spec, self.steps, strength),
            None => Sampler::new(&self.config(), &spec, self.steps),
        }
    }

    /// The model of `make.py`: the same operations in the same order.
    fn model(&self, input: &[f32], timestep: f32) -> Vec<f32> {
        let phase = |i: usize| (i * 37 % 64) as f32 / 64.0;
        let output = (0..LENGTH).map(|i| {
            let before = input[(i + LENGTH - 1) % LENGTH];
            let z = input[i] * 0.75 + before * 0.25 + (phase(i) - timestep * 0.000_976_562_5);
            z * 1.25 / (1.0 + z.abs())
        });
        match self.config.get("variance_type").and_then(Value::as_str) {
            Some("learned") => output.chain((0..LENGTH).map(|i| phase(i) * 0.125 + 0.007_812_5)).collect(),
            Some("learned_range") => output.chain((0..LENGTH).map(|i| phase(i) - 0.5)).collect(),
            _ => output.collect(),
        }
    }

    /// How far a tensor may be off, in units of its largest absolute value or of 1. diffusers computes in float32, and all
    /// that a step takes away from a high noise level leaves its rounding behind.
    fn tolerance(&self, first_sigma: f32) -> f32 {
        // A step of this sampler that shrinks the noise a lot divides by the difference of two almost equal numbers.
        let base = if self.sampler == "dpm2_ancestral" { 1e-4 } else { 5e-6 };
        f32::max(base, 2e-8 * first_sigma)
    }

    fn timestep_tolerance(&self) -> f32 {
        if self.sampler == "dpm2_ancestral" { 1e-2 } else { 2e-4 }
    }
}

fn original() -> Vec<f32> {
    (0..LENGTH).map(|i| (i * 11 % LENGTH) as f32 / 13.0 - 1.0).collect()
}

/// The largest difference where diffusers tells a value.
fn difference(ours: &[f32], theirs: &[f32]) -> f32 {
    let told = || ours.iter().zip(theirs).filter(|(_, theirs)| !theirs.is_nan());
    assert!(told().all(|(ours, _)| ours.is_finite()));
    let scale = told().fold(1.0, |scale, (_, theirs)| f32::max(scale, theirs.abs()));
    told().fold(0.0, |worst, (ours, theirs)| f32::max(worst, (ours - theirs).abs())) / scale
}

fn assert_near(what: &str, ours: f32, theirs: f32, tolerance: f32) {
    assert!((ours - theirs).abs() <= tolerance, "{what}: {ours}, but in diffusers {theirs}");
}

/// Runs a case and compares each step.
fn check(request: &Request, expected: &Expected, calls: &mut Rows, samples: &mut Rows) {
    let sampler = request.sampler().unwrap_or_else(|error| panic!("{request:?}: {error}"));
    assert_eq!(sampler.calls(), expected.calls, "{request:?}");
    let scale = expected.initial_noise_scale;
    assert_near(&format!("noise scale of {request:?}"), sampler.initial_noise_scale(), scale, 1e-6 * scale);
    let tolerance = request.tolerance(sampler.next_call().unwrap().sigma);

    let mut generator = Generator::new(NoiseSource::Torch, expected.seed);
    let noise = generator.draw(LENGTH);
    let mut state = match request.strength {
        Some(_) => SamplerState::from_image(sampler, &map(original()), &map(noise)),
        None => SamplerState::from_noise(sampler, &map(noise)),
    }
    .unwrap();
    let mut step = 0;
    while let (Some(call), Some(noising)) = (state.sampler().next_call(), state.sampler().noising()) {
        let place = format!("step {step} of {request:?}");
        let [timestep, divisor, original, noise] = *calls.take() else { panic!("a call has four numbers") };
        assert_near(&format!("timestep, {place}"), call.timestep, timestep, request.timestep_tolerance());
        assert_near(&format!("scale, {place}"), call.input_scale.recip(), divisor, 1e-5 * divisor);
        assert_near(&format!("noising, {place}"), noising.original, original, 1e-6);
        assert_near(&format!("noising, {place}"), noising.noise, noise, 1e-6 * noise.max(0.1));

        let input: Vec<f32> = values(state.sample()).iter().map(|value| value * call.input_scale).collect();
        state.step(&map(request.model(&input, call.timestep)), &mut generator).unwrap();
        if expected.stored.contains(&step) {
            let (sample, x0) = samples.take().split_at(LENGTH);
            let worst = difference(&values(state.sample()), sample).max(difference(&values(state.x0()), x0));
            assert!(worst <= tolerance, "{worst:e} over {tolerance:e} at {place}");
        }
        step += 1;
    }
    assert_eq!(step, expected.calls);
    assert_eq!(generator.draw(1), [expected.after], "numbers drawn by {request:?}");
}

#[test]
fn every_step_is_that_of_diffusers() {
    let tensors = SafeTensors::deserialize(include_bytes!("data/samplers/cases.safetensors")).unwrap();
    let mut calls = Rows::new(&tensors, "calls");
    let mut samples = Rows::new(&tensors, "samples");
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/samplers/cases.json")).unwrap();
    for Case { request, result } in &cases {
        if let Some(expected) = result {
            check(request, expected, &mut calls, &mut samples);
        }
    }
    assert!(calls.is_used_up() && samples.is_used_up());
    for kind in SamplerKind::ALL {
        assert!(cases.iter().any(|case| case.request.sampler == kind.name()), "no case for {kind}");
    }
}

/// Where diffusers' numbers are not finite, ours are, or the sampler says so before the first step.
#[test]
fn what_diffusers_cannot_compute_is_finite_or_refused() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/samplers/cases.json")).unwrap();
    let mut outcomes = Vec::new();
    for Case { request, .. } in cases.iter().filter(|case| case.result.is_none()) {
        let outcome = request.sampler().map(|sampler| {
            let mut generator = Generator::new(NoiseSource::Torch, 0);
            let noise = generator.draw(LENGTH);
            let mut state = SamplerState::from_noise(sampler, &map(noise)).unwrap();
            while let Some(call) = state.sampler().next_call() {
                let input: Vec<f32> = values(state.sample()).iter().map(|value| value * call.input_scale).collect();
                state.step(&map(request.model(&input, call.timestep)), &mut generator).unwrap();
            }
            values(state.sample()).iter().all(|value| value.is_finite())
        });
        outcomes.push((request.sampler.as_str(), outcome));
    }
    let refused = Err(SamplerError::NotFinite { sampler: SamplerKind::Lcm, steps: 5 });
    assert_eq!(outcomes, [("dpm2_ancestral", Ok(true)), ("dpm2_ancestral", Ok(true)), ("lcm", refused)]);
}
