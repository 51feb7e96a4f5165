//! The C header, generated from the table (`guest-sdk/include/nodule.h`; `make docs` writes it, a test compares it).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::atomic::{AtomicOperation, WaitResult};
use crate::error::ErrorCode;
use crate::event::EventKind;
use crate::imports::{AREAS, Area, Import};
use crate::resource::ResourceKind;
use crate::{ABI_VERSION, hooks, limits};

/// The text of `nodule.h`.
pub fn c_header() -> String {
    let mut text = String::from(
        "/* Imports of nodule for C guests. Generated from the ABI table; do not edit. */\n\
         #ifndef NODULE_H\n#define NODULE_H\n\n#include <stdint.h>\n\n\
         #ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
    );
    text.push_str(&format!("#define NODULE_ABI_VERSION {ABI_VERSION}\n"));
    text.push_str(&format!(
        "#define NODULE_HOOK_BUFFER_BYTES {}\n\n",
        limits::HOOK_BUFFER_BYTES
    ));
    text.push_str(&format!(
        "/* Put once into a program, at file scope: states the ABI it was built for. */\n\
         #define NODULE_DECLARE_ABI() \\\n    \
         __attribute__((export_name(\"{}{ABI_VERSION}\"))) void {}{ABI_VERSION}(void) {{}}\n\n",
        hooks::ABI_EXPORT_PREFIX,
        hooks::ABI_EXPORT_PREFIX
    ));
    text.push_str("/* Error numbers. */\nenum nodule_error {\n    NODULE_OK = 0,\n");
    for code in ErrorCode::ALL {
        text.push_str(&format!("    NODULE_{} = {},\n", code.as_str(), code.number()));
    }
    text.push_str(
        "};\n\n/* One event of nodule_event_loop_wait. */\nstruct nodule_event {\n    uint32_t kind;\n    \
         uint32_t handle;\n    uint64_t args[3];\n};\n\n\
         enum nodule_event_kind {\n",
    );
    for (kind, name) in EventKind::ALL {
        text.push_str(&format!("    NODULE_EVENT_{name} = {},\n", *kind as u32));
    }
    text.push_str("};\n\n/* Kinds of the entries of a message's side list. */\nenum nodule_resource_kind {\n");
    for (kind, name) in ResourceKind::ALL {
        text.push_str(&format!("    NODULE_RESOURCE_{name} = {},\n", *kind as u32));
    }
    text.push_str("};\n\n/* What nodule_shared_memory_rmw does. */\nenum nodule_atomic_operation {\n");
    for (operation, name) in AtomicOperation::ALL {
        text.push_str(&format!("    NODULE_ATOMIC_{name} = {},\n", *operation as u32));
    }
    text.push_str("};\n\n/* How a wait on shared memory ended. */\nenum nodule_wait_result {\n");
    for (result, name) in WaitResult::ALL {
        text.push_str(&format!("    NODULE_WAIT_{name} = {},\n", *result as u32));
    }
    text.push_str("};\n");
    for area in AREAS {
        text.push_str(&format!("\n/* ---- {} ----\n", area.namespace));
        push_comment_lines(&mut text, area.docs);
        text.push_str(" */\n");
        for import in area.imports {
            push_import(&mut text, area, import);
        }
    }
    text.push_str("\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
    text
}

fn push_comment_lines(text: &mut String, lines: &[&str]) {
    for line in lines {
        text.push_str(&format!(" *{line}\n"));
    }
}

fn push_import(text: &mut String, area: &Area, import: &Import) {
    text.push_str("\n/*\n");
    push_comment_lines(text, import.docs);
    let params: Vec<_> = import
        .params
        .iter()
        .map(|param| format!("{}{}", param.c, param.name))
        .collect();
    let params = if params.is_empty() {
        String::from("void")
    } else {
        params.join(", ")
    };
    let result = import.result.as_ref().map_or("void ", |result| result.c);
    text.push_str(&format!(
        " */\n__attribute__((import_module(\"{}\"), import_name(\"{}\")))\n{result}nodule_{}_{}({params});\n",
        area.namespace, import.name, area.name, import.name
    ));
}
