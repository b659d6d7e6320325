//! What encoding a text computes, from the configuration alone.

use super::ClipTextConfig;
use crate::operations::{attention, linear};

impl ClipTextConfig {
    /// Floating-point operations of all layers for one text of so many tokens.
    pub fn operations(&self, tokens: usize) -> f64 {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let feed_forward = linear(tokens, hidden, inner) + linear(tokens, inner, hidden);
        let own = 4.0 * linear(tokens, hidden, hidden) + attention(tokens, tokens, hidden);
        self.num_hidden_layers as f64 * (own + feed_forward)
    }
}

#[cfg(test)]
mod tests {
    use super::ClipTextConfig;
    use crate::shape::{CLIP_L, OPEN_CLIP_BIG_G};

    #[test]
    fn a_text_takes_13_gigaflop_with_clip_l_and_98_with_big_g() {
        for (json, known) in [(CLIP_L, 13.3), (OPEN_CLIP_BIG_G, 97.9)] {
            let gigaflop = ClipTextConfig::parse("text_encoder", json).unwrap().operations(77) / 1e9;
            assert!((gigaflop - known).abs() < 0.1, "{gigaflop}");
        }
    }
}
