//! What a Stable Diffusion model promises beyond its pictures: independence of slots, refusals, warnings, previews, bounds.

mod goldens;

use std::fs;

use goldens::text_to_image::{TestModel, copy_folder, run};
use goldens::{Goldens, data, flat, folder};
use x0_model::autoencoder_tiny::{AutoencoderTiny, AutoencoderTinyConfig};
use x0_model::sampler::{SamplerKind, SamplerSpec};
use x0_model::{Conditioning, Library, Model, Picture, PreviewDecoder, Prompt, PromptSyntax, Request, Slot};

fn text(prompt: &str) -> Conditioning {
    Conditioning::Text { prompt: prompt.into(), negative_prompt: Prompt::default() }
}

fn marked(prompt: &str) -> Conditioning {
    let prompt = Prompt::new(prompt, PromptSyntax::A1111).unwrap();
    Conditioning::Text { prompt, negative_prompt: Prompt::negative("", PromptSyntax::A1111).unwrap() }
}

fn request(prompt: &str, sampler: SamplerKind, steps: u32) -> Request {
    Request {
        conditioning: text(prompt),
        seed: 5,
        width: 64,
        height: 64,
        steps,
        guidance_scale: 3.0,
        guidance_rescale: 0.0,
        sampler: sampler.into(),
        noise_source: Default::default(),
        clip_skip: None,
        variation: None,
        init: None,
        highres: None,
    }
}

fn alone(model: &Model, request: &Request, image: u32) -> Picture {
    let mut slot = model.begin(request, image).unwrap();
    run(model, &mut slot);
    model.decode(slot).unwrap()
}

fn step(model: &Model, slots: &mut [&mut Slot]) {
    for report in model.step(slots) {
        report.unwrap();
    }
}

#[test]
fn a_picture_has_the_same_bytes_alone_in_a_batch_and_when_it_joins_late() {
    for name in ["sd15", "sdxl"] {
        let tests = TestModel::open(name);
        let model = &tests.model;
        let mut requests = vec![
            (request("a red house", SamplerKind::Dpmpp2mSde, 6), 0),
            (request("a red house", SamplerKind::Dpmpp2mSde, 6), 1),
            (request("", SamplerKind::EulerAncestral, 5), 0),
            (Request { guidance_scale: 1.0, ..request("two green hills", SamplerKind::Heun, 3) }, 0),
            (
                Request {
                    conditioning: marked("a (red:1.3) house AND rain :0.5"),
                    ..request("", SamplerKind::Ddim, 4)
                },
                0,
            ),
        ];
        if name == "sd15" {
            requests.push((tests.request(tests.case("inpaint_4ch"), 0), 0));
        }
        let expected: Vec<Picture> = requests.iter().map(|(request, image)| alone(model, request, *image)).collect();
        assert_ne!(expected[0], expected[1], "each image has its own seed");

        let mut slots: Vec<Slot> =
            requests.iter().map(|(request, image)| model.begin(request, *image).unwrap()).collect();
        // The first goes ahead by two steps; after that, all that are not done step together.
        step(model, &mut [&mut slots[0]]);
        step(model, &mut [&mut slots[0]]);
        while slots.iter().any(|slot| !slot.is_done()) {
            step(model, &mut slots.iter_mut().filter(|slot| !slot.is_done()).collect::<Vec<_>>());
        }
        for (slot, expected) in slots.into_iter().zip(expected) {
            assert!(model.decode(slot).unwrap() == expected, "{name}");
        }
    }
}

#[test]
fn slots_of_different_sizes_or_without_steps_left_are_errors() {
    let model = &TestModel::open("sd15").model;
    let square = request("a", SamplerKind::Ddim, 1);
    let wide = Request { width: 72, ..square.clone() };
    let (mut first, mut second) = (model.begin(&square, 0).unwrap(), model.begin(&wide, 0).unwrap());
    let reports = model.step(&mut [&mut first, &mut second]);
    assert!(reports.len() == 2 && reports.iter().all(Result::is_err));
    let error = model.decode(second).unwrap_err().to_string();
    assert!(error.contains("only 0 of 1"), "{error}");
    step(model, &mut [&mut first]);
    assert!(first.is_done());
    let mut third = model.begin(&square, 0).unwrap();
    let reports = model.step(&mut [&mut first, &mut third]);
    assert!(reports[0].is_err() && reports[1].is_ok(), "a slot that is done does not harm its neighbours");
}

