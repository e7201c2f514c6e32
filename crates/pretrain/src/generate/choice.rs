//! Which base is taken of four.

use std::fmt;

use longstrand_kernels::step;

/// How a base is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice(step::Choice);

/// A temperature or a number of bases that makes no choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParseChoiceError {
    /// The temperature is below 0 or not finite.
    Temperature(f64),
    /// Not one to four bases.
    TopK(usize),
}

impl fmt::Display for ParseChoiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Temperature(found) => write!(f, "expected a temperature of 0 or more, found {found}"),
            Self::TopK(found) => write!(f, "expected 1 to 4 bases to choose from, found {found}"),
        }
    }
}

impl std::error::Error for ParseChoiceError {}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "temperature={} top_k={}", self.0.temperature, self.0.top_k)
    }
}

impl Choice {
    /// Logits are divided by `temperature`, and the `top_k` likeliest bases are kept.
    ///
    /// # Errors
    ///
    /// - the temperature is below 0 or not finite
    /// - `top_k` is not 1 to 4
    pub fn new(temperature: f64, top_k: usize) -> Result<Self, ParseChoiceError> {
        if !temperature.is_finite() || temperature < 0.0 {
            return Err(ParseChoiceError::Temperature(temperature));
        }
        if !(1..=4).contains(&top_k) {
            return Err(ParseChoiceError::TopK(top_k));
        }
        Ok(Self(step::Choice { temperature, top_k }))
    }

    /// How logits and a number are made a base.
    pub(super) fn rule(&self) -> &step::Choice {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [0.0, 2.0, -1.0, 1.0];

    fn frequencies(choice: Choice) -> [f64; 4] {
        const N: usize = 100_000;
        let mut counts = [0.0; 4];
        for i in 0..N {
            counts[choice.rule().choose(LOGITS, (i as f64 + 0.5) / N as f64).unwrap()] += 1.0 / N as f64;
        }
        counts
    }

    #[test]
    fn bases_come_as_often_as_their_probabilities_say() {
        for temperature in [0.5, 1.0, 3.0] {
            let weights = LOGITS.map(|logit| (f64::from(logit) / temperature).exp());
            let total: f64 = weights.iter().sum();
            let found = frequencies(Choice::new(temperature, 4).unwrap());
            for (found, weight) in found.iter().zip(weights) {
                assert!((found - weight / total).abs() < 2e-5, "{temperature}: {found} {}", weight / total);
            }
        }
        let found = frequencies(Choice::new(1.0, 2).unwrap());
        let expected = 1.0 / (1.0 + (-1.0_f64).exp());
        assert!(found[0] == 0.0 && found[2] == 0.0 && (found[1] - expected).abs() < 2e-5, "{found:?}");
    }

    #[test]
    fn without_heat_the_likeliest_base_is_taken() {
        for unit in [0.0, 0.5, 0.999] {
            assert_eq!(Choice::new(0.0, 4).unwrap().rule().choose(LOGITS, unit), Some(1));
            assert_eq!(Choice::new(9.0, 1).unwrap().rule().choose(LOGITS, unit), Some(1));
            assert_eq!(Choice::new(0.0, 4).unwrap().rule().choose([1.0; 4], unit), Some(0));
        }
    }

    #[test]
    fn what_is_no_choice_is_refused() {
        assert_eq!(Choice::new(1.0, 4).unwrap().rule().choose([0.0, f32::NAN, 0.0, 0.0], 0.5), None);
        assert_eq!(Choice::new(1.0, 4).unwrap().rule().choose([0.0, f32::INFINITY, 0.0, 0.0], 0.5), None);
        assert_eq!(Choice::new(-1.0, 4), Err(ParseChoiceError::Temperature(-1.0)));
        assert!(Choice::new(f64::NAN, 4).is_err() && Choice::new(f64::INFINITY, 4).is_err());
        assert_eq!(Choice::new(1.0, 5), Err(ParseChoiceError::TopK(5)));
        assert_eq!(Choice::new(1.0, 0).unwrap_err().to_string(), "expected 1 to 4 bases to choose from, found 0");
        let tiny = Choice::new(1e-300, 4).unwrap();
        assert_eq!(tiny.rule().choose(LOGITS, 0.9999), Some(1));
    }
}
