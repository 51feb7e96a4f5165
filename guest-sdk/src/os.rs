//! The machine (Node: `os`).

use serde::Deserialize;

use crate::error::Result;
use crate::sys;

/// One CPU (Node: `os.cpus()`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Cpu {
    /// Name of the model.
    pub model: String,
    /// Speed in MHz.
    pub speed: f64,
    /// Where its time went.
    pub times: CpuTimes,
}

/// Time a CPU spent, in ms.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct CpuTimes {
    /// In user mode.
    pub user: f64,
    /// In user mode at low priority.
    pub nice: f64,
    /// In the kernel.
    pub sys: f64,
    /// Idle.
    pub idle: f64,
    /// In interrupts.
    pub irq: f64,
}

/// The CPUs of the machine (Node: `os.cpus()`).
///
/// # Errors
/// When the system does not tell.
pub fn cpus() -> Result<Vec<Cpu>> {
    sys::cpus()
}

/// How many CPUs the process may use, affinity and control groups counted; at least 1
/// (Node: `os.availableParallelism()`).
pub fn available_parallelism() -> u32 {
    sys::available_parallelism()
}
