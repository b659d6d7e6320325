//! Times each kernel at the shapes of Stable Diffusion 1.5 and XL, their autoencoder, and the models that x0 brings along.
//!
//!     cargo bench -p x0-kernels --bench kernels -- [PART OF A NAME...]
//!
//! One JSON object a line: `kernel`, `shape` as `name=number` pairs, `flops` of the direct method, `bytes` that have to be
//! read and written at least, and the `seconds` of each repetition. `compare.py` beside this file times torch at the same shapes.

mod machine;
mod shapes;

use std::time::{Duration, Instant};

use candle_core::{Device, Result, Tensor};
use x0_kernels::{
    Activation, BufferAllocator, Conv2d, Conv2dOptions, Linear, Mask, attention, geglu, group_norm, layer_norm,
};

use shapes::{Case, Kernel};

/// As the server has it.
#[global_allocator]
static ALLOCATOR: BufferAllocator<std::alloc::System> = BufferAllocator::new(std::alloc::System);

/// Repetitions go on until they took so long together, or are so many.
const LONG_ENOUGH: Duration = Duration::from_millis(250);
const ENOUGH: usize = 50;

fn main() -> Result<()> {
    // cargo passes flags such as `--bench`, too.
    let wanted: Vec<_> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    for case in shapes::all() {
        let name = format!("{} {}", case.kernel.name(), case.shape);
        if wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())) {
            report(&case, &time(&case)?);
        }
    }
    Ok(())
}

/// Prints a line.
fn report(case: &Case, seconds: &[f64]) {
    let Case { kernel, shape, flops, bytes } = case;
    let line = format!(
        r#"{{"kernel": "{}", "shape": "{shape}", "flops": {flops}, "bytes": {bytes}, "seconds": {seconds:?}}}"#,
        kernel.name()
    );
    std::io::Write::write_all(&mut std::io::stdout(), format!("{line}\n").as_bytes()).expect("somebody reads");
}

/// The seconds of each repetition after the first.
fn repeat(mut f: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    f()?;
    let (begin, mut seconds) = (Instant::now(), Vec::new());
    while seconds.len() < 2 || (begin.elapsed() < LONG_ENOUGH && seconds.len() < ENOUGH) {
        let start = Instant::now();
        f()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(seconds)
}

fn random(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(0f32, 1.0, shape, &Device::Cpu)
}

fn time(case: &Case) -> Result<Vec<f64>> {
    match case.kernel {
        Kernel::Fma { threads } => repeat(|| {
            machine::multiply_add(threads);
            Ok(())
        }),
        Kernel::Read { megabytes } => {
            let values = vec![1f32; megabytes << 18];
            repeat(|| {
                machine::read(&values);
                Ok(())
            })
        }
        Kernel::Conv2d { batch, size, inputs, outputs, kernel, stride, upsample } => {
            let weight = (random(&[outputs, inputs, kernel, kernel])? * 0.02)?;
            let options = Conv2dOptions { stride, padding: (kernel / 2, kernel / 2), upsample: upsample == 1 };
            let layer = Conv2d::new(&weight, Some(&random(&[outputs])?), options)?;
            let x = random(&[batch, size, size, inputs])?;
            x0_kernels::install(|| repeat(|| layer.forward(&x).map(drop)))
        }
        Kernel::Linear { rows, inputs, outputs } => {
            let layer = Linear::new(&(random(&[outputs, inputs])? * 0.02)?, Some(&random(&[outputs])?))?;
            let x = random(&[rows, inputs])?;
            x0_kernels::install(|| repeat(|| layer.forward(&x).map(drop)))
        }
        Kernel::Attention { batch, queries, keys, heads, width } => {
            let q = random(&[batch, queries, heads * width])?;
            let (k, v) = (random(&[batch, keys, heads * width])?, random(&[batch, keys, heads * width])?);
            let scale = (width as f32).sqrt().recip();
            x0_kernels::install(|| repeat(|| attention(&q, &k, &v, heads, scale, Mask::None).map(drop)))
        }
        Kernel::GroupNormSilu { batch, size, channels } => {
            let (x, w) = (random(&[batch, size, size, channels])?, random(&[channels])?);
            x0_kernels::install(|| repeat(|| group_norm(&x, 32, &w, &w, 1e-5, Activation::Silu).map(drop)))
        }
        Kernel::LayerNorm { rows, channels } => {
            let (x, w) = (random(&[rows, channels])?, random(&[channels])?);
            x0_kernels::install(|| repeat(|| layer_norm(&x, &w, &w, 1e-5).map(drop)))
        }
        Kernel::Geglu { rows, channels } => {
            let x = random(&[rows, 2 * channels])?;
            x0_kernels::install(|| repeat(|| geglu(&x).map(drop)))
        }
    }
}
