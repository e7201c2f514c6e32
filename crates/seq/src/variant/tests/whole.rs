use super::*;

#[test]
fn every_packing_gives_the_same_lines() {
    let folder = Folder::new();
    let crlf = ODDS.replace('\n', "\r\n");
    let unended = ODDS.trim_end();
    let blank_at_the_end = format!("{ODDS}\n\r\n");
    for (name, bytes) in [
        ("plain", ODDS.as_bytes().to_vec()),
        ("crlf", crlf.clone().into_bytes()),
        ("unended", unended.into()),
        ("blank", blank_at_the_end.into()),
        ("gzip", gzip(ODDS.as_bytes())),
        ("bgzip", bgzip(crlf.as_bytes())),
    ] {
        assert_eq!(text(&folder.put(name, bytes)), ODDS, "{name}");
    }
}

#[test]
fn text_passes_through_byte_for_byte() {
    let folder = Folder::new();
    for (name, bytes) in [("odds", ODDS.as_bytes().to_vec()), ("real", gunzip(REAL))] {
        let from = folder.put(name, &bytes);
        let to = folder.path(&format!("{name}.vcf"));
        assert_eq!(convert(&from, &to).unwrap().index, Err(NoIndex::PlainText));
        let written = fs::read_to_string(&to).unwrap();
        let (mut stripped, mut number) = (String::new(), 0);
        for line in written.lines().filter(|line| !line.contains("LScommand") && !line.contains("ID=LSN")) {
            if !line.starts_with('#') {
                number += 1;
            }
            let (alone, behind) = (format!("\tLSN={number}"), format!(";LSN={number}"));
            stripped.push_str(&line.replacen(&alone, "\t.", 1).replacen(&behind, "", 1));
            stripped.push('\n');
        }
        assert_eq!(stripped.into_bytes(), bytes, "{name}");
    }
}

#[test]
fn bcf_gives_back_the_lines_of_the_vcf() {
    let folder = Folder::new();
    for (name, bytes) in [("odds", ODDS.as_bytes().to_vec()), ("real", gunzip(REAL))] {
        let from = folder.put(name, &bytes);
        let (bcf, again) = (folder.path(&format!("{name}.bcf")), folder.path(&format!("{name}.again.bcf")));
        let vcf = folder.path(&format!("{name}.vcf"));
        convert(&from, &vcf).unwrap();
        let finished = convert(&from, &bcf).unwrap();
        assert_eq!(finished.index, Ok(folder.path(&format!("{name}.bcf.csi"))));
        // What BCF does not keep: fields left out at a sample's end, of which ODDS has none.
        assert_eq!(text(&bcf), fs::read_to_string(&vcf).unwrap(), "{name}");
        let raw = folder.put("raw", gunzip(&fs::read(&bcf).unwrap()));
        assert_eq!(text(&raw), text(&bcf));
        convert(&raw, &again).unwrap();
        // Once more the command, and nothing else.
        assert_eq!(text(&again).replacen("##LScommand=score\n", "", 1), text(&bcf));
    }
}

#[test]
fn the_real_file_is_told_right() {
    let folder = Folder::new();
    let path = folder.put("real.vcf.gz", REAL);
    let records = records(&path, &[]).unwrap();
    assert_eq!(records.len(), 500);
    let deletion = records.iter().find(|record| record.reference() == b"N").unwrap();
    assert_eq!((deletion.contig(), deletion.position(), deletion.place()), ("chr21", 15_847_470, Place::Line(284)));
    assert_eq!(deletion.alternates().collect::<Vec<_>>(), [Allele::Deletion]);
    let header = VariantReader::open(&path, &[]).unwrap().header().clone();
    assert_eq!((header.contigs().len(), header.sample_count()), (23, 1));
}

