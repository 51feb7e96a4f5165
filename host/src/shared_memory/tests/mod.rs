//! Windows, waits and ArrayBuffers of real isolates.

use std::sync::Arc;

use nodule_abi::imports::{self, AREAS, namespace};

use super::*;
use crate::handles::Resource;
use crate::{Host, IsolateBuilder, Limits, Module, Plugin};

mod arrays;
mod elsewhere;
mod hazards;
mod waits;
mod windows;

/// Exports every import of the area, and what a guest does with memory of its own.
fn guest_text() -> String {
    let area = AREAS
        .iter()
        .find(|area| area.namespace == namespace::shared_memory)
        .unwrap();
    let mut text = String::from(
        r#"(module
        (import "nodule:event_loop/1" "close" (func $close (param i32) (result i32)))
        (import "nodule:messaging/1" "post"
            (func $post (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        "#,
    );
    for import in area.imports {
        let params: Vec<_> = import.params.iter().map(|param| param.wasm.name()).collect();
        let (namespace, name, params) = (area.namespace, import.name, params.join(" "));
        text.push_str(&format!(
            "(import \"{namespace}\" \"{name}\" (func ${name} (param {params}) (result i32)))\n"
        ));
    }
    for import in area.imports {
        text.push_str(&format!("(export \"{0}\" (func ${0}))\n", import.name));
    }
    text.push_str(
        r#"(export "close" (func $close))
        (export "post" (func $post))
        (memory (export "memory") 2)
        (func (export "grow_memory") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "peek") (param i32) (result i32) (i32.load (local.get 0)))
        (func (export "poke") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
        (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
        (func (export "add_many") (param $address i32) (param $count i32)
            (loop $again
                (drop (i32.atomic.rmw.add (local.get $address) (i32.const 1)))
                (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                (br_if $again (local.get $count))))
        (func (export "trap") unreachable)
        ;; Maps a window and traps.
        (func (export "map_and_trap") (param i32) (drop (call $map (local.get 0) (i32.const 8))) unreachable)"#,
    );
    text.push(')');
    text
}

fn host() -> Host {
    Host::builder().no_cache().build().unwrap()
}

fn module(host: &Host) -> Module {
    Module::from_bytes(host, "shared", guest_text().as_bytes()).unwrap()
}

/// An isolate of the guest.
struct Guest(Plugin);

impl Guest {
    async fn new(host: &Host) -> Self {
        Self::with(host, |builder| builder).await
    }

    async fn with(host: &Host, change: impl FnOnce(IsolateBuilder) -> IsolateBuilder) -> Self {
        let builder = change(host.isolate(&module(host)));
        Self(builder.plugin().await.unwrap())
    }

    /// The error code, and the numbers that the call wrote to addresses 8 and 16.
    async fn call<P: wasmtime::WasmParams + Sync>(
        &mut self,
        name: &str,
        arguments: P,
    ) -> std::result::Result<(u32, u32), String> {
        let code: i32 = self.0.call(name, arguments).await.map_err(|error| error.to_string())?;
        if code != 0 {
            let record = self.0.state_mut().last_error.take().unwrap().record();
            assert!(imports::find(namespace::error, "last").is_some());
            return Err(format!("{} {}", record.name, record.code.as_deref().unwrap_or("-")));
        }
        let bytes = self.0.read_memory(8, 16).unwrap();
        let number = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap());
        Ok((number(0), number(8)))
    }

    /// Gives it a buffer, as a message would.
    fn give(&mut self, buffer: &Arc<SharedBuffer>) -> i32 {
        let resource = Resource::SharedBuffer(Arc::clone(buffer));
        let handle = self.0.state_mut().handles.insert(resource, false).unwrap();
        handle.number().cast_signed()
    }

    /// Gives it a buffer and maps it.
    async fn give_mapped(&mut self, buffer: &Arc<SharedBuffer>) -> u32 {
        let handle = self.give(buffer);
        self.call("map", (handle, 8)).await.unwrap().0
    }

    async fn peek(&mut self, address: u32) -> i32 {
        self.0.call("peek", address.cast_signed()).await.unwrap()
    }

    async fn poke(&mut self, address: u32, value: i32) {
        self.0
            .call::<_, ()>("poke", (address.cast_signed(), value))
            .await
            .unwrap();
    }
}

fn account() -> Arc<Account> {
    Account::new(4096, 1 << 32)
}

fn buffer(byte_length: u64) -> Arc<SharedBuffer> {
    SharedBuffer::new(byte_length, nodule_abi::atomic::NOT_GROWABLE, &account()).unwrap()
}
