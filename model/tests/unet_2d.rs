//! The pixel-space network against diffusers: every configuration in `data/{class,uncond,unet_2d/*}`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use x0_model::LoadError;
use x0_model::folder::Folder;
use x0_model::unet_2d::{Classes, UNet2DConfig, UNet2DModel};

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

fn load(unet: &str) -> UNet2DModel {
    let folder = Folder::OnDisk(data(unet));
    let weights = folder.weights("diffusion_pytorch_model").unwrap();
    let model = UNet2DModel::new(&weights, &UNet2DConfig::read(&folder).unwrap()).unwrap();
    assert_eq!(weights.unused(), Vec::<String>::new());
    model
}

/// Inputs of some rows and the output that diffusers computed for them.
struct Case {
    sample: Tensor,
    timesteps: Vec<f32>,
    labels: Option<Vec<u32>>,
    embeddings: Option<Tensor>,
    out: Tensor,
}

impl Case {
    fn read(file: &str, prefix: &str) -> Self {
        let mut tensors: HashMap<String, Tensor> = candle_core::safetensors::load(data(file), &Device::Cpu).unwrap();
        let mut take = |name: &str| tensors.remove(&format!("{prefix}{name}"));
        let channel_last = |t: Tensor| t.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
        let floats = |t: Tensor| t.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        let (mut labels, mut embeddings) = (None, None);
        if let Some(classes) = take("classes").or_else(|| take("class_labels")) {
            match classes.rank() {
                1 => labels = Some(floats(classes).into_iter().map(|x| x as u32).collect()),
                _ => embeddings = Some(classes),
            }
        }
        let sample = channel_last(take("sample").unwrap());
        Self {
            sample,
            timesteps: floats(take("timestep").unwrap()),
            labels,
            embeddings,
            out: channel_last(take("out").unwrap()),
        }
    }

    fn classes(&self) -> Classes<'_> {
        match (&self.labels, &self.embeddings) {
            (Some(labels), _) => Classes::Labels(labels),
            (None, Some(embeddings)) => Classes::Embeddings(embeddings),
            (None, None) => Classes::None,
        }
    }
}

/// Largest difference over the largest value.
fn relative_error(a: &Tensor, b: &Tensor) -> f32 {
    let largest = |t: Tensor| t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    largest((a - b).unwrap()) / largest(b.clone())
}

#[track_caller]
fn check(unet: &str, file: &str, prefix: &str) {
    let (model, case) = (load(unet), Case::read(file, prefix));
    let out = model.forward(&case.sample, &case.timesteps, case.classes()).unwrap();
    assert_eq!(out.dims(), case.out.dims());
    let error = relative_error(&out, &case.out);
    assert!(error < 1e-4, "{unet}: relative error {error}");
}

#[test]
fn class_conditional_model_equals_diffusers() {
    check("class/model/unet", "class/cases.safetensors", "unet.");
}

#[test]
fn unconditional_model_equals_diffusers() {
    check("uncond/model/unet", "uncond/cases.safetensors", "unet.");
}

