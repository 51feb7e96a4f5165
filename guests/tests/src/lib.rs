//! Test guests: one program per behaviour, in `src/bin`, named `<area>_<case>.rs`.

pub mod workers;
