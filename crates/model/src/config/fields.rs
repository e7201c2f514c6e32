//! Typed reading of a JSON object; `null` counts as absent.

use longstrand_kernels::causal_conv1d::MAX_KERNEL;
use serde_json::{Map, Value};

use super::ConfigError;
use super::json::FLOAT_TAG;

/// No dimension of a published model comes near; products of two stay far inside 64 bits.
const MAX_SIZE: u64 = 1 << 24;

/// Longest excerpt of a value that is quoted in an error, in characters.
const MAX_EXCERPT: usize = 60;

/// An object and the path that leads to it.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    path: String,
    object: Option<&'a Map<String, Value>>,
}

impl<'a> Fields<'a> {
    pub(super) fn root(value: &'a Value) -> Result<Self, ConfigError> {
        let object = value.as_object().ok_or_else(|| ConfigError::NotAnObject { found: excerpt(value) })?;
        Ok(Self { path: String::new(), object: Some(object) })
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.object?.get(key).filter(|value| !value.is_null())
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    pub(super) fn missing(&self, key: &str) -> ConfigError {
        ConfigError::Missing { key: self.name(key) }
    }

    pub(super) fn invalid(&self, key: &str, expected: impl Into<String>) -> ConfigError {
        let found = self.value(key).map_or("nothing".into(), excerpt);
        ConfigError::Invalid { key: self.name(key), expected: expected.into(), found }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// The object under `key`; an absent one has no keys.
    pub(super) fn object(&self, key: &str) -> Result<Fields<'a>, ConfigError> {
        let path = format!("{}{key}.", self.path);
        match self.value(key) {
            None => Ok(Self { path, object: None }),
            Some(Value::Object(object)) => Ok(Self { path, object: Some(object) }),
            Some(_) => Err(self.invalid(key, "an object")),
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.object.into_iter().flatten()
    }

    pub(super) fn size(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        self.whole(key, MAX_SIZE)
    }

    /// A whole number from 1 to `most`.
    fn whole(&self, key: &str, most: u64) -> Result<Option<usize>, ConfigError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        match value.as_u64() {
            Some(n) if (1..=most).contains(&n) => Ok(Some(n as usize)),
            _ => Err(self.invalid(key, format!("a whole number from 1 to {most}"))),
        }
    }

    /// Taps of a convolution: as many as are computed, 4 where nothing is said.
    pub(super) fn taps(&self, key: &str) -> Result<usize, ConfigError> {
        Ok(self.whole(key, MAX_KERNEL as u64)?.unwrap_or(4))
    }

    pub(super) fn required_size(&self, key: &str) -> Result<usize, ConfigError> {
        self.size(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn size_or(&self, key: &str, default: usize) -> Result<usize, ConfigError> {
        Ok(self.size(key)?.unwrap_or(default))
    }

    /// Any whole number that is not negative, 0 among them.
    pub(super) fn count_or(&self, key: &str, default: u64) -> Result<u64, ConfigError> {
        match self.value(key) {
            None => Ok(default),
            Some(value) => value.as_u64().ok_or_else(|| self.invalid(key, "a whole number, 0 or more")),
        }
    }

    /// A whole number that only informs: anything else counts as absent.
    pub(super) fn hint(&self, key: &str) -> Option<u64> {
        self.value(key)?.as_u64().filter(|&n| n > 0)
    }

    pub(super) fn bool_or(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        match self.value(key) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(self.invalid(key, "true or false")),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, ConfigError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(key, "a string")),
        }
    }

    /// Strings of a list; an absent list is empty.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<&'a str>, ConfigError> {
        let Some(value) = self.value(key) else {
            return Ok(Vec::new());
        };
        let texts = value.as_array().and_then(|items| items.iter().map(Value::as_str).collect());
        texts.ok_or_else(|| self.invalid(key, "a list of strings"))
    }

