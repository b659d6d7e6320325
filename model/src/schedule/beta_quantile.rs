//! The quantile function of the beta distribution with both shape parameters 0.6, which spaces the "beta" noise schedule
//! (Lee et al. 2024, "Beta Sampling is All You Need").

const SHAPE: f64 = 0.6;
/// The beta function B(0.6, 0.6).
const BETA: f64 = 2.415_344_208_002_472_3;

/// The x in 0 ..= 1 where the cumulative distribution reaches `probability`, to about 1e-15.
pub(super) fn beta_quantile(probability: f64) -> f64 {
    if probability > 0.5 { 1.0 - lower_half(1.0 - probability) } else { lower_half(probability) }
}

/// For probabilities up to one half, and so x up to one half.
///
/// The distribution is x^a / B · Σ (1-a)ₙ / (n! (a+n)) xⁿ. In the variable y = x^a it is convex and almost linear, and the
/// first term alone gives a y that is too large: from there Newton's method goes down to the root.
fn lower_half(probability: f64) -> f64 {
    const ITERATIONS: usize = 50;
    let mut y = probability * SHAPE * BETA;
    for _ in 0..ITERATIONS {
        let x = y.powf(SHAPE.recip());
        let error = y / BETA * series(x) - probability;
        let slope = (1.0 - x).powf(SHAPE - 1.0) / (SHAPE * BETA);
        let next = y - error / slope;
        if next >= y {
            break;
        }
        y = next;
    }
    y.powf(SHAPE.recip())
}

fn series(x: f64) -> f64 {
    // Each term is at most half the one before it.
    const TERMS: usize = 60;
    let mut power = 1.0;
    let mut sum = 0.0;
    for n in 0..TERMS {
        sum += power / (SHAPE + n as f64);
        power *= (1.0 - SHAPE + n as f64) / (n as f64 + 1.0) * x;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::beta_quantile;

    /// Against `scipy.stats.beta.ppf(p, 0.6, 0.6)`.
    #[test]
    fn quantiles_equal_those_of_scipy() {
        for (probability, expected) in [
            (0.0, 0.0),
            (1e-12, 1.855_882_462_491_409_7e-20),
            (0.001, 1.855_873_851_745_199e-5),
            (0.1, 0.039_584_405_588_780_85),
            (0.25, 0.175_680_378_652_694_98),
            (0.5, 0.5),
            (0.75, 0.824_319_621_347_305),
            (0.999, 0.999_981_441_261_482_6),
            (1.0, 1.0),
        ] {
            let quantile = beta_quantile(probability);
            assert!((quantile - expected).abs() <= 1e-14 * expected, "{probability}: {quantile} {expected}");
        }
    }
}
