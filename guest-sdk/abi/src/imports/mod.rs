//! The import table. Every function that a guest may import is declared in the files of this folder, one an area,
//! and nowhere else.
//!
//! # Conventions
//!
//! - Pointers and lengths are byte addresses and counts in the guest's linear memory.
//! - Functions that can fail return an error number ([`crate::error::ErrorCode`]), 0 for success.
//!   `nodule:error/1` `last` describes the failure.
//! - **Sized results**: a triple `buf, cap, len`. The host always writes the full length to `*len`;
//!   when it exceeds `cap` nothing else is written and the result is `ERANGE`: grow and call again.
//! - **Values** are CBOR ([`crate::value`]); strings are UTF-8 without a terminator.
//! - A pointer outside the memory gives `EFAULT`, a length above its limit ([`crate::limits`])
//!   `ERR_OUT_OF_RANGE` or `ENAMETOOLONG`, text that is not UTF-8 `EILSEQ`, an unknown handle `ERR_HANDLE_CLOSED`.
//! - Unless stated otherwise a call does not block.

/// The wasm type of a parameter or result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WasmType {
    /// 32-bit integer; also pointers, lengths, handles.
    I32,
    /// 64-bit integer.
    I64,
    /// 64-bit float.
    F64,
}

impl WasmType {
    /// The name in the wasm text format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }
}

/// A type that can stand in an import's signature.
pub trait AbiType {
    /// How it travels.
    const WASM: WasmType;
    /// How the C header spells it.
    const C: &'static str;
}

macro_rules! abi_types {
    ($($type:ty => $wasm:ident, $c:literal;)*) => {
        $(impl AbiType for $type { const WASM: WasmType = WasmType::$wasm; const C: &'static str = $c; })*
    };
}

abi_types! {
    i32 => I32, "int32_t ";
    u32 => I32, "uint32_t ";
    i64 => I64, "int64_t ";
    u64 => I64, "uint64_t ";
    f64 => F64, "double ";
    *const u8 => I32, "const uint8_t *";
    *mut u8 => I32, "uint8_t *";
    *const u32 => I32, "const uint32_t *";
    *mut u32 => I32, "uint32_t *";
    *mut u64 => I32, "uint64_t *";
    *mut crate::event::EventRecord => I32, "struct nodule_event *";
}

/// One parameter of an import.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Its wasm type.
    pub wasm: WasmType,
    /// Its C type, ready to be followed by the name.
    pub c: &'static str,
}

/// One function a guest may import.
#[derive(Clone, Copy, Debug)]
pub struct Import {
    /// Name within the area's namespace.
    pub name: &'static str,
    /// Lines of its documentation.
    pub docs: &'static [&'static str],
    /// Parameters in order.
    pub params: &'static [Param],
    /// The result, if any.
    pub result: Option<Param>,
}

/// One area: a namespace `nodule:<name>/<version>`.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// Name of the area.
    pub name: &'static str,
    /// Version of its interface.
    pub version: u32,
    /// The import namespace.
    pub namespace: &'static str,
    /// Lines of its documentation.
    pub docs: &'static [&'static str],
    /// Its functions in order.
    pub imports: &'static [Import],
}

/// The prefix of every namespace of ours.
pub const NAMESPACE_PREFIX: &str = "nodule:";

macro_rules! result_of {
    () => {
        None
    };
    ($ret:ty) => {
        Some($crate::imports::Param {
            name: "result",
            wasm: <$ret as $crate::imports::AbiType>::WASM,
            c: <$ret as $crate::imports::AbiType>::C,
        })
    };
}
use result_of;

/// Declares one area.
macro_rules! abi {
    (
        $(#[doc = $area_doc:literal])*
        area $area:ident version $version:literal from $namespace:literal {
            $(
                $(#[doc = $doc:literal])*
                fn $name:ident($($param:ident: $type:ty),* $(,)?) $(-> $ret:ty)?;
            )*
        }
    ) => {
        /// The import namespace.
        pub const NAMESPACE: &str = $namespace;

        /// The area.
        pub const AREA: $crate::imports::Area = $crate::imports::Area {
            name: stringify!($area),
            version: $version,
            namespace: NAMESPACE,
            docs: &[$($area_doc),*],
            imports: &[$($crate::imports::Import {
                name: stringify!($name),
                docs: &[$($doc),*],
                params: &[$($crate::imports::Param {
                    name: stringify!($param),
                    wasm: <$type as $crate::imports::AbiType>::WASM,
                    c: <$type as $crate::imports::AbiType>::C,
                }),*],
                result: $crate::imports::result_of!($($ret)?),
            }),*],
        };

        /// The externs a guest links against. Calling one is unsafe: pointers are not checked on this side.
        #[allow(unsafe_code, reason = "declarations of imports")]
        #[allow(clashing_extern_declarations, reason = "the same name in two namespaces")]
        pub mod raw {
            #[cfg_attr(
                target_family = "wasm",
                link(wasm_import_module = $namespace)
            )]
            unsafe extern "C" {
                $(
                    $(#[doc = $doc])*
                    pub fn $name($($param: $type),*) $(-> $ret)?;
                )*
            }
        }
    };
}

/// Lists the areas, in the order of the documentation.
macro_rules! areas {
    ($($area:ident),* $(,)?) => {
        $(pub mod $area;)*

        /// Every area, in the order of the documentation.
        pub const AREAS: &[Area] = &[$($area::AREA),*];

        /// The import namespaces by area.
        pub mod namespace {
            $(
                #[doc = concat!("Namespace of the area `", stringify!($area), "`.")]
                #[allow(non_upper_case_globals, reason = "named after the area")]
                pub const $area: &str = super::$area::NAMESPACE;
            )*
        }
    };
}

areas! {
    error,
    event_loop,
    timers,
    stdio,
    locks,
    os,
    process,
    messaging,
    worker_threads,
    diagnostics,
    shared_memory,
    child_process,
    ipc,
}

/// The area with this name.
pub fn area(name: &str) -> Option<&'static Area> {
    AREAS.iter().find(|area| area.name == name)
}

/// The import `name` of the namespace `namespace`.
pub fn find(namespace: &str, name: &str) -> Option<&'static Import> {
    let area = AREAS.iter().find(|area| area.namespace == namespace)?;
    area.imports.iter().find(|import| import.name == name)
}

/// The table as text, one line an import: `nodule:process/1 kill (i32 i32) -> i32`. Committed as the golden listing.
pub fn listing() -> alloc::string::String {
    use core::fmt::Write as _;
    let mut text = alloc::string::String::new();
    for area in AREAS {
        for import in area.imports {
            let params: alloc::vec::Vec<_> = import.params.iter().map(|param| param.wasm.name()).collect();
            // Writing to a String cannot fail.
            let _ = write!(text, "{} {} ({})", area.namespace, import.name, params.join(" "));
            if let Some(result) = &import.result {
                let _ = write!(text, " -> {}", result.wasm.name());
            }
            text.push('\n');
        }
    }
    text
}
