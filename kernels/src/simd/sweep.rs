//! A loop over a row, vector by vector.

use super::Vector;

/// Runs a body for every whole vector of a row, then once for the rest.
///
/// The body sees the offset of the vector and its number of lanes. In whole vectors that number is a constant, which
/// turns partial loads and stores into plain ones; a closure would not do, since it is not compiled for the level.
macro_rules! sweep {
    ($vector:ident, $width:expr, |$offset:ident, $lanes:ident| $body:block) => {{
        let width = $width;
        let mut $offset = 0;
        while $offset + $vector::LANES <= width {
            let $lanes = $vector::LANES;
            $body
            $offset += $vector::LANES;
        }
        if $offset < width {
            let $lanes = width - $offset;
            $body
        }
    }};
}
pub(crate) use sweep;

/// Adds a row to sums.
#[inline(always)]
pub(crate) unsafe fn add_row<V: Vector>(x: *const f32, width: usize, sums: *mut f32) {
    // SAFETY: the caller promises `width` elements at both pointers.
    unsafe {
        sweep!(V, width, |d, lanes| {
            let sum = V::load_first(sums.add(d), lanes).add(V::load_first(x.add(d), lanes));
            sum.store_first(sums.add(d), lanes);
        });
    }
}
