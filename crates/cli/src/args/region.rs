//! `-r/--region`: regions, one a flag or several with commas.

/// The regions that are meant by what was given to `--region`.
///
/// A comma inside a position separates thousands: it follows a digit behind the name's colon, and three digits follow it.
/// Any other comma ends a region.
pub fn regions(texts: &[String]) -> Vec<String> {
    texts.iter().flat_map(|text| split(text)).map(str::to_owned).collect()
}

/// Reads one region with both ends, as `20:1,001-2,000`.
///
/// # Errors
///
/// When an end is missing, or there are several regions.
pub fn closed_region(text: &str) -> Result<String, String> {
    if split(text).len() > 1 {
        return Err("expected one region, as 20:1001-1200, found several".into());
    }
    let last = text.rsplit_once(':').and_then(|(_, positions)| positions.split_once('-')).map(|(_, last)| last);
    match last.is_some_and(|last| !last.is_empty()) {
        true => Ok(text.into()),
        false => Err(format!("expected a region with its first and last base, as 20:1001-1200, found {text}")),
    }
}

fn split(text: &str) -> Vec<&str> {
    let mut regions = Vec::new();
    let mut start = 0;
    for (comma, _) in text.match_indices(',') {
        if !separates_thousands(&text[start..comma], &text[comma + 1..]) {
            regions.push(&text[start..comma]);
            start = comma + 1;
        }
    }
    regions.push(&text[start..]);
    regions
}

/// Whether a comma between what is before it in its region and what is behind it stands inside a position.
fn separates_thousands(before: &str, behind: &str) -> bool {
    let is_in_position = before.contains(':') && before.ends_with(|last: char| last.is_ascii_digit());
    let end = behind.find([',', '-']).unwrap_or(behind.len());
    let group = &behind[..end];
    is_in_position && group.len() == 3 && group.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_separate_regions_and_thousands() {
        for (text, expected) in [
            ("20", vec!["20"]),
            ("20:1,001-2,000,000", vec!["20:1,001-2,000,000"]),
            ("20:1-5,21:7-9", vec!["20:1-5", "21:7-9"]),
            ("20:1,000-2,000,100:5-9", vec!["20:1,000-2,000", "100:5-9"]),
            ("20:1,000,chrX:5,000-", vec!["20:1,000", "chrX:5,000-"]),
            ("20,21,X", vec!["20", "21", "X"]),
            ("100,200", vec!["100", "200"]),
            ("20:1-5,21", vec!["20:1-5", "21"]),
            ("A:1-5,HLA-A*01:01:5-7", vec!["A:1-5", "HLA-A*01:01:5-7"]),
            ("20:5-,21", vec!["20:5-", "21"]),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
        assert_eq!(regions(&["1:1-2,2".into(), "3".into()]), ["1:1-2", "2", "3"]);
    }

    #[test]
    fn a_closed_region_has_both_ends() {
        for good in ["20:1,001-2,000", "HLA-A*01:01:5-7"] {
            assert_eq!(closed_region(good).as_deref(), Ok(good));
        }
        for (bad, says) in [
            ("20", "first and last base, as 20:1001-1200, found 20"),
            ("20:1,001", "first and last base"),
            ("20:1001-", "first and last base"),
            ("HLA-A*01:01", "first and last base"),
            ("20:1-5,21:1-5", "expected one region"),
        ] {
            let error = closed_region(bad).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }
}