#[test]
fn a_file_without_records_or_contigs_is_whole() {
    let folder = Folder::new();
    let header = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n";
    let from = folder.put("empty", header);
    assert_eq!(records(&from, &[]).unwrap(), []);
    for name in ["empty.vcf.gz", "empty.bcf"] {
        let to = folder.path(name);
        assert!(convert(&from, &to).unwrap().index.is_ok());
        assert!(text(&to).starts_with("##fileformat=VCFv4.3\n"));
    }
}

#[test]
fn a_key_that_is_there_is_replaced() {
    let folder = Folder::new();
    let (once, twice) = (folder.path("once.vcf"), folder.path("twice.vcf"));
    convert(&folder.put("odds", ODDS), &once).unwrap();
    convert(&once, &twice).unwrap();
    let once = fs::read_to_string(once).unwrap();
    let (a, b) = (once.lines().filter(|l| !l.starts_with("##LS")), fs::read_to_string(twice).unwrap());
    assert_eq!(a.collect::<Vec<_>>(), b.lines().filter(|l| !l.starts_with("##LS")).collect::<Vec<_>>());
}

#[test]
fn nothing_stands_under_the_name_before_the_end() {
    let folder = Folder::new();
    let from = folder.put("odds", ODDS);
    let reader = VariantReader::open(&from, &[]).unwrap();
    let output = VariantOutput::from_path(folder.path("out.vcf.gz"));
    let create = || VariantWriter::create(&output, VariantFormat::VcfGz, reader.header(), false).unwrap();
    let writer = create();
    assert_eq!(folder.names().len(), 2);
    assert!(folder.names()[0].starts_with(".out.vcf.gz.") && folder.names()[0].ends_with(".tmp"));
    drop(writer);
    assert_eq!(folder.names(), ["odds"]);
    let writer = create();
    output.remove_temporaries();
    assert_eq!(folder.names(), ["odds"]);
    drop(writer);
    create().finish().unwrap();
    assert_eq!(folder.names(), ["odds", "out.vcf.gz", "out.vcf.gz.tbi"]);
}

#[test]
fn what_a_killed_process_has_left_goes_and_what_is_being_written_stays() {
    let folder = Folder::new();
    let from = folder.put("odds", ODDS);
    let reader = VariantReader::open(&from, &[]).unwrap();
    let left = ["", ".tbi", ".csi"].map(|ending| format!(".out.vcf.gz{ending}.1-00000000-Ab12cD.tmp"));
    let others = [".out.vcf.1-00000000-Ab12cD.tmp", ".out.vcf.gz.tbi.tmp"];
    left.iter().map(String::as_str).chain(others).for_each(|name| _ = folder.put(name, ""));
    let output = VariantOutput::from_path(folder.path("out.vcf.gz"));
    let create = || VariantWriter::create(&output, VariantFormat::VcfGz, reader.header(), true).unwrap();
    let first = create();
    let second = create();
    let names = folder.names();
    assert!(!names.iter().any(|name| left.contains(name)), "{names:?}");
    assert_eq!(names.len(), 1 + others.len() + 2);
    second.finish().unwrap();
    first.finish().unwrap();
    assert_eq!(folder.names().len(), 1 + others.len() + 2);
}

