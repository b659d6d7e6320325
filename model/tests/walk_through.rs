//! The textbook's walk through the parts of Stable Diffusion, each called by hand, against a plain loop of diffusers'
//! (`data/walk_through/make.py`); and the same picture from the library.

mod goldens;

use candle_core::{Device, Tensor};
use goldens::text_to_image::{TestModel, run};
use goldens::{Goldens, assert_close, data, flat, folder, max_difference, relative_error, row};
use x0_model::autoencoder_kl::{AutoencoderKL, AutoencoderKLConfig};
use x0_model::clip::{ClipTextConfig, ClipTextModel};
use x0_model::generator::{Generator, NoiseSource};
use x0_model::sampler::{Sampler, SamplerKind, SamplerState};
use x0_model::schedule::SchedulerConfig;
use x0_model::tokenizer::Tokenizer;
use x0_model::unet_2d_condition::{Condition, ConditionInputs, UNet2DConditionConfig, UNet2DConditionModel};
use x0_model::{Channels, Conditioning, Picture, Prompt, Request};

const PROMPT: &str = "Acrylic palette knife painting of a flower";
const STEPS: usize = 30;
const GUIDANCE_SCALE: f32 = 7.5;
const SEED: u64 = 32;
const WEIGHTS: &str = "diffusion_pytorch_model";

fn channels_last(values: Vec<f32>) -> Tensor {
    let map = Tensor::from_vec(values, (1, 4, 32, 32), &Device::Cpu).unwrap();
    map.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap()
}

fn channels_first(map: &Tensor) -> Vec<f32> {
    flat(&map.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap())
}

/// Conditions of the unconditional and the conditional row.
fn conditions(unet: &UNet2DConditionModel, expected: &Goldens) -> [Condition; 2] {
    let tokenizer = Tokenizer::from_folder(&folder("sd15/model/tokenizer"), 77).unwrap();
    let encoder = folder("sd15/model/text_encoder");
    let config = ClipTextConfig::read(&encoder).unwrap();
    let encoder = ClipTextModel::new(&encoder.weights("model").unwrap(), &config).unwrap();
    let ids: Vec<f32> = tokenizer.encode(PROMPT).unwrap().ids.iter().map(|id| *id as f32).collect();
    assert_eq!(ids, expected.vec("ids"));
    ["", PROMPT].map(|text| {
        let state = encoder.forward(&[&tokenizer.encode(text).unwrap()], 0, false).unwrap().hidden_state;
        let embedding = encoder.final_layer_norm(&state).unwrap();
        let place = usize::from(!text.is_empty());
        assert_close("embedding", &embedding, &row(&expected.get("embeddings"), place));
        let inputs =
            ConditionInputs { encoder_hidden_states: &embedding, text_time: None, class: None, timestep_cond: None };
        unet.condition(&inputs).unwrap()
    })
}

#[test]
fn the_walk_ends_at_the_same_picture() {
    let expected = Goldens::read("walk_through/case.safetensors");
    let unet = folder("sd15/model/unet");
    let config = UNet2DConditionConfig::read(&unet).unwrap();
    let unet = UNet2DConditionModel::new(&unet.weights(WEIGHTS).unwrap(), &config).unwrap();
    let [unconditional, conditional] = conditions(&unet, &expected);

    let scheduler = std::fs::read_to_string(data("sd15/model/scheduler/scheduler_config.json")).unwrap();
    let scheduler = SchedulerConfig::from_json(&scheduler).unwrap();
    let sampler = Sampler::new(&scheduler, &SamplerKind::Pndm.into(), STEPS).unwrap();
    assert_eq!(sampler.calls(), STEPS + 1);
    let mut generator = Generator::new(NoiseSource::Torch, SEED);
    let noise = generator.draw(4 * 32 * 32);
    assert!(relative_error(&noise, &expected.vec("noise")) < 1e-6);

    let mut state = SamplerState::from_noise(sampler, &channels_last(noise)).unwrap();
    for (i, timestep) in expected.vec("timesteps").into_iter().enumerate() {
        let call = state.sampler().next_call().unwrap();
        assert_eq!(call.timestep, timestep);
        let sample = Tensor::cat(&[state.sample(), state.sample()], 0).unwrap();
        let output = unet.forward(&sample, &[timestep; 2], &[&unconditional, &conditional]).unwrap();
        let [without, with] = [0, 1].map(|i| channels_first(&row(&output, i)));
        let guided = without.iter().zip(&with).map(|(u, c)| u + GUIDANCE_SCALE * (c - u)).collect();
        state.step(&channels_last(guided), &mut generator).unwrap();
        if i == 0 {
            assert!(relative_error(&channels_first(state.sample()), &expected.vec("first_latents")) < 1e-5);
        }
    }
    let latents = expected.vec("latents");
    assert!(
        relative_error(&channels_first(state.sample()), &latents) < 1e-3,
        "{}",
        relative_error(&channels_first(state.sample()), &latents)
    );

    let vae = folder("sd15/model/vae");
    let config = AutoencoderKLConfig::read(&vae).unwrap();
    let vae = AutoencoderKL::new(&vae.weights(WEIGHTS).unwrap(), &config).unwrap();
    let decoded = vae.decode(&(state.sample() / 0.18215).unwrap()).unwrap();
    let picture = Picture::from_signed(&flat(&decoded), 64, 64, Channels::Rgb);
    let bytes: Vec<f32> = picture.bytes.iter().map(|byte| f32::from(*byte)).collect();
    assert!(max_difference(&bytes, &flat(&expected.map("image"))) <= 2.0);

    // The library walks the same way.
    let model = &TestModel::open("sd15").model;
    let request = Request {
        conditioning: Conditioning::Text { prompt: PROMPT.into(), negative_prompt: Prompt::default() },
        seed: SEED,
        width: 64,
        height: 64,
        steps: STEPS as u32,
        guidance_scale: f64::from(GUIDANCE_SCALE),
        guidance_rescale: 0.0,
        sampler: model.info().defaults.sampler,
        noise_source: Default::default(),
        clip_skip: None,
        variation: None,
        init: None,
        highres: None,
    };
    let mut slot = model.begin(&request, 0).unwrap();
    run(model, &mut slot);
    assert!(max_difference(&slot.sample().unwrap(), &channels_first(state.sample())) < 1e-4);
    assert!(model.decode(slot).unwrap().bytes.iter().zip(&picture.bytes).all(|(a, b)| a.abs_diff(*b) <= 1));
}
