//! Names, options and configurations: what is taken, and what is refused with which words.

use candle_core::{Device, Tensor};
use x0_model::generator::{Generator, NoiseSource};
use x0_model::sampler::{
    Clip, NoiseSchedule, Sampler, SamplerError, SamplerKind, SamplerSpec, SamplerState, SchedulerConfig,
    TimestepSpacing,
};

fn check_name(name: &str, kind: SamplerKind, schedule: NoiseSchedule) {
    assert_eq!(SamplerKind::parse(name), Ok((kind, schedule)), "{name}");
}

fn config(text: &str) -> SchedulerConfig {
    SchedulerConfig::from_json(text).unwrap()
}

fn check_error(text: &str, spec: SamplerSpec, steps: usize, expected: &str) {
    let error = Sampler::new(&config(text), &spec, steps).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn every_name_leads_to_its_sampler() {
    for kind in SamplerKind::ALL {
        for name in [kind.name(), kind.label()].iter().chain(kind.aliases()) {
            check_name(name, *kind, NoiseSchedule::Default);
            check_name(&name.to_uppercase(), *kind, NoiseSchedule::Default);
            check_name(&format!("{name} Karras"), *kind, NoiseSchedule::Karras);
        }
    }
}

#[test]
fn names_of_other_programs_are_known() {
    check_name("DPM++ 2M Karras", SamplerKind::Dpmpp2m, NoiseSchedule::Karras);
    check_name("DPM++ 2M SDE Exponential", SamplerKind::Dpmpp2mSde, NoiseSchedule::Exponential);
    check_name("DPM2 a Karras", SamplerKind::Dpm2Ancestral, NoiseSchedule::Karras);
    check_name("Euler a", SamplerKind::EulerAncestral, NoiseSchedule::Default);
    check_name("PLMS", SamplerKind::Pndm, NoiseSchedule::Default);
    check_name("UniPC", SamplerKind::Unipc, NoiseSchedule::Default);
    check_name("dpm_2_ancestral", SamplerKind::Dpm2Ancestral, NoiseSchedule::Default);
    check_name("euler_beta", SamplerKind::Euler, NoiseSchedule::Beta);
    check_name("EulerDiscreteScheduler", SamplerKind::Euler, NoiseSchedule::Default);
    check_name(" DDIM ", SamplerKind::Ddim, NoiseSchedule::Default);
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let error = SamplerKind::parse("DPM++ 2S a").unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown sampler \"DPM++ 2S a\"; known are ddpm, ddim, pndm, lms, euler, euler_ancestral, heun, dpm2, \
         dpm2_ancestral, dpmpp_2m, dpmpp_2m_sde, dpmpp_2s, unipc, deis, lcm"
    );
}

#[test]
fn no_name_is_taken_twice() {
    let names = |kind: &SamplerKind| [&[kind.name(), kind.label()], kind.aliases()].concat();
    for kind in SamplerKind::ALL {
        for name in names(kind) {
            assert_eq!(SamplerKind::parse(name).unwrap().0, *kind, "{name}");
        }
    }
}

#[test]
fn options_that_a_sampler_lacks_are_refused() {
    let ddim = SamplerSpec::from(SamplerKind::Ddim);
    let lcm = SamplerSpec::from(SamplerKind::Lcm);
    let spaced = Some(TimestepSpacing::Trailing);
    check_error("{}", SamplerSpec { noise_schedule: NoiseSchedule::Karras, ..ddim }, 5, "ddim has no noise_schedule");
    check_error("{}", SamplerSpec { eta: Some(0.0), ..SamplerKind::Euler.into() }, 5, "euler has no eta");
    check_error("{}", SamplerSpec { timestep_spacing: spaced, ..lcm }, 5, "lcm has no timestep_spacing");
    check_error("{}", SamplerSpec { eta: Some(1.5), ..ddim }, 5, "eta must be between 0 and 1, not 1.5");
    check_error("{}", ddim, 0, "ddim takes 1 to 1000 steps with this model, not 0");
    check_error("{}", ddim, 1001, "ddim takes 1 to 1000 steps with this model, not 1001");
    check_error("{}", lcm, 51, "lcm takes 1 to 50 steps with this model, not 51");
}

