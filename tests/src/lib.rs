//! End-to-end tests of the tale binary.
