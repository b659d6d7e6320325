//! What is fuzzed: each function takes any bytes, as they could come from a client or from a file in the models' folder, and panics
//! where a promise is broken. cargo-fuzz's programs call them with new inputs; `tests/replay.rs` calls them with those that were found.

use std::io::Write as _;
use std::sync::{Arc, LazyLock};

use tempfile::NamedTempFile;
use x0_model::tokenizer::{Pad, Tokenizer};
use x0_model::weights::Weights;
use x0_model::{Library, Prompt, PromptSyntax};
use x0_openapi::{
    GenerationRequest, HuggingFaceRequest, ImageFormat, MaskWhere, OnDisconnect, OpenAiEditRequest, OpenAiImageRequest,
    SdapiKind, SdapiRequest, parse,
};
use x0_server::fetch::Fetched;
use x0_server::infotext::{Infotext, recovered, settings};
use x0_server::picture::{DecodeLimits, decode_base64, decode_image, decode_mask, is_picture, texts};
use x0_server::validate::{Answer, Limits, Validator};

/// Small pictures are decoded by the same code as large ones, many more of them in a second.
const LIMITS: DecodeLimits = DecodeLimits { side: 256, pixels: 256 * 256, memory: 4 << 20 };
/// Elements of a tensor that is read whole.
const MAX_ELEMENTS: usize = 1 << 16;

static LIBRARY: LazyLock<Arc<Library>> =
    LazyLock::new(|| Arc::new(Library::open(None).expect("the embedded models can be read")));
static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let limits = Limits { side: LIMITS.side, pixels: LIMITS.pixels, ..Limits::default() };
    Validator::new(LIBRARY.clone(), Vec::new(), limits)
});
static TOKENIZER: LazyLock<Arc<Tokenizer>> =
    LazyLock::new(|| Tokenizer::built_in(Pad::End).expect("CLIP's tokenizer is part of the program"));

/// A prompt in both syntaxes: it is kept as it was written, and its tokens fill exactly one chunk.
pub fn prompt(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for syntax in [PromptSyntax::Plain, PromptSyntax::A1111] {
        for read in [Prompt::new(&*text, syntax), Prompt::negative(&*text, syntax)] {
            let Ok(prompt) = read else { continue };
            assert_eq!((prompt.text(), prompt.syntax()), (&*text, syntax));
        }
    }
    let tokens = TOKENIZER.encode(&text).expect("every text has tokens");
    assert_eq!(tokens.ids.len(), TOKENIZER.length());
}

/// A body of every surface that takes JSON. What our own surface accepts says in full what it will do, and saying just that again
/// is accepted and means the same.
pub fn request(data: &[u8]) {
    let Ok(json) = parse(data) else { return };
    let _ = OpenAiImageRequest::read(json.clone());
    let _ = OpenAiEditRequest::read(json.clone());
    let _ = HuggingFaceRequest::read(json.clone());
    for kind in [SdapiKind::TextToImage, SdapiKind::ImageToImage] {
        let _ = SdapiRequest::read(json.clone(), kind);
    }
    let Ok((request, errors)) = GenerationRequest::read(json) else { return };
    let wrong = !errors.is_empty();
    let answer = Answer { one_image: false, format: ImageFormat::Png, on_disconnect: OnDisconnect::Keep };
    let Ok(order) = VALIDATOR.order_after(errors, &request, &Fetched::default(), &answer) else { return };
    assert!(!wrong, "a request with errors was accepted");
    if request.init_image.is_some() {
        return; // The resolved request names the picture, and does not hold it.
    }
    let resolved = serde_json::to_vec(order.resolved()).expect("a resolved request is JSON");
    let again = parse(&resolved).expect("a resolved request is JSON of ours");
    let (request, errors) = GenerationRequest::read(again).expect("a resolved request is an object");
    match VALIDATOR.order_after(errors, &request, &Fetched::default(), &answer) {
        Ok(again) => assert_eq!(again.resolved(), order.resolved()),
        Err(errors) => panic!("{}: {errors:?}", String::from_utf8_lossy(&resolved)),
    }
}

/// A file that came as a picture, as it is or as base64: what is decoded keeps to the limits and is whole.
pub fn picture(data: &[u8]) {
    picture_file(data);
    if let Ok(text) = str::from_utf8(data)
        && let Ok(file) = decode_base64(text)
    {
        picture_file(&file);
    }
}

fn picture_file(data: &[u8]) {
    if let Ok(picture) = decode_image(data, LIMITS) {
        assert!(is_picture(data) && picture.is_whole());
        assert!(picture.width.max(picture.height) <= LIMITS.side);
    }
    for changes in [MaskWhere::White, MaskWhere::Black, MaskWhere::Transparent] {
        if let Ok(mask) = decode_mask(data, changes, LIMITS) {
            assert!(mask.is_whole() && mask.bytes.iter().any(|&value| value != 0));
        }
    }
    if let Ok(texts) = texts(data) {
        let _ = recovered(&texts, &**LIBRARY);
    }
}

/// AUTOMATIC1111's text in a picture: the settings that are read from it are a request of ours.
pub fn infotext(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let fields = settings(&Infotext::parse(&text), &**LIBRARY);
    let json = serde_json::to_vec(&fields).expect("settings are JSON");
    let json = parse(&json).expect("settings are JSON of ours");
    let (_, errors) = GenerationRequest::read(json).expect("settings are an object");
    assert!(errors.is_empty(), "{errors:?}");
}

/// A file of weights: a header that is taken says truly what the file holds.
pub fn safetensors(data: &[u8]) {
    let mut file = NamedTempFile::new().expect("there is room for a small file");
    file.write_all(data).expect("there is room for a small file");
    let Ok(weights) = Weights::open(&[file.path().to_owned()]) else { return };
    for name in weights.names() {
        let shape = weights.shape(name).expect("a tensor that has a name has a shape");
        let elements = shape.iter().try_fold(1_usize, |product, &side| product.checked_mul(side));
        if elements.is_some_and(|elements| elements <= MAX_ELEMENTS)
            && let Ok(tensor) = weights.get(name, shape.clone())
        {
            assert_eq!(tensor.dims(), shape);
        }
    }
}
