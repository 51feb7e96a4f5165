//! Test guests: one program per behaviour, in `src/bin`, named `<area>_<case>.rs`.

pub mod children;
pub mod workers;
