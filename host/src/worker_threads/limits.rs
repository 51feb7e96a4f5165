//! `resourceLimits` and the limits they stand for.

use std::time::Duration;

use nodule_abi::error::{ErrorRecord, Result};
use nodule_abi::value::{Object, Value};
use serde::Deserialize;

use crate::process::js_text;
use crate::runtime::{Limits, OnMemoryLimit};

/// The option as the guest encodes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceLimits {
    max_old_generation_size_mb: Option<f64>,
    max_young_generation_size_mb: Option<f64>,
    code_range_size_mb: Option<f64>,
    stack_size_mb: Option<f64>,
    cpu_ms: Option<f64>,
    deadline_ms: Option<f64>,
    fuel: Option<f64>,
    max_fds: Option<f64>,
    max_ports: Option<f64>,
    max_threads: Option<f64>,
    max_children: Option<f64>,
    max_shared: Option<f64>,
    on_memory_limit: Option<String>,
}

const MIB: f64 = 1_048_576.0;
/// Node's least heap.
const HEAP_MB_MIN: f64 = 2.0;
/// What a worker's limits come to.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The limits.
    pub limits: Limits,
    /// The wasm stack, in bytes, when one was asked for.
    pub stack_bytes: Option<usize>,
    /// What the thread reports as its `resourceLimits`.
    pub reported: Value,
}

impl ResourceLimits {
    /// Checks the option and narrows the creator's limits by it; `creator_stack_bytes` is the stack it gets when it wants
    /// none in particular. `ERR_OUT_OF_RANGE` for a negative number or NaN.
    pub fn narrow(&self, creator: &Limits, creator_stack_bytes: usize) -> Result<Granted> {
        let mut wanted = *creator;
        let heap_mb = number("maxOldGenerationSizeMb", self.max_old_generation_size_mb)?.map(|mb| mb.max(HEAP_MB_MIN));
        let young_mb = number("maxYoungGenerationSizeMb", self.max_young_generation_size_mb)?;
        let code_mb = number("codeRangeSizeMb", self.code_range_size_mb)?;
        let stack_mb = number("stackSizeMb", self.stack_size_mb)?;
        set(&mut wanted.max_memory_bytes, heap_mb.map(bytes_of_mb));
        set_option(&mut wanted.max_queue_bytes, young_mb.map(bytes_of_mb));
        set_option(&mut wanted.max_code_bytes, code_mb.map(bytes_of_mb));
        set_option(
            &mut wanted.max_cpu_time,
            number("cpuMs", self.cpu_ms)?.map(duration_of_ms),
        );
        set_option(
            &mut wanted.timeout,
            number("deadlineMs", self.deadline_ms)?.map(duration_of_ms),
        );
        set_option(&mut wanted.fuel, number("fuel", self.fuel)?.map(whole));
        set(&mut wanted.max_handles, number("maxFds", self.max_fds)?.map(count));
        set(&mut wanted.max_ports, number("maxPorts", self.max_ports)?.map(count));
        set(
            &mut wanted.max_workers,
            number("maxThreads", self.max_threads)?.map(count),
        );
        set(
            &mut wanted.max_shared_buffers,
            number("maxShared", self.max_shared)?.map(count),
        );
        set(
            &mut wanted.max_children,
            number("maxChildren", self.max_children)?.map(count),
        );
        match self.on_memory_limit.as_deref() {
            None => {}
            Some("fail") => wanted.on_memory_limit = OnMemoryLimit::Fail,
            Some("end") => wanted.on_memory_limit = OnMemoryLimit::End,
            Some(other) => {
                let received = format!("'{other}'");
                return Err(ErrorRecord::invalid_arg_value(
                    "options.resourceLimits.onMemoryLimit",
                    "must be 'end' or 'fail'",
                    &received,
                )
                .into());
            }
        }
        let limits = creator.narrow(&wanted);
        Ok(Granted {
            reported: self.reported(&limits, stack_mb.unwrap_or(mb(creator_stack_bytes))),
            stack_bytes: stack_mb.map(|mb| {
                let most = limits.max_stack_bytes.unwrap_or(usize::MAX);
                bytes_of_mb(mb).min(most)
            }),
            limits,
        })
    }

