//! Reads a module or component into a [`Report`].

use std::borrow::Cow;

use nodule_abi::{ABI_VERSION, hooks};
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use wasmparser::types::{EntityType, Types, TypesRef};
use wasmparser::{Encoding, Parser, Payload, ValType, Validator, WasmFeatures};

use super::wants::{self, Want};
use crate::cli::error::CliError;
use crate::exit_code::ExitCode;
use crate::runtime::ModuleError;

/// What kind of module it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Has `_start`: `nodule run` runs it.
    Command,
    /// Has `_initialize`: an embedder calls its exports.
    Reactor,
    /// Has neither: an embedder calls its exports.
    Library,
    /// Has the section `dylink.0`: another module loads it with `dlopen`.
    SideModule,
    /// A component, which nodule does not run.
    Component,
}

impl Kind {
    /// Whether the host, not another module or nobody, provides its imports.
    pub const fn is_linked_by_the_host(self) -> bool {
        matches!(self, Self::Command | Self::Reactor | Self::Library)
    }
}

/// What is in a module.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Its file.
    pub file: String,
    /// What it is.
    pub kind: Kind,
    /// Its length in the binary form.
    pub bytes: usize,
    /// Digest of its binary form.
    pub sha256: String,
    /// The ABI of nodule it was built for.
    pub abi: Abi,
    /// The number of its start function.
    pub start: Option<u32>,
    /// What it needs.
    pub imports: Vec<Import>,
    /// What it offers.
    pub exports: Vec<Export>,
    /// Its memories, imported ones included.
    pub memories: Vec<Memory>,
    /// Its tables, imported ones included.
    pub tables: Vec<Table>,
    /// Its custom sections.
    pub custom_sections: Vec<CustomSection>,
    /// What it may have to be granted.
    pub permissions: Vec<Want>,
    /// Why `nodule run` refuses it.
    pub problems: Vec<String>,
}

/// ABI numbers.
#[derive(Debug, Serialize)]
pub struct Abi {
    /// The module's; nothing for one that does not use the SDK.
    pub module: Option<String>,
    /// This nodule's.
    pub host: u32,
}

/// One import.
#[derive(Debug, Serialize)]
pub struct Import {
    /// Its namespace.
    pub module: String,
    /// Its name there.
    pub name: String,
    /// What it must be.
    #[serde(flatten)]
    pub item: Item,
    /// Why this nodule does not have it.
    pub problem: Option<String>,
}

/// One export.
#[derive(Debug, Serialize)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(flatten)]
    pub item: Item,
}

/// What is imported or exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Function, table, memory, global or tag; in components also instance and so on.
    pub kind: Cow<'static, str>,
    /// Its type, as in the text format; components have none here.
    #[serde(rename = "type")]
    pub ty: Option<String>,
    /// All of it, as an import of the text format says it.
    #[serde(skip)]
    pub wat: Option<String>,
}

/// One memory.
#[derive(Debug, Serialize)]
pub struct Memory {
    /// Pages at the start.
    pub min_pages: u64,
    /// Most pages; none: what the address type can reach.
    pub max_pages: Option<u64>,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Whether it is `shared`, which nodule's windows do not need.
    pub shared: bool,
    /// Whether its addresses have 64 bits.
    pub memory64: bool,
}

/// One table.
#[derive(Debug, Serialize)]
pub struct Table {
    /// Type of its elements.
    #[serde(rename = "type")]
    pub ty: String,
    /// Elements at the start.
    pub min_elements: u64,
    /// Most elements.
    pub max_elements: Option<u64>,
}

/// One custom section.
#[derive(Debug, Serialize)]
pub struct CustomSection {
    /// Its name.
    pub name: String,
    /// Its length.
    #[serde(serialize_with = "length")]
    pub bytes: usize,
}

fn length<S: Serializer>(bytes: &usize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(*bytes as u64)
}

/// Reads `bytes`, the contents of the file `name`, in the binary or the text format.
pub fn read(name: &str, bytes: &[u8]) -> Result<Report, CliError> {
    let binary = binary_form(name, bytes)?;
    let invalid = |error: &wasmparser::BinaryReaderError| {
        CliError::from(ModuleError::Invalid {
            name: name.into(),
            reason: error.to_string(),
        })
    };
    let features = WasmFeatures::all();
    let types = Validator::new_with_features(features)
        .validate_all(&binary)
        .map_err(|error| invalid(&error))?;
    let mut report = Report {
        file: name.into(),
        kind: Kind::Library,
        bytes: binary.len(),
        sha256: Sha256::digest(&binary)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        abi: Abi {
            module: None,
            host: ABI_VERSION,
        },
        start: None,
        imports: Vec::new(),
        exports: Vec::new(),
        memories: Vec::new(),
        tables: Vec::new(),
        custom_sections: Vec::new(),
        permissions: Vec::new(),
        problems: Vec::new(),
    };
    read_sections(&mut report, &binary).map_err(|error| invalid(&error))?;
    if report.kind == Kind::Component {
        report
            .problems
            .push("nodule runs core modules, not components; build for wasm32-wasip1 instead of wasm32-wasip2".into());
        return Ok(report);
    }
    read_types(&mut report, &types);
    report.kind = kind(&report);
    report.permissions = wants::of(&report.imports);
    report.abi.module = report
        .exports
        .iter()
        .find_map(|export| export.name.strip_prefix(hooks::ABI_EXPORT_PREFIX))
        .map(str::to_owned);
    Ok(report)
}

