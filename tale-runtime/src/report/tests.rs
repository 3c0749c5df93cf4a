//! The report from journals made by the real writer.

mod journal;
mod numbers;
mod page;
