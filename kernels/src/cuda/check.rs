//! Whether every kernel compiles, and takes no more than it did.
//!
//! A kernel that spills registers or takes more of them than it did is slow in silence. So what each takes is written
//! in `kernels/resources.tsv`, and a change of it is a change of that file. No GPU is needed.

use std::{error::Error, fmt, str::FromStr};

use super::{Architecture, CudaError, Nvrtc, Resources, compile, programs};

/// The table as it was when this program was built.
pub const TABLE: &str = include_str!("../../resources.tsv");

const HEADER: &str = "architecture\tprogram\tkernel\tregisters\tspill_bytes\tshared_bytes\tnvrtc";

/// What one kernel takes on one architecture.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// What it was compiled for.
    pub architecture: Architecture,
    /// The program's name.
    pub program: String,
    /// What it takes.
    pub resources: Resources,
    /// The version of NVRTC.
    pub nvrtc: String,
}

impl Row {
    fn is_of(&self, other: &Self) -> bool {
        (self.architecture, &self.program, &self.resources.kernel)
            == (other.architecture, &other.program, &other.resources.kernel)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Resources { kernel, registers, spill_bytes, shared_bytes, .. } = &self.resources;
        let (architecture, program, nvrtc) = (self.architecture, &self.program, &self.nvrtc);
        write!(f, "{architecture}\t{program}\t{kernel}\t{registers}\t{spill_bytes}\t{shared_bytes}\t{nvrtc}")
    }
}

impl FromStr for Row {
    type Err = TableError;

    fn from_str(line: &str) -> Result<Self, TableError> {
        let error = || TableError { line: line.to_string() };
        let fields: Vec<&str> = line.split('\t').collect();
        let [architecture, program, kernel, registers, spill_bytes, shared_bytes, nvrtc] = fields[..] else {
            return Err(error());
        };
        let number = |field: &str| field.parse().map_err(|_| error());
        Ok(Self {
            architecture: architecture.parse().map_err(|_| error())?,
            program: program.to_string(),
            resources: Resources {
                kernel: kernel.to_string(),
                registers: number(registers)?,
                spill_bytes: number(spill_bytes)?,
                stack_bytes: 0,
                shared_bytes: number(shared_bytes)?,
            },
            nvrtc: nvrtc.to_string(),
        })
    }
}

/// A line that is not one of the table's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TableError {
    line: String,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the table of resources has the line {:?}", self.line)
    }
}

impl Error for TableError {}

/// Compiles every program for every architecture it can run on. The program that failed takes the place of its rows.
pub fn measure(nvrtc: &Nvrtc, architectures: &[Architecture]) -> Vec<Result<Row, CudaError>> {
    let mut rows = Vec::new();
    for &card in architectures {
        for program in programs() {
            let Some(target) = program.target(card) else { continue };
            match compile(nvrtc, program, target).and_then(|compiled| compiled.resources(program, target)) {
                Ok(of_kernels) => rows.extend(of_kernels.into_iter().map(|resources| {
                    let (program, nvrtc) = (program.name.to_string(), nvrtc.version().to_string());
                    Ok(Row { architecture: target, program, resources, nvrtc })
                })),
                Err(error) => rows.push(Err(error)),
            }
        }
    }
    rows
}

/// Reads a table.
///
/// # Errors
///
/// A line is not one of the table's.
pub fn read_table(text: &str) -> Result<Vec<Row>, TableError> {
    text.lines().filter(|line| *line != HEADER).map(str::parse).collect()
}

/// A table of these rows, in their order.
pub fn write_table(rows: &[Row]) -> String {
    rows.iter().fold(format!("{HEADER}\n"), |table, row| format!("{table}{row}\n"))
}

/// What is worse than the table says, one line each; nothing is well. What is better is not told, nor are registers of
/// another NVRTC than the table's.
///
/// A row of the table for one of the architectures whose kernel is not there any more is out of date and told, and so is
/// a kernel that is not in the table.
pub fn differences(measured: &[Row], table: &[Row]) -> Vec<String> {
    let mut differences = Vec::new();
    for row in measured {
        let name = format!("{} {} {}", row.architecture, row.program, row.resources.kernel);
        let Some(expected) = table.iter().find(|other| other.is_of(row)) else {
            differences.push(format!("{name}: not in the table"));
            continue;
        };
        let mut compare = |what: &str, expected: u32, found: u32| {
            if found > expected {
                differences.push(format!("{name}: expected {expected} {what}, found {found}"));
            }
        };
        let (expected, found) = (&expected.resources, &row.resources);
        compare("bytes spilled", expected.spill_bytes, found.spill_bytes);
        if is_same_nvrtc(row, table) {
            compare("registers", expected.registers, found.registers);
            compare("bytes of shared memory", expected.shared_bytes, found.shared_bytes);
        }
    }
    let of_measured = |row: &Row| measured.iter().any(|other| other.architecture == row.architecture);
    for row in table.iter().filter(|row| of_measured(row) && !measured.iter().any(|other| other.is_of(row))) {
        differences.push(format!("{} {} {}: in the table alone", row.architecture, row.program, row.resources.kernel));
    }
    differences
}

