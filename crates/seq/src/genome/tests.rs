use std::{fs, io::Write};

use tempfile::TempDir;

use super::*;
use crate::error::told;

const TEXT: &str = ">a one\nACGTac\ngtNNRY\nAC\n>empty\n>b\nTTTTTTTT\nGGGG\n";

const RECORDS: [(&str, &str); 3] = [("a", "ACGTacgtNNRYAC"), ("empty", ""), ("b", "TTTTTTTTGGGG")];

fn write(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bgzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = noodles_bgzf::io::Writer::new(Vec::new());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn open(path: &Path) -> Result<Genome, Error> {
    Genome::open(path, &GenomeOptions::default())
}

fn read(genome: &mut Genome, contig: usize, range: Range<u64>) -> String {
    let mut bases = Vec::new();
    genome.read(contig, range, &mut bases).unwrap();
    String::from_utf8(bases).unwrap()
}

fn assert_holds(genome: &mut Genome, records: &[(&str, &str)]) {
    let contigs: Vec<_> = genome.contigs().iter().map(|c| (c.name.clone(), c.length)).collect();
    let expected: Vec<_> = records.iter().map(|(name, bases)| ((*name).to_string(), bases.len() as u64)).collect();
    assert_eq!(contigs, expected);
    for (i, (name, bases)) in records.iter().enumerate() {
        for start in 0..=bases.len() {
            for end in start..=bases.len() {
                let range = start as u64..end as u64;
                assert_eq!(read(genome, i, range), bases[start..end], "{name}:{start}..{end}");
            }
        }
    }
}

#[test]
fn every_form_holds_the_same_bases() {
    let crlf = TEXT.replace('\n', "\r\n");
    for text in [TEXT, TEXT.trim_end(), &crlf, &format!("\n; comment\n{TEXT}\n\n")] {
        for bytes in [text.as_bytes().to_vec(), gzip(text.as_bytes()), bgzip(text.as_bytes())] {
            let (_folder, path) = write("g.fa", &bytes);
            assert_holds(&mut open(&path).unwrap(), &RECORDS);
        }
    }
}

#[test]
fn only_what_is_read_whole_has_a_notice() {
    for (bytes, word) in [
        (TEXT.into(), None),
        (bgzip(TEXT.as_bytes()), None),
        (gzip(TEXT.as_bytes()), Some("bgzip")),
        (b">a\nACGT\nAC\nACGT\n".to_vec(), Some("uneven")),
        (b">a\nACGT\nACGTA\n".to_vec(), Some("uneven")),
        (b">a\nACGT\n\nACGT\nACGT\n".to_vec(), Some("uneven")),
    ] {
        let (_folder, path) = write("g.fa", &bytes);
        let notice = open(&path).unwrap().notice();
        assert_eq!(notice.is_some(), word.is_some());
        assert!(notice.unwrap_or_default().contains(word.unwrap_or_default()));
    }
}

#[test]
fn uneven_lines_are_read() {
    let (_folder, path) = write("g.fa", b">a\nACGT\nac\n\nNNRY\nACGTACGTA");
    assert_holds(&mut open(&path).unwrap(), &[("a", "ACGTacNNRYACGTACGTA")]);
}

/// Bases that repeat nowhere near.
fn long_sequence(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"ACGTacgtNn"[(state >> 16) as usize % 10]
    };
    (0..length).map(next).collect()
}

fn as_fasta(records: &[(&str, &[u8])], width: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, bases) in records {
        writeln!(text, ">{name}").unwrap();
        for line in bases.chunks(width) {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
    }
    text
}

#[test]
fn long_records_are_read_across_blocks_and_pages() {
    let (one, two) = (long_sequence(300_000), long_sequence(200_001));
    let text = as_fasta(&[("one", &one), ("two", &two)], 61);
    for bytes in [text.clone(), bgzip(&text), gzip(&text)] {
        let (_folder, path) = write("g.fa", &bytes);
        let mut genome = open(&path).unwrap();
        for (contig, start, end) in [
            (1, 100_000, 200_001),
            (0, 0, 300_000),
            (0, 65_000, 66_000),
            (1, 0, 10),
            (0, 64_500, 65_500),
            (0, 299_999, 300_000),
        ] {
            let expected = &[&one, &two][contig][start..end];
            let mut bases = Vec::new();
            genome.read(contig, start as u64..end as u64, &mut bases).unwrap();
            assert!(bases == expected, "{contig}:{start}..{end}");
        }
    }
}

