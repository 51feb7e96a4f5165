//! Functions that are looked up when they are called: what `RTLD_LAZY` leaves open, and calls around a cycle of
//! needed libraries.

use std::sync::Arc;

use wasmtime::{AsContextMut, Caller, Func, FuncType, Trap, Val};

use super::shown;
use super::symbols::{self, Symbol};
use crate::runtime::IsolateState;

/// Most calls of late functions inside each other; each has a stack of its own.
const CALLS_MAX: usize = 32;

/// An import that was left open.
#[derive(Clone, Debug)]
pub(super) struct LateFunction {
    /// Who imports it.
    pub library: usize,
    /// Its name; with its namespace where that is not one of libraries, and nothing will ever be found.
    pub name: Arc<str>,
    /// Its type.
    pub ty: FuncType,
}

impl LateFunction {
    /// A function that calls what the library finds under the name then, and traps while that is nothing.
    pub(super) fn into_func(self, caller: &mut Caller<'_, IsolateState>) -> Func {
        Func::new_async(
            caller.as_context_mut(),
            self.ty.clone(),
            move |mut caller, params, results| {
                let function = self.clone();
                Box::new(async move { function.call(&mut caller, params, results).await })
            },
        )
    }

    async fn call(
        &self,
        caller: &mut Caller<'_, IsolateState>,
        params: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        let Some(function) = self.find(caller) else {
            let library = caller.data().process.side_modules.libraries.get(self.library);
            let library = library.map_or("a side module", |library| &library.name);
            return Err(wasmtime::Error::msg(format!(
                "undefined symbol {}, called from {library}",
                shown(&self.name)
            )));
        };
        let calls = &mut caller.data_mut().process.side_modules.late_calls;
        if *calls >= CALLS_MAX {
            return Err(Trap::StackOverflow.into());
        }
        *calls += 1;
        let result = function.call_async(caller.as_context_mut(), params, results).await;
        caller.data_mut().process.side_modules.late_calls -= 1;
        result
    }

    fn find(&self, caller: &mut Caller<'_, IsolateState>) -> Option<Func> {
        let symbol = match symbols::of_main(caller, &self.name) {
            Some(symbol) => symbol,
            None => {
                let scope = symbols::scope_of_library(&caller.data().process.side_modules, self.library);
                // What it exports under the name of an import can only be that import.
                let mut others = scope.into_iter().filter(|place| *place != self.library);
                others.find_map(|place| symbols::of_library(caller, place, &self.name))?
            }
        };
        match symbol {
            Symbol::Function(function) if function.ty(&*caller).matches(&self.ty) => Some(function),
            _ => None,
        }
    }
}
