//! A structured line of a header: `##KEY=<ID=…,Type=…,Description="…">`.

/// The parts of a structured line.
#[derive(Clone, Debug)]
pub(crate) struct MetaLine<'a> {
    /// What is declared, such as `INFO`.
    pub(crate) key: &'a str,
    fields: Vec<&'a str>,
}

impl<'a> MetaLine<'a> {
    /// Takes a line apart; none where it is not structured.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let (key, value) = line.strip_prefix("##")?.split_once('=')?;
        let inside = value.trim_end().strip_prefix('<')?.strip_suffix('>')?;
        Some(Self { key, fields: split_fields(inside) })
    }

    /// The value of a field, without quotes.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let value = self.fields.iter().find_map(|field| field.trim_start().strip_prefix(name)?.strip_prefix('='))?;
        Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
    }

    /// The fields in their order: names and values without quotes and escapes.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'a str, String)> {
        self.fields.iter().filter_map(|field| {
            let (name, value) = field.trim_start().split_once('=')?;
            let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            Some((name, quoted.map_or_else(|| value.to_owned(), unescaped)))
        })
    }

    /// What tells the line from others of its kind.
    pub(crate) fn identity(&self) -> Option<(String, String)> {
        Some((self.key.to_owned(), self.get("ID")?.to_owned()))
    }

    /// The line without some of its fields.
    pub(crate) fn without(&self, names: &[&str]) -> String {
        let is_kept = |field: &&str| !names.iter().any(|name| is_of(field, name));
        let kept: Vec<&str> = self.fields.iter().copied().filter(is_kept).collect();
        format!("##{}=<{}>", self.key, kept.join(","))
    }
}

/// Whether a field, `NAME=value`, has this name.
fn is_of(field: &str, name: &str) -> bool {
    field.trim_start().strip_prefix(name).is_some_and(|rest| rest.starts_with('='))
}

/// A quoted value, in which a backslash stands before each quote and backslash.
fn unescaped(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        text.push(if character == '\\' { characters.next().unwrap_or(character) } else { character });
    }
    text
}

/// Splits at commas that are not within quotes.
fn split_fields(inside: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (i, b) in inside.bytes().enumerate() {
        match b {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                fields.push(&inside[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    fields.push(&inside[start..]);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_past_quotes() {
        let line = r#"##INFO=<ID=A,Number=.,Type=String,Description="x, \"IDX=4, y\">",Source="s",IDX=12>"#;
        let meta = MetaLine::parse(line).unwrap();
        assert_eq!(
            (meta.key, meta.get("ID"), meta.get("IDX"), meta.get("Source")),
            ("INFO", Some("A"), Some("12"), Some("s"))
        );
        let pairs: Vec<_> = meta.pairs().collect();
        assert_eq!(pairs[3], ("Description", r#"x, "IDX=4, y">"#.to_owned()));
        assert_eq!(pairs[4], ("Source", "s".to_owned()));
        assert_eq!(meta.without(&["IDX"]), line.replace(",IDX=12", ""));
        assert!(MetaLine::parse("##source=x").is_none());
        assert!(MetaLine::parse("#CHROM").is_none());
    }
}