#[test]
fn indexes_beside_the_file_are_used() {
    let (one, two) = (long_sequence(150_000), long_sequence(1_000));
    let text = as_fasta(&[("one", &one), ("two", &two)], 60);
    let (_folder, path) = write("g.fa.gz", &bgzip(&text));
    fs::write(path.with_extension("gz.fai"), "one\t150000\t5\t60\t61\ntwo\t1000\t152510\t60\t61\n").unwrap();
    let blocks = gzi::build(&mut fs::File::open(&path).unwrap()).unwrap();
    noodles_bgzf::gzi::fs::write(path.with_extension("gz.gzi"), &blocks).unwrap();
    let mut genome = open(&path).unwrap();
    assert_eq!(read(&mut genome, 1, 0..1000).as_bytes(), two);
    assert_eq!(read(&mut genome, 0, 140_000..150_000).as_bytes(), &one[140_000..]);
}

#[test]
fn an_index_of_another_file_is_refused() {
    let good = "a\t14\t7\t6\t7\nempty\t0\t31\t6\t7\nb\t12\t34\t8\t9\n";
    let (_folder, path) = write("g.fa", TEXT.as_bytes());
    let index = path.with_extension("fa.fai");
    fs::write(&index, good).unwrap();
    assert_holds(&mut open(&path).unwrap(), &RECORDS);
    for (text, expected) in [
        ("a\t14\t7\t6\t7\nempty\t0\t31\t6\t7\n", "short index: expected the end of the file behind \"empty\""),
        ("a\t14\t7\t6\t7\nb\t12\t34\t8\t9\n", "stale index: expected contig \"b\""),
        ("a\t13\t7\t6\t7\nempty\t0\t31\t6\t7\nb\t12\t34\t8\t9\n", "stale index: expected contig \"empty\""),
        ("a\t14\t7\t6\t7\nempty\t0\t31\t6\t7\nb\t99\t34\t8\t9\n", "stale index: expected contig \"b\""),
        ("c\t14\t7\t6\t7\n", "stale index: expected contig \"c\""),
        ("a\t14\t7\n", "line 1: expected a name, length, offset"),
        ("", "short index: expected a contig, found none"),
    ] {
        fs::write(&index, text).unwrap();
        let message = open(&path).map(drop).unwrap_err().to_string();
        assert!(message.starts_with(&format!("{}: {expected}", index.display())), "{message}");
    }
}

#[test]
fn lines_that_are_not_where_the_index_has_them_are_told() {
    let (_folder, path) = write("g.fa", b">a\nACG\nTACG\n>b\nA\n");
    fs::write(path.with_extension("fa.fai"), "a\t7\t3\t4\t5\nb\t1\t15\t1\t2\n").unwrap();
    let mut genome = open(&path).unwrap();
    let message = genome.read(0, 0..7, &mut Vec::new()).unwrap_err().to_string();
    assert!(message.contains("stale index: expected contig \"a\""), "{message}");
}

#[test]
fn a_protein_with_an_index_is_told_with_its_line() {
    let text = b"; comment\n>a\nACGT\nACGT\n>b\nMKTAYI\nAKQRQI\n";
    for bytes in [text.to_vec(), bgzip(text)] {
        let (_folder, path) = write("g.fa", &bytes);
        fs::write(path.with_extension("fa.fai"), "a\t8\t13\t4\t5\nb\t12\t26\t6\t7\n").unwrap();
        let mut genome = open(&path).unwrap();
        for (range, line, letter) in [(0..12, 6, "I"), (6..12, 7, "Q")] {
            let message = genome.read(1, range, &mut Vec::new()).unwrap_err().to_string();
            let expected = format!("record \"b\", line {line}: expected IUPAC nucleotide codes, found {letter:?}");
            assert_eq!(message, format!("{}: {expected}", path.display()));
        }
    }
}

#[test]
fn a_truncated_bgzip_is_an_error() {
    let text = as_fasta(&[("one", &long_sequence(200_000))], 60);
    let whole = bgzip(&text);
    for cut in [whole.len() - 28, whole.len() - 1, whole.len() / 2] {
        let (_folder, path) = write("g.fa.gz", &whole[..cut]);
        let message = open(&path).map(drop).unwrap_err().to_string();
        assert!(message.contains("the file is truncated"), "{message}");
    }
}

#[test]
fn files_of_another_kind_are_refused() {
    for (bytes, found) in
        [(&b"@r\nAC\n+\nII\n"[..], "found FASTQ"), (b"CRAM\x03\0", "found CRAM"), (b"", "empty FASTA")]
    {
        let (_folder, path) = write("x", bytes);
        let message = open(&path).map(drop).unwrap_err().to_string();
        assert!(message.contains(found), "{message}");
    }
}

