//! Answers on disk, so that a run that was stopped need not compute them again.
//!
//! The journal lies beside the output until that is whole: `.NAME.journal`. Its first line is the run's identity, JSON, and
//! ` replacing` behind it where the run was told to replace outputs that exist. Frames follow, each with answers of one
//! group of records: group, number of bytes, the bytes and a check. A frame that is cut off, as by a kill, ends the journal.
//!
//! The process that writes it holds a lock on it.
//!
//! ```text
//! group u64 | bytes u64 | (key [16] | count u64 | f64 …) … | first 8 bytes of the SHA-256 of all before
//! ```
//!
//! Records form the same groups in every run, so only one group's answers are ever in memory.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use longstrand_model::Difference;
use longstrand_table::Existing;
use sha2::{Digest, Sha256};

use crate::error::ScoreError;

/// How long answers may wait to be written.
const INTERVAL: Duration = Duration::from_secs(5);

/// The largest frame that is believed.
const LARGEST_FRAME: u64 = 1 << 32;

/// What stands behind the identity of a run that replaces outputs.
const REPLACING: &str = " replacing";

/// What stands for a task.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Key([u8; 16]);

impl Key {
    /// The key of a text, as it is written.
    pub(crate) fn of(write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> Self {
        let mut hasher = Hasher(Sha256::new());
        write(&mut hasher).expect("a digest takes any text");
        let digest = hasher.0.finalize();
        Self(std::array::from_fn(|i| digest[i]))
    }
}

struct Hasher(Sha256);

impl fmt::Write for Hasher {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

/// The answers of the group at hand, and where they are kept.
pub(crate) struct Journal {
    store: Option<Store>,
    known: HashMap<Key, Vec<f64>>,
}

struct Store {
    path: PathBuf,
    file: BufReader<File>,
    /// A frame that has been read and belongs to a later group.
    next: Option<Frame>,
    group: u64,
    waiting: Vec<u8>,
    written: Instant,
    has_answers: bool,
}

struct Frame {
    group: u64,
    answers: Vec<u8>,
}

impl Journal {
    /// Answers are forgotten.
    pub(crate) fn none() -> Self {
        Self { store: None, known: HashMap::new() }
    }

    /// Where the journal of an output lies.
    pub(crate) fn path(output: &Path) -> PathBuf {
        let mut name = std::ffi::OsString::from(".");
        name.push(output.file_name().unwrap_or_default());
        name.push(".journal");
        output.with_file_name(name)
    }

    /// Whether a run that was stopped, or is running, has left a journal of an output, with more than the beginning of its
    /// first line. What cannot be read, or is no file, counts as one.
    pub(crate) fn is_left(output: &Path) -> bool {
        let path = Self::path(output);
        match path.symlink_metadata() {
            Err(_) => false,
            Ok(_) if !path.is_file() => true,
            Ok(_) => Self::is_held(output) || first_line(&path).is_none_or(|line| line.ends_with(b"\n")),
        }
    }

