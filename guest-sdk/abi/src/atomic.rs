//! Numbers of the area `shared_memory`: atomic operations, results of a wait.

macro_rules! numbers {
    ($(#[doc = $type_doc:literal])* $type:ident { $($(#[doc = $doc:literal])* $name:ident = $number:literal, $c:literal;)* }) => {
        $(#[doc = $type_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $type {
            $($(#[doc = $doc])* $name = $number,)*
        }

        impl $type {
            /// Every one with the name the C header has for it.
            pub const ALL: &[(Self, &str)] = &[$((Self::$name, $c)),*];

            /// The one with this number.
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

numbers! {
    /// What `rmw` does to a cell.
    AtomicOperation {
        /// Adds, wrapping around.
        Add = 0, "ADD";
        /// Subtracts, wrapping around.
        Sub = 1, "SUB";
        /// Keeps the bits that both have.
        And = 2, "AND";
        /// Sets bits.
        Or = 3, "OR";
        /// Flips bits.
        Xor = 4, "XOR";
        /// Replaces.
        Exchange = 5, "EXCHANGE";
    }
}

numbers! {
    /// How a wait ended.
    WaitResult {
        /// It was notified.
        Woken = 0, "WOKEN";
        /// The cell did not hold the expected value.
        NotEqual = 1, "NOT_EQUAL";
        /// The time is over.
        TimedOut = 2, "TIMED_OUT";
        /// It goes on; an event tells its end.
        Pending = 3, "PENDING";
        /// The thread that held the lock does not run any more.
        OwnerDead = 4, "OWNER_DEAD";
    }
}

/// The count of `notify` that wakes all.
pub const NOTIFY_ALL: u32 = u32::MAX;

/// The greatest length of `create` that makes a buffer that cannot grow.
pub const NOT_GROWABLE: u64 = u64::MAX;
