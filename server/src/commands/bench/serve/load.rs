//! Which requests come, and when.

use std::f64::consts::E;
use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::{Value, json};
use x0_model::generator::{Generator, NoiseSource};
use x0_openapi::{Model, ModelKind};

use crate::commands::CommandError;

/// Three in ten requests have the few steps of a distilled model and no guidance, five a usual number, two many.
const MIX: [Kind; 3] = [
    Kind { share: 0.3, steps: 4, guided: false },
    Kind { share: 0.5, steps: 12, guided: true },
    Kind { share: 0.2, steps: 30, guided: true },
];
/// Each kind is asked for with so many seeds, classes and prompts.
const VARIANTS: usize = 3;
const PREVIEW_EVERY: u32 = 4;
/// For models that have no examples.
const PROMPT: &str = "a red apple";

struct Kind {
    share: f64,
    steps: u32,
    guided: bool,
}

/// The requests that may come.
#[derive(Clone, Debug)]
pub(super) struct Load {
    requests: Vec<Weighted>,
}

#[derive(Clone, Debug)]
struct Weighted {
    /// All shares together are 1.
    share: f64,
    body: Value,
}

/// A request, and when it comes, counted from the beginning.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) at: Duration,
    /// Its place among the load's requests.
    pub(super) request: usize,
    pub(super) body: Value,
}

impl Load {
    /// All models alike, and of those with several sizes a small and the usual one alike.
    pub(super) fn new(models: &[Model], only: &[String]) -> Result<Self, CommandError> {
        if let Some(absent) = only.iter().find(|name| models.iter().all(|model| model.id != **name)) {
            return Err(CommandError::Usage(format!("--model: there is no model {absent}")));
        }
        let embedded = models.iter().any(|model| model.embedded);
        let chosen =
            |model: &&Model| if only.is_empty() { model.embedded || !embedded } else { only.contains(&model.id) };
        let chosen: Vec<&Model> = models.iter().filter(chosen).collect();
        if chosen.is_empty() {
            return Err(CommandError::Usage("there is no model to ask for".to_owned()));
        }
        let mut requests = Vec::new();
        for model in &chosen {
            let sizes = sizes(model);
            for (width, height) in &sizes {
                for kind in &MIX {
                    let share = kind.share / (chosen.len() * sizes.len() * VARIANTS) as f64;
                    let body = |variant| body(model, kind, (*width, *height), variant);
                    requests.extend((0..VARIANTS).map(|variant| Weighted { share, body: body(variant) }));
                }
            }
        }
        Ok(Self { requests })
    }

    pub(super) fn bodies(&self) -> impl Iterator<Item = &Value> {
        self.requests.iter().map(|request| &request.body)
    }

    /// The mean of something over the requests as they come.
    pub(super) fn mean(&self, of: impl Fn(usize) -> f64) -> f64 {
        self.requests.iter().enumerate().map(|(request, Weighted { share, .. })| share * of(request)).sum()
    }

    /// A Poisson stream of so many requests, `rate` of them a second.
    pub(super) fn arrivals(&self, count: NonZeroU32, rate: f64, seed: u64) -> Vec<Arrival> {
        let mut generator = Generator::new(NoiseSource::Torch, seed);
        // Half the sum of squares of two standard normal numbers is exponentially distributed.
        let mut exponential = || generator.draw(2).into_iter().map(|x| f64::from(x) * f64::from(x)).sum::<f64>() / 2.0;
        let mut at = 0.0;
        (0..count.get())
            .map(|_| {
                at += exponential() / rate;
                let request = self.at(E.powf(-exponential()));
                Arrival { at: Duration::from_secs_f64(at), request, body: self.requests[request].body.clone() }
            })
            .collect()
    }

    /// The request that a number within 0..=1 falls to.
    fn at(&self, mut number: f64) -> usize {
        let falls = |Weighted { share, .. }: &Weighted| {
            number -= share;
            number < 0.0
        };
        self.requests.iter().position(falls).unwrap_or(self.requests.len() - 1)
    }
}

/// Widths and heights.
fn sizes(model: &Model) -> Vec<(u32, u32)> {
    let size = model.size;
    let usual = (size.default_width, size.default_height);
    let half = |length: u32| (length / 2).next_multiple_of(size.multiple);
    let small = (half(usual.0), half(usual.1));
    if size.fixed || small == usual { vec![usual] } else { vec![small, usual] }
}

fn body(model: &Model, kind: &Kind, (width, height): (u32, u32), variant: usize) -> Value {
    let guidance_scale = if kind.guided && model.guidable { model.defaults.guidance_scale.max(1.5) } else { 1.0 };
    let mut body = json!({
        "model": model.id, "seed": variant, "steps": kind.steps, "guidance_scale": guidance_scale, "width": width,
        "height": height, "preview": {"every": PREVIEW_EVERY}, "output": {"inline": true},
    });
    match model.kind {
        ModelKind::Unconditional => {}
        ModelKind::ClassConditional => body["class_label"] = json!(variant % model.classes.len().max(1)),
        ModelKind::TextToImage => {
            let example = model.examples.get(variant % model.examples.len().max(1));
            body["prompt"] = json!(example.map_or(PROMPT, String::as_str));
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(shares: &[f64]) -> Load {
        Load { requests: shares.iter().map(|share| Weighted { share: *share, body: Value::Null }).collect() }
    }

    #[test]
    fn requests_come_at_the_rate_and_in_the_shares_that_were_asked_for() {
        let load = load(&[0.3, 0.5, 0.2]);
        let count = NonZeroU32::new(4000).unwrap();
        let arrivals = load.arrivals(count, 2.0, 7);
        let seconds = arrivals.last().unwrap().at.as_secs_f64();
        assert!((seconds - 2000.0).abs() < 100.0, "{seconds}");
        for (request, share) in [0.3, 0.5, 0.2].into_iter().enumerate() {
            let found = arrivals.iter().filter(|arrival| arrival.request == request).count() as f64 / 4000.0;
            assert!((found - share).abs() < 0.03, "{request}: {found}");
        }
        // Times between arrivals of a Poisson stream spread as far as they last.
        let gaps: Vec<f64> = arrivals.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect();
        let variance = gaps.iter().map(|gap| (gap - 0.5).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((variance.sqrt() - 0.5).abs() < 0.05, "{variance}");
        assert!((load.mean(|request| request as f64) - 0.9).abs() < 1e-12);
    }

    #[test]
    fn every_number_falls_to_a_request() {
        let load = load(&[0.25, 0.75]);
        assert_eq!([0.0, 0.2, 0.3, 1.0].map(|number| load.at(number)), [0, 0, 1, 1]);
    }
}
