//! The Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), seeded as `torch.Generator("cpu")` seeds it.

const STATE: usize = 624;
const SHIFT: usize = 397;
const UPPER_BIT: u32 = 0x8000_0000;
const LOWER_BITS: u32 = 0x7fff_ffff;
const TWIST: u32 = 0x9908_b0df;

/// A stream of uniformly distributed 32-bit words.
#[derive(Clone, Debug)]
pub(super) struct MersenneTwister {
    state: Box<[u32; STATE]>,
    /// The next word of `state` to hand out; `STATE` when the block is used up.
    next: usize,
}

impl MersenneTwister {
    /// Only the low 32 bits of a torch seed reach the twister.
    pub(super) fn new(seed: u64) -> Self {
        let mut state = Box::new([0; STATE]);
        state[0] = (seed & u64::from(u32::MAX)) as u32;
        for i in 1..STATE {
            let previous = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(previous ^ (previous >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: STATE }
    }

    pub(super) fn next_u32(&mut self) -> u32 {
        if self.next == STATE {
            self.refill();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// Two words, the first one in the high half, as torch's `random64`.
    pub(super) fn next_u64(&mut self) -> u64 {
        let high = u64::from(self.next_u32());
        high << 32 | u64::from(self.next_u32())
    }

    fn refill(&mut self) {
        for i in 0..STATE {
            let word = self.state[i] & UPPER_BIT | self.state[(i + 1) % STATE] & LOWER_BITS;
            let twist = if word & 1 == 1 { TWIST } else { 0 };
            self.state[i] = self.state[(i + SHIFT) % STATE] ^ (word >> 1) ^ twist;
        }
        self.next = 0;
    }
}
