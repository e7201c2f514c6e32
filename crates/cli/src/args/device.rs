//! `--device` and `--precision`: where to compute, and how.

use std::fmt;
use std::str::FromStr;

/// Where to compute.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Device {
    /// The first GPU, where there is one that can be used, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// GPUs of these numbers, each once, as `CUDA_VISIBLE_DEVICES` counts them.
    Cuda(Vec<usize>),
    /// All GPUs.
    EveryCuda,
}

/// How numbers are held and multiplied.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Precision {
    /// 32 bits
    #[default]
    F32,
    /// 32 bits; products of matrices round what they multiply to 11 bits (GPUs)
    Tf32,
    /// 16 bits, added up in 32 (GPUs)
    Bf16,
}

/// What `--device` takes.
const EXPECTED: &str = "expected auto, cpu, cuda, cuda:N, several as cuda:0,1, or all";

impl FromStr for Device {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(vec![0])),
            "all" => Ok(Self::EveryCuda),
            other => other.strip_prefix("cuda:").and_then(numbers).map(Self::Cuda).ok_or(EXPECTED),
        }
    }
}

/// Numbers with commas between them, each once.
fn numbers(text: &str) -> Option<Vec<usize>> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let numbers: Option<Vec<usize>> =
        text.split(',').map(|text| text.parse().ok().filter(|_| is_number(text))).collect();
    numbers.filter(|numbers| (1..numbers.len()).all(|i| !numbers[..i].contains(&numbers[i])))
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::EveryCuda => f.write_str("all"),
            Self::Cuda(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
                write!(f, "cuda:{}", numbers.join(","))
            }
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        for (text, device) in [
            ("auto", Device::Auto),
            ("cpu", Device::Cpu),
            ("cuda", Device::Cuda(vec![0])),
            ("cuda:3", Device::Cuda(vec![3])),
            ("cuda:0,2", Device::Cuda(vec![0, 2])),
            ("all", Device::EveryCuda),
        ] {
            assert_eq!(text.parse(), Ok(device.clone()));
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for wrong in
            ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:+1", "cuda:x", "cuda:all", "cuda:0,", "cuda:0,0", "cpu:0"]
        {
            assert_eq!(wrong.parse::<Device>(), Err(EXPECTED), "{wrong}");
        }
    }
}
