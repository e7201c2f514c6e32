use super::{PlannedWindow, SoftMask, Window};
use crate::strand::{Strand, reverse_complement};

/// Makes the window of the bases that were read for it, in file orientation and case.
pub(super) fn cut(planned: &PlannedWindow, contig: &str, mut bases: Vec<u8>) -> Window {
    let mut soft_mask = SoftMask::of(&bases);
    bases.make_ascii_uppercase();
    let n_ambiguous = count_ambiguous(&bases);
    if planned.strand == Strand::Reverse {
        reverse_complement(&mut bases);
        soft_mask = soft_mask.reversed(bases.len() as u64);
    }
    bases.resize(bases.len() + planned.n_padded as usize, b'N');
    Window {
        index: planned.index,
        name: planned.display_name(contig),
        contig: contig.into(),
        start: planned.start,
        end: planned.end,
        strand: planned.strand,
        bases,
        n_padded: planned.n_padded,
        soft_mask,
        n_ambiguous,
    }
}

/// Whether more than the fraction `limit` of a window's own bases are none of A, C, G, T.
pub(super) fn is_too_ambiguous(window: &Window, limit: f64) -> bool {
    let n_bases = window.end - window.start;
    window.n_ambiguous as f64 > limit * n_bases as f64
}

/// How many upper-case bases are none of A, C, G, T.
pub(crate) fn count_ambiguous(bases: &[u8]) -> u64 {
    bases.iter().filter(|b| !matches!(b, b'A' | b'C' | b'G' | b'T')).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(strand: Strand, n_padded: u64) -> PlannedWindow {
        PlannedWindow {
            index: 3,
            contig: 0,
            start: 10,
            end: 15,
            strand,
            n_padded,
            is_partial: n_padded > 0,
            name: None,
            is_whole_contig: false,
        }
    }

    #[test]
    fn padding_follows_the_windows_own_orientation() {
        let window = cut(&planned(Strand::Reverse, 2), "chr1", b"acgRT".to_vec());
        assert_eq!(window.bases, b"AYCGTNN");
        assert_eq!((window.n_padded, window.soft_mask, window.n_ambiguous), (2, SoftMask::of(b"AYcgt"), 1));
        assert_eq!(window.name, "chr1:11-15");
    }

    #[test]
    fn the_limit_itself_is_kept() {
        let window = cut(&planned(Strand::Forward, 0), "chr1", b"ACGTN".to_vec());
        assert!(!is_too_ambiguous(&window, 0.2));
        assert!(is_too_ambiguous(&window, 0.19));
        assert!(!is_too_ambiguous(&window, 1.0));
    }
}
