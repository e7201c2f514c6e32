//! A state dict in a pickle: the instructions, as `torch.save` writes them with protocol 2.

use std::{error, fmt};

use super::super::tensors::StoredType;
use super::machine::{Global, Machine, Value};

/// The longest pickle that is read: a state dict takes about 200 bytes a tensor.
const MAX_LEN: usize = 4 << 20;

/// The longest name of a global, module or member.
const MAX_GLOBAL: usize = 128;

/// The tensors of a pickled state dict, in its order, by name.
pub type StateDict = Vec<(String, TorchTensor)>;

/// A tensor as the pickle describes it; whether its elements lie inside the storage is not yet known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorchTensor {
    /// The storage's key in the archive.
    pub storage: String,
    /// The storage's length in elements.
    pub storage_len: usize,
    /// The type of an element.
    pub dtype: StoredType,
    /// Of the first element, in elements.
    pub offset: usize,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Of each axis, in elements.
    pub strides: Vec<usize>,
}

/// An error returned when a pickle is not a dictionary of tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PickleError {
    /// It is longer than any state dict.
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// It ends before its STOP instruction, or goes on behind it.
    Length {
        /// Offset in bytes.
        at: usize,
    },
    /// An instruction that no state dict needs.
    Instruction {
        /// Offset in bytes.
        at: usize,
        /// The instruction's byte.
        code: u8,
    },
    /// A global that is not one of torch's constructors of tensors.
    Global {
        /// Offset in bytes.
        at: usize,
        /// Module and name.
        name: String,
    },
    /// An instruction does not find on the stack what it needs.
    Operand {
        /// Offset in bytes.
        at: usize,
        /// What it needs.
        expected: &'static str,
    },
    /// The pickle holds something beside tensors under unique names.
    NotTensors {
        /// Where, and what.
        what: String,
    },
}

impl error::Error for PickleError {}

impl fmt::Display for PickleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length } => write!(f, "expected at most {MAX_LEN} bytes of pickle, found {length}"),
            Self::Length { at } => write!(f, "byte {at}: the pickle is truncated or does not end at its end"),
            Self::Instruction { at, code } => {
                write!(f, "byte {at}: instruction 0x{code:02x} is not allowed")
            }
            Self::Global { at, name } => {
                write!(f, "byte {at}: global \"{name}\" is not allowed; nothing of this file was run")
            }
            Self::Operand { at, expected } => write!(f, "byte {at}: expected {expected}"),
            Self::NotTensors { what } => write!(f, "expected tensors by name, found {what}"),
        }
    }
}

/// Reads a pickled state dict, without running anything.
///
/// # Errors
///
/// - an instruction or a global that a state dict of tensors does not need;
/// - an instruction without its operands, or a truncated pickle;
/// - a dictionary that holds something beside tensors, or a name twice.
pub fn unpickle(pickle: &[u8]) -> Result<StateDict, PickleError> {
    if pickle.len() > MAX_LEN {
        return Err(PickleError::TooLong { length: pickle.len() });
    }
    let mut reader = Reader { pickle, at: 0 };
    let mut machine = Machine::default();
    loop {
        let start = reader.at;
        match reader.step(&mut machine, start) {
            Ok(true) => {}
            Ok(false) => break,
            Err(Fault::Expected(expected)) => {
                return Err(PickleError::Operand { at: start, expected });
            }
            Err(Fault::Pickle(error)) => return Err(error),
        }
    }
    if reader.at != pickle.len() {
        return Err(PickleError::Length { at: reader.at });
    }
    machine.state_dict().map_err(|what| PickleError::NotTensors { what })
}

/// Why an instruction failed.
enum Fault {
    /// The machine does not have what it needs.
    Expected(&'static str),
    Pickle(PickleError),
}

impl From<&'static str> for Fault {
    fn from(expected: &'static str) -> Self {
        Self::Expected(expected)
    }
}

struct Reader<'a> {
    pickle: &'a [u8],
    /// Offset of the next byte.
    at: usize,
}