    /// Whether there is a list, object or string under `key` that holds anything.
    pub(super) fn is_filled(&self, key: &str) -> bool {
        match self.value(key) {
            None => false,
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(entries)) => !entries.is_empty(),
            Some(Value::String(text)) => !text.is_empty(),
            Some(_) => true,
        }
    }

    pub(super) fn epsilon_or(&self, key: &str, default: f64) -> Result<f64, ConfigError> {
        let Some(value) = self.value(key) else {
            return Ok(default);
        };
        match value.as_f64() {
            Some(epsilon) if (0.0..1.0).contains(&epsilon) => Ok(epsilon),
            _ => Err(self.invalid(key, "a number from 0 to 1")),
        }
    }

    /// A pair of bounds, the upper of which may be infinite.
    pub(super) fn limits_or(&self, key: &str, default: (f64, f64)) -> Result<(f64, f64), ConfigError> {
        let Some(value) = self.value(key) else {
            return Ok(default);
        };
        let bounds = match value.as_array().map(Vec::as_slice) {
            Some([low, high]) => float(low).zip(float(high)),
            _ => None,
        };
        match bounds {
            Some((low, high)) if low >= 0.0 && low <= high => Ok((low, high)),
            _ => Err(self.invalid(key, "two numbers, 0 <= lower <= upper")),
        }
    }

    /// The width `expand` × `d_model`, rounded down.
    pub(super) fn expanded(&self, d_model: usize) -> Result<usize, ConfigError> {
        let width = match self.value("expand") {
            None => 2.0 * d_model as f64,
            Some(value) => value.as_f64().unwrap_or(-1.0) * d_model as f64,
        };
        if (1.0..=MAX_SIZE as f64).contains(&width) {
            return Ok(width as usize);
        }
        Err(self.invalid("expand", format!("a factor that makes {d_model} a width from 1 to {MAX_SIZE}")))
    }

    /// A step-size rank: a number, or `"auto"` for ⌈`d_model` / 16⌉, which is the default.
    pub(super) fn rank(&self, key: &str, d_model: usize) -> Result<usize, ConfigError> {
        match self.value(key) {
            None => Ok(d_model.div_ceil(16)),
            Some(Value::String(text)) if text == "auto" => Ok(d_model.div_ceil(16)),
            Some(Value::String(_)) => Err(self.invalid(key, "a whole number or \"auto\"")),
            Some(_) => self.required_size(key),
        }
    }

    /// Refuses a true `key`: it would make the model another function.
    pub(super) fn refuse_true(&self, key: &str) -> Result<(), ConfigError> {
        match self.bool_or(key, false)? {
            false => Ok(()),
            true => Err(self.invalid(key, "false")),
        }
    }

    /// Refuses a false `key`: it would make the model another function.
    pub(super) fn refuse_false(&self, key: &str) -> Result<(), ConfigError> {
        match self.bool_or(key, true)? {
            true => Ok(()),
            false => Err(self.invalid(key, "true")),
        }
    }
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Object(tagged) if tagged.len() == 1 => match tagged.get(FLOAT_TAG)?.as_str()? {
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => value.as_f64(),
    }
}

/// A value as JSON, cut short.
pub(crate) fn excerpt(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_EXCERPT) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(text: &[u8]) -> Result<(f64, f64), ConfigError> {
        let value = super::super::json::parse(text).unwrap();
        Fields::root(&value)?.limits_or("limit", (0.0, 1.0))
    }

    #[test]
    fn both_spellings_of_infinity() {
        let expected = (0.0, f64::INFINITY);
        assert_eq!(limits(br#"{"limit": [0.0, Infinity]}"#).unwrap(), expected);
        assert_eq!(limits(br#"{"limit": [0.0, {"__float__": "Infinity"}]}"#).unwrap(), expected);
        assert!(limits(br#"{"limit": [0.0, NaN]}"#).is_err());
        assert!(limits(br#"{"limit": [2, 1]}"#).is_err());
        assert_eq!(limits(br#"{"limit": null}"#).unwrap(), (0.0, 1.0));
    }

    #[test]
    fn taps_are_as_many_as_are_computed() {
        let value = serde_json::json!({"most": 16, "more": 17, "none": null, "zero": 0});
        let fields = Fields::root(&value).unwrap();
        assert_eq!((fields.taps("most").unwrap(), fields.taps("none").unwrap()), (16, 4));
        assert!(fields.taps("zero").is_err());
        let message = fields.taps("more").unwrap_err().to_string();
        assert_eq!(message, "\"more\": expected a whole number from 1 to 16, found 17");
    }

    #[test]
    fn sizes_are_bounded() {
        let value = serde_json::json!({"zero": 0, "huge": 1u64 << 40, "float": 1.5, "good": 16});
        let fields = Fields::root(&value).unwrap();
        assert!(fields.size("zero").is_err());
        assert!(fields.size("float").is_err());
        let message = fields.size("huge").unwrap_err().to_string();
        assert_eq!(message, "\"huge\": expected a whole number from 1 to 16777216, found 1099511627776");
        assert_eq!(fields.size("good").unwrap(), Some(16));
        assert_eq!(fields.required_size("none").unwrap_err().to_string(), "missing key \"none\"");
    }
}
