//! The window that a published model was trained at, by its name.

/// Windows, in bases, of models whose names and files do not tell: the authors' papers do.
const PUBLISHED: [(&str, u64); 2] = [("plantcad2", 8192), ("plantcaduceus", 512)];

/// Reads `seqlen-131k` and the like, or knows the model.
pub(super) fn of_name(name: &str) -> Option<u64> {
    let name = name.to_ascii_lowercase();
    let published = PUBLISHED.iter().find(|(model, _)| name.contains(model)).map(|(_, bases)| *bases);
    seqlen(&name).or(published)
}

fn seqlen(name: &str) -> Option<u64> {
    let (_, rest) = name.split_once("seqlen-")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = rest[..digits].parse().ok().filter(|&number| number > 0)?;
    if rest[digits..].starts_with('k') { thousands(number) } else { Some(number) }
}

/// Thousands of bases: of a power of two where one rounds down to them (131k is 131,072).
fn thousands(number: u64) -> Option<u64> {
    let bases = number.checked_mul(1000)?;
    let power = bases.checked_next_power_of_two()?;
    Some(if power / 1000 == number { power } else { bases })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_window() {
        for (name, bases) in [
            ("kuleshov-group/caduceus-ph_seqlen-131k_d_model-256_n_layer-16", Some(131_072)),
            ("caduceus-ph_seqlen-1k_d_model-256_n_layer-4_lr-8e-3", Some(1024)),
            ("x_seqlen-450k", Some(450_000)),
            ("x_seqlen-512_y", Some(512)),
            ("x_seqlen-0k", None),
            ("x_seqlen-99999999999999999999k", None),
            ("kuleshov-group/PlantCaduceus_l32", Some(512)),
            ("kuleshov-group/PlantCAD2-Small-l24-d0768", Some(8192)),
            ("model", None),
        ] {
            assert_eq!(of_name(name), bases, "{name}");
        }
    }
}
