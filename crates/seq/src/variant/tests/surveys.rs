use super::*;

/// Records on contigs in turn, many of each.
fn many(contigs: &[&str]) -> String {
    let mut text = ODDS[..ODDS.find("20\t0").unwrap()].replace("\tFORMAT\tNA1\tNA2\tNA3", "");
    for contig in contigs {
        (1..=5_000).for_each(|position| text.push_str(&format!("{contig}\t{position}\t.\tA\tC\t.\t.\t.\n")));
    }
    text
}

#[test]
fn contigs_are_told_in_the_order_of_their_records() {
    let folder = Folder::new();
    let path = folder.put("many", many(&["20", "chrUn", "X", "21", "chrUn", "20", "3"]));
    let survey = surveyed(&path, &[]).unwrap();
    assert_eq!((survey.records, survey.undeclared), (35_000, ["chrUn", "21", "3"].map(String::from).to_vec()));
}

#[test]
fn regions_and_bcf_are_surveyed() {
    let folder = Folder::new();
    let path = folder.path("odds.vcf.gz");
    convert(&folder.put("odds", many(&["20", "21"])), &path).unwrap();
    for (region, records, undeclared) in [("20:1-10", 10, &[][..]), ("21:5-6", 2, &["21"])] {
        let survey = surveyed(&path, &[region.to_owned()]).unwrap();
        assert_eq!(survey.records, records);
        assert_eq!(survey.undeclared, undeclared);
    }
    let bcf = folder.path("odds.bcf");
    convert(&folder.put("odds", many(&["20", "X"])), &bcf).unwrap();
    assert_eq!(surveyed(&bcf, &[]).unwrap(), Survey { records: 10_000, undeclared: vec![] });
}

#[test]
fn a_survey_can_be_broken_off() {
    let folder = Folder::new();
    let path = folder.put("many", many(&["20", "21", "X"]));
    let mut told = Vec::new();
    let survey = survey(&path, &[], &mut |records| {
        told.push(records);
        if told.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((survey.unwrap(), told), (None, vec![4_096, 8_192]));
}