#[test]
fn names_must_differ() {
    for bytes in [b">a\nA\n>a\nC\n".to_vec(), gzip(b">a\nA\n>a\nC\n")] {
        let (_folder, path) = write("g.fa", &bytes);
        let message = told(&open(&path).map(drop).unwrap_err());
        assert_eq!(message, format!("{}: contig \"a\" occurs more than once", path.display()));
    }
}

#[test]
fn bases_past_the_end_are_refused() {
    let (_folder, path) = write("g.fa", TEXT.as_bytes());
    let mut genome = open(&path).unwrap();
    let message = genome.read(2, 10..13, &mut Vec::new()).unwrap_err().to_string();
    assert_eq!(message, r#"contig "b": expected bases within 0-12, found 10-13 (0-based, half-open)"#);
}

fn open_sliced(text: &str) -> (TempDir, Result<Genome, Error>) {
    let (folder, path) = write("g.fa", text.as_bytes());
    let genome = Genome::open(&path, &GenomeOptions { sliced_reference: true });
    (folder, genome)
}

#[test]
fn slices_have_the_coordinates_of_their_contig() {
    let (_folder, genome) = open_sliced(">17:1,001-1,006\nACGTNN\n>17:11-14\nacgt\n>MT\nGATTACA\n");
    let mut genome = genome.unwrap();
    let contigs = genome.contigs();
    assert_eq!(contigs.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["17", "MT"]);
    assert_eq!(contigs.spans(0), [10..14, 1000..1006]);
    assert_eq!(contigs.resolve("chr17"), Ok(0));
    assert_eq!(contigs.get(0).length, 1006);
    assert_eq!(contigs.total_length(), 17);
    assert_eq!(read(&mut genome, 0, 1001..1004), "CGT");
    assert_eq!(read(&mut genome, 0, 10..14), "acgt");
    assert_eq!(read(&mut genome, 1, 0..7), "GATTACA");
    let message = genome.read(0, 999..1003, &mut Vec::new()).unwrap_err().to_string();
    assert_eq!(
        message,
        r#"contig "17": expected bases within 10-14 or 1000-1006, found 999-1003 (0-based, half-open)"#
    );
}

#[test]
fn slices_that_cannot_be_are_refused() {
    for (text, expected) in [
        (">1:1-5\nACGT\n", "record \"1:1-5\": expected the 5 bases of a slice, found 4"),
        (
            ">1:281474976710654-281474976710657\nACGT\n",
            "record \"1:281474976710654-281474976710657\": \
             expected a name contig:start-end with 1 <= start <= end <= 281474976710656, found another",
        ),
        (
            ">1:1-4\nACGT\n>1:4-5\nAC\n",
            "record \"1:4-5\": expected other bases of contig \"1\" than those of record \"1:1-4\", found some of them",
        ),
    ] {
        let message = open_sliced(text).1.map(drop).unwrap_err().to_string();
        assert!(message.ends_with(expected), "{message}");
    }
}

#[test]
fn a_slice_whose_numbers_are_no_interval_is_refused() {
    for name in ["1:0-3", "1:5-2", "1:1-99,999,999,999,999,999,999", ":1-4"] {
        let message = open_sliced(&format!(">{name}\nACGT\n")).1.map(drop).unwrap_err().to_string();
        assert!(message.contains(&format!("record {name:?}: expected a name contig:start-end")), "{message}");
    }
    for name in ["HLA-A*01:01", "a:b-c", "a:1-", "a:,-1"] {
        assert_eq!(open_sliced(&format!(">{name}\nACGT\n")).1.unwrap().contigs().get(0).name, name);
    }
}

#[test]
fn without_the_option_a_slice_is_a_contig_of_that_name() {
    let (_folder, path) = write("g.fa", b">17:11-14\nACGT\n");
    let genome = open(&path).unwrap();
    assert_eq!(genome.contigs().get(0).name, "17:11-14");
}

#[test]
fn a_genome_can_go_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Genome>();
    is_send::<FastaStream>();
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_is_read_once_and_then_at_random() {
    use std::os::fd::AsRawFd;

    for bytes in [TEXT.into(), gzip(TEXT.as_bytes()), bgzip(TEXT.as_bytes())] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(&bytes).unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        let input = Input::open(Path::new(&path)).unwrap();
        assert!(input.is_stream());
        let mut genome = Genome::from_input(input, &GenomeOptions::default()).unwrap();
        assert_holds(&mut genome, &RECORDS);
        assert!(genome.notice().unwrap().starts_with(&format!("{path}: a pipe cannot be read at random")));
    }
}
