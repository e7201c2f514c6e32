//! The stack machine of a pickle, for tensors alone.
//!
//! Tuples, dictionaries and tensors live in lists of their own and values are small indices into them, so that no nesting
//! costs stack or time: every instruction makes at most as much as it takes from the stack.

use std::collections::{BTreeSet, HashMap};

use super::super::tensors::StoredType;
use super::pickle::{StateDict, TorchTensor};

/// The longest shape.
const MAX_AXES: usize = 8;

/// The longest key of a storage, in bytes; torch counts them up from 0.
const MAX_STORAGE_KEY: usize = 64;

/// What a pickle may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    RebuildTensor,
    RebuildParameter,
    OrderedDict,
    Storage(StoredType),
}

impl Global {
    /// The global of this module and name, if it is one of those that a state dict needs.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch", storage) => storage_type(storage).map(Self::Storage),
            _ => None,
        }
    }
}

fn storage_type(name: &str) -> Option<StoredType> {
    Some(match name {
        "DoubleStorage" => StoredType::F64,
        "FloatStorage" => StoredType::F32,
        "HalfStorage" => StoredType::F16,
        "BFloat16Storage" => StoredType::BF16,
        "LongStorage" => StoredType::I64,
        "IntStorage" => StoredType::I32,
        "ShortStorage" => StoredType::I16,
        "CharStorage" => StoredType::I8,
        "ByteStorage" => StoredType::U8,
        "BoolStorage" => StoredType::Bool,
        _ => return None,
    })
}

/// A value on the stack; composite ones are indices into the machine's lists.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    None,
    Bool,
    Int(i64),
    Text(&'a str),
    Global(Global),
    Tuple(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

struct Storage<'a> {
    key: &'a str,
    dtype: StoredType,
    len: usize,
}

#[derive(Default)]
pub(super) struct Machine<'a> {
    stack: Vec<Value<'a>>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    tuples: Vec<Vec<Value<'a>>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    storages: Vec<Storage<'a>>,
    tensors: Vec<TorchTensor>,
}

/// An instruction's result, or what it expected to find.
type Step<T = ()> = Result<T, &'static str>;

impl<'a> Machine<'a> {
    pub(super) fn push(&mut self, value: Value<'a>) {
        self.stack.push(value);
    }