#[test]
fn every_other_option_equals_diffusers() {
    for name in ["scale_shift", "fourier", "learned", "identity", "no_middle", "legacy"] {
        check(&format!("unet_2d/{name}"), &format!("unet_2d/{name}/case.safetensors"), "");
    }
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    for unet in ["class", "uncond"] {
        let (model, case) =
            (load(&format!("{unet}/model/unet")), Case::read(&format!("{unet}/cases.safetensors"), "unet."));
        let bits = |t: Tensor| {
            t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let run = |rows: &[usize]| {
            let pick = |t: &Tensor| {
                t.index_select(
                    &Tensor::new(rows.iter().map(|&r| r as u32).collect::<Vec<_>>(), &Device::Cpu).unwrap(),
                    0,
                )
                .unwrap()
            };
            let timesteps: Vec<f32> = rows.iter().map(|&r| case.timesteps[r]).collect();
            let labels: Option<Vec<u32>> = case.labels.as_ref().map(|l| rows.iter().map(|&r| l[r]).collect());
            let classes = labels.as_deref().map_or(Classes::None, Classes::Labels);
            model.forward(&pick(&case.sample), &timesteps, classes).unwrap()
        };
        let alone: Vec<_> = (0..3).map(|r| bits(run(&[r]))).collect();
        for rows in [&[0, 1][..], &[2, 1, 0], &[1, 1, 2, 0, 2], &[0, 1, 2, 0, 1, 2, 0, 1]] {
            let together = run(rows);
            for (i, &row) in rows.iter().enumerate() {
                let out = bits(together.narrow(0, i, 1).unwrap().contiguous().unwrap());
                assert!(out == alone[row], "{unet}: row {row} at {i} of {} differs from itself alone", rows.len());
            }
        }
    }
}

#[test]
fn wrong_conditions_are_errors() {
    let (model, case) = (load("class/model/unet"), Case::read("class/cases.safetensors", "unet."));
    let refused = |timesteps: &[f32], classes| model.forward(&case.sample, timesteps, classes).unwrap_err().to_string();
    assert!(refused(&[1.0], Classes::Labels(&[1, 2, 3])).contains("1 timesteps for 3 rows"));
    assert!(refused(&[1.0; 3], Classes::Labels(&[1, 2])).contains("does not suit"));
    assert!(refused(&[1.0; 3], Classes::None).contains("does not suit"));
    assert!(refused(&[1.0; 3], Classes::Labels(&[1, 2, 10])).contains("no embedding 10 among 10"));
    let learned = load("unet_2d/learned");
    let case = Case::read("unet_2d/learned/case.safetensors", "");
    let refused = |t: f32| learned.forward(&case.sample, &[t; 3], Classes::Labels(&[1, 2, 3])).unwrap_err().to_string();
    assert!(refused(1.5).contains("no whole number"));
    assert!(refused(50.0).contains("no embedding 50 among 50"));
}

/// The class model's configuration with `key` set to `value`.
fn config_with(key: &str, value: serde_json::Value) -> Result<UNet2DConfig, LoadError> {
    let text = fs::read_to_string(data("class/model/unet/config.json")).unwrap();
    let mut config: serde_json::Map<_, _> = serde_json::from_str(&text).unwrap();
    config.insert(key.to_owned(), value);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), serde_json::to_string(&config).unwrap()).unwrap();
    UNet2DConfig::read(&Folder::OnDisk(folder.path().to_owned()))
}

/// A configuration with `key` set to `value` is refused with an error that says `message`.
#[track_caller]
fn check_refused(key: &str, value: serde_json::Value, message: &str) {
    let error = config_with(key, value).unwrap_err().to_string();
    assert!(error.contains(message) && error.contains("config.json"), "{error}");
}

#[test]
fn unsupported_configurations_are_refused_by_name() {
    use serde_json::json;
    check_refused("resnet_skip_time_act", json!(true), "`resnet_skip_time_act`");
    check_refused("act_fn", json!("mish"), "`act_fn` = mish");
    check_refused("mid_block_type", json!("UNetMidBlock2DCrossAttn"), "`mid_block_type` = UNetMidBlock2DCrossAttn");
    check_refused("resnet_time_scale_shift", json!("spatial"), "`resnet_time_scale_shift` = spatial");
    check_refused("down_block_types", json!(["SkipDownBlock2D"]), "block type SkipDownBlock2D");
    check_refused("up_block_types", json!(["UpBlock2D"]), "`up_block_types` lists 1");
    check_refused("norm_num_groups", json!(7), "`norm_num_groups` = 7");
    check_refused("norm_num_groups", json!(0), "`norm_num_groups` is 0");
    check_refused("attention_head_dim", json!(9), "`attention_head_dim` = 9");
    check_refused("attn_norm_num_groups", json!(5), "`attn_norm_num_groups` = 5");
    check_refused("sample_size", json!(28), "`sample_size` must be a multiple of 8");
    check_refused("block_out_channels", json!([]), "`block_out_channels` lists 0");
    check_refused("layers_per_block", json!(-1), "-1");
    check_refused("time_embedding_type", json!("learned"), "`num_train_timesteps`");
    check_refused("class_embed_type", json!("projection"), "projection");
}

#[test]
fn a_missing_or_misshapen_tensor_is_named() {
    let folder = Folder::OnDisk(data("class/model/unet"));
    let weights = folder.weights("diffusion_pytorch_model").unwrap();
    let refused = |key, value| {
        let config = config_with(key, value).unwrap();
        UNet2DModel::new(&weights, &config).unwrap_err().to_string()
    };
    let wider = refused("in_channels", 2.into());
    assert!(wider.contains("tensor conv_in.weight: has shape [16, 1, 3, 3], not [16, 2, 3, 3]"), "{wider}");
    let deeper = refused("layers_per_block", 2.into());
    assert!(deeper.contains("tensor down_blocks.0.resnets.1.time_emb_proj.weight: is missing"), "{deeper}");
}