fn is_same_nvrtc(row: &Row, table: &[Row]) -> bool {
    table.iter().any(|other| other.is_of(row) && other.nvrtc == row.nvrtc)
}

/// The version of NVRTC that the table was made with, if it is another one than that of the rows.
pub fn other_nvrtc<'a>(measured: &[Row], table: &'a [Row]) -> Option<&'a str> {
    let found = &measured.first()?.nvrtc;
    table.iter().map(|row| row.nvrtc.as_str()).find(|nvrtc| nvrtc != found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::testing;

    fn row(kernel: &str, [registers, spill_bytes, shared_bytes]: [u32; 3]) -> Row {
        let resources = Resources { kernel: kernel.into(), registers, spill_bytes, stack_bytes: 0, shared_bytes };
        Row { architecture: Architecture::sm(90), program: "p".into(), resources, nvrtc: "13.0".into() }
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let rows = [row("a", [32, 0, 128]), Row { architecture: Architecture::sm_specific(90), ..row("b", [1, 2, 3]) }];
        assert_eq!(read_table(&write_table(&rows)).unwrap(), rows);
        for line in ["", "sm_90\tp\tk\t1\t2\t3", "sm_90\tp\tk\t1\t2\t-3\t13.0", "x\tp\tk\t1\t2\t3\t13.0"] {
            let error = read_table(&format!("{HEADER}\n{line}\n")).unwrap_err().to_string();
            assert_eq!(error, format!("the table of resources has the line {line:?}"));
        }
    }

    #[test]
    fn what_got_worse_is_told() {
        let table = [row("a", [32, 0, 128]), row("gone", [1, 0, 0])];
        assert_eq!(differences(&[row("a", [32, 0, 128]), row("gone", [1, 0, 0])], &table), [""; 0]);
        assert_eq!(differences(&[row("a", [30, 0, 0]), row("gone", [1, 0, 0])], &table), [""; 0]);
        let found = differences(&[row("a", [33, 4, 129]), row("new", [1, 0, 0])], &table);
        assert_eq!(
            found,
            [
                "sm_90 p a: expected 0 bytes spilled, found 4",
                "sm_90 p a: expected 32 registers, found 33",
                "sm_90 p a: expected 128 bytes of shared memory, found 129",
                "sm_90 p new: not in the table",
                "sm_90 p gone: in the table alone",
            ]
        );
    }

    #[test]
    fn registers_of_another_nvrtc_are_not_compared() {
        let table = [row("a", [32, 0, 128])];
        let other = |numbers| Row { nvrtc: "13.1".into(), ..row("a", numbers) };
        assert_eq!(differences(&[other([99, 0, 999])], &table), [""; 0]);
        assert_eq!(differences(&[other([99, 8, 999])], &table), ["sm_90 p a: expected 0 bytes spilled, found 8"]);
        assert_eq!(other_nvrtc(&[other([1, 0, 0])], &table), Some("13.0"));
        assert_eq!(other_nvrtc(&table, &table), None);
    }

    #[test]
    fn the_tables_kernels_are_those_that_there_are() {
        let table = read_table(TABLE).unwrap();
        for card in Architecture::CHECKED {
            for program in programs() {
                let Some(target) = program.target(card) else { continue };
                for kernel in program.kernels {
                    let is_it = |row: &&Row| {
                        row.architecture == target && row.program == program.name && row.resources.kernel == *kernel
                    };
                    assert_eq!(table.iter().filter(is_it).count(), 1, "{target} {} {kernel}", program.name);
                }
            }
        }
    }

    #[test]
    fn every_kernel_compiles_and_is_no_worse_than_the_table() {
        let Some(nvrtc) = testing::nvrtc() else { return };
        let rows: Result<Vec<Row>, _> = measure(&nvrtc, &[Architecture::sm(90)]).into_iter().collect();
        assert_eq!(differences(&rows.unwrap(), &read_table(TABLE).unwrap()), [""; 0]);
    }
}
