//! Files with bytes changed at random are read or refused, never more.

use super::*;

/// Numbers that are the same in every run: xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bad = bytes.to_vec();
        for _ in 0..1 + self.below(4) {
            let at = self.below(bad.len());
            match self.below(4) {
                0 => bad[at] = self.below(256) as u8,
                1 => bad[at] = [0, 1, 0x7f, 0x80, 0xff, b'\t', b'\n', b';', b'='][self.below(9)],
                2 => bad.truncate(at.max(1)),
                _ => bad.insert(at, self.below(256) as u8),
            }
        }
        bad
    }
}

/// Reads what can be read, and looks at and writes all of it.
fn pass(folder: &Folder, path: &Path, regions: &[String]) {
    let Ok(mut reader) = VariantReader::open(path, regions) else { return };
    let header = reader.header().with_lines(["##INFO=<ID=LS,Number=1,Type=Integer,Description=\"d\">"]);
    let outputs = [("out.vcf.gz", VariantFormat::VcfGz), ("out.bcf", VariantFormat::Bcf)];
    let mut writers = outputs.map(|(name, format)| {
        VariantWriter::create(&VariantOutput::from_path(folder.path(name)), format, &header, true).unwrap()
    });
    while let Ok(Some(record)) = reader.read() {
        assert!(record.end() >= record.start());
        _ = (record.info_end(), record.svlens().take(9).count());
        writers.iter_mut().for_each(|writer| _ = writer.write(&record, &[("LS", "1")]));
    }
    writers.into_iter().for_each(|writer| drop(writer.finish().unwrap()));
}

#[test]
fn damaged_text_and_bcf_never_panic() {
    let folder = Folder::new();
    let bcf = folder.path("odds.bcf");
    convert(&folder.put("odds", ODDS), &bcf).unwrap();
    let bcf = gunzip(&fs::read(bcf).unwrap());
    let mut random = Random(7);
    for _ in 0..150 {
        for good in [ODDS.as_bytes(), &bcf] {
            let bad = folder.put("bad", random.damage(good));
            pass(&folder, &bad, &[]);
        }
    }
}

#[test]
fn damaged_records_of_bcf_never_panic() {
    let folder = Folder::new();
    let bcf = folder.path("odds.bcf");
    convert(&folder.put("odds", ODDS), &bcf).unwrap();
    let whole = gunzip(&fs::read(bcf).unwrap());
    let start = 9 + u32::from_le_bytes(whole[5..9].try_into().unwrap()) as usize;
    let mut random = Random(11);
    for _ in 0..300 {
        let bad = [&whole[..start], &random.damage(&whole[start..])].concat();
        pass(&folder, &folder.put("bad", bad), &[]);
    }
}

#[test]
fn damaged_blocks_and_indexes_never_panic() {
    let folder = Folder::new();
    let mut random = Random(13);
    for (name, index) in [("f.vcf.gz", "f.vcf.gz.tbi"), ("f.bcf", "f.bcf.csi")] {
        convert(&folder.put("real", REAL), &folder.path(name)).unwrap();
        let (good, good_index) = (fs::read(folder.path(name)).unwrap(), fs::read(folder.path(index)).unwrap());
        let inside = gunzip(&good_index);
        for i in 0..90 {
            let (bytes, index_bytes) = match i % 3 {
                0 => (random.damage(&good), good_index.clone()),
                1 => (good.clone(), random.damage(&good_index)),
                _ => (good.clone(), bgzip(&random.damage(&inside))),
            };
            let path = folder.put(name, bytes);
            folder.put(index, index_bytes);
            pass(&folder, &path, &["21:15800000-15900000".into()]);
        }
    }
}