    /// Node's four and those of ours that are set.
    fn reported(&self, limits: &Limits, stack_mb: f64) -> Value {
        let mut object = Object::new();
        let mut add = |name: &str, value: f64| drop(object.insert(name.to_string(), Value::Number(value)));
        let queue_bytes = limits.max_queue_bytes.unwrap_or(nodule_abi::limits::QUEUE_BYTES_MAX);
        add("maxYoungGenerationSizeMb", mb(queue_bytes));
        add("maxOldGenerationSizeMb", mb(limits.max_memory_bytes));
        add("codeRangeSizeMb", limits.max_code_bytes.map_or(0.0, mb));
        add("stackSizeMb", stack_mb);
        let extensions = [
            ("cpuMs", limits.max_cpu_time.map(|time| time.as_secs_f64() * 1000.0)),
            ("deadlineMs", limits.timeout.map(|time| time.as_secs_f64() * 1000.0)),
            ("fuel", self.fuel),
            ("maxFds", self.max_fds),
            ("maxPorts", self.max_ports),
            ("maxThreads", self.max_threads),
            ("maxChildren", self.max_children),
            ("maxShared", self.max_shared),
        ];
        for (name, value) in extensions {
            if let Some(value) = value {
                add(name, value);
            }
        }
        Value::Object(object)
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn set_option<T>(place: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *place = value;
    }
}

fn number(name: &str, value: Option<f64>) -> Result<Option<f64>> {
    match value {
        Some(number) if number.is_nan() || number < 0.0 => Err(ErrorRecord::out_of_range(
            &format!("options.resourceLimits.{name}"),
            ">= 0",
            &js_text::number(number),
        )
        .into()),
        value => Ok(value),
    }
}

/// Casts of floats saturate.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, not NaN; too large becomes the largest"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

fn count(number: f64) -> usize {
    usize::try_from(whole(number)).unwrap_or(usize::MAX)
}

fn bytes_of_mb(mb: f64) -> usize {
    count(mb * MIB)
}

fn duration_of_ms(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(Duration::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "a figure to report")]
fn mb(bytes: usize) -> f64 {
    bytes as f64 / MIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_narrow_and_are_reported() {
        let wanted = ResourceLimits {
            max_old_generation_size_mb: Some(1.0),
            cpu_ms: Some(1.5),
            max_threads: Some(f64::INFINITY),
            ..ResourceLimits::default()
        };
        let creator = Limits::default();
        let granted = wanted.narrow(&creator, 1 << 20).unwrap();
        assert_eq!(granted.limits.max_memory_bytes, 2 << 20, "values below 2 become 2");
        assert_eq!(granted.limits.max_cpu_time, Some(Duration::from_micros(1500)));
        assert_eq!(
            granted.limits.max_workers, creator.max_workers,
            "never more than the creator"
        );
        assert_eq!(
            granted.reported.get("maxOldGenerationSizeMb"),
            Some(&Value::Number(2.0))
        );
        assert_eq!(granted.reported.get("stackSizeMb"), Some(&Value::Number(1.0)));
    }

    #[test]
    fn a_stack_is_at_most_what_the_operator_allows() {
        let wanted = ResourceLimits {
            stack_size_mb: Some(16.0),
            ..ResourceLimits::default()
        };
        let operator = Limits {
            max_stack_bytes: Some(65536),
            ..Limits::default()
        };
        assert_eq!(wanted.narrow(&operator, 65536).unwrap().stack_bytes, Some(65536));
        assert_eq!(
            wanted.narrow(&Limits::default(), 1 << 20).unwrap().stack_bytes,
            Some(16 << 20)
        );
    }

    #[test]
    fn impossible_limits_are_refused() {
        for bad in [f64::NAN, -1.0, f64::NEG_INFINITY] {
            let wanted = ResourceLimits {
                stack_size_mb: Some(bad),
                ..ResourceLimits::default()
            };
            let error = wanted.narrow(&Limits::default(), 1 << 20).unwrap_err();
            assert!(error.is_code("ERR_OUT_OF_RANGE"), "{bad}");
        }
    }
}