#[test]
fn a_strength_must_leave_a_step() {
    let spec = SamplerKind::Euler.into();
    for strength in [0.0, 0.05, -1.0, 1.5, f64::NAN] {
        let error = Sampler::image_to_image(&SchedulerConfig::default(), &spec, 10, strength).unwrap_err();
        assert!(matches!(error, SamplerError::Strength { .. }), "{strength}");
    }
    let clipped =
        config(r#"{"beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "trailing", "lambda_min_clipped": 0.0}"#);
    assert_eq!(Sampler::new(&clipped, &SamplerKind::Dpmpp2m.into(), 10).unwrap().calls(), 5);
    let error = Sampler::image_to_image(&clipped, &SamplerKind::Dpmpp2m.into(), 10, 0.2).unwrap_err();
    assert_eq!(error, SamplerError::Strength { strength: 0.2, steps: 10 });
    let half = Sampler::image_to_image(&SchedulerConfig::default(), &spec, 10, 0.5).unwrap();
    assert_eq!(half.calls(), 5);
}

#[test]
fn a_wrong_value_of_the_configuration_is_named() {
    for (text, expected) in [
        (r#"{"beta_schedule": "cubic"}"#, "beta_schedule: unknown variant `cubic`"),
        (r#"{"steps_offset": 0.5}"#, "steps_offset: invalid type: floating point `0.5`"),
        (r#"{"trained_betas": [0.1, "x"]}"#, "trained_betas[1]: invalid type: string \"x\""),
        (r#"{"prediction_type": "flow_prediction"}"#, "prediction_type: unknown variant `flow_prediction`"),
    ] {
        let message = SchedulerConfig::from_json(text).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn a_configuration_that_a_sampler_cannot_use_is_refused() {
    let ddim = SamplerKind::Ddim.into();
    for (text, expected) in [
        (r#"{"num_train_timesteps": 0}"#, "scheduler_config.json: num_train_timesteps: it must be at least 1"),
        (r#"{"beta_end": 1.5}"#, "scheduler_config.json: beta_end: every beta must be over 0 and at most 1"),
        (
            r#"{"beta_schedule": "sigmoid"}"#,
            "scheduler_config.json: beta_schedule: this sampler has no schedule sigmoid",
        ),
        (r#"{"trained_betas": [0.1]}"#, "scheduler_config.json: trained_betas: 1 values for 1000 timesteps"),
        (r#"{"steps_offset": 300}"#, "scheduler_config.json: steps_offset: it leads to timestep 1100, of 0 to 999"),
        (r#"{"use_flow_sigmas": true}"#, "scheduler_config.json: use_flow_sigmas: flow matching is not supported"),
        (r#"{"clip_sample_range": -1}"#, "scheduler_config.json: clip_sample_range: -1 is not over 0"),
    ] {
        check_error(text, ddim, 5, expected);
    }
    let two = r#"{"use_karras_sigmas": true, "use_beta_sigmas": true}"#;
    assert!(Sampler::new(&config(two), &SamplerKind::Euler.into(), 5).is_err());
    assert!(Sampler::new(&config(two), &ddim, 5).is_ok(), "a class that does not know the keys ignores them");
    let sample = r#"{"prediction_type": "sample"}"#;
    check_error(
        sample,
        SamplerKind::Pndm.into(),
        5,
        "scheduler_config.json: prediction_type: pndm does not take sample",
    );
    let log_variance = r#"{"variance_type": "fixed_large_log"}"#;
    let error = Sampler::new(&config(log_variance), &SamplerKind::Ddpm.into(), 5).unwrap_err();
    assert_eq!(error, SamplerError::NotFinite { sampler: SamplerKind::Ddpm, steps: 5 });
}

#[test]
fn files_written_by_python_are_read() {
    let text = r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "trained_betas": null,
        "solver_type": "midpoint", "anything else": [1, {}]}"#;
    let config = config(text);
    assert_eq!(config.class_name.as_deref(), Some("DPMSolverMultistepScheduler"));
    assert_eq!((config.lambda_min_clipped, config.trained_betas.as_deref()), (None, None));
}

#[test]
fn a_request_takes_the_place_of_the_configured_noise_schedule() {
    let spec = |noise_schedule| SamplerSpec { noise_schedule, ..SamplerKind::Euler.into() };
    let calls = |text: &str, schedule| Sampler::new(&config(text), &spec(schedule), 8).unwrap().next_call();
    let second = |text: &str, schedule| {
        let mut sampler = Sampler::new(&config(text), &spec(schedule), 8).unwrap();
        sampler.advance();
        sampler.next_call()
    };
    let karras = r#"{"use_karras_sigmas": true}"#;
    assert_eq!(calls("{}", NoiseSchedule::Beta), calls(karras, NoiseSchedule::Beta));
    assert_eq!(second("{}", NoiseSchedule::Beta), second(karras, NoiseSchedule::Beta));
    assert_eq!(second("{}", NoiseSchedule::Karras), second(karras, NoiseSchedule::Default));
    assert_ne!(second("{}", NoiseSchedule::Default), second(karras, NoiseSchedule::Default));
}

#[test]
fn stable_diffusion_corrects_outdated_files() {
    let config = config(r#"{"beta_start": 0.00085}"#).for_stable_diffusion();
    let mut sampler = Sampler::new(&config, &SamplerKind::Ddim.into(), 10).unwrap();
    assert_eq!(sampler.next_call().unwrap().timestep, 901.0);
    assert_eq!(sampler.advance().unwrap().clip, Clip::None);
}

#[test]
fn a_learned_variance_must_be_there() {
    let config = config(r#"{"variance_type": "learned_range"}"#);
    let sampler = Sampler::new(&config, &SamplerKind::Ddpm.into(), 3).unwrap();
    assert!(sampler.needs_variance());
    let map = |value: f32, channels: usize| Tensor::full(value, (1, 2, 2, channels), &Device::Cpu).unwrap();
    let mut state = SamplerState::from_noise(sampler, &map(0.5, 1)).unwrap();
    let mut generator = Generator::new(NoiseSource::Torch, 0);
    let error = state.step(&map(0.0, 1), &mut generator).unwrap_err();
    assert_eq!(error.to_string(), SamplerError::OutputChannels { expected: 2, given: 1 }.to_string());
    let sample: Vec<f32> = state.sample().flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!((state.sampler().position(), sample), (0, vec![0.5; 4]));
    state.step(&map(0.0, 2), &mut generator).unwrap();
}

#[test]
fn clipping_does_not_hide_what_is_not_a_number() {
    for text in [r#"{"clip_sample": true}"#, r#"{"thresholding": true}"#] {
        let sampler = Sampler::new(&config(text), &SamplerKind::Ddim.into(), 3).unwrap();
        let map = |values: [f32; 3]| Tensor::from_slice(&values, (1, 1, 3, 1), &Device::Cpu).unwrap();
        let mut state = SamplerState::from_noise(sampler, &map([0.5; 3])).unwrap();
        state.step(&map([0.1, f32::NAN, 0.1]), &mut Generator::new(NoiseSource::Torch, 0)).unwrap();
        for result in [state.sample(), state.x0()] {
            assert!(result.flatten_all().unwrap().to_vec1::<f32>().unwrap()[1].is_nan());
        }
    }
}
