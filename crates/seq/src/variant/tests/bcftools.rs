//! What bcftools and tabix make of our files. Skipped where they are not installed, unless
//! `LONGSTRAND_REQUIRE_BCFTOOLS` is 1.

use std::process::Command;

use super::*;

/// What a tool prints; it must succeed without a warning.
fn run(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool).args(arguments).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{tool} {arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn are_there() -> bool {
    let found = ["bcftools", "tabix"].iter().all(|tool| Command::new(tool).arg("--version").output().is_ok());
    let required = std::env::var_os("LONGSTRAND_REQUIRE_BCFTOOLS").is_some_and(|value| value == "1");
    assert!(found || !required, "LONGSTRAND_REQUIRE_BCFTOOLS is 1 and bcftools or tabix cannot be run");
    if !found {
        eprintln!("skipped: bcftools or tabix cannot be run");
    }
    found
}

fn written(folder: &Folder, name: &str, bytes: &[u8]) -> [String; 3] {
    let from = folder.put(name, bytes);
    ["vcf", "vcf.gz", "bcf"].map(|extension| {
        let path = folder.path(&format!("{name}.{extension}"));
        convert(&from, &path).unwrap();
        path.to_str().unwrap().to_owned()
    })
}

#[test]
fn all_formats_are_viewed_alike() {
    if !are_there() {
        return;
    }
    let folder = Folder::new();
    for (name, bytes) in [("odds", ODDS.as_bytes().to_vec()), ("real", gunzip(REAL))] {
        let [vcf, vcf_gz, bcf] = written(&folder, name, &bytes);
        for arguments in [&["view", "--no-version"][..], &["query", "-f", "%CHROM %POS %REF %ALT %INFO/LSN %END\n"]] {
            let [vcf, vcf_gz, bcf] = [&vcf, &vcf_gz, &bcf].map(|path| run("bcftools", &[arguments, &[path]].concat()));
            assert_eq!(vcf, vcf_gz, "{name}");
            assert_eq!(vcf, bcf, "{name}");
        }
    }
}

#[test]
fn our_indexes_are_used() {
    if !are_there() {
        return;
    }
    let folder = Folder::new();
    let [_, vcf_gz, bcf] = written(&folder, "real", &gunzip(REAL));
    for path in [&vcf_gz, &bcf] {
        let stats = run("bcftools", &["index", "--stats", path]);
        assert_eq!(stats, "chr21\t48129895\t500\n");
        let found = run("bcftools", &["view", "-H", "-r", "chr21:15800000-15900000", path]);
        let ours = records(path.as_ref(), &["21:15800000-15900000"]).unwrap();
        assert!(found.lines().count() > 10);
        assert_eq!(found.lines().count(), ours.len());
    }
    let tabix = run("tabix", &[&vcf_gz, "chr21:15800000-15900000"]);
    let ours = records(vcf_gz.as_ref(), &["21:15800000-15900000"]).unwrap();
    assert_eq!(tabix.lines().map(str::as_bytes).collect::<Vec<_>>(), ours.iter().map(|r| r.line()).collect::<Vec<_>>());
}

#[test]
fn files_of_bcftools_are_read() {
    if !are_there() {
        return;
    }
    let folder = Folder::new();
    for (name, bytes) in [("odds", ODDS.as_bytes().to_vec()), ("real", gunzip(REAL))] {
        // Of a telomere bcftools warns when it makes an index.
        let bytes: Vec<u8> = bytes
            .split_inclusive(|&b| b == b'\n')
            .filter(|line| !line.starts_with(b"20\t0\t"))
            .flatten()
            .copied()
            .collect();
        let vcf = folder.put(name, bytes);
        let viewed = run("bcftools", &["view", "--no-version", vcf.to_str().unwrap()]);
        for (kind, extension, index) in [
            ("-Ou", "raw.bcf", None),
            ("-Ob", "bcf", Some("-c")),
            ("-Oz", "gz", Some("-t")),
            ("-Oz", "csi.gz", Some("-c")),
        ] {
            let path = folder.path(&format!("{name}.{extension}"));
            let to = path.to_str().unwrap();
            run("bcftools", &["view", "--no-version", kind, "-o", to, vcf.to_str().unwrap()]);
            assert_eq!(text(&path), viewed, "{name}.{extension}");
            if let Some(index) = index {
                run("bcftools", &["index", index, to]);
                let region = if name == "real" { "chr21:15800000-15900000" } else { "20:14000-1230237" };
                let theirs = run("bcftools", &["view", "-H", "-r", region, to]);
                let ours = records(&path, &[region]).unwrap();
                let theirs: Vec<_> = theirs.lines().map(str::as_bytes).collect();
                assert_eq!(ours.iter().map(VariantRecord::line).collect::<Vec<_>>(), theirs);
            }
        }
    }
}

#[test]
fn contigs_of_no_length_are_read_by_both() {
    if !are_there() {
        return;
    }
    let folder = Folder::new();
    for length in ["", ",length=-1", ",length=0", ",length=?"] {
        let odds = ODDS.replace("<ID=X>", &format!("<ID=Y{length}>\n##contig=<ID=X{length}>"));
        let from = folder.put("odds", odds.replace("20\t0\ttelo", "20\t1\ttelo"));
        let path = folder.path("odds.bcf");
        convert(&from, &path).unwrap();
        let bcf = path.to_str().unwrap();
        assert_eq!(run("bcftools", &["query", "-f", "%CHROM\n", bcf]).lines().last(), Some("X"), "{length}");
        assert_eq!(run("bcftools", &["view", "-H", "-r", "X:5", bcf]).lines().count(), 1, "{length}");
        // Again, as bcftools writes it.
        let theirs = folder.path("theirs.bcf");
        run("bcftools", &["view", "--no-version", "-Ob", "-o", theirs.to_str().unwrap(), bcf]);
        run("bcftools", &["index", "-f", theirs.to_str().unwrap()]);
        assert_eq!(records(&theirs, &["X:5-5"]).unwrap(), records(&path, &["X:5-5"]).unwrap(), "{length}");
        fs::remove_file(&path).unwrap();
        fs::remove_file(folder.path("odds.bcf.csi")).unwrap();
    }
}

#[test]
fn a_file_without_records_is_accepted() {
    if !are_there() {
        return;
    }
    let folder = Folder::new();
    let header = &ODDS.as_bytes()[..ODDS.find("20\t0").unwrap()];
    let [_, vcf_gz, bcf] = written(&folder, "empty", header);
    for path in [&vcf_gz, &bcf] {
        assert_eq!(run("bcftools", &["view", "-H", path]), "");
    }
    assert_eq!(run("bcftools", &["index", "--nrecords", &vcf_gz]), "0\n");
}
