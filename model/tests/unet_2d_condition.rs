//! The text-conditioned network against diffusers: the test models, and every option in `data/unet_2d_condition`.

mod goldens;

use candle_core::Tensor;
use goldens::{Goldens, assert_close, flat, folder, row};
use x0_model::LoadError;
use x0_model::unet_2d_condition::{
    ClassInput, Condition, ConditionInputs, TextTime, UNet2DConditionConfig, UNet2DConditionModel,
};

fn load(unet: &str) -> UNet2DConditionModel {
    let folder = folder(unet);
    let weights = folder.weights("diffusion_pytorch_model").unwrap();
    let model = UNet2DConditionModel::new(&weights, &UNet2DConditionConfig::read(&folder).unwrap()).unwrap();
    assert_eq!(weights.unused(), Vec::<String>::new());
    model
}

/// Some rows, each with its own timestep and condition, and what diffusers makes of them.
struct Case {
    sample: Tensor,
    timesteps: Vec<f32>,
    conditions: Vec<Condition>,
    out: Tensor,
}

impl Case {
    fn read(model: &UNet2DConditionModel, file: &str, prefix: &str) -> Self {
        let goldens = Goldens::read(file);
        let name = |name: &str| format!("{prefix}{name}");
        let timesteps = goldens.vec(&name("timestep"));
        let conditions = (0..timesteps.len()).map(|i| condition(model, &goldens, prefix, i)).collect();
        Self { sample: goldens.map(&name("sample")), timesteps, conditions, out: goldens.map(&name("out")) }
    }

    fn run(&self, model: &UNet2DConditionModel) -> Tensor {
        model.forward(&self.sample, &self.timesteps, &self.conditions.iter().collect::<Vec<_>>()).unwrap()
    }
}

fn condition(model: &UNet2DConditionModel, goldens: &Goldens, prefix: &str, i: usize) -> Condition {
    let of_row = |name: &str| goldens.find(&format!("{prefix}{name}")).map(|t| row(&t, i));
    let (text_embeds, time_ids) = (of_row("text_embeds"), of_row("time_ids").map(|t| flat(&t)));
    let (class, timestep_cond) = (of_row("class_labels"), of_row("timestep_cond"));
    let text_time = match (&text_embeds, &time_ids) {
        (Some(text_embeds), Some(time_ids)) => Some(TextTime { text_embeds, time_ids }),
        _ => None,
    };
    let inputs = ConditionInputs {
        encoder_hidden_states: &of_row("encoder_hidden_states").unwrap(),
        text_time,
        class: class.as_ref().map(|class| match class.rank() {
            1 => ClassInput::Label(flat(class)[0]),
            _ => ClassInput::Vector(class),
        }),
        timestep_cond: timestep_cond.as_ref(),
    };
    model.condition(&inputs).unwrap()
}

const VARIANTS: [&str; 9] = [
    "nested",
    "odd",
    "distilled",
    "fourier",
    "class_table",
    "class_timestep",
    "class_identity",
    "class_projection",
    "class_simple_projection",
];

#[test]
fn the_test_models_predict_what_diffusers_predicts() {
    for name in ["sd15", "sd21v", "sdxl"] {
        let model = load(&format!("{name}/model/unet"));
        let case = Case::read(&model, &format!("{name}/cases.safetensors"), "unet.");
        assert_close(name, &case.run(&model), &case.out);
    }
}

