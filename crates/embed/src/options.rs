//! What is computed of each window.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use longstrand_model::Tap;
use longstrand_seq::ParseChoiceError;

use crate::pool::Pool;

/// What is computed of each window. All of it decides the result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbedOptions {
    /// Where hidden states are read.
    pub layers: Layers,
    /// How positions become vectors.
    pub pool: Pool,
    /// Which strands are read.
    pub strands: Strands,
    /// What becomes of the two halves of a model that is reverse-complement equivariant.
    pub equivariant: Option<Equivariant>,
    /// Which special tokens surround the bases.
    pub special_tokens: SpecialTokens,
}

/// How the work is done. None of it changes the result.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ComputeOptions {
    /// Threads; all of the current rayon pool when absent.
    pub threads: Option<NonZeroUsize>,
    /// Tokens of short windows that are worked on together; from [`available_memory`](Self::available_memory) when absent.
    pub batch_tokens: Option<NonZeroUsize>,
    /// Positions of a chunk, a multiple of [`TILE`](longstrand_kernels::TILE); the model's choice when absent.
    pub chunk: Option<NonZeroUsize>,
    /// Bytes of memory that may be used, where it is known.
    pub available_memory: Option<u64>,
}

/// Layers, each once, in rising order; `last` is the output of the final norm, `n` the residual stream after block n.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Layers(Vec<Tap>);

impl Layers {
    /// The layers in rising order, `last` at the end.
    pub fn taps(&self) -> &[Tap] {
        &self.0
    }
}

impl Default for Layers {
    fn default() -> Self {
        Self(vec![Tap::Last])
    }
}

/// The name of a layer in tables.
pub(crate) fn layer_name(tap: Tap) -> String {
    match tap {
        Tap::Last => "last".into(),
        Tap::Block(blocks) => blocks.to_string(),
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().copied().map(layer_name).collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for Layers {
    type Err = ParseChoiceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error =
            || ParseChoiceError::new(&["last", "a number of blocks", "several of these with commas, each once"], text);
        let mut taps = Vec::new();
        for name in text.split(',') {
            taps.push(match name {
                "last" => Tap::Last,
                number => Tap::Block(number.parse().map_err(|_| error())?),
            });
        }
        taps.sort();
        match taps.windows(2).any(|pair| pair[0] == pair[1]) {
            true => Err(error()),
            false => Ok(Self(taps)),
        }
    }
}

/// Which strands a model reads.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Strands {
    /// The window as it is.
    #[default]
    Forward,
    /// Mean of the vectors of the window and of its reverse complement.
    Average,
    /// The window's vector, then its reverse complement's: twice as wide.
    Concat,
}

/// What becomes of the halves (a, b) of a model with reverse-complement parameter sharing. They are taken apart after
/// pooling. b is what the model makes of the reverse complement, with its channels reversed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Equivariant {
    /// a and b side by side, 2 D wide.
    #[default]
    Published,
    /// (a + reversed b) / 2, D wide: the same for a sequence and its reverse complement.
    Conjoined,
    /// Two rows, D wide: a on the window's strand, reversed b on the other.
    Split,
}

/// Which special tokens surround the bases.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SpecialTokens {
    /// None.
    #[default]
    None,
    /// Those that the published tokenizer adds. They are not pooled.
    Published,
}

macro_rules! choices {
    ($type:ty, $($name:literal => $variant:ident),+) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $name),+ })
            }
        }

        impl FromStr for $type {
            type Err = ParseChoiceError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(ParseChoiceError::new(&[$($name),+], text)),
                }
            }
        }
    };
}

choices!(Strands, "forward" => Forward, "average" => Average, "concat" => Concat);
choices!(Equivariant, "published" => Published, "conjoined" => Conjoined, "split" => Split);
choices!(SpecialTokens, "none" => None, "published" => Published);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_sorted_and_come_once() {
        let layers: Layers = "last,2,0".parse().unwrap();
        assert_eq!(layers.to_string(), "0,2,last");
        assert_eq!(layers.taps(), [Tap::Block(0), Tap::Block(2), Tap::Last]);
        for wrong in ["", "2,2", "last,last", "x", "1,,2", "-1"] {
            assert!(wrong.parse::<Layers>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn choices_are_read_and_written_alike() {
        assert_eq!("concat".parse(), Ok(Strands::Concat));
        assert_eq!(Equivariant::Conjoined.to_string(), "conjoined");
        assert_eq!(
            "both".parse::<Strands>().unwrap_err().to_string(),
            "expected one of forward, average, concat, found \"both\""
        );
    }
}