    /// Whether another process is writing the journal of an output.
    pub(crate) fn is_held(output: &Path) -> bool {
        let path = Some(Self::path(output)).filter(|path| path.is_file());
        let file = path.and_then(|path| File::open(path).ok());
        file.is_some_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Whether there is a journal of an output, and its run was told to replace outputs that exist.
    pub(crate) fn is_replacing(output: &Path) -> bool {
        let path = Some(Self::path(output)).filter(|path| path.is_file());
        let line = path.and_then(|path| first_line(&path)).unwrap_or_default();
        line.strip_suffix(b"\n").is_some_and(|line| line.ends_with(REPLACING.as_bytes()))
    }

    /// Goes on with the journal of an output if that is to be resumed and there is one, or begins it.
    ///
    /// # Errors
    ///
    /// - the journal is another run's;
    /// - it cannot be read or written, or is no file.
    pub(crate) fn open(output: &Path, identity: &str, existing: Existing) -> Result<Self, ScoreError> {
        let path = Self::path(output);
        let io = |source| ScoreError::Journal { path: path.clone(), source };
        if path.symlink_metadata().is_ok() && !path.is_file() {
            return Err(ScoreError::Taken { path, expected: "a file" });
        }
        let mut options = OpenOptions::new();
        // It is emptied under the lock: another process may be writing it.
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(io)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(ScoreError::Busy { path }),
            // File systems without locks (some network mounts) give no protection and no error.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        if existing != Existing::Resume {
            file.set_len(0).map_err(io)?;
        }
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        file.read_until(b'\n', &mut line).map_err(io)?;
        if line.last() != Some(&b'\n') {
            let inner = file.get_mut();
            let begun = inner.set_len(0).and_then(|()| inner.rewind());
            let replacing = if existing == Existing::Replace { REPLACING } else { "" };
            let begun = begun.and_then(|()| writeln!(inner, "{identity}{replacing}"));
            // A journal that does not tell its run is of no use.
            begun.inspect_err(|_| _ = std::fs::remove_file(&path)).map_err(io)?;
        } else {
            let found = String::from_utf8_lossy(&line[..line.len() - 1]);
            let found = found.strip_suffix(REPLACING).unwrap_or(&found);
            if found != identity {
                let difference = Difference::between("", identity, found);
                return Err(ScoreError::OtherRun { output: output.into(), journal: path, difference });
            }
        }
        let mut store = Store {
            path,
            file,
            next: None,
            group: 0,
            waiting: Vec::new(),
            written: Instant::now(),
            has_answers: false,
        };
        store.next = store.read().map_err(|source| store.error(source))?;
        store.has_answers = store.next.is_some();
        Ok(Self { store: Some(store), known: HashMap::new() })
    }

    /// Turns to the next group of records: its answers become known, those of others are forgotten.
    pub(crate) fn turn(&mut self, group: u64) -> Result<(), ScoreError> {
        self.flush()?;
        self.known.clear();
        let Some(store) = &mut self.store else { return Ok(()) };
        store.group = group;
        while let Some(frame) = store.next.take_if(|frame| frame.group <= group) {
            if frame.group == group {
                read_answers(&frame.answers, &mut self.known);
            }
            store.next = store.read().map_err(|source| store.error(source))?;
        }
        Ok(())
    }

    /// The answers of a task, if they are there.
    pub(crate) fn known(&self, key: &Key) -> Option<&[f64]> {
        self.known.get(key).map(Vec::as_slice)
    }

    /// Keeps the answers of a task.
    pub(crate) fn add(&mut self, key: Key, values: Vec<f64>) -> Result<(), ScoreError> {
        let Some(store) = &mut self.store else { return Ok(()) };
        store.waiting.extend(key.0);
        store.waiting.extend((values.len() as u64).to_le_bytes());
        store.waiting.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        match store.written.elapsed() < INTERVAL {
            true => Ok(()),
            false => self.flush(),
        }
    }

    /// Ends the journal of a run that was stopped: writes what waits, or leaves nothing where there is nothing to keep.
    pub(crate) fn close(mut self) -> Result<(), ScoreError> {
        let flushed = self.flush();
        match self.store.as_ref().is_some_and(|store| store.has_answers) {
            true => flushed,
            false => self.remove().and(flushed),
        }
    }

    /// Writes what waits.
    fn flush(&mut self) -> Result<(), ScoreError> {
        let Some(store) = &mut self.store else { return Ok(()) };
        store.flush().map_err(|source| store.error(source))
    }

    /// Removes the journal: the output is whole.
    pub(crate) fn remove(self) -> Result<(), ScoreError> {
        let Some(store) = self.store else { return Ok(()) };
        std::fs::remove_file(&store.path).map_err(|source| store.error(source))
    }
}

impl Store {
    fn error(&self, source: io::Error) -> ScoreError {
        ScoreError::Journal { path: self.path.clone(), source }
    }