#[test]
fn requests_that_cannot_be_served_are_refused_by_field() {
    let library = Library::open(Some(&data("sd15"))).unwrap();
    let base = request("a", SamplerKind::Ddim, 4);
    let check = |request: Request, field: &str, expected: &str| {
        let error = library.plan("model", &request).unwrap_err();
        assert_eq!(error.field, field, "{error}");
        assert!(error.message.contains(expected), "{error}");
        let by_model = library.load("model").unwrap().begin(&request, 0).unwrap_err().to_string();
        assert!(by_model.contains(field), "{by_model}");
    };
    check(Request { conditioning: Conditioning::None, ..base.clone() }, "prompt", "needs a prompt");
    check(Request { conditioning: Conditioning::Class(1), ..base.clone() }, "class_label", "no classes");
    check(Request { width: 60, ..base.clone() }, "width", "multiple of 8");
    check(Request { height: 0, ..base.clone() }, "height", "multiple of 8");
    check(Request { height: 1 << 20, ..base.clone() }, "height", "at most");
    check(Request { steps: 0, ..base.clone() }, "steps", "1 to");
    check(Request { guidance_scale: f64::NAN, ..base.clone() }, "guidance_scale", "finite");
    check(Request { guidance_rescale: 1.5, ..base.clone() }, "guidance_rescale", "between 0 and 1");
    check(Request { clip_skip: Some(4), ..base.clone() }, "clip_skip", "at most 3");
    let eta = SamplerSpec { eta: Some(0.5), ..SamplerKind::Euler.into() };
    check(Request { sampler: eta, ..base.clone() }, "eta", "eta");
    let tests = TestModel::open("sd15");
    let mut weak = tests.request(tests.case("img2img_0.3"), 0);
    weak.steps = 2;
    check(weak, "strength", "none of 2 steps");

    let mut empty = tests.request(tests.case("inpaint_4ch"), 0);
    let hollow = Picture { width: 0, height: 4, channels: x0_model::Channels::Gray, bytes: Vec::new() };
    empty.init.as_mut().unwrap().mask = Some(hollow.clone().into());
    check(empty.clone(), "mask_image", "no pixels");
    empty.init.as_mut().unwrap().picture = Picture { width: 4, ..hollow }.into();
    check(empty, "init_image", "no pixels");

    let cost = library.plan("model", &base).unwrap();
    assert_eq!((cost.calls, cost.rows, cost.tensor_height, cost.tensor_width), (4, 2, 32, 32));
    let unguided = Request { guidance_scale: 1.0, ..base };
    assert_eq!(library.plan("model", &unguided).unwrap().rows, 1);
}

#[test]
fn an_inpainting_network_needs_a_picture_and_a_mask() {
    let library = Library::open(Some(&data("inpaint"))).unwrap();
    let error = library.plan("model", &request("a", SamplerKind::Ddim, 4)).unwrap_err();
    assert_eq!(error.field, "mask_image");
    let tests = TestModel::open("inpaint");
    let mut unmasked = tests.request(&tests.cases[0], 0);
    unmasked.init.as_mut().unwrap().mask = None;
    assert_eq!(library.plan("model", &unmasked).unwrap_err().field, "mask_image");
}

#[test]
fn texts_that_are_cut_are_warned_of() {
    let library = Library::open(Some(&data("sd15"))).unwrap();
    let warnings = |prompt: &str, negative: &str, guidance_scale| {
        let conditioning = Conditioning::Text { prompt: prompt.into(), negative_prompt: negative.into() };
        let request = Request { conditioning, guidance_scale, ..request("", SamplerKind::Ddim, 4) };
        library.warnings("model", &request)
    };
    // 75 tokens of the text fit between the start and the end.
    let (fits, long) = ("a ".repeat(75), "a ".repeat(80));
    assert_eq!(warnings(&fits, &fits, 3.0), [""; 0]);
    assert_eq!(warnings(&long, "", 3.0), ["prompt: the last 5 tokens were cut off, since the model takes 77"]);
    assert_eq!(warnings("", &long, 3.0), ["negative_prompt: the last 5 tokens were cut off, since the model takes 77"]);
    assert_eq!(warnings("", &long, 1.0), [""; 0], "without guidance the negative prompt is not used");
}

