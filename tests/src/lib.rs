//! Harness of the end-to-end tests: spawns the real binary, frames messages, puts a deadline on every wait.
