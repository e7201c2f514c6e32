use super::*;

fn lines(records: &[VariantRecord]) -> Vec<&[u8]> {
    records.iter().map(VariantRecord::line).collect()
}

#[test]
fn regions_give_what_a_walk_through_the_file_gives() {
    let folder = Folder::new();
    let from = folder.put("real", REAL);
    for name in ["real.vcf.gz", "real.bcf"] {
        let path = folder.path(name);
        convert(&from, &path).unwrap();
        let all = records(&path, &[]).unwrap();
        let (first, last) = (all[0].position(), all[499].position());
        for (regions, intervals) in [
            (vec!["chr21".to_owned()], vec![(1, 1 << 40)]),
            (vec!["21".into(), "chr21:5-".into()], vec![(1, 1 << 40)]),
            (vec![format!("NC_000021.8:{first}-{first}")], vec![(first, first)]),
            (vec![format!("21:{}-{}", first + 9_000, last - 20_000)], vec![(first + 9_000, last - 20_000)]),
            (
                vec![format!("21:{}-{}", last - 9_000, last), format!("21:{first}-{}", first + 5_000)],
                vec![(last - 9_000, last), (first, first + 5_000)],
            ),
            (vec![format!("21:{}-{}", last + 1_000, last + 2_000)], vec![]),
            (vec!["chr22".into()], vec![]),
        ] {
            let regions: Vec<&str> = regions.iter().map(String::as_str).collect();
            let found = records(&path, &regions).unwrap();
            let reaches = |record: &&VariantRecord| {
                intervals.iter().any(|&(first, last)| record.position() <= last && first <= record.end())
            };
            let walked: Vec<_> = all.iter().filter(reaches).cloned().collect();
            assert_eq!(lines(&found), lines(&walked), "{name} {regions:?}");
        }
    }
}

#[test]
fn many_blocks_are_searched() {
    let folder = Folder::new();
    let mut text = ODDS[..ODDS.find("20\t0").unwrap()].replace("\tFORMAT\tNA1\tNA2\tNA3", "");
    for i in 0..30_000_u64 {
        let (position, end) = (i * 1_999 + 7, i * 1_999 + 7 + if i % 1_000 == 0 { 5_000_000 } else { 0 });
        let info = if end > position { format!("END={end}") } else { ".".into() };
        text.push_str(&format!(
            "20\t{position}\tid{i}\tA\t{}\t.\t.\t{info}\n",
            if end > position { "<DEL>" } else { "C" }
        ));
    }
    let from = folder.put("many", &text);
    for name in ["many.vcf.gz", "many.bcf"] {
        let path = folder.path(name);
        convert(&from, &path).unwrap();
        let all = records(&path, &[]).unwrap();
        for (first, last) in
            [(1, 1), (1, 7), (30_000_000, 30_000_001), (12_000_000, 14_000_000), (59_000_000, 62_000_000)]
        {
            let found = records(&path, &[&format!("20:{first}-{last}")]).unwrap();
            let walked: Vec<_> =
                all.iter().filter(|record| record.position() <= last && first <= record.end()).cloned().collect();
            assert_eq!(lines(&found), lines(&walked), "{name} {first}-{last}");
        }
    }
}

#[test]
fn records_of_regions_are_placed_among_them() {
    let folder = Folder::new();
    let path = folder.path("odds.vcf.gz");
    convert(&folder.put("odds", ODDS), &path).unwrap();
    let found = records(&path, &["X"]).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].place(), Place::InRegions(1));
    assert_eq!(records(&path, &["20"]).unwrap().len(), 6);
    assert_eq!(records(&path, &["20:1234600-1234610"]).unwrap().len(), 1);
}

#[test]
fn an_index_of_another_file_is_suspected() {
    let folder = Folder::new();
    let path = folder.path("real.vcf.gz");
    convert(&folder.put("real", REAL), &path).unwrap();
    let index = folder.path("real.vcf.gz.tbi");
    let stale = || VariantReader::open(&path, &["chr21".into()]).unwrap().stale_index().map(Path::to_path_buf);
    assert_eq!(stale(), None);
    let old = fs::File::options().append(true).open(&index).unwrap();
    old.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(stale(), Some(index.clone()));
    assert!(VariantReader::open(&path, &[]).unwrap().stale_index().is_none());
    // The same records behind a longer header begin elsewhere.
    let kept = fs::read(&index).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(REAL), &mut text).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let longer = format!("{first}\n##note={}\n{rest}", "x".repeat(700));
    let other = folder.path("other.vcf.gz");
    convert(&folder.put("longer", longer), &other).unwrap();
    fs::write(folder.path("other.vcf.gz.tbi"), kept).unwrap();
    let told = records(&other, &["chr21"]).unwrap_err().to_string();
    assert!(told.ends_with("other.vcf.gz.tbi the index of this very file?"), "{told}");
}
