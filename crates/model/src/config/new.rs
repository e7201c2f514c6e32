//! New models by their sizes, with what else their authors' configurations say.

use longstrand_seq::vocab::Vocabulary;

use super::{
    Config, Directions, Family, Head, Mamba2Config, MambaConfig, MixerConfig, Naming, NormConfig, NormKind, Rcps,
    Strategy, caduceus,
};

/// Rows of an embedding come in multiples of this.
const ROWS: usize = 8;

/// Largest number of channels of a Mamba-2 head.
const HEAD_DIM: usize = 64;

impl MambaConfig {
    /// The mixer of published Mamba models of this width: twice as wide inside, N = 16, K = 4, R = ⌈D / 16⌉.
    pub fn of_width(d_model: usize) -> Self {
        Self {
            d_inner: 2 * d_model,
            d_state: 16,
            d_conv: 4,
            dt_rank: d_model.div_ceil(16),
            bias: false,
            conv_bias: true,
        }
    }
}

impl Mamba2Config {
    /// The mixer of published Mamba-2 models of this width: twice as wide inside, N = 128, K = 4, one group, and heads of
    /// 64 channels, or of the largest smaller power of two that divides the inner width.
    pub fn of_width(d_model: usize) -> Self {
        let d_inner = 2 * d_model;
        let head_dim = HEAD_DIM.min(1 << d_inner.trailing_zeros().min(HEAD_DIM.ilog2()));
        Self {
            d_inner,
            d_state: 128,
            d_conv: 4,
            n_heads: d_inner / head_dim,
            head_dim,
            n_groups: 1,
            dt_limit: (0.0, f64::INFINITY),
            norm_group: d_inner,
            norm_epsilon: 1e-5,
            bias: false,
            conv_bias: true,
        }
    }
}

impl Config {
    /// Mamba as transformers has it: causal, RMS norms, the head tied to the embedding.
    pub fn mamba(d_model: usize, n_layer: usize, vocabulary: &Vocabulary) -> Self {
        let mixer = MixerConfig::Mamba(MambaConfig::of_width(d_model));
        Self::new(Family::Mamba, Naming::HuggingFace, d_model, n_layer, mixer, vocabulary)
    }

    /// Mamba-2 as transformers has it: causal, RMS norms, the head tied to the embedding.
    pub fn mamba2(d_model: usize, n_layer: usize, vocabulary: &Vocabulary) -> Self {
        let mixer = MixerConfig::Mamba2(Mamba2Config::of_width(d_model));
        Self::new(Family::Mamba2, Naming::HuggingFace, d_model, n_layer, mixer, vocabulary)
    }

    /// Caduceus without parameter sharing, as published: Mamba mixers in both directions, summed, with one input and one
    /// output projection for both, RMS norms, the head tied to the embedding.
    pub fn caduceus_ph(d_model: usize, n_layer: usize, vocabulary: &Vocabulary) -> Self {
        let mixer = MixerConfig::Mamba(MambaConfig::of_width(d_model));
        let causal = Self::new(Family::CaduceusPh, Naming::Caduceus, d_model, n_layer, mixer, vocabulary);
        Self { directions: Directions::Bidirectional { strategy: Strategy::Add, tied: true }, ..causal }
    }

    /// Caduceus with reverse-complement parameter sharing, as published: otherwise as [`Config::caduceus_ph`], with add
    /// and norm fused.
    pub fn caduceus_ps(d_model: usize, n_layer: usize, vocabulary: &Vocabulary) -> Self {
        let ph = Self::caduceus_ph(d_model, n_layer, vocabulary);
        let complement_map = (0..=u8::MAX).take(ph.vocab_size).map(|id| vocabulary.complement(id)).collect();
        let rcps = Some(Rcps { fused_add_norm: true, complement_map });
        Self { family: caduceus::family(rcps.as_ref(), &ph.mixer), rcps, ..ph }
    }

    /// A causal model; the embedding has a row for each token and is padded to a multiple of 8.
    fn new(
        family: Family,
        naming: Naming,
        d_model: usize,
        n_layer: usize,
        mixer: MixerConfig,
        vocabulary: &Vocabulary,
    ) -> Self {
        Self {
            family,
            d_model,
            n_layer,
            vocab_size: vocabulary.len().next_multiple_of(ROWS),
            mixer,
            norm: NormConfig { kind: NormKind::Rms, epsilon: 1e-5 },
            directions: Directions::Causal,
            rcps: None,
            head: Head::LanguageModel { tied: true },
            naming,
            trained_context: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_published_ones() {
        let vocabulary = Vocabulary::caduceus();
        let MixerConfig::Mamba(mixer) = Config::caduceus_ps(256, 16, &vocabulary).mixer else {
            panic!("a Mamba mixer")
        };
        assert_eq!((mixer.d_inner, mixer.d_state, mixer.d_conv, mixer.dt_rank), (512, 16, 4, 16));
        let MixerConfig::Mamba2(mixer) = Config::mamba2(768, 24, &vocabulary).mixer else { panic!("a Mamba-2 mixer") };
        assert_eq!((mixer.n_heads, mixer.head_dim, mixer.d_state), (24, 64, 128));
        let MixerConfig::Mamba2(mixer) = Config::mamba2(24, 1, &vocabulary).mixer else { panic!("a Mamba-2 mixer") };
        assert_eq!((mixer.n_heads, mixer.head_dim), (3, 16));
    }

    #[test]
    fn families_follow_the_vocabulary() {
        let plant = Config::caduceus_ps(32, 1, &Vocabulary::plant_caduceus());
        assert_eq!((plant.family, plant.vocab_size), (Family::PlantCaduceus, 8));
        let caduceus = Config::caduceus_ps(32, 1, &Vocabulary::caduceus());
        assert_eq!((caduceus.family, caduceus.vocab_size), (Family::CaduceusPs, 16));
        assert_eq!(caduceus.rcps.unwrap().complement_map[7..12], [10, 9, 8, 7, 11]);
    }
}