impl<'a> Reader<'a> {
    /// Carries out the instruction at `start`; false after the last.
    fn step(&mut self, machine: &mut Machine<'a>, start: usize) -> Result<bool, Fault> {
        let [code] = self.array()?;
        match code {
            0x80 => self.protocol(start)?,
            b'.' => return Ok(false),
            b'(' => machine.mark(),
            b')' => machine.tuple(0)?,
            0x85 => machine.tuple(1)?,
            0x86 => machine.tuple(2)?,
            0x87 => machine.tuple(3)?,
            b't' => machine.tuple_from_mark()?,
            b'}' => machine.dict(),
            b's' => machine.set_item()?,
            b'u' => machine.set_items_from_mark()?,
            b'N' => machine.push(Value::None),
            0x88 | 0x89 => machine.push(Value::Bool),
            b'J' | b'K' | b'M' | 0x8a => machine.push(Value::Int(self.integer(code)?)),
            b'X' => machine.push(Value::Text(self.text()?)),
            b'c' => machine.push(Value::Global(self.global(start)?)),
            b'q' | b'r' => machine.put(self.memo_index(code)?)?,
            b'h' | b'j' => machine.get(self.memo_index(code)?)?,
            b'Q' => machine.load_storage()?,
            b'R' => machine.reduce()?,
            b'b' => machine.build()?,
            _ => return Err(Fault::Pickle(PickleError::Instruction { at: start, code })),
        }
        Ok(true)
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(len);
        let bytes = end.and_then(|end| self.pickle.get(self.at..end));
        let bytes = bytes.ok_or(Fault::Pickle(PickleError::Length { at: self.at }))?;
        self.at += len;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    fn protocol(&mut self, start: usize) -> Result<(), Fault> {
        match (start, self.array()?) {
            (0, [2]) => Ok(()),
            _ => Err("protocol 2, at the start".into()),
        }
    }

    fn integer(&mut self, code: u8) -> Result<i64, Fault> {
        Ok(match code {
            b'K' => i64::from(self.array::<1>()?[0]),
            b'M' => i64::from(u16::from_le_bytes(self.array()?)),
            b'J' => i64::from(i32::from_le_bytes(self.array()?)),
            _ => self.long()?,
        })
    }

    /// A two's-complement number of up to 8 bytes.
    fn long(&mut self) -> Result<i64, Fault> {
        let [len] = self.array()?;
        if len > 8 {
            return Err("an integer of at most 64 bits".into());
        }
        let bytes = self.bytes(usize::from(len))?;
        let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [sign; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        Ok(i64::from_le_bytes(wide))
    }

    fn text(&mut self) -> Result<&'a str, Fault> {
        let len = u32::from_le_bytes(self.array()?);
        let bytes = self.bytes(len as usize)?;
        str::from_utf8(bytes).map_err(|_| "text in UTF-8".into())
    }

    fn memo_index(&mut self, code: u8) -> Result<u32, Fault> {
        Ok(match code {
            b'q' | b'h' => u32::from(self.array::<1>()?[0]),
            _ => u32::from_le_bytes(self.array()?),
        })
    }

    fn global(&mut self, start: usize) -> Result<Global, Fault> {
        let (module, name) = (self.line()?, self.line()?);
        Global::find(module, name).ok_or_else(|| {
            let name = format!("{} {}", module.escape_default(), name.escape_default());
            Fault::Pickle(PickleError::Global { at: start, name })
        })
    }

    fn line(&mut self) -> Result<&'a str, Fault> {
        let rest = &self.pickle[self.at..];
        let len = rest.iter().take(MAX_GLOBAL + 1).position(|&byte| byte == b'\n').ok_or("the name of a global")?;
        let line = self.bytes(len)?;
        self.at += 1;
        str::from_utf8(line).map_err(|_| "text in UTF-8".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"w": tensor of [2, 3]}` by hand.
    fn state_dict() -> Vec<u8> {
        let mut pickle =
            b"\x80\x02}q\x00(X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage".to_vec();
        pickle.extend_from_slice(b"ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ");
        pickle.extend_from_slice(b"K\x00K\x02K\x03\x86K\x03K\x01\x86\x89ccollections\nOrderedDict\n)RtRu.");
        pickle
    }

    #[test]
    fn a_state_dict_is_read() {
        let tensor = TorchTensor {
            storage: "0".into(),
            storage_len: 6,
            dtype: StoredType::F32,
            offset: 0,
            shape: vec![2, 3],
            strides: vec![3, 1],
        };
        assert_eq!(unpickle(&state_dict()).unwrap(), [("w".into(), tensor)]);
    }

    /// A state dict of a module: an ordered dictionary of parameters, with the versions of modules as its attribute.
    #[test]
    fn parameters_and_versions_of_modules_are_accepted() {
        let mut pickle = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01X\x01\x00\x00\x00wctorch._utils\n".to_vec();
        pickle.extend_from_slice(b"_rebuild_parameter\nctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage");
        pickle.extend_from_slice(b"ctorch\nBFloat16Storage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuM\x06\x00tQ");
        pickle.extend_from_slice(b"J\x02\x00\x00\x00\x8a\x01\x04\x85K\x01\x85\x89h\x00)RtR\x88h\x00)R\x87Rs");
        pickle.extend_from_slice(
            b"}X\x09\x00\x00\x00_metadatah\x00)RX\x00\x00\x00\x00}X\x07\x00\x00\x00versionK\x01sssb.",
        );
        let tensors = unpickle(&pickle).unwrap();
        let [(name, tensor)] = tensors.as_slice() else { panic!("one tensor") };
        assert_eq!((name.as_str(), tensor.dtype, tensor.offset), ("w", StoredType::BF16, 2));
        assert_eq!((tensor.shape.as_slice(), tensor.strides.as_slice()), ([4].as_slice(), [1].as_slice()));
    }

    #[test]
    fn every_truncation_is_an_error() {
        let pickle = state_dict();
        for len in 0..pickle.len() {
            assert!(unpickle(&pickle[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn a_hostile_global_is_named() {
        let message = unpickle(b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.").unwrap_err().to_string();
        assert_eq!(message, "byte 2: global \"posix system\" is not allowed; nothing of this file was run");
        let builtin = unpickle(b"\x80\x02c__builtin__\neval\n.").unwrap_err();
        assert_eq!(builtin, PickleError::Global { at: 2, name: "__builtin__ eval".into() });
    }

    #[test]
    fn other_instructions_are_refused() {
        for code in [b'i', b'o', 0x81, 0x82, 0x93, b'P', b'V', b'I', b'0', b'2', 0x94] {
            let error = unpickle(&[0x80, 2, code, b'.']).unwrap_err();
            assert_eq!(error, PickleError::Instruction { at: 2, code });
        }
    }

    #[test]
    fn what_is_not_a_dictionary_of_tensors_is_refused() {
        for pickle in
            [&b"\x80\x02K\x01."[..], b"\x80\x02.", b"\x80\x02}(X\x01\x00\x00\x00wK\x01u.", b"\x80\x02}(K\x01K\x01u."]
        {
            assert!(matches!(unpickle(pickle), Err(PickleError::NotTensors { .. })), "{pickle:?}");
        }
        assert_eq!(unpickle(b"\x80\x02}..").unwrap_err(), PickleError::Length { at: 4 });
        assert!(matches!(unpickle(b"\x80\x02tu."), Err(PickleError::Operand { at: 2, .. })));
    }
}
