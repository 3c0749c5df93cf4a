//! Criterion benchmarks of the framework itself.