    /// The next whole frame. When there is none, the file is cut behind the last one.
    fn read(&mut self) -> io::Result<Option<Frame>> {
        let start = self.file.stream_position()?;
        let frame = read_frame(&mut self.file)?;
        if frame.is_none() {
            let file = self.file.get_mut();
            file.set_len(start)?;
            self.file.seek(SeekFrom::Start(start))?;
        }
        Ok(frame)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.written = Instant::now();
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut frame = Vec::with_capacity(self.waiting.len() + 24);
        frame.extend(self.group.to_le_bytes());
        frame.extend((self.waiting.len() as u64).to_le_bytes());
        frame.append(&mut self.waiting);
        let check = Sha256::digest(&frame);
        frame.extend(&check[..8]);
        // What is left to read belongs to later groups of the run that was stopped: new answers go behind it.
        let here = self.file.stream_position()?;
        self.file.seek(SeekFrom::End(0))?;
        self.file.get_mut().write_all(&frame)?;
        self.file.get_mut().sync_data()?;
        self.has_answers = true;
        self.file.seek(SeekFrom::Start(here)).map(|_| ())
    }
}

/// The first line of a file, with its end if it is there; nothing if it cannot be read.
fn first_line(path: &Path) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(File::open(path).ok()?).read_until(b'\n', &mut line).ok()?;
    Some(line)
}

fn read_frame(file: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut frame = vec![0; 16];
    if !fill(file, &mut frame)? {
        return Ok(None);
    }
    let number = |bytes: &[u8]| u64::from_le_bytes(std::array::from_fn(|i| bytes[i]));
    let (group, bytes) = (number(&frame), number(&frame[8..]));
    if bytes > LARGEST_FRAME {
        return Ok(None);
    }
    file.by_ref().take(bytes).read_to_end(&mut frame)?;
    let mut check = [0; 8];
    if (frame.len() as u64) < 16 + bytes || !fill(file, &mut check)? || Sha256::digest(&frame)[..8] != check {
        return Ok(None);
    }
    Ok(Some(Frame { group, answers: frame.split_off(16) }))
}

/// Whether there were so many bytes.
fn fill(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        result => result.map(|()| true),
    }
}

