//! What tells two runs apart.

use serde_json::{Map, Value};

/// The place where what two runs say of themselves differs first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// The key, and behind it the members that lead to the place.
    pub key: String,
    /// What this run says.
    pub expected: String,
    /// What the other run says.
    pub found: String,
}

impl Difference {
    /// Of two values of a key (none: of all), which differ: where both are JSON objects or lists, the first member that does.
    pub fn between(key: &str, expected: &str, found: &str) -> Self {
        let parsed = |text| serde_json::from_str::<Value>(text).ok();
        let narrowed = parsed(expected).zip(parsed(found)).and_then(|(expected, found)| member(key, &expected, &found));
        narrowed.unwrap_or_else(|| Self { key: key.into(), expected: expected.into(), found: found.into() })
    }
}

fn member<'a>(key: &str, expected: &'a Value, found: &'a Value) -> Option<Difference> {
    let pairs: Vec<(String, &'a Value, &'a Value)> = match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let names = expected.keys().chain(found.keys().filter(|name| !expected.contains_key(*name)));
            let value = |members: &'a Map<String, Value>, name| members.get(name).unwrap_or(&Value::Null);
            let path = |name: &String| if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            names.map(|name| (path(name), value(expected, name), value(found, name))).collect()
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            let places = expected.iter().zip(found).enumerate();
            places.map(|(i, (expected, found))| (format!("{key}[{i}]"), expected, found)).collect()
        }
        _ => return None,
    };
    let (key, expected, found) = pairs.into_iter().find(|(_, expected, found)| expected != found)?;
    let here = || Difference { key: key.clone(), expected: expected.to_string(), found: found.to_string() };
    Some(member(&key, expected, found).unwrap_or_else(here))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_members_the_one_that_differs_is_told() {
        for (expected, found, told) in [
            (r#"{"last":"keep","window":5}"#, r#"{"last":"keep","window":1024}"#, "k.window 5 1024"),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#, "k.b null 2"),
            (r#"[{"name":"x"},{"name":"y"}]"#, r#"[{"name":"x"},{"name":"z"}]"#, r#"k[1].name "y" "z""#),
            ("[1]", "[1,2]", "k [1] [1,2]"),
            ("mean", "max", "k mean max"),
        ] {
            let Difference { key, expected, found } = Difference::between("k", expected, found);
            assert_eq!(format!("{key} {expected} {found}"), told);
        }
    }
}
