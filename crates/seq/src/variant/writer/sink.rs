//! Bytes on their way to a file, compressed or not.

use std::io::{self, BufWriter, Write};

use noodles_bgzf as bgzf;

type Raw = Box<dyn Write + Send>;

pub(super) enum Sink {
    Plain(BufWriter<Raw>),
    Bgzip(Unended),
}

/// A bgzip stream that only gets the block that ends it when it is finished: what is left behind after an error must
/// not look whole.
pub(super) struct Unended(Option<bgzf::io::Writer<Raw>>);

impl Sink {
    pub(super) fn plain(raw: Raw) -> Self {
        Self::Plain(BufWriter::with_capacity(1 << 17, raw))
    }

    pub(super) fn bgzip(raw: Raw) -> Self {
        Self::Bgzip(Unended(Some(bgzf::io::Writer::new(raw))))
    }

    /// Where in a bgzip file the next byte goes; 0 in any other.
    pub(super) fn virtual_offset(&self) -> u64 {
        match self {
            Self::Plain(_) => 0,
            Self::Bgzip(writer) => writer.0.as_ref().map_or(0, |writer| writer.virtual_position().into()),
        }
    }

    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut writer) => writer.flush(),
            Self::Bgzip(mut writer) => match writer.0.take() {
                Some(mut writer) => {
                    let ended = writer.try_finish();
                    let mut raw = writer.into_inner();
                    ended.and_then(|()| raw.flush())
                }
                None => Ok(()),
            },
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(writer) => writer,
            Self::Bgzip(writer) => writer.0.as_mut().expect("it is taken by `finish` alone"),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }
}

impl Drop for Unended {
    fn drop(&mut self) {
        // The writer itself would write the last block when it is dropped.
        drop(self.0.take().map(bgzf::io::Writer::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_a_finished_stream_looks_whole() {
        let written = |is_finished| {
            let shared = Shared::default();
            let mut sink = Sink::bgzip(Box::new(shared.clone()));
            sink.write_all(&[b'A'; 100_000]).unwrap();
            if is_finished {
                sink.finish().unwrap()
            } else {
                drop(sink)
            }
            std::mem::take(&mut *shared.0.lock().unwrap())
        };
        assert!(written(true).ends_with(&crate::input::BGZF_END));
        assert!(!written(false).is_empty());
        assert!(!written(false).ends_with(&crate::input::BGZF_END));
    }
}
