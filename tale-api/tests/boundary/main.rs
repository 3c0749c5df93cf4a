//! Loads real libraries and calls them over the boundary.

mod built;
mod healthy;
