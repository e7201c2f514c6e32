//! What buffers hold.

use half::bf16;

mod sealed {
    /// Keeps the set of elements closed.
    pub trait Sealed {}
}

/// A number that a buffer on the device may hold; any bits are a value of it.
pub trait Element: Copy + Default + PartialEq + Send + Sync + sealed::Sealed + 'static {}

/// An element that stands for a real number, and that kernels come in a version for.
pub trait Real: Element {
    /// What kernels of this type end in: `f32` or `bf16`.
    const NAME: &'static str;
    /// The nearest value.
    fn from_f32(x: f32) -> Self;
    /// The same value, widened.
    fn to_f32(self) -> f32;
}

macro_rules! elements {
    ($($element:ty),+) => {$(
        impl sealed::Sealed for $element {}
        impl Element for $element {}
    )+};
}

elements!(f32, f64, bf16, u8, i32, u32, i64);

impl Real for f32 {
    const NAME: &'static str = "f32";

    fn from_f32(x: f32) -> Self {
        x
    }

    fn to_f32(self) -> f32 {
        self
    }
}

impl Real for bf16 {
    const NAME: &'static str = "bf16";

    fn from_f32(x: f32) -> Self {
        Self::from_f32(x)
    }

    fn to_f32(self) -> f32 {
        self.to_f32()
    }
}
