//! Maps of numbers in a larger size, as torch's `interpolate` makes them (`align_corners=False`).

use super::maps::LatentShape;

/// How the numbers between two known ones are found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Method {
    Linear,
    /// Keys' kernel (1981) with the parameter `a`. At the border the last number goes on for ever, or the kernel ends there and what is
    /// left of it is scaled to one.
    Cubic {
        a: f64,
        renormalized: bool,
    },
    /// `offset` is where in its own cell a number is, 0 or 0.5.
    Nearest {
        offset: f64,
    },
}

/// Places in the source and their weights, for one place in the answer.
type Taps = Vec<(usize, f64)>;

/// `values` of the shape `from`, channel after channel, in the shape `to`, which is at least as large and has as many channels.
pub(super) fn interpolate(values: &[f32], from: LatentShape, to: LatentShape, method: Method) -> Vec<f32> {
    let (rows, columns) = (taps(from.height, to.height, method), taps(from.width, to.width, method));
    let mut result = Vec::with_capacity(to.len());
    for channel in values.chunks_exact(from.area()) {
        // First along the lines, then across them.
        let wide: Vec<f64> = channel
            .chunks_exact(from.width)
            .flat_map(|line| {
                columns.iter().map(|taps| taps.iter().map(|(i, weight)| weight * f64::from(line[*i])).sum())
            })
            .collect();
        for taps in &rows {
            let at =
                |column: usize| taps.iter().map(|(row, weight)| weight * wide[row * to.width + column]).sum::<f64>();
            result.extend((0..to.width).map(|column| at(column) as f32));
        }
    }
    result
}

fn taps(from: usize, to: usize, method: Method) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    (0..to).map(|i| taps_at(i, scale, from, method)).collect()
}

fn taps_at(i: usize, scale: f64, from: usize, method: Method) -> Taps {
    let last = from - 1;
    match method {
        Method::Nearest { offset } => vec![((((i as f64 + offset) * scale) as usize).min(last), 1.0)],
        Method::Linear => {
            let place = ((i as f64 + 0.5) * scale - 0.5).max(0.0);
            let (left, share) = (place as usize, place.fract());
            vec![(left.min(last), 1.0 - share), ((left + 1).min(last), share)]
        }
        Method::Cubic { a, renormalized } => {
            let place = (i as f64 + 0.5) * scale - 0.5;
            let neighbours = (-1..=2).map(|k| place.floor() as isize + k);
            let weighed = neighbours.map(|k| (k, cubic(a, place - k as f64)));
            if renormalized {
                let inside: Vec<_> = weighed.filter(|(k, _)| (0..=last as isize).contains(k)).collect();
                let sum: f64 = inside.iter().map(|(_, weight)| weight).sum();
                inside.into_iter().map(|(k, weight)| (k as usize, weight / sum)).collect()
            } else {
                weighed.map(|(k, weight)| (k.clamp(0, last as isize) as usize, weight)).collect()
            }
        }
    }
}

fn cubic(a: f64, x: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What torch 2.15 computes: `interpolate(x, size=(4, 5), mode=...)`, the last with `antialias=True`.
    #[test]
    fn every_method_is_torchs() {
        let (from, to) =
            (LatentShape { channels: 1, height: 2, width: 3 }, LatentShape { channels: 1, height: 4, width: 5 });
        let values = [0.0, 1.0, -2.0, 3.0, 0.5, 1.0];
        for (method, expected) in [
            (
                Method::Linear,
                [
                    0.0, 0.4, 1.0, -0.8, -2.0, 0.75, 0.8, 0.875, -0.4, -1.25, 2.25, 1.6, 0.625, 0.4, 0.25, 3.0, 2.0,
                    0.5, 0.8, 1.0,
                ],
            ),
            (
                Method::Cubic { a: -0.75, renormalized: false },
                [
                    -0.447_844, 0.457_398, 1.052_734, -0.910_602, -2.639_844, 0.659_813, 0.918_921, 0.886_719,
                    -0.449_078, -1.532_188, 2.484_188, 1.679_077, 0.613_281, 0.311_079, 0.292_188, 3.591_844,
                    2.140_601, 0.447_266, 0.772_602, 1.399_844,
                ],
            ),
            (
                Method::Cubic { a: -0.5, renormalized: true },
                [
                    -0.363_485, 0.342_515, 1.044_118, -1.045_545, -2.514_428, 0.600_674, 0.819_75, 0.896_429,
                    -0.568_311, -1.550_269, 2.512_534, 1.766_071, 0.603_571, 0.378_012, 0.361_59, 3.476_692, 2.243_305,
                    0.455_882, 0.855_246, 1.325_749,
                ],
            ),
            (
                Method::Nearest { offset: 0.0 },
                [0.0, 0.0, 1.0, 1.0, -2.0, 0.0, 0.0, 1.0, 1.0, -2.0, 3.0, 3.0, 0.5, 0.5, 1.0, 3.0, 3.0, 0.5, 0.5, 1.0],
            ),
            (
                Method::Nearest { offset: 0.5 },
                [
                    0.0, 0.0, 1.0, -2.0, -2.0, 0.0, 0.0, 1.0, -2.0, -2.0, 3.0, 3.0, 0.5, 1.0, 1.0, 3.0, 3.0, 0.5, 1.0,
                    1.0,
                ],
            ),
        ] {
            for (found, expected) in interpolate(&values, from, to, method).iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5, "{method:?}: {found} is not {expected}");
            }
        }
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let shape = LatentShape { channels: 2, height: 2, width: 3 };
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        for method in [Method::Linear, Method::Cubic { a: -0.5, renormalized: true }, Method::Nearest { offset: 0.5 }] {
            assert_eq!(interpolate(&values, shape, shape, method), values);
        }
    }
}
