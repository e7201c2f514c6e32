//! A name that exists is a whole table, nothing is overwritten unasked, and nothing is left behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;

use longstrand_table::{Destination, Existing, Precision, TableError, TextFile, TrackError, TrackForm, TrackWriter};
use support::*;

/// What gives an output its name.
type Finish<'a> = Box<dyn FnOnce() -> Result<(), TableError> + 'a>;

#[test]
fn the_name_appears_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = file(folder.path());
    let mut writer = open(&to, Existing::Refuse);
    writer.write(rows(layout(Precision::F32), 0..33)).unwrap();
    assert!(!path.exists());
    writer.finish(end()).unwrap();
    assert_eq!(names(folder.path()), ["out.parquet"]);
}

#[test]
fn a_run_dropped_before_its_first_part_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let parts = Destination::Folder(folder.path().join("parts"));
    for to in [file(folder.path()).1, parts] {
        let mut writer = open(&to, Existing::Refuse);
        writer.write(rows(layout(Precision::F32), 0..5)).unwrap();
        drop(writer);
        assert!(names(folder.path()).is_empty(), "{to:?}");
    }
}

#[test]
fn temporaries_can_be_removed_while_the_writer_lives() {
    let folder = tempfile::tempdir().unwrap();
    let (_, to) = file(folder.path());
    let mut writer = open(&to, Existing::Refuse);
    writer.write(rows(layout(Precision::F32), 0..5)).unwrap();
    to.remove_temporaries();
    assert!(names(folder.path()).is_empty());
    drop(writer);
}

#[test]
fn whole_parts_of_a_dropped_run_stay_and_are_not_lost_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = file(folder.path());
    let mut writer = open(&to, Existing::Refuse);
    writer.write(rows(layout(Precision::F32), 0..9)).unwrap();
    drop(writer);
    assert_eq!(names(&folder.path().join(".out.parquet.parts")), ["part-00000.parquet"]);
    assert!(matches!(try_open(&to, Existing::Refuse), Err(TableError::Unfinished { .. })));
    write_all(open(&to, Existing::Replace), 33);
    assert_eq!(names(folder.path()), ["out.parquet"]);
    assert_eq!(footer(&path).file_metadata().num_rows(), 33);
}

#[test]
fn an_existing_file_is_refused_and_stays_until_it_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = file(folder.path());
    fs::write(&path, "old").unwrap();
    let error = try_open(&to, Existing::Refuse).unwrap_err();
    assert!(error.to_string().ends_with("out.parquet exists; --force replaces it"), "{error}");
    let mut writer = open(&to, Existing::Replace);
    writer.write(rows(layout(Precision::F32), 0..33)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    writer.finish(end()).unwrap();
    assert_eq!(footer(&path).file_metadata().num_rows(), 33);
}

#[test]
fn what_takes_the_name_in_the_meantime_stays_unless_it_is_to_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let text = |existing| -> Finish<'_> {
        let file = TextFile::create(&folder.path().join("out"), existing).unwrap();
        Box::new(|| file.finish().map(drop))
    };
    let track = |form: TrackForm, existing| -> Finish<'_> {
        let track = TrackWriter::create(&folder.path().join("out"), form, existing).unwrap();
        Box::new(|| match track.finish() {
            Ok(_) => Ok(()),
            Err(TrackError::Output(error)) => Err(error),
            Err(error) => panic!("{error}"),
        })
    };
    let parquet = |existing| -> Finish<'_> {
        let mut writer = open(&Destination::File(folder.path().join("out")), existing);
        writer.write(rows(layout(Precision::F32), 0..5)).unwrap();
        Box::new(|| writer.finish(end()).map(drop))
    };
    let path = folder.path().join("out");
    for existing in [Existing::Refuse, Existing::Replace] {
        for finish in [
            text(existing),
            track(TrackForm::BedGraph, existing),
            track(TrackForm::BigWig, existing),
            parquet(existing),
        ] {
            fs::write(&path, "mine").unwrap();
            let finished = finish();
            match existing {
                Existing::Replace => finished.unwrap(),
                _ => assert!(matches!(finished, Err(TableError::Exists(taken)) if taken == path)),
            }
            assert_eq!(fs::read(&path).unwrap() == b"mine", existing != Existing::Replace);
            fs::remove_file(&path).unwrap();
        }
        let _ = fs::remove_dir_all(folder.path().join(".out.parts"));
    }
}

