//! Writing a `config.json` that the reference code of each dialect reads.
//!
//! What decides the function comes from the [`Config`]; what only the reference code's initialisation or generation reads
//! is given its published default.

use longstrand_seq::vocab::Vocabulary;
use serde_json::{Map, Value};

use super::{Config, ConfigError, MixerConfig, Naming, json};

mod caduceus;
mod hugging_face;
mod state_spaces;

pub(super) type Object = Map<String, Value>;

impl Config {
    /// Writes the `config.json` of a model with this vocabulary, in the dialect of [`Config::naming`].
    ///
    /// [`Config::parse`] reads it back as the same configuration. Only state-spaces' dialect has no place for
    /// `trained_context`, which is then left to the tokenizer's files.
    ///
    /// ```
    /// use longstrand_model::config::Config;
    /// use longstrand_seq::vocab::Vocabulary;
    ///
    /// let vocabulary = Vocabulary::caduceus();
    /// let config = Config::caduceus_ps(64, 2, &vocabulary);
    /// assert_eq!(Config::parse(&config.to_json(&vocabulary)?)?, config);
    /// # Ok::<(), longstrand_model::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The configuration is not one that [`Config::parse`] would read: a size is out of bounds, or the dialect has no
    /// words for a choice.
    pub fn to_json(&self, vocabulary: &Vocabulary) -> Result<Vec<u8>, ConfigError> {
        let object = match (self.naming, &self.mixer) {
            (Naming::HuggingFace, MixerConfig::Mamba(mamba)) => hugging_face::mamba(self, mamba, vocabulary),
            (Naming::HuggingFace, MixerConfig::Mamba2(mamba2)) => hugging_face::mamba2(self, mamba2, vocabulary),
            (Naming::StateSpaces, _) => state_spaces::object(self),
            (Naming::Caduceus, _) => caduceus::object(self, vocabulary),
        };
        let text = json::write(&Value::Object(object));
        let trained_context = match self.naming {
            Naming::StateSpaces => self.trained_context,
            Naming::HuggingFace | Naming::Caduceus => None,
        };
        let mut read = Self::parse(&text)?;
        read.trained_context = trained_context.or(read.trained_context);
        if read == *self {
            return Ok(text);
        }
        let difference = first_difference(&format!("{self:#?}"), &format!("{read:#?}"));
        Err(ConfigError::unsupported(format!("a config.json of {} that says {difference}", self.naming)))
    }
}

/// The first line of `meant` that is not so in `said`.
fn first_difference(meant: &str, said: &str) -> String {
    let line = meant.lines().zip(said.lines()).find(|(meant, said)| meant != said).map_or(meant, |(meant, _)| meant);
    line.trim().trim_end_matches(',').into()
}

/// The factor by which the reference code multiplies `d_model`, rounding down, to get `d_inner`.
fn expand(d_inner: usize, d_model: usize) -> Value {
    if d_model != 0 && d_inner.is_multiple_of(d_model) {
        return Value::from(d_inner / d_model);
    }
    let factor = d_inner as f64 / d_model as f64;
    let reached = (factor * d_model as f64) as usize == d_inner;
    Value::from(if reached { factor } else { factor.next_up() })
}

/// A pair of bounds, unless they bind nothing, which is the default everywhere.
fn limits((low, high): (f64, f64)) -> Option<Value> {
    let is_infinite = high == f64::INFINITY;
    let upper = if is_infinite { Value::from(json::INFINITY) } else { Value::from(high) };
    (low != 0.0 || !is_infinite).then(|| Value::from(vec![Value::from(low), upper]))
}

/// The key under which a training window is kept, one of those that are read and one that the reference code ignores.
const CONTEXT_KEY: &str = "max_seq_len";

/// Adds a key that is there only if it has a value.
fn insert_some(object: &mut Object, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(key.into(), value.into());
    }
}

/// The object of a `json!` literal.
pub(super) fn into_object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClassifierPooling, Directions, Head, Mamba2Config, Strategy};
    use super::*;

    fn written(config: &Config, vocabulary: &Vocabulary) -> Value {
        json::parse(&config.to_json(vocabulary).unwrap()).unwrap()
    }

    #[test]
    fn new_models_are_read_back() {
        for vocabulary in [Vocabulary::caduceus(), Vocabulary::plant_caduceus()] {
            for make in [Config::mamba, Config::mamba2, Config::caduceus_ph, Config::caduceus_ps] {
                for d_model in [8, 48, 256] {
                    let mut config = make(d_model, 3, &vocabulary);
                    config.trained_context = Some(1024);
                    let text = config.to_json(&vocabulary).unwrap();
                    assert_eq!(Config::parse(&text).unwrap(), config);
                }
            }
        }
    }

    #[test]
    fn heads_for_classes_are_read_back() {
        let vocabulary = Vocabulary::caduceus();
        for make in [Config::mamba, Config::mamba2, Config::caduceus_ph, Config::caduceus_ps] {
            for pooling in
                [ClassifierPooling::Mean, ClassifierPooling::Max, ClassifierPooling::Last, ClassifierPooling::First]
            {
                let head = Head::SequenceClassification { n_labels: 3, pooling };
                let config = Config { head, ..make(32, 2, &vocabulary) };
                assert_eq!(Config::parse(&config.to_json(&vocabulary).unwrap()).unwrap(), config);
            }
        }
    }

    #[test]
    fn every_width_has_a_factor() {
        for d_model in 1..60 {
            for d_inner in d_model..4 * d_model {
                let factor = expand(d_inner, d_model).as_f64().unwrap();
                assert_eq!((factor * d_model as f64) as usize, d_inner, "{d_model}");
            }
        }
    }

    #[test]
    fn the_complement_map_is_in_the_order_of_its_numbers() {
        let vocabulary = Vocabulary::caduceus();
        let value = written(&Config::caduceus_ps(32, 1, &vocabulary), &vocabulary);
        let keys: Vec<usize> =
            value["complement_map"].as_object().unwrap().keys().map(|k| k.parse().unwrap()).collect();
        assert_eq!(keys, (0..16).collect::<Vec<_>>());
    }

    #[test]
    fn bounds_are_written_where_they_bind() {
        let vocabulary = Vocabulary::caduceus();
        let mut config = Config::mamba2(32, 1, &vocabulary);
        assert!(written(&config, &vocabulary).get("time_step_limit").is_none());
        let unbounded = (0.01, f64::INFINITY);
        let MixerConfig::Mamba2(mixer) = config.mixer else { panic!("a Mamba-2 mixer") };
        config.mixer = MixerConfig::Mamba2(Mamba2Config { dt_limit: unbounded, ..mixer });
        let text = String::from_utf8(config.to_json(&vocabulary).unwrap()).unwrap();
        assert!(text.contains("Infinity\n"), "bare, as Python reads it: {text}");
    }

    #[test]
    fn what_a_dialect_cannot_say_is_an_error() {
        let vocabulary = Vocabulary::caduceus();
        let mut config = Config::mamba(32, 1, &vocabulary);
        config.directions = Directions::Bidirectional { strategy: Strategy::Add, tied: true };
        let message = config.to_json(&vocabulary).unwrap_err().to_string();
        assert!(message.starts_with("not supported: a config.json of transformers that says"), "{message}");
        let mut config = Config::caduceus_ps(32, 1, &vocabulary);
        config.head = Head::LanguageModel { tied: false };
        assert!(config.to_json(&vocabulary).is_err());
        let message = Config::mamba(0, 1, &vocabulary).to_json(&vocabulary).unwrap_err().to_string();
        assert!(message.contains("\"hidden_size\": expected a whole number"), "{message}");
    }
}
