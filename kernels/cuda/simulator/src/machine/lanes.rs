//! Operations that compute each lane from the same lane of other registers.

use super::registers::{Condition, Lane, Mask, Predicate, Registers, Slot, WARP};
use super::space::Trouble;
use super::warp::Warp;

/// What an instruction does to the registers of a mask's lanes.
pub(crate) trait Work: Send + Sync + 'static {
    /// To be inlined where it is called, so that it is compiled for the instructions that are allowed there.
    fn run(&self, registers: &mut Registers, mask: Mask);
}

/// What an instruction does to memory too.
pub(crate) trait Effect: Send + Sync + 'static {
    /// To be inlined where it is called, as [`Work::run`].
    fn run(&self, warp: &mut Warp<'_>, mask: Mask) -> Result<(), Trouble>;
}

/// A boxed [`Work`].
pub(crate) type BoxedWork = Box<dyn Fn(&mut Registers, Mask) + Send + Sync>;

/// A boxed [`Effect`].
pub(crate) type BoxedEffect = Box<dyn Fn(&mut Warp<'_>, Mask) -> Result<(), Trouble> + Send + Sync>;

/// Compiles work twice, for any processor and for those with AVX2 and fused multiplication and addition: without the latter each
/// `mul_add` is a call.
pub(crate) fn work<W: Work>(work: W) -> BoxedWork {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
    fn wide<W: Work>(work: &W, registers: &mut Registers, mask: Mask) {
        work.run(registers, mask);
    }
    Box::new(move |registers, mask| {
        #[cfg(target_arch = "x86_64")]
        if registers.wide {
            // SAFETY: `wide` is only set where `is_wide` has found these instructions.
            return unsafe { wide(&work, registers, mask) };
        }
        work.run(registers, mask);
    })
}

/// Compiles an effect twice, as [`work`] does.
pub(crate) fn effect<E: Effect>(effect: E) -> BoxedEffect {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
    fn wide<E: Effect>(effect: &E, warp: &mut Warp<'_>, mask: Mask) -> Result<(), Trouble> {
        effect.run(warp, mask)
    }
    Box::new(move |warp: &mut Warp<'_>, mask| {
        #[cfg(target_arch = "x86_64")]
        if warp.registers.wide {
            // SAFETY: `wide` is only set where `is_wide` has found these instructions.
            return unsafe { wide(&effect, warp, mask) };
        }
        effect.run(warp, mask)
    })
}

/// Whether the processor has the instructions that [`work`] would like.
pub(crate) fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// `d = f(a)`
#[derive(Debug)]
pub(crate) struct Map1<D, A, F> {
    pub(crate) d: Slot<D>,
    pub(crate) a: Slot<A>,
    pub(crate) f: F,
}

impl<D: Lane, A: Lane, F: Fn(A) -> D + Send + Sync + 'static> Work for Map1<D, A, F> {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let mut d = [D::ZERO; WARP];
        let a = registers.get(self.a);
        for lane in 0..WARP {
            d[lane] = (self.f)(a[lane]);
        }
        registers.set(self.d, mask, &d);
    }
}

/// `d = f(a, b)`
#[derive(Debug)]
pub(crate) struct Map2<D, A, B, F> {
    pub(crate) d: Slot<D>,
    pub(crate) a: Slot<A>,
    pub(crate) b: Slot<B>,
    pub(crate) f: F,
}

impl<D: Lane, A: Lane, B: Lane, F: Fn(A, B) -> D + Send + Sync + 'static> Work for Map2<D, A, B, F> {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let mut d = [D::ZERO; WARP];
        let (a, b) = (registers.get(self.a), registers.get(self.b));
        for lane in 0..WARP {
            d[lane] = (self.f)(a[lane], b[lane]);
        }
        registers.set(self.d, mask, &d);
    }
}

/// `d = f(a, b, c)`
#[derive(Debug)]
pub(crate) struct Map3<D, A, B, C, F> {
    pub(crate) d: Slot<D>,
    pub(crate) a: Slot<A>,
    pub(crate) b: Slot<B>,
    pub(crate) c: Slot<C>,
    pub(crate) f: F,
}

impl<D: Lane, A: Lane, B: Lane, C: Lane, F: Fn(A, B, C) -> D + Send + Sync + 'static> Work for Map3<D, A, B, C, F> {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let mut d = [D::ZERO; WARP];
        let (a, b, c) = (registers.get(self.a), registers.get(self.b), registers.get(self.c));
        for lane in 0..WARP {
            d[lane] = (self.f)(a[lane], b[lane], c[lane]);
        }
        registers.set(self.d, mask, &d);
    }
}

/// `p = f(a, b) op c`, and `q = !f(a, b) op c`.
#[derive(Debug)]
pub(crate) struct Compare<A, B, F> {
    pub(crate) p: Option<Predicate>,
    pub(crate) q: Option<Predicate>,
    pub(crate) a: Slot<A>,
    pub(crate) b: Slot<B>,
    pub(crate) f: F,
    pub(crate) combine: Combine,
}

impl<A: Lane, B: Lane, F: Fn(A, B) -> bool + Send + Sync + 'static> Work for Compare<A, B, F> {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let (a, b) = (registers.get(self.a), registers.get(self.b));
        let mut found = 0;
        for lane in 0..WARP {
            found |= Mask::from((self.f)(a[lane], b[lane])) << lane;
        }
        let (p, q) = (self.combine.apply(registers, found), self.combine.apply(registers, !found));
        if let Some(predicate) = self.p {
            registers.set_predicate(predicate, mask, p);
        }
        if let Some(predicate) = self.q {
            registers.set_predicate(predicate, mask, q);
        }
    }
}

/// `d = f(a, b, p)`
#[derive(Debug)]
pub(crate) struct Choose<D, A, F> {
    pub(crate) d: Slot<D>,
    pub(crate) a: Slot<A>,
    pub(crate) b: Slot<A>,
    pub(crate) p: Condition,
    pub(crate) f: F,
}

impl<D: Lane, A: Lane, F: Fn(A, A, bool) -> D + Send + Sync + 'static> Work for Choose<D, A, F> {
    #[inline(always)]
    fn run(&self, registers: &mut Registers, mask: Mask) {
        let mut d = [D::ZERO; WARP];
        let (a, b) = (registers.get(self.a), registers.get(self.b));
        let p = registers.condition(self.p);
        for lane in 0..WARP {
            d[lane] = (self.f)(a[lane], b[lane], p >> lane & 1 == 1);
        }
        registers.set(self.d, mask, &d);
    }
}

/// How a comparison's result is combined with a further operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combine {
    Nothing,
    And(Condition),
    Or(Condition),
    Xor(Condition),
}

impl Combine {
    #[inline(always)]
    pub(crate) fn apply(self, registers: &Registers, found: Mask) -> Mask {
        match self {
            Self::Nothing => found,
            Self::And(condition) => found & registers.condition(condition),
            Self::Or(condition) => found | registers.condition(condition),
            Self::Xor(condition) => found ^ registers.condition(condition),
        }
    }
}
