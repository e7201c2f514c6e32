//! Walks over the tensors of a model; the fields of a part are listed here once, in the order in which they are walked.

use super::{LayerWeights, LinearWeights, Mamba2Weights, MambaWeights, MixerWeights, NormWeights, Weights};

/// Something made of tensors of `S`.
pub(super) trait Part<S> {
    /// The same, of tensors of `T`.
    type Of<T>;

    fn map<T>(&self, of: &mut impl FnMut(&[S]) -> Vec<T>) -> Self::Of<T>;

    fn collect<'a>(&'a self, tensors: &mut Vec<&'a [S]>);

    fn collect_mut<'a>(&'a mut self, tensors: &mut Vec<&'a mut [S]>);
}

impl<S> Part<S> for Vec<S> {
    type Of<T> = Vec<T>;

    fn map<T>(&self, of: &mut impl FnMut(&[S]) -> Vec<T>) -> Vec<T> {
        of(self)
    }

    fn collect<'a>(&'a self, tensors: &mut Vec<&'a [S]>) {
        tensors.push(self);
    }

    fn collect_mut<'a>(&'a mut self, tensors: &mut Vec<&'a mut [S]>) {
        tensors.push(self);
    }
}

impl<S, P: Part<S>> Part<S> for Option<P> {
    type Of<T> = Option<P::Of<T>>;

    fn map<T>(&self, of: &mut impl FnMut(&[S]) -> Vec<T>) -> Option<P::Of<T>> {
        self.as_ref().map(|part| part.map(of))
    }

    fn collect<'a>(&'a self, tensors: &mut Vec<&'a [S]>) {
        self.iter().for_each(|part| part.collect(tensors));
    }

    fn collect_mut<'a>(&'a mut self, tensors: &mut Vec<&'a mut [S]>) {
        self.iter_mut().for_each(|part| part.collect_mut(tensors));
    }
}

impl<S> Part<S> for Vec<LayerWeights<S>> {
    type Of<T> = Vec<LayerWeights<T>>;

    fn map<T>(&self, of: &mut impl FnMut(&[S]) -> Vec<T>) -> Vec<LayerWeights<T>> {
        self.iter().map(|layer| layer.map(of)).collect()
    }

    fn collect<'a>(&'a self, tensors: &mut Vec<&'a [S]>) {
        self.iter().for_each(|layer| layer.collect(tensors));
    }

    fn collect_mut<'a>(&'a mut self, tensors: &mut Vec<&'a mut [S]>) {
        self.iter_mut().for_each(|layer| layer.collect_mut(tensors));
    }
}

impl<S> Part<S> for MixerWeights<S> {
    type Of<T> = MixerWeights<T>;

    fn map<T>(&self, of: &mut impl FnMut(&[S]) -> Vec<T>) -> MixerWeights<T> {
        match self {
            Self::Mamba(mamba) => MixerWeights::Mamba(mamba.map(of)),
            Self::Mamba2(mamba2) => MixerWeights::Mamba2(mamba2.map(of)),
        }
    }

    fn collect<'a>(&'a self, tensors: &mut Vec<&'a [S]>) {
        match self {
            Self::Mamba(mamba) => mamba.collect(tensors),
            Self::Mamba2(mamba2) => mamba2.collect(tensors),
        }
    }

    fn collect_mut<'a>(&'a mut self, tensors: &mut Vec<&'a mut [S]>) {
        match self {
            Self::Mamba(mamba) => mamba.collect_mut(tensors),
            Self::Mamba2(mamba2) => mamba2.collect_mut(tensors),
        }
    }
}

/// Makes a struct a part whose fields are walked in the order in which they are listed; all must be.
macro_rules! walked {
    ($name:ident: $($field:ident),*) => {
        impl<S> Part<S> for $name<S> {
            type Of<T> = $name<T>;

            fn map<T>(&self, of: &mut impl FnMut(&[S]) -> Vec<T>) -> $name<T> {
                $name { $($field: Part::map(&self.$field, of)),* }
            }

            fn collect<'a>(&'a self, tensors: &mut Vec<&'a [S]>) {
                let Self { $($field),* } = self;
                $($field.collect(tensors);)*
            }

            fn collect_mut<'a>(&'a mut self, tensors: &mut Vec<&'a mut [S]>) {
                let Self { $($field),* } = self;
                $($field.collect_mut(tensors);)*
            }
        }
    };
}

walked!(Weights: embedding, layers, norm_f, lm_head, score);
walked!(LayerWeights: norm, forward, reverse);
walked!(NormWeights: weight, bias);
walked!(LinearWeights: weight, bias);
walked!(MambaWeights: in_proj, conv_weight, conv_bias, x_proj, dt_proj, a_log, d, out_proj);
walked!(Mamba2Weights: in_proj, conv_weight, conv_bias, dt_bias, a_log, d, norm, out_proj);
