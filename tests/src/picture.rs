//! Pictures as numbers.

/// A decoded picture, in gray levels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    pub width: u32,
    pub height: u32,
    /// Row by row.
    pub levels: Vec<u8>,
}

impl Pixels {
    /// # Panics
    /// When the file is no picture.
    pub fn decode(file: &[u8]) -> Self {
        let gray = image::load_from_memory(file).expect("the file is a picture").to_luma8();
        Self { width: gray.width(), height: gray.height(), levels: gray.into_raw() }
    }

    /// The mean absolute difference of the levels, 0 to 255.
    ///
    /// # Panics
    /// When the sizes differ.
    pub fn distance(&self, other: &Self) -> f64 {
        assert_eq!((self.width, self.height), (other.width, other.height));
        let sum: u64 = self.levels.iter().zip(&other.levels).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / self.levels.len() as f64
    }

    /// How many different levels there are. A blank picture has one.
    pub fn variety(&self) -> usize {
        let mut levels = self.levels.clone();
        levels.sort_unstable();
        levels.dedup();
        levels.len()
    }
}
