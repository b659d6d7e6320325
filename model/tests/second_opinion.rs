//! candle-transformers' own UNet and autoencoder as a second opinion, where they are right: 32 groups, one timestep for all rows, and a
//! tolerance for its approximation of GELU.

mod goldens;

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use candle_transformers::models::stable_diffusion::unet_2d;
use candle_transformers::models::stable_diffusion::vae as candle_vae;
use goldens::{flat, relative_error};
use x0_model::autoencoder_kl::{AutoencoderKL, AutoencoderKLConfig};
use x0_model::generator::{Generator, NoiseSource};
use x0_model::unet_2d_condition::{Condition, ConditionInputs, UNet2DConditionConfig, UNet2DConditionModel};
use x0_model::weights::Weights;

/// candle's GELU is the approximation by a hyperbolic tangent, which is off by up to 5e-4; the rest agrees much better.
const WITH_OTHER_GELU: f32 = 2e-3;

/// Gives every variable numbers that depend on nothing but the order of the names, and writes them as a file of ours.
fn fill(variables: &VarMap, path: &Path) -> Weights {
    let mut generator = Generator::new(NoiseSource::Torch, 9);
    let named = variables.data().lock().unwrap();
    let mut names: Vec<&String> = named.keys().collect();
    names.sort();
    for name in names {
        let shape = named[name].dims().to_vec();
        let (count, rows) = (shape.iter().product::<usize>(), shape[0]);
        let scale = if shape.len() == 1 { 0.1 } else { ((count / rows) as f32).sqrt().recip() };
        let offset = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
        let values: Vec<f32> = generator.draw(count).into_iter().map(|x| x * scale + offset).collect();
        named[name].set(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap();
    }
    drop(named);
    variables.save(path).unwrap();
    Weights::open(&[path.to_owned()]).unwrap()
}

fn random(generator: &mut Generator, shape: &[usize]) -> Tensor {
    Tensor::from_vec(generator.draw(shape.iter().product()), shape, &Device::Cpu).unwrap()
}

fn channels_last(map: &Tensor) -> Tensor {
    map.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap()
}

fn assert_agrees(ours: &Tensor, theirs: &Tensor, tolerance: f32) {
    let error = relative_error(&flat(ours), &flat(&channels_last(theirs)));
    assert!(error < tolerance, "relative error {error}");
}

#[test]
fn candles_unet_predicts_the_same() {
    let (folder, variables) = (tempfile::tempdir().unwrap(), VarMap::new());
    let block =
        |out_channels, use_cross_attn| unet_2d::BlockConfig { out_channels, use_cross_attn, attention_head_dim: 4 };
    let config = unet_2d::UNet2DConditionModelConfig {
        blocks: vec![block(32, Some(1)), block(64, Some(2)), block(64, None)],
        cross_attention_dim: 24,
        use_linear_projection: true,
        ..Default::default()
    };
    let builder = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let theirs = unet_2d::UNet2DConditionModel::new(builder, 4, 4, false, config).unwrap();
    let weights = fill(&variables, &folder.path().join("unet.safetensors"));
    let config = r#"{
        "block_out_channels": [32, 64, 64], "cross_attention_dim": 24, "use_linear_projection": true, "attention_head_dim": 4,
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"], "transformer_layers_per_block": [1, 2, 1]
    }"#;
    let config = UNet2DConditionConfig::parse("config.json", config).unwrap();
    let ours = UNet2DConditionModel::new(&weights, &config).unwrap();
    assert_eq!(weights.unused(), Vec::<String>::new());

    let mut generator = Generator::new(NoiseSource::Torch, 10);
    let (sample, text) = (random(&mut generator, &[2, 4, 16, 24]), random(&mut generator, &[2, 7, 24]));
    for timestep in [951.0, 3.0] {
        let expected = theirs.forward(&sample, timestep, &text).unwrap();
        let conditions: Vec<Condition> = (0..2)
            .map(|row| {
                let encoder_hidden_states = &goldens::row(&text, row);
                let inputs =
                    ConditionInputs { encoder_hidden_states, text_time: None, class: None, timestep_cond: None };
                ours.condition(&inputs).unwrap()
            })
            .collect();
        let conditions: Vec<&Condition> = conditions.iter().collect();
        let predicted = ours.forward(&channels_last(&sample), &[timestep as f32; 2], &conditions).unwrap();
        assert_agrees(&predicted, &expected, WITH_OTHER_GELU);
    }
}

#[test]
fn candles_autoencoder_decodes_the_same() {
    let (folder, variables) = (tempfile::tempdir().unwrap(), VarMap::new());
    let config = candle_vae::AutoEncoderKLConfig {
        block_out_channels: vec![32, 64],
        layers_per_block: 2,
        latent_channels: 4,
        norm_num_groups: 32,
        use_quant_conv: true,
        use_post_quant_conv: true,
    };
    let builder = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let theirs = candle_vae::AutoEncoderKL::new(builder, 3, 3, config).unwrap();
    let weights = fill(&variables, &folder.path().join("vae.safetensors"));
    let config = r#"{
        "block_out_channels": [32, 64], "layers_per_block": 2, "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
        "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"]
    }"#;
    let ours = AutoencoderKL::new(&weights, &AutoencoderKLConfig::parse("config.json", config).unwrap()).unwrap();
    assert_eq!(weights.unused(), Vec::<String>::new());
    let latents = random(&mut Generator::new(NoiseSource::Torch, 11), &[1, 4, 9, 12]);
    let decoded = ours.decode(&channels_last(&latents)).unwrap();
    assert_agrees(&decoded, &theirs.decode(&latents).unwrap(), goldens::RELATIVE);
}
