//! Plain FASTA to token ids from the page cache.

use std::{fs::File, io::Write, path::Path};

use longstrand_seq::{
    genome::{FastaStream, Genome, GenomeOptions},
    vocab::Vocabulary,
};

use crate::report::{Report, fastest};

/// Bytes of the file that is read.
const SIZE: usize = 512 << 20;

/// Bases of a line, as in the reference assemblies.
const LINE: usize = 60;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let slice = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/human_GRCh37_chr20_9450001-10550000.fa.gz");
    let mut genome = Genome::open(&slice, &GenomeOptions::default())?;
    let length = genome.contigs().get(0).length;
    let mut bases = Vec::new();
    genome.read(0, 0..length, &mut bases)?;
    let mut file = tempfile::NamedTempFile::new()?;
    let bytes = write_fasta(file.as_file_mut(), &bases)?;
    let vocabulary = Vocabulary::caduceus();
    let mut ids = Vec::new();
    let seconds = fastest(5, || {
        read_all(file.path(), &vocabulary, &mut ids).expect("the file just written");
    });
    let rate = bytes as f64 / seconds / 1e9;
    report.row("plain FASTA to ids, one thread", &[("GB/s", rate)]);
    report.at_least("plain FASTA to ids: GB/s", rate, 1.0);
    Ok(())
}

/// Writes the bases again and again as one record and returns the size of the file.
fn write_fasta(file: &mut File, bases: &[u8]) -> anyhow::Result<usize> {
    let mut text = Vec::with_capacity(bases.len() + bases.len() / LINE + 1);
    for line in bases[..bases.len() / LINE * LINE].chunks(LINE) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    let header = b">20\n";
    file.write_all(header)?;
    let times = SIZE / text.len();
    for _ in 0..times {
        file.write_all(&text)?;
    }
    file.flush()?;
    Ok(header.len() + times * text.len())
}

fn read_all(path: &Path, vocabulary: &Vocabulary, ids: &mut Vec<u8>) -> anyhow::Result<u64> {
    let mut stream = FastaStream::open(path)?;
    let mut total = 0;
    while stream.next_contig()?.is_some() {
        loop {
            ids.clear();
            if stream.read_ids(vocabulary, 1 << 16, ids)? == 0 {
                break;
            }
            total += ids.len() as u64;
        }
    }
    Ok(total)
}
