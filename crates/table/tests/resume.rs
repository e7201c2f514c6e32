//! A run that was killed goes on, and its output has the bytes of one that was not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use longstrand_table::{
    Destination, EmbeddingLayout, EmbeddingRow, EmbeddingRows, EmbeddingWriter, Existing, Opened, Precision,
    TableError, WriteOptions,
};
use support::*;

fn whole_file(folder: &Path, batch: u64) -> Vec<u8> {
    let (path, to) = file(folder);
    write_all(open(&to, Existing::Refuse), batch);
    fs::read(path).unwrap()
}

#[test]
fn bytes_do_not_depend_on_how_rows_are_batched() {
    let bytes = [33, 1, 5, 14].map(|batch| whole_file(tempfile::tempdir().unwrap().path(), batch));
    assert!(bytes.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn pages_are_cut_on_a_grid_of_their_own() {
    let layout = EmbeddingLayout {
        width: NonZeroUsize::new(250).unwrap(),
        precision: Precision::F32,
        soft_masked: false,
        binned: false,
    };
    let write = |batch: u64| {
        let folder = tempfile::tempdir().unwrap();
        let (path, to) = file(folder.path());
        let Opened::Writing(mut writer) =
            EmbeddingWriter::open(&to, layout, &WriteOptions::default(), identity()).unwrap()
        else {
            panic!("nothing is there yet")
        };
        for first in (0..3000).step_by(batch as usize) {
            let mut rows = EmbeddingRows::new(layout);
            for row in first..(first + batch).min(3000) {
                let embedding: Vec<f32> = (0..250).map(|i| ((row * 250 + i) as f32).sin()).collect();
                rows.push(&EmbeddingRow { embedding: &embedding, ..window(row, &row.to_string()) });
            }
            writer.write(rows).unwrap();
        }
        writer.finish(end()).unwrap();
        fs::read(path).unwrap()
    };
    let whole = write(3000);
    assert!(whole.len() > 1 << 20, "more than one page of vectors");
    assert!(whole == write(700) && whole == write(17));
}

#[test]
fn a_killed_run_towards_a_file_goes_on_to_the_same_bytes() {
    let expected = whole_file(tempfile::tempdir().unwrap().path(), 33);
    for rows_written in [0, 3, 7, 8, 21, 33] {
        let running = tempfile::tempdir().unwrap();
        let (_, to) = file(running.path());
        let mut writer = open(&to, Existing::Refuse);
        writer.write(rows(layout(Precision::F32), 0..rows_written)).unwrap();
        // What is on the disk at this moment is what a kill would leave.
        let killed = tempfile::tempdir().unwrap();
        copy_folder(&running.path().join(".out.parquet.parts"), &killed.path().join(".out.parquet.parts"));

        let (path, to) = file(killed.path());
        let writer = open(&to, Existing::Resume);
        assert_eq!(writer.rows_before(), rows_written.saturating_sub(1) / 7 * 7, "after {rows_written} rows");
        write_all(writer, 4);
        assert!(fs::read(&path).unwrap() == expected, "after {rows_written} rows");
        assert_eq!(names(killed.path()), ["out.parquet"]);
    }
}

#[test]
fn a_run_killed_before_its_file_got_its_name_needs_no_rows() {
    let expected = whole_file(tempfile::tempdir().unwrap().path(), 33);
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = file(folder.path());
    let mut writer = open(&to, Existing::Refuse);
    writer.write(rows(layout(Precision::F32), 0..33)).unwrap();
    fs::create_dir(&path).unwrap();
    let error = writer.finish(end()).unwrap_err();
    assert!(error.to_string().ends_with("out.parquet exists; --force replaces it"), "{error}");
    fs::remove_dir(&path).unwrap();

    let Opened::Complete(written) = try_open(&to, Existing::Resume).unwrap() else {
        panic!("rows are asked for again")
    };
    assert_eq!((written.rows, written.bytes), (33, expected.len() as u64));
    assert!(fs::read(&path).unwrap() == expected);
    assert_eq!(names(folder.path()), ["out.parquet"]);
}

#[test]
fn a_finished_file_is_found_complete_and_leftover_parts_go() {
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = file(folder.path());
    write_all(open(&to, Existing::Refuse), 33);
    let parts = folder.path().join(".out.parquet.parts");
    fs::create_dir(&parts).unwrap();
    fs::copy(&path, parts.join("part-00000.parquet")).unwrap();
    let opened = try_open(&to, Existing::Resume).unwrap();
    assert!(matches!(opened, Opened::Complete(written) if written.rows == 33));
    assert_eq!(names(folder.path()), ["out.parquet"]);
}

#[test]
fn a_killed_run_towards_a_folder_goes_on_to_the_same_parts() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let written = write_all(open(&Destination::Folder(whole.clone()), Existing::Refuse), 33);
    assert_eq!((written.rows, written.files), (33, 4));

    let dropped = folder.path().join("dropped");
    let to = Destination::Folder(dropped.clone());
    let mut writer = open(&to, Existing::Resume);
    writer.write(rows(layout(Precision::F32), 0..25)).unwrap();
    drop(writer);
    assert_eq!(names(&dropped), ["part-00000.parquet", "part-00001.parquet"]);
    let writer = open(&to, Existing::Resume);
    assert_eq!(writer.rows_before(), 20);
    write_all(writer, 3);

    assert_eq!(names(&dropped), names(&whole));
    for name in names(&whole) {
        assert!(fs::read(whole.join(&name)).unwrap() == fs::read(dropped.join(&name)).unwrap(), "{name}");
        let is_last = name == "part-00003.parquet";
        assert_eq!(keys(&whole.join(&name)).contains(&longstrand_table::COMPLETE.to_string()), is_last, "{name}");
    }
    let opened = try_open(&to, Existing::Resume).unwrap();
    assert!(matches!(opened, Opened::Complete(again) if again == written));
}

#[test]
fn another_identity_is_refused_by_key_and_values() {
    let folder = tempfile::tempdir().unwrap();
    let to = Destination::Folder(folder.path().join("parts"));
    write_all(open(&to, Existing::Refuse), 33);
    let mut other = identity();
    other[1].1 = "2048".into();
    let error = EmbeddingWriter::open(&to, layout(Precision::F32), &options(Existing::Resume), other).unwrap_err();
    let message = error.to_string();
    assert!(message.ends_with("longstrand.window: expected 2048, found 1024"), "{message}");

    let narrower = layout(Precision::F16);
    let error = EmbeddingWriter::open(&to, narrower, &options(Existing::Resume), identity()).unwrap_err();
    assert!(matches!(error, TableError::Columns { .. }), "{error}");
}

#[test]
fn a_gap_and_a_damaged_part_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let parts = folder.path().join("parts");
    let to = Destination::Folder(parts.clone());
    write_all(open(&to, Existing::Refuse), 33);

    let second = parts.join("part-00001.parquet");
    let bytes = fs::read(&second).unwrap();
    fs::write(&second, &bytes[..bytes.len() - 9]).unwrap();
    let error = try_open(&to, Existing::Resume).unwrap_err();
    assert!(matches!(&error, TableError::Parquet { path, .. } if *path == second), "{error}");

    fs::rename(parts.join("part-00002.parquet"), &second).unwrap();
    let error = try_open(&to, Existing::Resume).unwrap_err();
    assert!(error.to_string().ends_with("part-00001.parquet: expected first row 10, found 20"), "{error}");

    fs::remove_file(&second).unwrap();
    let error = try_open(&to, Existing::Resume).unwrap_err();
    assert!(matches!(&error, TableError::MissingPart(path) if *path == second), "{error}");
}
