//! Networks by themselves.

use std::path::Path;

use safetensors::SafeTensors;
use x0_model::stage::{Stage, Tensors};
use x0_model::{Library, Shape};

fn library(name: &str) -> Library {
    Library::open(Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name))).unwrap()
}

/// Shape and numbers of a stage's answer.
fn answer(tensors: &Tensors, stage: Stage) -> (Vec<usize>, Vec<f32>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    tensors.write(file.path()).unwrap();
    let bytes = std::fs::read(file.path()).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = all.tensor(stage.name()).unwrap();
    let numbers = tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    (tensor.shape().to_vec(), numbers)
}

#[test]
fn every_network_of_every_family_can_be_called() {
    let text = [Stage::TextEncoder, Stage::Unet, Stage::VaeDecode];
    for (name, stages) in [
        ("class", &[Stage::Unet][..]),
        ("uncond", &[Stage::Unet]),
        ("sd15", &text),
        ("sd21v", &text),
        ("inpaint", &text),
        ("sdxl", &Stage::ALL),
    ] {
        let library = library(name);
        assert_eq!(library.stages("model"), stages, "{name}");
        for stage in Stage::ALL {
            let network = match library.network("model", stage) {
                Ok(network) if stages.contains(&stage) => network,
                Err(error) if !stages.contains(&stage) => {
                    assert!(error.to_string().contains(stage.name()));
                    continue;
                }
                other => panic!("{name}, {stage:?}: {other:?}"),
            };
            let inputs = network.random_inputs(2, None).unwrap();
            assert!(inputs.has(stage));
            let call = network.call(&inputs).unwrap();
            let (shape, numbers) = answer(&call.run().unwrap(), stage);
            assert_eq!((call.rows(), shape[0]), (2, 2), "{name}, {stage:?}");
            assert!(numbers.iter().all(|x| x.is_finite()) && numbers.iter().any(|x| *x != 0.0), "{name}, {stage:?}");
            assert_eq!(answer(&call.run().unwrap(), stage).1, numbers);
            call.compute().unwrap();
            let one = network.random_inputs(1, None).unwrap();
            assert_eq!(network.call(&one).unwrap().operations() * 2.0, call.operations());
        }
    }
}

#[test]
fn shapes_have_the_networks_of_the_published_models() {
    for (shape, stages) in
        [(Shape::Sd15, &[Stage::TextEncoder, Stage::Unet, Stage::VaeDecode][..]), (Shape::Sdxl, &Stage::ALL)]
    {
        assert_eq!(Library::of_shape(shape).unwrap().stages(shape.name()), stages);
    }
    let library = Library::of_shape(Shape::Sd15).unwrap();
    let network = library.network("sd15", Stage::TextEncoder).unwrap();
    let inputs = network.random_inputs(1, None).unwrap();
    let (shape, numbers) = answer(&network.call(&inputs).unwrap().run().unwrap(), Stage::TextEncoder);
    assert_eq!(shape, [1, 77, 768]);
    assert!(numbers.iter().all(|x| x.is_finite()));
}

#[test]
fn inputs_that_are_missing_are_named() {
    let library = library("sd15");
    let network = library.network("model", Stage::Unet).unwrap();
    let error = network.call(&Tensors::default()).unwrap_err();
    assert!(error.to_string().contains("unet.sample"), "{error}");
    for (rows, size) in [(0, None), (1, Some((0, 64))), (1, Some((64, 13)))] {
        network.random_inputs(rows, size).unwrap_err();
    }
}