#[test]
#[cfg(unix)]
fn a_link_counts_as_existing_and_is_replaced_itself() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    fs::write(&target, "mine").unwrap();
    for to_where in ["target", "nowhere", "out.parquet"] {
        let (path, to) = file(folder.path());
        std::os::unix::fs::symlink(to_where, &path).unwrap();
        assert!(matches!(try_open(&to, Existing::Refuse), Err(TableError::Exists(_))), "{to_where}");
        write_all(open(&to, Existing::Replace), 33);
        assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{to_where}");
        assert_eq!(footer(&path).file_metadata().num_rows(), 33);
        fs::remove_file(&path).unwrap();
        assert_eq!(names(folder.path()), ["target"]);
    }
    assert_eq!(fs::read(&target).unwrap(), b"mine");
}

#[test]
#[cfg(unix)]
fn what_is_neither_a_file_nor_a_folder_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.parquet");
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let link = folder.path().join("link.parquet");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let outputs = [Destination::File(path.clone()), Destination::File(link), Destination::Folder(path)];
    for to in &outputs {
        for existing in [Existing::Refuse, Existing::Replace, Existing::Resume] {
            let error = try_open(to, existing).unwrap_err();
            assert_eq!(error.to_string(), format!("{} exists and is not a file", to.path().display()));
        }
    }
    assert_eq!(names(folder.path()), ["link.parquet", "out.parquet"]);
}

#[test]
fn replacing_a_folder_takes_its_parts_alone_and_only_for_a_whole_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let to = Destination::Folder(folder.path().to_path_buf());
    write_all(open(&to, Existing::Refuse), 33);
    fs::write(folder.path().join("notes.parquet"), "mine").unwrap();
    assert!(matches!(try_open(&to, Existing::Refuse), Err(TableError::Exists(_))));

    let mut writer = open(&to, Existing::Replace);
    writer.write(rows(layout(Precision::F32), 0..10)).unwrap();
    assert!(folder.path().join("part-00003.parquet").exists());
    writer.write(rows(layout(Precision::F32), 10..12)).unwrap();
    assert!(!folder.path().join("part-00003.parquet").exists());
    writer.finish(end()).unwrap();
    assert_eq!(names(folder.path()), ["notes.parquet", "part-00000.parquet", "part-00001.parquet"]);
}

#[test]
fn a_second_writer_of_the_same_output_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_, to) = file(folder.path());
    let writer = open(&to, Existing::Refuse);
    assert!(matches!(try_open(&to, Existing::Resume), Err(TableError::Busy(_))));
    write_all(writer, 33);
}

#[test]
fn a_missing_folder_and_a_file_in_its_place_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let not_a_folder = folder.path().join("a-file");
    fs::write(&not_a_folder, "").unwrap();
    for parent in [&not_a_folder, &folder.path().join("missing")] {
        for to in [file(parent).1, Destination::Folder(parent.join("parts"))] {
            let error = try_open(&to, Existing::Refuse).unwrap_err();
            assert!(matches!(&error, TableError::NoFolder(path) if path == parent), "{error}");
        }
    }
    let error = try_open(&Destination::Folder(not_a_folder.clone()), Existing::Replace).unwrap_err();
    assert!(matches!(&error, TableError::NotAFolder(path) if *path == not_a_folder), "{error}");
}

#[test]
fn a_folder_that_vanishes_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let parts = folder.path().join("parts");
    let mut writer = open(&Destination::Folder(parts.clone()), Existing::Refuse);
    fs::remove_dir_all(&parts).unwrap();
    let error = writer.write(rows(layout(Precision::F32), 0..1)).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot create a file in {}", parts.display()));
}

#[cfg(unix)]
#[test]
fn the_umask_decides_who_may_read() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let (path, to) = file(folder.path());
    write_all(open(&to, Existing::Refuse), 33);
    let ordinary = folder.path().join("ordinary");
    fs::write(&ordinary, "").unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&ordinary));
}
