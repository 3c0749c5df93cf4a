//! The child of a host that isolates its plugins, as a program of its own.
//!
//! A program that calls [`Plugin::isolated`](tale_api::host::Plugin::isolated) names the program that
//! becomes the child. Usually that is itself, with an argument by which it knows; it may be another,
//! which does this and nothing else.

fn main() -> std::io::Result<()> {
    tale_api::host::isolation::serve()
}
