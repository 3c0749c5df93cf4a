//! TALE plugin: answers from a recorded run.
