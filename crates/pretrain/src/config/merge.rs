//! Preset < file < flags.

use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::{ConfigError, PRESETS, Preset, Settings};

/// A configuration file that was read.
#[derive(Clone, Copy, Debug)]
pub struct ConfigFile<'a> {
    /// The file, for errors.
    pub path: &'a Path,
    /// Its text.
    pub text: &'a str,
}

/// A setting that a flag gives, such as `run.steps`.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    key: String,
    value: Value,
}

impl Flag {
    /// A setting by its table and key, and its value.
    pub fn new(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { key: key.into(), value: value.into() }
    }

    /// Its value inside the tables that lead to it.
    fn table(&self) -> Table {
        let mut parts = self.key.rsplit('.');
        let last = parts.next().unwrap_or_default();
        let innermost = Table::from_iter([(last.to_string(), self.value.clone())]);
        parts.fold(innermost, |inner, part| Table::from_iter([(part.to_string(), Value::Table(inner))]))
    }
}

/// The settings of a preset, changed by a file, changed by flags. A file may name its preset (`preset = "tiny"`); one
/// that is given beside it wins.
///
/// # Errors
///
/// - there is no such preset
/// - the file is no TOML, has a key that is not known or a value of another type
/// - the same of a flag
/// - a value is out of range, or values do not go together, see [`Settings::check`]
pub fn resolve(preset: Option<&str>, file: Option<ConfigFile<'_>>, flags: &[Flag]) -> Result<Settings, ConfigError> {
    let mut merged = Table::new();
    let from_file = file.map(|file| parse(&file)).transpose()?.unwrap_or_default();
    let named_in_file = from_file.get("preset").and_then(Value::as_str);
    if let Some(name) = preset.or(named_in_file) {
        let preset = PRESETS.iter().find(|preset| preset.name == name);
        let preset = preset.ok_or_else(|| ConfigError::Preset { found: name.into() })?;
        merge(&mut merged, preset.table());
    }
    let chosen = preset.map(str::to_string);
    merge(&mut merged, from_file);
    for flag in flags {
        let table = flag.table();
        let error = |error: toml::de::Error| ConfigError::Flag { key: flag.key.clone(), message: one_line(&error) };
        Settings::deserialize(table.clone()).map_err(error)?;
        merge(&mut merged, table);
    }
    // Each part was read strictly above, so that together they have no key that is not known.
    let whole = |error: toml::de::Error| ConfigError::Flag { key: "(all)".into(), message: one_line(&error) };
    let mut settings = Settings::deserialize(merged).map_err(whole)?;
    settings.preset = chosen.or(settings.preset);
    settings.check()?;
    Ok(settings)
}

/// Reads a file strictly, for errors with lines, and gives it as a table.
fn parse(file: &ConfigFile<'_>) -> Result<Table, ConfigError> {
    let error = |error: toml::de::Error| ConfigError::File {
        path: file.path.into(),
        line: error.span().map(|span| 1 + file.text[..span.start].matches('\n').count()),
        message: one_line(&error),
    };
    toml::from_str::<Settings>(file.text).map_err(error)?;
    toml::from_str(file.text).map_err(error)
}

fn one_line(error: &toml::de::Error) -> String {
    error.message().lines().map(str::trim).collect::<Vec<_>>().join(": ")
}

/// Puts `over` on `under`: tables key by key, everything else whole.
fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

impl Preset {
    fn table(&self) -> Table {
        self.toml.parse().expect("presets are TOML, as a test holds")
    }
}
