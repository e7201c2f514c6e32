//! What a kernel takes of a multiprocessor, as the assembler says it.

/// Resources of one kernel.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Resources {
    /// The kernel's name.
    pub kernel: String,
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes that a thread writes to and reads from memory for want of registers.
    pub spill_bytes: u32,
    /// Bytes of a thread's stack.
    pub stack_bytes: u32,
    /// Bytes of shared memory of a block, those asked for at the launch aside.
    pub shared_bytes: u32,
}

/// Reads the log of `--ptxas-options=-v`: one entry a kernel, in the order of the log.
///
/// ```text
/// ptxas info    : Compiling entry function 'norm_forward_f32' for 'sm_90'
/// ptxas info    : Function properties for norm_forward_f32
///     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
/// ptxas info    : Used 32 registers, used 1 barriers, 128 bytes smem
/// ```
pub(super) fn parse(log: &str) -> Vec<Resources> {
    let mut all: Vec<Resources> = Vec::new();
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let kernel = rest.split('\'').next().unwrap_or_default().to_string();
            all.push(Resources { kernel, ..Resources::default() });
        }
        // What is said of functions that are not inlined comes before or between; it adds to the kernel's own.
        let Some(last) = all.last_mut() else { continue };
        let of = |what| before(line, what);
        last.stack_bytes += of(" bytes stack frame");
        last.spill_bytes += of(" bytes spill stores") + of(" bytes spill loads");
        last.registers = last.registers.max(of(" registers"));
        last.shared_bytes += of(" bytes smem");
    }
    all
}

/// The number right before `what`, or 0.
fn before(line: &str, what: &str) -> u32 {
    let Some((head, _)) = line.split_once(what) else { return 0 };
    let digits = head.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_read() {
        let log = "ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'a' for 'sm_90'
ptxas info    : Function properties for a
    16 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 16 bytes cumulative stack size, 4224 bytes smem
ptxas info    : Compile time = 7.126 ms
ptxas info    : Compiling entry function 'b' for 'sm_90'
ptxas info    : Function properties for b
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 8 registers, used 0 barriers, 384 bytes cmem[0]
";
        let a = Resources { kernel: "a".into(), registers: 255, spill_bytes: 20, stack_bytes: 16, shared_bytes: 4224 };
        let b = Resources { kernel: "b".into(), registers: 8, ..Resources::default() };
        assert_eq!(parse(log), [a, b]);
        assert!(parse("").is_empty());
    }
}
