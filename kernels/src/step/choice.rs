//! Which base is taken of four.

/// A, C, G and T.
pub const BASES: usize = 4;

/// How a base is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// What logits are divided by; 0 takes the likeliest base.
    pub temperature: f64,
    /// How many of the likeliest bases are kept: 1 to 4.
    pub top_k: usize,
}

impl Choice {
    /// The base, 0 to 3, that a number in [0, 1) stands for; none if a logit is not finite. Of bases that are equally
    /// likely the first comes first.
    pub fn choose(&self, logits: [f32; BASES], unit: f64) -> Option<usize> {
        if !logits.iter().all(|logit| logit.is_finite()) {
            return None;
        }
        let mut order = [0, 1, 2, 3];
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        if self.temperature == 0.0 {
            return Some(order[0]);
        }
        let kept = &order[..self.top_k];
        let largest = f64::from(logits[order[0]]);
        let weight = |base: usize| ((f64::from(logits[base]) - largest) / self.temperature).exp();
        let total: f64 = kept.iter().map(|&base| weight(base)).sum();
        let mut left = unit * total;
        let taken = kept.iter().find(|&&base| {
            left -= weight(base);
            left < 0.0
        });
        Some(*taken.unwrap_or(&kept[0]))
    }
}
