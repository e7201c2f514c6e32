//! The folder for what can be computed again.

use std::env;
use std::path::PathBuf;

/// `LONGSTRAND_CACHE`, or `longstrand` in the user's cache folder; `None` if there is no home either.
pub fn folder() -> Option<PathBuf> {
    choose(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn choose(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let home =
        || variable("HOME").map(|home| home.join(if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" }));
    // The XDG specification asks for relative paths to be ignored.
    let xdg = || variable("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    variable("LONGSTRAND_CACHE").or_else(|| xdg().or_else(home).map(|folder| folder.join("longstrand")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)]) -> Option<PathBuf> {
        choose(|name| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn the_closest_variable_wins() {
        let home = ("HOME", "/home/rosalind");
        assert_eq!(chosen(&[("LONGSTRAND_CACHE", "/a"), ("XDG_CACHE_HOME", "/b"), home]), Some("/a".into()));
        assert_eq!(chosen(&[("XDG_CACHE_HOME", "/b"), home]), Some("/b/longstrand".into()));
        let in_home = chosen(&[("XDG_CACHE_HOME", "relative"), home]).unwrap();
        assert!(in_home.starts_with("/home/rosalind") && in_home.ends_with("longstrand"));
        assert_eq!(chosen(&[]), None);
    }
}
