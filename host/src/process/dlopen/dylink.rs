//! The section `dylink.0`: what a side module asks of its loader.

use std::collections::HashSet;

use nodule_abi::error::Result;
use wasmparser::{Dylink0Subsection, KnownCustom, Parser, Payload, SymbolFlags};

use super::failed;

/// Largest section; names in it become values of the host.
const SECTION_BYTES_MAX: usize = 1024 * 1024;
/// Most libraries one side module may need.
const NEEDED_MAX: usize = nodule_abi::limits::SIDE_MODULES_MAX;
/// Most directories one side module may have searched.
const RUNTIME_PATHS_MAX: usize = 32;
/// Largest alignment, as a power of 2, that an address space of 32 bits can hold.
const ALIGNMENT_MAX: u32 = 31;

/// Room in the memory or the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes or elements.
    pub size: u32,
    /// The start is a multiple of 2 to this power.
    pub alignment: u32,
}

impl Room {
    /// Where it starts when `used` bytes or elements are taken, and where it ends.
    pub(super) fn place(self, used: u64) -> (u64, u64) {
        let alignment = 1_u64 << self.alignment.min(ALIGNMENT_MAX);
        let start = used.next_multiple_of(alignment);
        (start, start + u64::from(self.size))
    }
}

/// What the section says, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dylink {
    /// For its data.
    pub memory: Room,
    /// For its function pointers.
    pub table: Room,
    /// Libraries to load first.
    pub needed: Vec<String>,
    /// Where these are searched, after the directory of the module.
    pub runtime_paths: Vec<String>,
    /// Imports (namespace, name) that may stay unresolved.
    pub weak: HashSet<(String, String)>,
    /// Exports that are offsets into thread-local data, which an isolate does not have.
    pub thread_local: HashSet<String>,
}

impl Dylink {
    /// Reads the section out of a module in binary form. The convention wants it to be the first one.
    pub(super) fn parse(name: &str, binary: &[u8]) -> Result<Self> {
        let invalid =
            |reason: &dyn std::fmt::Display| failed(format!("{name} has an invalid dylink.0 section: {reason}"));
        for payload in Parser::new(0).parse_all(binary) {
            let section = match payload.map_err(|error| invalid(&error))? {
                Payload::Version { .. } => continue,
                Payload::CustomSection(section) if section.name() == "dylink.0" => section,
                _ => break,
            };
            if section.data().len() > SECTION_BYTES_MAX {
                return Err(invalid(&format_args!("more than {SECTION_BYTES_MAX} bytes")));
            }
            let KnownCustom::Dylink0(subsections) = section.as_known() else {
                break;
            };
            let mut dylink = Self::default();
            for subsection in subsections {
                dylink
                    .add(subsection.map_err(|error| invalid(&error))?)
                    .map_err(|reason| invalid(&reason))?;
            }
            return Ok(dylink);
        }
        Err(failed(format!(
            "{name} is no side module: it does not start with a dylink.0 section (hint: compile with -fPIC, link with -shared)"
        )))
    }

    fn add(&mut self, subsection: Dylink0Subsection<'_>) -> std::result::Result<(), String> {
        match subsection {
            Dylink0Subsection::MemInfo(info) => {
                self.memory = room(info.memory_size, info.memory_alignment)?;
                self.table = room(info.table_size, info.table_alignment)?;
            }
            Dylink0Subsection::Needed(names) => extend(&mut self.needed, &names, NEEDED_MAX, "needed libraries")?,
            Dylink0Subsection::RuntimePath(paths) => {
                extend(&mut self.runtime_paths, &paths, RUNTIME_PATHS_MAX, "run-time paths")?;
            }
            Dylink0Subsection::ImportInfo(imports) => {
                let weak = imports
                    .iter()
                    .filter(|import| import.flags.contains(SymbolFlags::BINDING_WEAK));
                self.weak
                    .extend(weak.map(|import| (import.module.to_owned(), import.field.to_owned())));
            }
            Dylink0Subsection::ExportInfo(exports) => {
                let thread_local = exports.iter().filter(|export| export.flags.contains(SymbolFlags::TLS));
                self.thread_local
                    .extend(thread_local.map(|export| export.name.to_owned()));
            }
            // Later versions of the convention may add some.
            Dylink0Subsection::Unknown { .. } => {}
        }
        Ok(())
    }
}

