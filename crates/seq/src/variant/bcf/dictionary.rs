use std::collections::HashMap;

use super::super::{VariantHeader, header::MetaLine};

/// What kind of values a header declares for a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Declared {
    Flag,
    Integer,
    Float,
    Text,
}

/// The numbers that stand for names in the records of a file.
#[derive(Debug)]
pub(in super::super) struct Dictionary {
    pub(super) strings: Names,
    pub(super) contigs: Names,
    info: HashMap<String, Declared>,
    format: HashMap<String, Declared>,
    pub(super) sample_count: usize,
}

impl Dictionary {
    /// Numbers the names of a header: those with IDX as it says, others by their order.
    pub(in super::super) fn new(header: &VariantHeader) -> Self {
        let mut dictionary = Self {
            strings: Names::default(),
            contigs: Names::default(),
            info: HashMap::new(),
            format: HashMap::new(),
            sample_count: header.sample_count(),
        };
        let limit = header.meta_lines().count() + Names::SPARE;
        dictionary.strings.insert("PASS", Some(0), limit);
        for line in header.meta_lines() {
            let text = String::from_utf8_lossy(line);
            if let Some(meta) = MetaLine::parse(&text) {
                dictionary.add(&meta, limit);
            }
        }
        dictionary
    }

    fn add(&mut self, meta: &MetaLine<'_>, limit: usize) {
        let Some(name) = meta.get("ID") else { return };
        let names = match meta.key {
            "contig" => &mut self.contigs,
            "FILTER" | "INFO" | "FORMAT" => &mut self.strings,
            _ => return,
        };
        names.insert(name, meta.get("IDX").and_then(|idx| idx.parse().ok()), limit);
        let declared = match meta.get("Type") {
            Some("Flag") => Declared::Flag,
            Some("Integer") => Declared::Integer,
            Some("Float") => Declared::Float,
            _ => Declared::Text,
        };
        match meta.key {
            "INFO" => _ = self.info.entry(name.to_owned()).or_insert(declared),
            "FORMAT" => _ = self.format.entry(name.to_owned()).or_insert(declared),
            _ => {}
        }
    }

    pub(super) fn info(&self, key: &str) -> Option<Declared> {
        self.info.get(key).copied()
    }

    pub(super) fn format(&self, key: &str) -> Option<Declared> {
        self.format.get(key).copied()
    }

    /// The number of a contig.
    pub(in super::super) fn contig(&self, name: &str) -> Option<usize> {
        self.contigs.number(name)
    }

    /// The contigs' names by their numbers; empty where a number has none.
    pub(in super::super) fn contig_names(&self) -> Vec<String> {
        self.contigs.by_number.iter().map(|name| name.clone().unwrap_or_default()).collect()
    }
}

/// Names and their numbers.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_number: Vec<Option<String>>,
    numbers: HashMap<String, usize>,
}

impl Names {
    /// How far numbers may lie past the count of names: those of names that were taken out stay unused.
    const SPARE: usize = 1 << 20;

    fn insert(&mut self, name: &str, number: Option<usize>, limit: usize) {
        if self.numbers.contains_key(name) {
            return;
        }
        let number = number.filter(|&number| number < limit).unwrap_or(self.by_number.len());
        if self.by_number.len() <= number {
            self.by_number.resize(number + 1, None);
        }
        self.by_number[number] = Some(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
    }

    pub(super) fn name(&self, number: usize) -> Option<&str> {
        self.by_number.get(number)?.as_deref()
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dictionary(lines: &[&str]) -> Dictionary {
        let meta = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        Dictionary::new(&VariantHeader::new(meta, Vec::new()))
    }

    #[test]
    fn names_are_numbered_by_order_and_shared_between_keys() {
        let dictionary = dictionary(&[
            "##INFO=<ID=DP,Number=1,Type=Integer,Description=\"d\">",
            "##FILTER=<ID=PASS,Description=\"p\">",
            "##FILTER=<ID=q10,Description=\"q\">",
            "##FORMAT=<ID=DP,Number=1,Type=Float,Description=\"d\">",
            "##contig=<ID=20>",
            "##FORMAT=<ID=GT,Number=1,Type=String,Description=\"g\">",
        ]);
        let numbers = ["PASS", "DP", "q10", "GT"].map(|name| dictionary.strings.number(name));
        assert_eq!(numbers, [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!((dictionary.info("DP"), dictionary.format("DP")), (Some(Declared::Integer), Some(Declared::Float)));
        assert_eq!((dictionary.contig("20"), dictionary.contig("21")), (Some(0), None));
    }

    #[test]
    fn idx_wins() {
        let dictionary = dictionary(&[
            "##FILTER=<ID=PASS,Description=\"p\",IDX=0>",
            "##INFO=<ID=B,Number=1,Type=Integer,Description=\"b\",IDX=7>",
            "##INFO=<ID=C,Number=0,Type=Flag,Description=\"c\",IDX=2>",
            "##contig=<ID=21,IDX=3>",
            "##contig=<ID=22,IDX=18446744073709551615>",
        ]);
        assert_eq!((dictionary.strings.name(7), dictionary.strings.name(2)), (Some("B"), Some("C")));
        assert_eq!(dictionary.contig_names(), ["", "", "", "21", "22"]);
    }
}
