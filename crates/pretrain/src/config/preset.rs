//! Recipes by name.

/// A recipe: settings that differ from the defaults.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Its settings.
    pub toml: &'static str,
}

/// All presets.
///
/// The published ones have the sizes, lengths, steps and rates of Caduceus' pretraining on the human genome (Schiff et
/// al. 2024, appendix C and the repository's `configs/experiment/hg38`), at 2²⁰ tokens a step. What they do not have is
/// its data: the split of that paper is `data.split.kind = "bed"` with its table, read `compatible` (as published) or
/// `leak-free`. Computation is in f32 where the paper's was in f16.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "tiny",
        about: "Mamba, 4 layers of width 64, 512 bases: 4 million tokens, about a minute on a laptop's CPU",
        toml: r#"
            [model]
            family = "mamba"
            d_model = 64
            [data]
            length = 512
            [objective]
            kind = "causal"
            [schedule]
            peak = 2e-3
            [run]
            steps = 1024
            tokens = 4096
            save_every = 256
            [validation]
            every = 256
            windows = 64
        "#,
    },
    Preset {
        name: "tiny-ps",
        about: "Caduceus-PS, 3 layers of width 48, 512 bases: 1 million tokens, less than a minute on a laptop's CPU",
        toml: r#"
            [model]
            family = "caduceus-ps"
            d_model = 48
            n_layer = 3
            [data]
            length = 512
            reverse_complement = 0.0
            [schedule]
            peak = 2e-3
            [run]
            steps = 256
            tokens = 4096
            save_every = 64
            [validation]
            every = 64
            windows = 64
        "#,
    },
    Preset {
        name: "caduceus-ph-1k",
        about: "Caduceus-Ph, 4 layers of width 256, 1,024 bases, 10,000 steps",
        toml: r#"
            [model]
            family = "caduceus-ph"
            n_layer = 4
        "#,
    },
    Preset {
        name: "caduceus-ph-32k",
        about: "Caduceus-Ph, 8 layers of width 256, 32,768 bases, 10,000 steps",
        toml: r#"
            [model]
            family = "caduceus-ph"
            n_layer = 8
            [data]
            length = 32768
        "#,
    },
    Preset {
        name: "caduceus-ph-131k",
        about: "Caduceus-Ph, 16 layers of width 256, 131,072 bases, 50,000 steps",
        toml: r#"
            [model]
            family = "caduceus-ph"
            n_layer = 16
            [data]
            length = 131072
            [run]
            steps = 50000
        "#,
    },
    Preset {
        name: "caduceus-ps-1k",
        about: "Caduceus-PS, 4 layers of width 256, 1,024 bases, 10,000 steps",
        toml: r#"
            [model]
            family = "caduceus-ps"
            n_layer = 4
            [data]
            reverse_complement = 0.0
        "#,
    },
    Preset {
        name: "caduceus-ps-32k",
        about: "Caduceus-PS, 8 layers of width 256, 32,768 bases, 10,000 steps",
        toml: r#"
            [model]
            family = "caduceus-ps"
            n_layer = 8
            [data]
            length = 32768
            reverse_complement = 0.0
        "#,
    },
    Preset {
        name: "caduceus-ps-131k",
        about: "Caduceus-PS, 16 layers of width 256, 131,072 bases, 50,000 steps",
        toml: r#"
            [model]
            family = "caduceus-ps"
            n_layer = 16
            [data]
            length = 131072
            reverse_complement = 0.0
            [run]
            steps = 50000
        "#,
    },
    Preset {
        name: "mamba-1k",
        about: "Mamba, 4 layers of width 256, 1,024 bases, next base, 10,000 steps",
        toml: r#"
            [model]
            family = "mamba"
            n_layer = 4
            [objective]
            kind = "causal"
        "#,
    },
    Preset {
        name: "mamba-32k",
        about: "Mamba, 8 layers of width 256, 32,768 bases, next base, 10,000 steps",
        toml: r#"
            [model]
            family = "mamba"
            n_layer = 8
            [data]
            length = 32768
            [objective]
            kind = "causal"
        "#,
    },
    Preset {
        name: "mamba-131k",
        about: "Mamba, 16 layers of width 256, 131,072 bases, next base, 50,000 steps",
        toml: r#"
            [model]
            family = "mamba"
            n_layer = 16
            [data]
            length = 131072
            [objective]
            kind = "causal"
            [run]
            steps = 50000
        "#,
    },
];
