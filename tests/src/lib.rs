//! What the end-to-end tests share: numerical fixtures and how they are compared.

pub mod fixture;
pub mod synthetic;