#[test]
fn every_option_does_what_it_does_in_diffusers() {
    for name in VARIANTS {
        let model = load(&format!("unet_2d_condition/{name}"));
        let case = Case::read(&model, &format!("unet_2d_condition/{name}/case.safetensors"), "");
        assert_close(name, &case.run(&model), &case.out);
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_in_a_batch() {
    for name in ["sd15/model/unet", "sdxl/model/unet"] {
        let model = load(name);
        let file = format!("{}/cases.safetensors", name.split('/').next().unwrap());
        let case = Case::read(&model, &file, "unet.");
        let together = case.run(&model);
        for i in 0..2 {
            let alone = model.forward(&row(&case.sample, i), &case.timesteps[i..=i], &[&case.conditions[i]]).unwrap();
            assert_eq!(flat(&alone), flat(&row(&together, i)), "{name} row {i}");
        }
    }
}

#[test]
fn wrong_numbers_of_rows_and_conditions_of_other_networks_are_refused() {
    let (model, other) = (load("sd15/model/unet"), load("unet_2d_condition/fourier"));
    let case = Case::read(&model, "sd15/cases.safetensors", "unet.");
    let foreign = Case::read(&other, "unet_2d_condition/fourier/case.safetensors", "");
    let [first, second] = &case.conditions[..] else { panic!("two rows") };
    let check = |timesteps: &[f32], conditions: &[&Condition], expected: &str| {
        let error = model.forward(&case.sample, timesteps, conditions).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&[1.0], &[first, second], "1 timesteps and 2 conditions for 2 rows");
    check(&[1.0, 2.0], &[first], "2 timesteps and 1 conditions");
    check(&[1.0, 2.0], &[first, &foreign.conditions[0]], "");
}

#[test]
fn unsupported_options_are_refused_by_name() {
    let check = |json: &str, expected: &str| match UNet2DConditionConfig::parse("config.json", json) {
        Err(LoadError::Config { message, .. }) => assert!(message.contains(expected), "{message}"),
        other => panic!("{json}: {other:?}"),
    };
    check(r#"{"dual_cross_attention": true}"#, "dual_cross_attention");
    check(r#"{"attention_type": "gated"}"#, "attention_type");
    check(r#"{"num_attention_heads": 8}"#, "num_attention_heads");
    check(r#"{"addition_embed_type": "text"}"#, "addition_embed_type");
    check(r#"{"addition_embed_type": "text_time"}"#, "addition_time_embed_dim");
    check(r#"{"encoder_hid_dim": 4, "encoder_hid_dim_type": "image_proj"}"#, "encoder_hid_dim_type");
    check(r#"{"time_embedding_type": "learned"}"#, "time_embedding_type");
    check(r#"{"class_embed_type": "other"}"#, "class_embed_type");
    check(r#"{"class_embed_type": "projection"}"#, "projection_class_embeddings_input_dim");
    check(r#"{"mid_block_type": "UNetMidBlock2DSimpleCrossAttn"}"#, "UNetMidBlock2DSimpleCrossAttn");
    check(
        r#"{"down_block_types": ["SkipDownBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D"]}"#,
        "SkipDownBlock2D",
    );
    check(r#"{"act_fn": "mish"}"#, "act_fn");
    check(r#"{"something_new": 3}"#, "something_new");
    check(
        r#"{"transformer_layers_per_block": [[1, 1], [1, 1], [1, 1], [1, 1]]}"#,
        "reverse_transformer_layers_per_block",
    );
    check(r#"{"attention_head_dim": [8, 8]}"#, "attention_head_dim");
    check(r#"{"norm_num_groups": 7}"#, "norm_num_groups");
    check(r#"{"block_out_channels": []}"#, "block_out_channels");
    check(r#"{"layers_per_block": 0}"#, "layers_per_block");
    check(r#"{"conv_in_kernel": 4}"#, "conv_in_kernel");
    check(r#"{"downsample_padding": 2}"#, "downsample_padding");
    // Absent components and what diffusers ignores are no reason to refuse.
    let ignored = r#"{"_class_name": "x", "dropout": 0.1, "upcast_attention": true, "resnet_out_scale_factor": 2.0, "other": null}"#;
    assert!(UNet2DConditionConfig::parse("config.json", ignored).is_ok());
}

#[test]
fn missing_and_misshapen_tensors_are_named() {
    let folder = folder("unet_2d_condition/fourier");
    let weights = folder.weights("diffusion_pytorch_model").unwrap();
    let with = |from: &str, to: &str| {
        let text = folder.text("config.json").unwrap();
        assert!(text.contains(from), "{text}");
        UNet2DConditionConfig::parse("config.json", &text.replace(from, to)).unwrap()
    };
    let check = |config: &UNet2DConditionConfig, tensor: &str, expected: &str| match UNet2DConditionModel::new(
        &weights, config,
    ) {
        Err(LoadError::Tensor { tensor: named, message, .. }) => {
            assert_eq!(named, tensor);
            assert!(message.contains(expected), "{message}");
        }
        other => panic!("{other:?}"),
    };
    let wider = with(r#""cross_attention_dim": 12"#, r#""cross_attention_dim": 13"#);
    check(&wider, "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight", "[8, 12], not [8, 13]");
    let longer = with(r#""layers_per_block": 1"#, r#""layers_per_block": 2"#);
    check(&longer, "down_blocks.0.resnets.1.time_emb_proj.weight", "missing");
}