fn room(size: u32, alignment: u32) -> std::result::Result<Room, String> {
    if alignment > ALIGNMENT_MAX {
        return Err(format!("alignment 2^{alignment} does not fit into 32 bits"));
    }
    Ok(Room { size, alignment })
}

fn extend(list: &mut Vec<String>, names: &[&str], max: usize, what: &str) -> std::result::Result<(), String> {
    if list.len() + names.len() > max {
        return Err(format!("more than {max} {what}"));
    }
    for name in names {
        if name.len() > nodule_abi::limits::PATH_BYTES_MAX as usize {
            return Err(format!("one of the {what} has a name of {} bytes", name.len()));
        }
        list.push((*name).to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> std::result::Result<Dylink, String> {
        Dylink::parse("lib.wasm", &wat::parse_str(text).unwrap()).map_err(|error| error.to_string())
    }

    /// A module of nothing but the section with this content.
    fn with_section(content: &[u8]) -> Vec<u8> {
        let mut length = content.len() + 9;
        let mut module = b"\0asm\x01\0\0\0\0".to_vec();
        while length > 127 {
            module.push(u8::try_from(length & 127).unwrap() | 128);
            length >>= 7;
        }
        module.push(u8::try_from(length).unwrap());
        module.extend(b"\x08dylink.0");
        module.extend(content);
        module
    }

    #[test]
    fn every_subsection_is_read() {
        let dylink = parse(
            r#"(module (@dylink.0
                (mem-info (memory 64 4) (table 2 1))
                (needed "liba.wasm" "libb.wasm")
                (import-info "env" "maybe" binding-weak)
                (export-info "slot" tls)))"#,
        )
        .unwrap();
        assert_eq!(dylink.memory, Room { size: 64, alignment: 4 });
        assert_eq!(dylink.table, Room { size: 2, alignment: 1 });
        assert_eq!(dylink.needed, ["liba.wasm", "libb.wasm"]);
        assert!(dylink.weak.contains(&("env".to_owned(), "maybe".to_owned())));
        assert!(dylink.thread_local.contains("slot"));
        let paths = Dylink::parse("lib.wasm", &with_section(b"\x05\x05\x01\x03lib"))
            .unwrap()
            .runtime_paths;
        assert_eq!(paths, ["lib"]);
    }

    #[test]
    fn a_module_without_the_section_in_front_is_refused() {
        assert!(parse("(module)").unwrap_err().contains("no side module"));
        assert!(
            parse(r#"(module (@custom "other" (before first) "") (@dylink.0 (mem-info (memory 0 0) (table 0 0))))"#)
                .is_err()
        );
    }

    #[test]
    fn hostile_sections_are_refused() {
        for (content, reason) in [
            (&b"\x01\x04\x00\x20\x00\x00"[..], "alignment 2^32"),
            (b"\x01\x04\x00\x00\x00\x7f", "alignment 2^127"),
            (b"\x01\x7f\x00", "unexpected end"),
            (b"\x02\x05\xff\xff\xff\xff\x0f", "unexpected"),
            (b"\x02\x03\x01\x01\xff", "UTF-8"),
        ] {
            let error = Dylink::parse("lib.wasm", &with_section(content))
                .unwrap_err()
                .to_string();
            assert!(error.contains(reason), "{error}");
        }
        // 300 needed libraries with empty names.
        let mut many = vec![2, 0xae, 0x02, 0xac, 0x02];
        many.extend([0; 300]);
        assert!(
            Dylink::parse("lib.wasm", &with_section(&many))
                .unwrap_err()
                .to_string()
                .contains("more than 256")
        );
        assert!(Dylink::parse("lib.wasm", &with_section(&vec![0; SECTION_BYTES_MAX + 2])).is_err());
    }

    #[test]
    fn room_is_placed_without_overflow() {
        assert_eq!(Room { size: 10, alignment: 4 }.place(1), (16, 26));
        assert_eq!(
            Room {
                size: u32::MAX,
                alignment: 31
            }
            .place(1),
            (1 << 31, (1 << 31) + u64::from(u32::MAX))
        );
    }
}
