//! Sums of tensors with coefficients, written like the formulas they come from.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A tensor that a step can read. All have the shape of the sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The sample before the step.
    Sample,
    /// What the model returned, after guidance.
    Output,
    /// The step's prediction of the clean sample, after clipping.
    X0,
    /// Standard normal numbers, drawn for this step (see [`super::Noise`]).
    Noise,
    /// A tensor that an earlier step left behind.
    Memory(usize),
}

/// A weighted sum of tensors, each at most once. It adds, subtracts and scales like a tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Combination(Vec<(Source, f64)>);

impl Combination {
    /// The sources with their coefficients, in the order in which the formula names them.
    #[must_use]
    pub fn terms(&self) -> &[(Source, f64)] {
        &self.0
    }
}

impl From<Source> for Combination {
    fn from(source: Source) -> Self {
        Self(vec![(source, 1.0)])
    }
}

impl Add for Combination {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        for (source, coefficient) in other.0 {
            match self.0.iter_mut().find(|(known, _)| *known == source) {
                Some((_, sum)) => *sum += coefficient,
                None => self.0.push((source, coefficient)),
            }
        }
        self
    }
}

impl Neg for Combination {
    type Output = Self;

    fn neg(self) -> Self {
        self * -1.0
    }
}

impl Sub for Combination {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl<S: Into<f64>> Mul<S> for Combination {
    type Output = Self;

    fn mul(mut self, factor: S) -> Self {
        let factor = factor.into();
        for (_, coefficient) in &mut self.0 {
            *coefficient *= factor;
        }
        self
    }
}

impl<S: Into<f64>> Div<S> for Combination {
    type Output = Self;

    fn div(mut self, divisor: S) -> Self {
        let divisor = divisor.into();
        for (_, coefficient) in &mut self.0 {
            *coefficient /= divisor;
        }
        self
    }
}

/// The sources as formulas.
pub(super) fn sample() -> Combination {
    Source::Sample.into()
}

pub(super) fn output() -> Combination {
    Source::Output.into()
}

pub(super) fn x0() -> Combination {
    Source::X0.into()
}

pub(super) fn noise() -> Combination {
    Source::Noise.into()
}

pub(super) fn memory(slot: usize) -> Combination {
    Source::Memory(slot).into()
}