#[test]
fn marks_cost_rows_and_long_texts_tokens() {
    let library = Library::open(Some(&data("sd15"))).unwrap();
    let of = |conditioning: Conditioning| Request { conditioning, ..request("", SamplerKind::Ddim, 4) };
    let cost = |conditioning| library.plan("model", &of(conditioning)).unwrap();
    let long = "a ".repeat(80);
    for (conditioning, rows, context) in [
        (text(&long), 2, 77),
        (marked("a"), 2, 77),
        (marked(&long), 2, 154),
        (marked("a BREAK b BREAK c"), 2, 231),
        (marked("a AND b AND c"), 4, 77),
        (marked(&"a ".repeat(75 * 16 + 7)), 2, 77 * 16),
    ] {
        let cost = cost(conditioning.clone());
        assert_eq!((cost.rows, cost.context), (rows, context), "{conditioning:?}");
    }
    let composed = Request { guidance_scale: 1.0, ..of(marked("a AND b")) };
    assert_eq!(
        library.plan("model", &composed).unwrap().rows,
        3,
        "the unconditional row is needed without guidance, too"
    );

    let warnings = |prompt: &str| library.warnings("model", &of(marked(prompt)));
    assert_eq!(warnings(&long), [""; 0], "nothing of a long text is lost");
    let too_long = "a ".repeat(75 * 16 + 7);
    assert_eq!(warnings(&too_long), ["prompt: the last 7 tokens were cut off, since 16 chunks of 77 are taken"]);
    assert_eq!(warnings("(a:9)"), ["prompt: weights beyond 4 or -4 were taken as these"]);
}

#[test]
fn a_prompt_without_marks_is_the_same_in_both_syntaxes() {
    for name in ["sd15", "sdxl"] {
        let model = &TestModel::open(name).model;
        let plain = request("a red house, at dusk", SamplerKind::Ddim, 2);
        let other = Request { conditioning: marked("a red house, at dusk"), ..plain.clone() };
        assert!(alone(model, &plain, 0) == alone(model, &other, 0), "{name}");
        let weighted = Request { conditioning: marked("a (red:1.3) house, at dusk"), ..plain.clone() };
        assert!(alone(model, &plain, 0) != alone(model, &weighted, 0), "{name}");
    }
}

#[test]
fn weights_that_cancel_each_other_do_not_explode() {
    let model = &TestModel::open("sd15").model;
    // Whatever the weights: the text's mean is restored within bounds, or not at all.
    for prompt in ["(a:-1)", "(a b c d e f g h:-4)", "(a:-0.5) (b:-0.5)", "(a:0)"] {
        let mut slot =
            model.begin(&Request { conditioning: marked(prompt), ..request("", SamplerKind::Ddim, 2) }, 0).unwrap();
        run(model, &mut slot);
        assert!(slot.sample().unwrap().iter().all(|value| value.is_finite()), "{prompt}");
    }
}

#[test]
fn texts_of_different_lengths_do_not_share_a_call() {
    let model = &TestModel::open("sd15").model;
    let of = |conditioning| Request { conditioning, ..request("", SamplerKind::Ddim, 1) };
    let (mut short, mut long) =
        (model.begin(&of(marked("a")), 0).unwrap(), model.begin(&of(marked("a BREAK b")), 0).unwrap());
    let reports = model.step(&mut [&mut short, &mut long]);
    assert!(reports.iter().all(Result::is_err));
}

