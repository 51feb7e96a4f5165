//! Streams of bytes (Node: `stream`): standard input, and the streams of workers and children.
//!
//! ```no_run
//! # #[nodule_sdk::main]
//! # async fn main() -> nodule_sdk::Result<()> {
//! use nodule_sdk::process;
//!
//! let stdin = process::stdin();
//! while let Some(line) = stdin.read_line().await? {
//!     println!("{line}");
//! }
//! # Ok(())
//! # }
//! ```

mod readable;
mod writable;

pub use readable::Readable;
pub use writable::Writable;
