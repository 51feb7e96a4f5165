//! Host memory that stands for guest memory in calls of `wasmtime_wasi`.

use wasmtime::Caller;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1 as _;
use wiggle::GuestMemory;

use crate::runtime::IsolateState;

/// A small linear memory. Addresses in it are what `wasmtime_wasi` takes for guest pointers.
pub struct Scratch(Vec<u8>);

impl Scratch {
    /// `len` zero bytes.
    pub fn new(len: usize) -> Self {
        Self(vec![0; len])
    }

    /// These bytes.
    pub fn of(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What a call takes.
    pub fn memory(&mut self) -> GuestMemory<'_> {
        GuestMemory::Unshared(&mut self.0)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// The number at `address`.
    pub fn u32(&self, address: usize) -> u32 {
        self.0
            .get(address..)
            .and_then(|bytes| bytes.first_chunk())
            .map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// The number at `address`.
    pub fn u64(&self, address: usize) -> u64 {
        self.0
            .get(address..)
            .and_then(|bytes| bytes.first_chunk())
            .map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// The context of `wasmtime_wasi` for one call with checked sizes.
pub fn context<'a>(caller: &'a mut Caller<'_, IsolateState>) -> &'a mut WasiP1Ctx {
    let context = &mut caller.data_mut().wasi.context;
    // Bounds what one call may copy; that is checked before any call here.
    context.set_hostcall_fuel(usize::MAX);
    context
}