fn binary_form<'a>(name: &str, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, CliError> {
    // A component is no error here, unlike where modules are loaded.
    if bytes.starts_with(b"\0asm") {
        return Ok(bytes.into());
    }
    match crate::runtime::binary_form(name, bytes) {
        Ok(binary) => Ok(binary),
        Err(ModuleError::Component { .. }) => wat::parse_bytes(bytes).map_err(|error| {
            ModuleError::Invalid {
                name: name.into(),
                reason: error.to_string(),
            }
            .into()
        }),
        Err(ModuleError::Precompiled { .. }) => {
            let message = format!("{name} is precompiled code, which only the engine can read");
            Err(CliError::new(ExitCode::Parse, message).hint("inspect the .wasm file it was made of"))
        }
        Err(error) => Err(error.into()),
    }
}

/// What the types of a valid module do not tell: the kind, the start function, custom sections, and the imports and
/// exports of a component.
fn read_sections(report: &mut Report, binary: &[u8]) -> wasmparser::Result<()> {
    // Components hold modules and components, whose sections are not theirs.
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(binary) {
        match payload? {
            Payload::Version { encoding, .. } => {
                depth += 1;
                if depth == 1 && encoding == Encoding::Component {
                    report.kind = Kind::Component;
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth > 1 => {}
            Payload::StartSection { func, .. } => report.start = Some(func),
            Payload::CustomSection(section) => {
                let (name, bytes) = (section.name().to_owned(), section.data().len());
                report.custom_sections.push(CustomSection { name, bytes });
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    let import = import?;
                    let item = Item::untyped(import.ty.kind().desc());
                    let (module, name) = (String::new(), import.name.name.to_owned());
                    report.imports.push(Import {
                        module,
                        name,
                        item,
                        problem: None,
                    });
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    let item = Item::untyped(export.kind.desc());
                    report.exports.push(Export {
                        name: export.name.name.to_owned(),
                        item,
                    });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_types(report: &mut Report, types: &Types) {
    let types = types.as_ref();
    for (module, name, ty) in types.core_imports().into_iter().flatten() {
        let (module, name) = (module.to_owned(), name.to_owned());
        report.imports.push(Import {
            module,
            name,
            item: Item::of(ty, types),
            problem: None,
        });
    }
    for (name, ty) in types.core_exports().into_iter().flatten() {
        report.exports.push(Export {
            name: name.to_owned(),
            item: Item::of(ty, types),
        });
    }
    for memory in (0..types.memory_count()).map(|index| types.memory_at(index)) {
        report.memories.push(Memory {
            min_pages: memory.initial,
            max_pages: memory.maximum,
            page_bytes: 1 << memory.page_size_log2.unwrap_or(16),
            shared: memory.shared,
            memory64: memory.memory64,
        });
    }
    for table in (0..types.table_count()).map(|index| types.table_at(index)) {
        report.tables.push(Table {
            ty: table.element_type.to_string(),
            min_elements: table.initial,
            max_elements: table.maximum,
        });
    }
}

fn kind(report: &Report) -> Kind {
    let has_function = |name| {
        report
            .exports
            .iter()
            .any(|export| export.name == name && export.item.kind == "function")
    };
    if report.custom_sections.iter().any(|section| section.name == "dylink.0") {
        Kind::SideModule
    } else if has_function("_start") {
        Kind::Command
    } else if has_function("_initialize") {
        Kind::Reactor
    } else {
        Kind::Library
    }
}

impl Item {
    fn untyped(kind: &'static str) -> Self {
        Self {
            kind: kind.into(),
            ty: None,
            wat: None,
        }
    }

    fn of(ty: EntityType, types: TypesRef<'_>) -> Self {
        let (kind, ty, wat) = match ty {
            EntityType::Func(id) | EntityType::FuncExact(id) => {
                let function = types[id].unwrap_func();
                let (params, results) = (names(function.params()), names(function.results()));
                let wat = format!("(func (param {params}) (result {results}))");
                ("function", format!("({params}) -> ({results})"), wat)
            }
            EntityType::Tag(id) => {
                let params = names(types[id].unwrap_func().params());
                ("tag", format!("({params})"), format!("(tag (param {params}))"))
            }
            EntityType::Table(table) => {
                let limits = limits(table.table64, table.initial, table.maximum);
                let ty = format!("{limits} {}", table.element_type);
                ("table", ty.clone(), format!("(table {ty})"))
            }
            EntityType::Memory(memory) => {
                let shared = if memory.shared { " shared" } else { "" };
                let limits = limits(memory.memory64, memory.initial, memory.maximum);
                let ty = format!("{limits}{shared}");
                ("memory", ty.clone(), format!("(memory {ty})"))
            }
            EntityType::Global(global) => {
                let ty = match global.mutable {
                    true => format!("(mut {})", global.content_type),
                    false => global.content_type.to_string(),
                };
                ("global", ty.clone(), format!("(global {ty})"))
            }
        };
        Self {
            kind: kind.into(),
            ty: Some(ty),
            wat: Some(wat),
        }
    }
}

fn limits(has_64_bits: bool, least: u64, most: Option<u64>) -> String {
    let address = if has_64_bits { "i64 " } else { "" };
    match most {
        Some(most) => format!("{address}{least} {most}"),
        None => format!("{address}{least}"),
    }
}

fn names(types: &[ValType]) -> String {
    let names: Vec<_> = types.iter().map(ToString::to_string).collect();
    names.join(" ")
}
