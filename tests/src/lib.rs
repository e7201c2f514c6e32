//! End-to-end tests of the Longstrand workspace.
