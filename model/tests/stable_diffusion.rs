//! Whole pipelines against diffusers: every case of the test models in `data/{sd15,sd21v,sdxl,inpaint}`, of the embedded model
//! `emoji`, and of `data/{pipelines,prompts}`.

mod goldens;

use goldens::text_to_image::{TestModel, Tolerance};

#[test]
fn stable_diffusion_1_makes_diffusers_pictures() {
    TestModel::open("sd15").check_all(38, Tolerance::STRICT);
}

#[test]
fn stable_diffusion_2_makes_diffusers_pictures() {
    TestModel::open("sd21v").check_all(38, Tolerance::STRICT);
}

#[test]
fn stable_diffusion_xl_makes_diffusers_pictures() {
    TestModel::open("sdxl").check_all(35, Tolerance::STRICT);
}

#[test]
fn a_network_that_sees_the_mask_makes_diffusers_pictures() {
    TestModel::open("inpaint").check_all(2, Tolerance::STRICT);
}

#[test]
fn the_embedded_text_to_image_model_makes_diffusers_pictures() {
    TestModel::open("emoji").check_all(11, Tolerance::STRICT);
}

#[test]
fn further_requests_and_variants_make_diffusers_pictures() {
    let mut cases = 0;
    for variant in TestModel::open_variants("pipelines") {
        cases += variant.cases.len();
        variant.check_all(variant.cases.len(), Tolerance::STRICT);
    }
    assert_eq!(cases, 29);
}

#[test]
fn prompts_with_marks_make_the_pictures_of_their_definition() {
    let mut cases = 0;
    for model in TestModel::open_variants("prompts") {
        cases += model.cases.len();
        model.check_all(model.cases.len(), Tolerance::STRICT);
    }
    assert_eq!(cases, 16);
}