#[test]
fn previews_show_the_prediction() {
    let model = &TestModel::open("sd15").model;
    let mut slot = model.begin(&request("a castle", SamplerKind::Euler, 3), 0).unwrap();
    step(model, &mut [&mut slot]);
    let preview = |slot: &Slot, decoder| model.preview(slot, decoder).unwrap();
    let (full, linear) = (preview(&slot, PreviewDecoder::Full), preview(&slot, PreviewDecoder::Linear));
    assert_eq!((full.width, full.height), (64, 64));
    assert_eq!((linear.width, linear.height), (32, 32), "a pixel for each latent pixel");
    assert_eq!(preview(&slot, PreviewDecoder::Auto), full, "this autoencoder costs little");
    assert_eq!(preview(&slot, PreviewDecoder::Tiny), linear, "there is no small autoencoder");
    // The prediction of this sampler's last step is the picture.
    run(model, &mut slot);
    let last = preview(&slot, PreviewDecoder::Full);
    let picture = model.decode(slot).unwrap();
    let differences = last.bytes.iter().zip(&picture.bytes).map(|(a, b)| a.abs_diff(*b));
    assert!(differences.max().unwrap() <= 1);
}

#[test]
fn previews_by_the_small_autoencoder_are_its_pictures() {
    // The test model's latents are half as large as its pictures, and so are those of this one.
    let models = tempfile::tempdir().unwrap();
    copy_folder(&data("sd15/model"), &models.path().join("model"));
    copy_folder(&data("vae/taesd"), &models.path().join("model/taesd"));
    let model = Library::open(Some(models.path())).unwrap().load("model").unwrap();
    let mut slot = model.begin(&request("a castle", SamplerKind::Ddim, 3), 0).unwrap();
    step(&model, &mut [&mut slot]);
    let taesd = folder("vae/taesd");
    let config = AutoencoderTinyConfig::read(&taesd).unwrap();
    let tiny = AutoencoderTiny::new(&taesd.weights("diffusion_pytorch_model").unwrap(), &config).unwrap();
    let x0 =
        candle_core::Tensor::from_vec(slot.predicted_x0().unwrap(), (1, 4, 32, 32), &candle_core::Device::Cpu).unwrap();
    let decoded = tiny.decode(&x0.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap()).unwrap();
    let expected = Picture::from_signed(&flat(&decoded), 64, 64, x0_model::Channels::Rgb);
    for decoder in [PreviewDecoder::Tiny, PreviewDecoder::Auto] {
        assert!(model.preview(&slot, decoder).unwrap() == expected, "{decoder:?}");
    }
}

#[test]
fn a_linear_preview_resembles_the_picture() {
    // A real autoencoder's colours are almost linear in its latents; those of a random one are not, but correlate.
    let (tests, goldens) = (TestModel::open("sd15"), Goldens::read("sd15/cases.safetensors"));
    let mut slot = tests.model.begin(&tests.request(tests.case("img2img_0.3"), 0), 0).unwrap();
    run(&tests.model, &mut slot);
    let linear = tests.model.preview(&slot, PreviewDecoder::Linear).unwrap();
    assert_eq!(linear.bytes.len(), 3 * 32 * 32);
    assert!(linear.bytes.iter().any(|byte| byte.abs_diff(linear.bytes[0]) > 4), "it is not of one colour");
    assert_eq!(goldens.get("img2img_0.3.latents").elem_count(), slot.sample().unwrap().len());
}

#[test]
fn what_cannot_fit_is_refused_and_large_pictures_are_decoded_in_tiles() {
    let within = |limit: u64| Library::open_within(Some(&data("sd15")), Some(limit)).unwrap();
    let large = Request { width: 256, height: 256, guidance_scale: 1.0, ..request("a castle", SamplerKind::Ddim, 1) };
    assert_eq!(within(1 << 20).plan("model", &large).unwrap_err().field, "model", "the weights alone are larger");
    // Between the least limit for tiles and the least for the whole picture lies a limit that needs tiles.
    let refused = |limit: u64| within(limit).plan("model", &large).is_err();
    let (mut below, mut above) = (1u64 << 20, 1u64 << 32);
    assert!(refused(below) && !refused(above));
    while above - below > 1 << 14 {
        let middle = (below + above) / 2;
        if refused(middle) { below = middle } else { above = middle }
    }
    let error = within(below).plan("model", &large).unwrap_err();
    assert_eq!(error.field, "width");
    assert!(error.message.contains("GB"), "{error}");
    let picture = |library: &Library| alone(&library.load("model").unwrap(), &large, 0);
    let (tiled, whole) = (picture(&within(above)), picture(&within(1 << 40)));
    assert_eq!((tiled.width, tiled.height), (256, 256));
    assert!(tiled != whole);
    let small = request("a castle", SamplerKind::Ddim, 1);
    assert!(
        alone(&within(above).load("model").unwrap(), &small, 0)
            == alone(&within(1 << 40).load("model").unwrap(), &small, 0)
    );
}