    fn pop(&mut self) -> Step<Value<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("a value on the stack");
        }
        self.stack.pop().ok_or("a value on the stack")
    }

    pub(super) fn mark(&mut self) {
        self.marks.push(self.stack.len());
    }

    fn pop_mark(&mut self) -> Step<Vec<Value<'a>>> {
        let mark = self.marks.pop().ok_or("a mark on the stack")?;
        Ok(self.stack.split_off(mark))
    }

    pub(super) fn put(&mut self, index: u32) -> Step {
        let top = self.pop()?;
        self.memo.insert(index, top);
        self.push(top);
        Ok(())
    }

    pub(super) fn get(&mut self, index: u32) -> Step {
        let value = *self.memo.get(&index).ok_or("a value in the memo")?;
        self.push(value);
        Ok(())
    }

    fn push_tuple(&mut self, items: Vec<Value<'a>>) {
        self.tuples.push(items);
        self.push(Value::Tuple(self.tuples.len() - 1));
    }

    pub(super) fn tuple(&mut self, len: usize) -> Step {
        let mut items = Vec::with_capacity(len);
        for _ in 0..len {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push_tuple(items);
        Ok(())
    }

    pub(super) fn tuple_from_mark(&mut self) -> Step {
        let items = self.pop_mark()?;
        self.push_tuple(items);
        Ok(())
    }

    pub(super) fn dict(&mut self) {
        self.dicts.push(Vec::new());
        self.push(Value::Dict(self.dicts.len() - 1));
    }

    pub(super) fn set_item(&mut self) -> Step {
        let (value, key) = (self.pop()?, self.pop()?);
        self.insert(vec![key, value])
    }

    pub(super) fn set_items_from_mark(&mut self) -> Step {
        let items = self.pop_mark()?;
        self.insert(items)
    }

    /// Adds keys and values, by turns, to the dictionary on the stack, which stays.
    fn insert(&mut self, items: Vec<Value<'a>>) -> Step {
        let Value::Dict(index) = self.pop()? else {
            return Err("a dictionary on the stack");
        };
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("a value for every key");
        }
        self.dicts[index].extend(pairs.iter().map(|&[key, value]| (key, value)));
        self.push(Value::Dict(index));
        Ok(())
    }

    fn pop_tuple(&mut self) -> Step<usize> {
        match self.pop()? {
            Value::Tuple(index) => Ok(index),
            _ => Err("a tuple on the stack"),
        }
    }

    /// A persistent id: `("storage", type, key, location, length)`.
    pub(super) fn load_storage(&mut self) -> Step {
        let id = self.pop_tuple()?;
        match self.tuples[id].as_slice() {
            [
                Value::Text("storage"),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                Value::Text(_),
                Value::Int(len),
            ] if key.len() <= MAX_STORAGE_KEY => {
                let len = usize::try_from(*len).map_err(|_| "a storage's length, 0 or more")?;
                self.storages.push(Storage { key, dtype: *dtype, len });
                self.push(Value::Storage(self.storages.len() - 1));
                Ok(())
            }
            _ => Err("the id of a storage"),
        }
    }

    /// Applies one of the known globals to the tuple of its arguments.
    pub(super) fn reduce(&mut self) -> Step {
        let arguments = self.pop_tuple()?;
        match self.pop()? {
            Value::Global(Global::OrderedDict) if self.tuples[arguments].is_empty() => self.dict(),
            Value::Global(Global::RebuildTensor) => {
                let tensor = self.rebuild_tensor(arguments)?;
                self.tensors.push(tensor);
                self.push(Value::Tensor(self.tensors.len() - 1));
            }
            Value::Global(Global::RebuildParameter) => match self.tuples[arguments].as_slice() {
                [Value::Tensor(tensor), Value::Bool, Value::Dict(_)] => self.push(Value::Tensor(*tensor)),
                _ => return Err("the arguments of a parameter: tensor, gradient flag, hooks"),
            },
            _ => return Err("a constructor and its arguments"),
        }
        Ok(())
    }

    /// `(storage, offset, shape, strides, gradient flag, hooks[, metadata])`
    fn rebuild_tensor(&self, arguments: usize) -> Step<TorchTensor> {
        let (tensor, metadata) = match self.tuples[arguments].split_at_checked(6) {
            Some((tensor, metadata)) => (tensor, metadata),
            None => return Err("the arguments of a tensor"),
        };
        if !matches!(metadata, [] | [Value::None | Value::Dict(_)]) {
            return Err("a tensor without attributes of its own");
        }
        match tensor {
            [
                Value::Storage(storage),
                Value::Int(offset),
                Value::Tuple(shape),
                Value::Tuple(strides),
                Value::Bool,
                Value::Dict(_),
            ] => self.view(&self.storages[*storage], *offset, *shape, *strides),
            _ => Err("the arguments of a tensor"),
        }
    }

    fn view(&self, storage: &Storage<'a>, offset: i64, shape: usize, strides: usize) -> Step<TorchTensor> {
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() {
            return Err("a stride for every axis");
        }
        Ok(TorchTensor {
            storage: storage.key.into(),
            storage_len: storage.len,
            dtype: storage.dtype,
            offset: usize::try_from(offset).map_err(|_| "an offset of 0 or more")?,
            shape,
            strides,
        })
    }

    fn sizes(&self, tuple: usize) -> Step<Vec<usize>> {
        let items = &self.tuples[tuple];
        if items.len() > MAX_AXES {
            return Err("at most 8 axes");
        }
        let size = |item: &Value<'a>| match item {
            Value::Int(n) => usize::try_from(*n).map_err(|_| "sizes of 0 or more"),
            _ => Err("sizes of 0 or more"),
        };
        items.iter().map(size).collect()
    }

    /// Accepts the attributes of a state dict (versions of modules), which say nothing about tensors.
    pub(super) fn build(&mut self) -> Step {
        let attributes = self.pop()?;
        let object = self.pop()?;
        match (object, attributes) {
            (Value::Dict(_), Value::Dict(_)) => {
                self.push(object);
                Ok(())
            }
            _ => Err("a dictionary and its attributes"),
        }
    }

    /// The dictionary that is left on the stack, or what is there instead.
    pub(super) fn state_dict(mut self) -> Result<StateDict, String> {
        let (root, rest) = (self.stack.pop(), self.stack.len() + self.marks.len());
        let Some(Value::Dict(root)) = root.filter(|_| rest == 0) else {
            return Err("no dictionary".into());
        };
        let mut names = BTreeSet::new();
        let mut tensors = StateDict::new();
        for &(key, value) in &self.dicts[root] {
            let Value::Text(name) = key else {
                return Err("a key that is not text".into());
            };
            let Value::Tensor(tensor) = value else {
                return Err(format!("another thing under {name:?}"));
            };
            if !names.insert(name) {
                return Err(format!("{name:?} twice"));
            }
            tensors.push((name.into(), self.tensors[tensor].clone()));
        }
        Ok(tensors)
    }
}
