//! Side modules: wasm that is loaded into this isolate's memory at run time (Node: `process.dlopen`).
//!
//! ```no_run
//! # fn main() -> nodule_sdk::Result<()> {
//! use nodule_sdk::process::{dlopen, dylib::{Flags, Symbol}};
//!
//! let library = dlopen("./add.wasm", Flags::default())?;
//! if let Symbol::Function(function) = library.symbol("add")? {
//!     // The number is a function pointer; its type is the caller's knowledge:
//!     // let add: extern "C" fn(i32, i32) -> i32 = unsafe { std::mem::transmute(function.index()) };
//!     println!("add is function {}", function.index());
//! }
//! # Ok(())
//! # }
//! ```

use crate::error::Result;
use crate::sys;

/// How a side module is loaded (Node: `os.constants.dlopen`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// Functions nobody provides trap when they are called, naming the symbol.
    pub const LAZY: Self = Self(1);
    /// Functions nobody provides make loading fail.
    pub const NOW: Self = Self(2);
    /// Later modules may use the symbols.
    pub const GLOBAL: Self = Self(256);
    /// Later modules do not see the symbols.
    pub const LOCAL: Self = Self(0);
}

impl Default for Flags {
    fn default() -> Self {
        Self::LAZY
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A loaded side module. It stays loaded when this is dropped or closed: function pointers stay valid.
#[derive(Debug)]
pub struct Library {
    handle: u32,
}

/// What a name of a side module stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symbol {
    /// A function.
    Function(Function),
    /// Data at this address of the isolate's memory.
    Data(usize),
}

/// A function of a side module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function(u32);

impl Function {
    /// Its place in the table of functions: what a function pointer is in wasm. A call with another type than the
    /// function has traps.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Loads the side module `path` (`dylink.0` convention); a second time gives the same module.
///
/// # Errors
/// `ERR_DLOPEN_DISABLED` without the grant `addon`, else `ERR_DLOPEN_FAILED`.
pub fn dlopen(path: &str, flags: Flags) -> Result<Library> {
    Ok(Library {
        handle: sys::process::dlopen(path, flags.0)?,
    })
}

impl Library {
    /// Looks a name up.
    ///
    /// # Errors
    /// `ERR_DLOPEN_FAILED` when there is none.
    pub fn symbol(&self, name: &str) -> Result<Symbol> {
        let [kind, place] = sys::process::dlsym(self.handle, name)?;
        Ok(if kind == 0 {
            Symbol::Function(Function(place))
        } else {
            Symbol::Data(place as usize)
        })
    }

    /// Gives the module back; it stays loaded.
    ///
    /// # Errors
    /// When it was given back already.
    pub fn close(self) -> Result<()> {
        sys::process::dlclose(self.handle)
    }
}
