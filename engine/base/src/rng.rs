//! Randomness from a seed: the same seed, the same draws.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A generator of unguessable numbers (ChaCha12), as unguessable as its seed.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha12Rng);

impl Rng {
    pub fn from_seed(seed: [u8; 32]) -> Rng {
        Rng(ChaCha12Rng::from_seed(seed))
    }

    /// A generator of its own for one consumer, so that its draws never shift another's.
    pub fn child(&self, label: &str) -> Rng {
        let mut seed = self.0.get_seed();
        let digest = sha1_smol::Sha1::from(label).digest().bytes();
        for (byte, mix) in seed.iter_mut().zip(digest) {
            *byte ^= mix;
        }
        Rng::from_seed(seed)
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// A number below `bound`, each equally likely.
    ///
    /// # Panics
    /// When `bound` is zero.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "nothing is below zero");
        // Draws above the largest multiple of the bound would favour small numbers: draw again.
        let zone = u32::MAX - u32::MAX % bound;
        loop {
            let draw = self.0.next_u32();
            if draw < zone {
                return draw % bound;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_draws_and_children_differ() {
        let draw = |mut rng: Rng| (rng.below(1000), rng.below(1000), rng.below(1000));
        let parent = Rng::from_seed([7; 32]);
        assert_eq!(draw(parent.clone()), draw(Rng::from_seed([7; 32])));
        assert_ne!(draw(parent.child("a")), draw(parent.child("b")));
        assert_ne!(draw(parent.child("a")), draw(parent));
    }
}
