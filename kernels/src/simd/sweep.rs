//! A loop over a row, vector by vector.

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
