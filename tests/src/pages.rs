//! The repository's pages in Markdown: where they are, their prose and their fenced blocks.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// Where pages are, besides the repository's root.
const FOLDERS: &[&str] = &["benches", "crates", "data", "docs", "kernels", "packaging", "pipelines", "tests"];

/// The repository's root.
pub fn root() -> PathBuf {
    normal(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
}

/// The text of a page.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All pages of the repository.
pub fn pages() -> Vec<PathBuf> {
    let mut pages = markdown(&root(), false);
    pages.extend(FOLDERS.iter().flat_map(|folder| markdown(&root().join(folder), true)));
    pages
}

/// Markdown files of a folder, and of those in it if they are wanted.
pub fn markdown(folder: &Path, deep: bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() && deep {
            found.extend(markdown(&path, deep));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A path without `.` and `..`, whether it is there or not.
pub fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, component| {
        match component {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
        normal
    })
}

/// A fenced block of a page.
#[derive(Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// The line that it begins on, from 1.
    pub line: usize,
    /// The words behind the fence: the language, and what else is said of the block.
    pub words: Vec<&'a str>,
    /// What stands in it.
    pub lines: Vec<&'a str>,
}

impl Block<'_> {
    /// Whether it is for a shell.
    pub fn is_shell(&self) -> bool {
        self.words.first() == Some(&"sh")
    }

    /// Whether a test runs it: no other word says why it is not.
    pub fn is_run(&self) -> bool {
        self.words == ["sh"]
    }

    /// What stands in it, as one text.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }
}

/// The lines of a page outside of its blocks, and its blocks.
pub fn parse(text: &str) -> (Vec<&str>, Vec<Block<'_>>) {
    let (mut prose, mut blocks, mut is_open) = (Vec::new(), Vec::<Block<'_>>::new(), false);
    for (number, line) in text.lines().enumerate() {
        match line.trim_start().strip_prefix("```") {
            Some(_) if is_open => is_open = false,
            Some(words) => {
                is_open = true;
                blocks.push(Block { line: number + 1, words: words.split_whitespace().collect(), lines: Vec::new() });
            }
            None if is_open => blocks.last_mut().expect("an open block").lines.push(line),
            None => prose.push(line),
        }
    }
    (prose, blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_and_blocks_are_told_apart() {
        let (prose, blocks) = parse("a\n```sh files\nb\n\nc\n```\nd\n  ```\n```\n");
        assert_eq!(prose, ["a", "d"]);
        let shell = Block { line: 2, words: vec!["sh", "files"], lines: vec!["b", "", "c"] };
        assert_eq!(blocks, [shell, Block { line: 8, words: vec![], lines: vec![] }]);
        assert!(blocks[0].is_shell() && !blocks[0].is_run() && !blocks[1].is_shell());
    }
}
