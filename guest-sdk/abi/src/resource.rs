//! Resources: what a message can carry beside its bytes, as entries of its side list.

/// Numbers of an entry of a side list as it lies in guest memory: handle, kind.
pub const RESOURCE_ENTRY_BYTES: usize = 8;

macro_rules! resource_kinds {
    ($($(#[doc = $doc:literal])* $name:ident = $number:literal, $c:literal, $shown:literal;)*) => {
        /// Kinds of resources.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum ResourceKind {
            $($(#[doc = $doc])* $name = $number,)*
        }

        impl ResourceKind {
            /// Every kind with the name the C header has for it.
            pub const ALL: &[(Self, &str)] = &[$((Self::$name, $c)),*];

            /// The kind with this number.
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name in messages about it, Node's class.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $shown,)*
                }
            }
        }
    };
}

resource_kinds! {
    /// One end of a message channel. Moves.
    Port = 0, "PORT", "MessagePort";
    /// A shared buffer. Cloning shares it.
    SharedBuffer = 1, "SHARED_BUFFER", "SharedArrayBuffer";
    /// A compiled module. Cloning shares it.
    Module = 9, "MODULE", "WebAssembly.Module";
    /// The pages of a moved ArrayBuffer. Moves.
    ArrayBuffer = 10, "ARRAY_BUFFER", "ArrayBuffer";
}
