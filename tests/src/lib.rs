//! Harness of the end-to-end tests: the real binary over real standard input and output.
//!
//! [`Server`] starts the program, frames messages, and puts a deadline on every wait. Dropping it
//! shuts the server down through the protocol and checks that it left cleanly and that no message
//! went unread, so a test need not.
//!
//! ```no_run
//! use carat_tests::{Launch, Client};
//!
//! let mut server = Launch::new("target/debug/carat".as_ref()).start();
//! server.initialize(&Client::inline());
//! server.open("file:///a.rs", "rust", "fn main() {}");
//! let id = server.inline_completion("file:///a.rs", (0, 11));
//! assert!(server.response(id).is_ok());
//! ```

mod http;
mod naive;
mod process;
mod random;
mod server;
mod soak;

pub use http::{HttpReply, HttpRequest, HttpServer};
pub use naive::{NaiveText, Units};
pub use process::{cpu_time, resident_bytes};
pub use random::Random;
pub use server::{Client, Exit, Launch, Received, Server};
pub use soak::{Soaked, soak};
