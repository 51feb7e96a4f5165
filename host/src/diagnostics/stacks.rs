//! Call stacks, each kept once: a tree of functions.

use std::collections::HashMap;

use wasmtime::FrameInfo;

use super::capture::{code_of, index};

/// The root of the tree, above the outermost functions.
pub(super) const ROOT: u32 = 0;

/// Most nodes of a tree; what comes then counts for the nearest caller that is there.
const NODES_MAX: usize = 65_536;
/// Longest name of a function or module.
const NAME_BYTES_MAX: usize = 512;

/// A function that was seen.
#[derive(Clone, Debug)]
pub(super) struct Function {
    /// Its name as error messages show it.
    pub(super) name: String,
    /// The number of its module.
    pub(super) module: u32,
    /// File and line, if the module has debug information.
    pub(super) place: Option<(String, u32)>,
}

/// One function called by one stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) parent: u32,
    pub(super) function: u32,
}

/// The tree.
#[derive(Debug)]
pub(super) struct Stacks {
    /// Names of the modules.
    pub(super) modules: Vec<String>,
    pub(super) functions: Vec<Function>,
    /// Nodes after their parents; the first is the root.
    pub(super) nodes: Vec<Node>,
    modules_by_code: HashMap<usize, u32>,
    functions_by_number: HashMap<(u32, u32), u32>,
    nodes_by_caller: HashMap<(u32, u32), u32>,
}

impl Default for Stacks {
    fn default() -> Self {
        Self {
            modules: Vec::new(),
            functions: Vec::new(),
            nodes: vec![Node {
                parent: ROOT,
                function: u32::MAX,
            }],
            modules_by_code: HashMap::new(),
            functions_by_number: HashMap::new(),
            nodes_by_caller: HashMap::new(),
        }
    }
}

impl Stacks {
    /// The node of a stack, given youngest frame first.
    pub(super) fn node(&mut self, frames: &[FrameInfo]) -> u32 {
        let mut node = ROOT;
        for frame in frames.iter().rev() {
            let module = self.module(frame.module());
            let function = self.function(module, frame);
            let key = (node, function);
            node = match self.nodes_by_caller.get(&key) {
                Some(known) => *known,
                None if self.nodes.len() >= NODES_MAX => return node,
                None => {
                    let number = index(self.nodes.len());
                    self.nodes.push(Node { parent: node, function });
                    self.nodes_by_caller.insert(key, number);
                    number
                }
            };
        }
        node
    }

    fn module(&mut self, module: &wasmtime::Module) -> u32 {
        *self.modules_by_code.entry(code_of(module)).or_insert_with(|| {
            self.modules.push(cut(module.name().unwrap_or("wasm")));
            index(self.modules.len() - 1)
        })
    }

    fn function(&mut self, module: u32, frame: &FrameInfo) -> u32 {
        let number = frame.func_index();
        *self.functions_by_number.entry((module, number)).or_insert_with(|| {
            let place = frame
                .symbols()
                .iter()
                .find_map(|symbol| Some((cut(symbol.file()?), symbol.line()?)));
            self.functions.push(Function {
                name: function_name(frame),
                module,
                place,
            });
            index(self.functions.len() - 1)
        })
    }
}

/// The name of a frame's function.
pub(super) fn function_name(frame: &FrameInfo) -> String {
    match frame.func_name() {
        Some(name) => cut(&format!("{:#}", rustc_demangle::demangle(&cut(name)))),
        None => format!("<wasm function {}>", frame.func_index()),
    }
}

fn cut(name: &str) -> String {
    let mut end = name.len().min(NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_string()
}
