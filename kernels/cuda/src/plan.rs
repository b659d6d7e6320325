//! Which launches compute an operation.

