//! Modules that lie, hoard, loop and flood.