#[test]
fn broken_folders_are_problems_that_name_the_file_and_others_are_served() {
    let models = tempfile::tempdir().unwrap();
    let broken = |name: &str, change: &dyn Fn(&std::path::Path), expected: &str| {
        let path = models.path().join(name);
        copy_folder(&data("sd15/model"), &path);
        change(&path);
        (name.to_owned(), expected.to_owned())
    };
    let edit = |path: &std::path::Path, file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(path.join(file)).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path.join(file), text.replace(from, to)).unwrap();
    };
    let expected = [
        broken(
            "a",
            &|path| edit(path, "unet/config.json", "\"dual_cross_attention\": false", "\"dual_cross_attention\": true"),
            "dual_cross_attention",
        ),
        broken(
            "b",
            &|path| edit(path, "unet/config.json", "\"cross_attention_dim\": 32", "\"cross_attention_dim\": 48"),
            "text embeddings of 48",
        ),
        broken(
            "c",
            &|path| edit(path, "text_encoder/config.json", "\"vocab_size\": 1714", "\"vocab_size\": 1700"),
            "1714 tokens",
        ),
        broken(
            "d",
            &|path| fs::remove_file(path.join("vae/diffusion_pytorch_model.safetensors")).unwrap(),
            "diffusion_pytorch_model",
        ),
        broken(
            "e",
            &|path| fs::write(path.join("unet/diffusion_pytorch_model.safetensors"), [7; 100]).unwrap(),
            "unet",
        ),
        broken(
            "f",
            &|path| edit(path, "model_index.json", "StableDiffusionPipeline", "StableDiffusionUpscalePipeline"),
            "StableDiffusionUpscalePipeline",
        ),
        broken(
            "g",
            &|path| edit(path, "scheduler/scheduler_config.json", "PNDMScheduler", "FlowMatchScheduler"),
            "FlowMatchScheduler",
        ),
        broken("h", &|path| fs::remove_file(path.join("tokenizer/tokenizer.json")).unwrap(), "vocab.json"),
        broken("i", &|path| edit(path, "model_index.json", "CLIPTextModel", "T5EncoderModel"), "T5EncoderModel"),
        broken("j", &|path| edit(path, "unet/config.json", "\"in_channels\": 4", "\"in_channels\": 5"), "5 channels"),
    ];
    copy_folder(&data("sd15/model"), &models.path().join("whole"));
    let library = Library::open(Some(models.path())).unwrap();
    assert_eq!(library.problems().len(), expected.len(), "{:?}", library.problems());
    for ((name, why), (expected_name, expected)) in library.problems().iter().zip(&expected) {
        assert_eq!(name, expected_name);
        assert!(why.contains(expected), "{name}: {why}");
    }
    assert!(library.load("whole").is_ok());
}

#[test]
fn a_model_describes_itself() {
    let library = Library::open(Some(&data("sdxl"))).unwrap();
    let info = library.info("model").unwrap();
    assert_eq!((info.size.default_width, info.size.default_height, info.size.multiple), (64, 64, 8));
    assert!(info.guidable && info.image_to_image && !info.size.fixed && !info.embedded);
    assert_eq!((info.defaults.steps, info.defaults.guidance_scale), (30, 5.0));
    assert_eq!(info.defaults.sampler, SamplerKind::Euler.into());
}