#[test]
fn a_record_of_very_many_alleles_passes_through_bcf() {
    const N: usize = 60_000;
    let folder = Folder::new();
    let alleles: Vec<String> = (0..N).map(|i| format!("{}{}", "A".repeat(i % 7 + 1), ["C", "G", "T"][i % 3])).collect();
    let numbers = vec!["0.25"; N].join(",");
    let header = &ODDS[..ODDS.find("20\t0").unwrap()];
    let line = format!("20\t9\t.\tA\t{}\t.\t.\tAF={numbers}\tGT:GL", alleles.join(","));
    let likelihoods = vec!["-1.5"; 400_000].join(",");
    let from = folder.put("many", format!("{header}{line}\t0/1:{likelihoods}\t0/59999:.\t.:{likelihoods}\n"));
    let started = std::time::Instant::now();
    let (vcf, bcf) = (folder.path("many.vcf"), folder.path("many.bcf"));
    convert(&from, &vcf).unwrap();
    convert(&from, &bcf).unwrap();
    assert!(text(&bcf) == fs::read_to_string(&vcf).unwrap());
    // Looking each value up anew takes minutes.
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

#[test]
fn contigs_of_no_length_are_written_read_and_searched() {
    let folder = Folder::new();
    for length in ["", ",length=-1", ",length=0", ",length=?"] {
        let odds = ODDS.replace("<ID=X>", &format!("<ID=X{length}>")).replace("<ID=20,length=62435964>", "<ID=20>");
        let bcf = folder.path("odds.bcf");
        convert(&folder.put("odds", odds), &bcf).unwrap();
        assert_eq!(records(&bcf, &[]).unwrap().len(), 7, "{length}");
        assert_eq!(records(&bcf, &["X:5-5"]).unwrap().len(), 1, "{length}");
        fs::remove_file(&bcf).unwrap();
        fs::remove_file(folder.path("odds.bcf.csi")).unwrap();
    }
}

#[test]
fn an_old_index_does_not_outlive_its_file() {
    let folder = Folder::new();
    let from = folder.put("odds", ODDS);
    folder.put("out.vcf.gz", "old");
    folder.put("out.vcf.gz.csi", "old");
    let header = VariantReader::open(&from, &[]).unwrap().header().clone();
    let output = VariantOutput::from_path(folder.path("out.vcf.gz"));
    let writer = VariantWriter::create(&output, VariantFormat::VcfGz, &header, true).unwrap();
    assert_eq!(writer.finish().unwrap().index, Ok(folder.path("out.vcf.gz.tbi")));
    assert_eq!(folder.names(), ["odds", "out.vcf.gz", "out.vcf.gz.tbi"]);
}

#[test]
fn records_out_of_order_leave_no_index() {
    let folder = Folder::new();
    for (name, positions, locus) in [
        ("back", [("20", 9), ("20", 8), ("X", 1)], Some("20:8")),
        ("again", [("20", 9), ("X", 8), ("20", 10)], Some("20:10")),
        ("far", [("20", 9), ("X", 1 << 30), ("X", 5)], None),
        ("turned", [("X", 9), ("20", 8), ("20", 8)], Some("none")),
    ] {
        let mut lines = ODDS[..ODDS.find("20\t0").unwrap()].to_owned();
        for (contig, position) in positions {
            lines.push_str(&format!("{contig}\t{position}\t.\tA\tC\t.\t.\t.\tGT\t0\t0\t0\n"));
        }
        let from = folder.put(name, lines);
        let finished = convert(&from, &folder.path(&format!("{name}.vcf.gz"))).unwrap();
        match locus {
            Some("none") => assert!(finished.index.is_ok()),
            Some(locus) => assert_eq!(finished.index, Err(NoIndex::Unsorted { locus: locus.into() })),
            None => assert_eq!(finished.index, Err(NoIndex::PastReach { locus: format!("X:{}", 1 << 30) })),
        }
        let bcf = convert(&from, &folder.path(&format!("{name}.bcf"))).unwrap();
        assert_eq!(bcf.index.is_ok(), locus == Some("none"), "{name}");
    }
}

#[test]
fn a_long_contig_gets_a_csi() {
    let folder = Folder::new();
    let long = ODDS.replace("<ID=X>", "<ID=X,length=600000000>");
    let long = format!("{long}X\t599999990\t.\tA\tC\t.\t.\t.\tGT\t0\t0\t0\n");
    let to = folder.path("long.vcf.gz");
    let finished = convert(&folder.put("long", long), &to).unwrap();
    assert_eq!(finished.index, Ok(folder.path("long.vcf.gz.csi")));
    assert_eq!(records(&to, &["X:599999990-599999990"]).unwrap().len(), 1);
    assert_eq!(records(&to, &["X:6-599999989"]).unwrap().len(), 0);
}
