//! The import table, what the host registers, and the ABI number.