fn read_answers(mut bytes: &[u8], known: &mut HashMap<Key, Vec<f64>>) {
    while let Some((key, rest)) = bytes.split_first_chunk::<16>()
        && let Some((count, rest)) = rest.split_first_chunk::<8>()
        && let Ok(count) = usize::try_from(u64::from_le_bytes(*count))
        && let Some((values, rest)) = count.checked_mul(8).and_then(|bytes| rest.split_at_checked(bytes))
    {
        let values = values.chunks_exact(8).map(|value| f64::from_le_bytes(std::array::from_fn(|i| value[i])));
        known.insert(Key(*key), values.collect());
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::of(|key| key.write_str(text))
    }

    /// An output in a folder, and its journal.
    fn paths(folder: &Path) -> (PathBuf, PathBuf) {
        let output = folder.join("out.vcf");
        (output.clone(), Journal::path(&output))
    }

    fn journal(output: &Path, resume: bool) -> Journal {
        Journal::open(output, "{\"a\":1}", existing(resume)).unwrap()
    }

    fn existing(resume: bool) -> Existing {
        if resume { Existing::Resume } else { Existing::Refuse }
    }

    #[test]
    fn answers_come_back_by_group() {
        let folder = tempfile::tempdir().unwrap();
        let (output, path) = paths(folder.path());
        let mut first = journal(&output, true);
        for group in 0..3 {
            first.turn(group).unwrap();
            first.add(key(&format!("x{group}")), vec![group as f64, -0.5]).unwrap();
        }
        first.flush().unwrap();
        drop(first);
        let mut again = journal(&output, true);
        again.turn(0).unwrap();
        assert_eq!(again.known(&key("x0")), Some(&[0.0, -0.5][..]));
        assert_eq!(again.known(&key("x1")), None);
        again.add(key("late"), vec![7.0]).unwrap();
        again.turn(1).unwrap();
        assert_eq!(again.known(&key("x1")), Some(&[1.0, -0.5][..]));
        again.turn(2).unwrap();
        assert_eq!(again.known(&key("x2")), Some(&[2.0, -0.5][..]));
        again.remove().unwrap();
        assert!(!path.exists());
        journal(&output, false).close().unwrap();
        assert!(!path.exists(), "nothing to keep");
    }

    #[test]
    fn a_journal_that_does_not_tell_its_run_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (output, path) = paths(folder.path());
        assert!(!Journal::is_left(&output));
        for (content, is_left) in [("", false), ("{\"a\":", false), ("{\"a\":1}\n", true)] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(Journal::is_left(&output), is_left, "{content:?}");
        }
        std::fs::remove_file(&path).unwrap();
        let running = journal(&output, false);
        assert!(Journal::is_left(&output));
        drop(running);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(Journal::is_left(&output));
        assert!(matches!(Journal::open(&output, "{}", Existing::Replace), Err(ScoreError::Taken { .. })));
    }

    #[test]
    fn a_journal_cut_anywhere_keeps_what_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (output, path) = paths(folder.path());
        let mut first = journal(&output, false);
        for group in 0..2 {
            first.turn(group).unwrap();
            first.add(key("a"), vec![1.0, 2.0]).unwrap();
            first.flush().unwrap();
        }
        drop(first);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let mut cut = journal(&output, true);
            cut.turn(0).unwrap();
            assert_eq!(cut.known(&key("a")).is_some(), length >= 8 + 64, "cut at {length}");
            cut.add(key("b"), vec![3.0]).unwrap();
            cut.flush().unwrap();
            drop(cut);
            let mut again = journal(&output, true);
            again.turn(0).unwrap();
            assert_eq!(again.known(&key("b")), Some(&[3.0][..]), "cut at {length}");
        }
    }

    #[test]
    fn a_second_writer_is_refused_until_the_first_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (output, _) = paths(folder.path());
        let mut first = journal(&output, false);
        first.add(key("a"), vec![1.0]).unwrap();
        for resume in [false, true] {
            let opened = Journal::open(&output, "{\"a\":1}", existing(resume));
            assert!(matches!(opened, Err(ScoreError::Busy { .. })) && Journal::is_held(&output));
        }
        first.close().unwrap();
        assert!(!Journal::is_held(&output));
        let mut second = journal(&output, true);
        second.turn(0).unwrap();
        assert_eq!(second.known(&key("a")), Some(&[1.0][..]));
    }

    #[test]
    fn another_runs_journal_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (output, path) = paths(folder.path());
        drop(journal(&output, false));
        let error = Journal::open(&output, "{\"a\":2}", Existing::Resume).err().unwrap().to_string();
        let (output_shown, journal_shown) = (output.display(), path.display());
        let expected = format!("{output_shown}: a different run has left {journal_shown}: a: expected 2, found 1; ");
        assert!(error.starts_with(&expected), "{error}");
        assert!(Journal::open(&output, "{\"a\":2}", Existing::Refuse).is_ok());
    }

    #[test]
    fn a_journal_remembers_that_outputs_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (output, path) = paths(folder.path());
        assert!(!Journal::is_replacing(&output));
        for (existing, is_replacing) in [(Existing::Replace, true), (Existing::Refuse, false)] {
            for existing in [existing, Existing::Resume] {
                drop(Journal::open(&output, "{\"a\":1}", existing).unwrap());
                assert_eq!(Journal::is_replacing(&output), is_replacing, "{existing:?}");
            }
        }
        let error = Journal::open(&output, "{\"a\":2}", Existing::Resume).err().unwrap();
        assert!(matches!(error, ScoreError::OtherRun { .. }) && path.exists());
    }
}
