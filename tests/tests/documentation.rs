//! What the pages say is so: links lead somewhere, commands are ones that the program takes, tables are complete.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::{CommandFactory, Parser};
use longstrand_cli::{args::Cli, failure::EXIT_CODES};
use longstrand_tests::pages::{markdown, normal, pages, parse, read, root};

/// How a page of the book names files outside of it.
const REPOSITORY: &str = "https://github.com/longstrand/longstrand/";

/// Where the links of a page lead to, those that are defined on a line of their own included.
fn links(text: &str) -> Vec<String> {
    let prose = parse(text).0;
    let defined =
        prose.iter().filter_map(|line| line.strip_prefix('[')?.split_once("]: ")).map(|(_, target)| target.trim());
    let prose = prose.join("\n");
    let outside_code = prose.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let targets = outside_code.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.chain(defined).map(String::from).collect()
}

/// What a heading is linked by, as GitHub and mdBook make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|&c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = parse(text).0.into_iter().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

/// What is wrong with a link, if anything is.
fn problem(page: &Path, link: &str) -> Option<String> {
    let own = link.strip_prefix(REPOSITORY).and_then(|rest| rest.split_once("/main/"));
    let base = match own {
        Some((kind, _)) if !matches!(kind, "blob" | "tree") => {
            return Some("leads to neither a file nor a folder".into());
        }
        Some(_) => root(),
        None if link.contains("://") || link.starts_with("mailto:") => return None,
        None => page.parent().expect("a folder").to_path_buf(),
    };
    let path = own.map_or(link, |(_, path)| path);
    let (path, anchor) = path.split_once('#').unwrap_or((path, ""));
    let target = if path.is_empty() { page.to_path_buf() } else { normal(&base.join(path)) };
    let docs = root().join("docs");
    if own.is_none() && page.starts_with(&docs) && !target.starts_with(&docs) {
        return Some(format!("leads out of the book: expected {REPOSITORY}blob/main/…"));
    }
    if !target.exists() {
        return Some("leads to nothing".into());
    }
    let is_there = anchor.is_empty() || anchors(&read(&target)).contains(anchor);
    (!is_there).then(|| format!("expected a heading #{anchor} in {}", target.display()))
}

#[test]
fn links_lead_to_files_and_headings() {
    let (mut checked, mut problems) = (0, Vec::new());
    for page in pages() {
        for link in links(&read(&page)) {
            checked += 1;
            problems.extend(problem(&page, &link).map(|problem| format!("{}: {link} {problem}", page.display())));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(checked > 100, "the test reads pages wrongly: {checked} links");
}

#[test]
fn a_dead_link_is_found() {
    let page = root().join("docs/embed.md");
    for dead in
        ["nothing.md", "#nothing", "reading.md#nothing", "../README.md", &format!("{REPOSITORY}blob/main/nothing")]
    {
        assert!(problem(&page, dead).is_some(), "{dead}");
    }
    for live in ["reading.md", "kernels/ssd.md", "https://example.org", &format!("{REPOSITORY}tree/main/docs")] {
        assert_eq!(problem(&page, live), None, "{live}");
    }
    assert_eq!(links("[a](b) `[c](d)`\n```sh\n[e](f)\n```\n[g](h)\n[i]: j"), ["b", "h", "j"]);
    assert_eq!(anchor(" `--device`, and *more* than_one"), "--device-and-more-than_one");
}

#[test]
fn the_book_has_every_page() {
    let docs = root().join("docs");
    let listed: BTreeSet<PathBuf> =
        links(&read(&docs.join("SUMMARY.md"))).iter().map(|link| normal(&docs.join(link))).collect();
    let written: BTreeSet<PathBuf> =
        markdown(&docs, true).into_iter().filter(|page| !page.ends_with("SUMMARY.md")).collect();
    assert_eq!(listed, written);
}

/// The command lines of the program in those of a page's blocks for a shell that are not run (`examples.rs`).
fn commands(text: &str) -> Vec<Vec<String>> {
    let shell = parse(text).1.into_iter().filter(|block| block.is_shell() && !block.is_run());
    let joined = shell.map(|block| block.text()).collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let words =
        joined.lines().map(words).map(|words| words.into_iter().skip_while(|word| word.contains('=')).collect());
    words.filter(|words: &Vec<String>| words.first().is_some_and(|word| word == "longstrand")).collect()
}

/// The words of a simple command, up to a comment, dots, a pipe, a redirection or the next command.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '#' | '…') if word.is_none() => break,
            (None, '|' | '>' | '<' | '&' | ';') => break,
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn commands_that_are_not_run_are_understood() {
    let mut checked = 0;
    for page in pages() {
        for command in commands(&read(&page)) {
            checked += 1;
            let parsed = Cli::try_parse_from(&command).err().filter(clap::Error::use_stderr);
            assert!(parsed.is_none(), "{}: {}\n{}", page.display(), command.join(" "), parsed.expect("an error"));
        }
    }
    assert!(checked > 30, "the test reads pages wrongly: {checked} commands");
}

#[test]
fn words_are_split_as_a_shell_does() {
    let text = "```sh files\nA=b longstrand embed 'a b' \\\n  -o \"c\"#d  # e\nlongstrand man | man -l -\necho longstrand\n```\n```sh\nlongstrand --run\n```\n";
    assert_eq!(commands(text), [vec!["longstrand", "embed", "a b", "-o", "c#d"], vec!["longstrand", "man"]]);
}

#[test]
fn every_command_is_in_the_readme() {
    let readme = read(&root().join("README.md"));
    for command in Cli::command().get_subcommands().map(clap::Command::get_name) {
        assert!(readme.contains(&format!("| `longstrand {command}")), "{command}");
    }
}

#[test]
fn tests_that_the_comparison_names_are_there() {
    let page = read(&root().join("docs/peers.md"));
    let named: Vec<_> = page.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect();
    for &(file, test) in &named {
        if test.ends_with('…') {
            continue;
        }
        let code = read(&root().join(format!("tests/tests/{file}.rs")));
        assert!(code.contains(&format!("\nfn {test}()")), "{file}::{test}");
    }
    assert!(named.len() > 20, "the test reads the page wrongly: {} tests", named.len());
}

#[test]
fn the_table_of_exit_codes_is_the_programs() {
    let page = read(&root().join("docs/exit-codes.md"));
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse::<u8>().ok());
    assert_eq!(rows.collect::<Vec<_>>(), EXIT_CODES);
}
