//! The parts of a report that are read from the system.

use std::backtrace::Backtrace;
use std::ffi::CStr;

use rustix::process::{Resource, getrlimit};
use serde_json::{Map, Value as Json, json};

use super::{REPORT_VERSION, ReportInput, ReportSettings, UNLIMITED};
use crate::os::{self, network};
use crate::process::usage::{self, CpuTime};

/// Frames of the host's stack that are listed.
const NATIVE_FRAMES_MAX: usize = 64;

const MICROS_PER_SEC: f64 = 1_000_000.0;

/// What, when, where. The file name comes when the report is written.
pub fn header(input: &ReportInput, settings: &ReportSettings) -> Map<String, Json> {
    let now = chrono::Utc::now();
    let system = rustix::system::uname();
    let text = |text: &CStr| text.to_string_lossy().into_owned();
    let mut header = object(json!({
        "reportVersion": REPORT_VERSION,
        "event": input.event,
        "trigger": input.trigger,
        "filename": null,
        "dumpEventTime": now.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "dumpEventTimeStamp": now.timestamp_millis().to_string(),
        "processId": std::process::id(),
        "threadId": input.thread_id,
        "cwd": input.cwd,
        "commandLine": input.host.command_line,
        "noduleVersion": input.host.version,
        "wordSize": usize::BITS,
        "arch": input.host.arch,
        "platform": input.host.platform,
        "componentVersions": input.host.component_versions,
        "release": input.host.release,
        "osName": text(system.sysname()),
        "osRelease": text(system.release()),
        "osVersion": text(system.version()),
        "osMachine": text(system.machine()),
        "cpus": cpus(),
        "host": text(system.nodename()),
    }));
    if !settings.exclude_network() {
        header.insert("networkInterfaces".into(), network_interfaces());
    }
    header
}

fn cpus() -> Json {
    let one = |cpu: os::Cpu| {
        json!({
            "model": cpu.model,
            "speed": cpu.speed_mhz,
            "user": cpu.times.user_ms,
            "nice": cpu.times.nice_ms,
            "sys": cpu.times.sys_ms,
            "idle": cpu.times.idle_ms,
            "irq": cpu.times.irq_ms,
        })
    };
    os::cpus().into_iter().map(one).collect()
}

fn network_interfaces() -> Json {
    let one = |interface: network::InterfaceAddress| {
        let mut members = object(json!({
            "name": interface.name,
            "internal": interface.is_internal,
            "mac": interface.mac_text(),
            "address": interface.address.to_string(),
            "netmask": interface.netmask.to_string(),
            "family": if interface.address.is_ipv4() { "IPv4" } else { "IPv6" },
        }));
        if let Some(scope_id) = interface.scope_id {
            members.insert("scopeid".into(), scope_id.into());
        }
        Json::from(members)
    };
    network::interface_addresses().into_iter().map(one).collect()
}

/// The stack of the calling OS thread.
pub fn native_stack() -> Json {
    parse_backtrace(&Backtrace::force_capture().to_string())
}

/// Frames from std's text: a line `<number>: <symbol>`, then perhaps `at <place>`.
fn parse_backtrace(text: &str) -> Json {
    let mut frames: Vec<Map<String, Json>> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(place) = line.strip_prefix("at ") {
            if let Some(frame) = frames.last_mut() {
                frame.insert("location".into(), place.into());
            }
        } else if let Some((number, symbol)) = line.split_once(": ")
            && number.parse::<u32>().is_ok()
        {
            if frames.len() == NATIVE_FRAMES_MAX {
                break;
            }
            frames.push(object(json!({ "symbol": symbol })));
        }
    }
    frames.into()
}

/// Resources of the process.
pub fn resource_usage() -> Json {
    let cpu_time = usage::cpu_usage().unwrap_or_default();
    let machine = usage::meminfo();
    let mut members = cpu_figures(cpu_time);
    members.extend(object(json!({
        "free_memory": machine.available,
        "total_memory": machine.total,
        "rss": usage::rss(),
        "constrained_memory": usage::constrained_memory(),
        "available_memory": usage::available_memory(),
    })));
    if let Ok(fields) = usage::resource_usage() {
        let [
            _,
            _,
            max_rss_kib,
            _,
            _,
            _,
            minor_faults,
            major_faults,
            _,
            reads,
            writes,
            ..,
        ] = fields;
        members.extend(object(json!({
            "maxRss": max_rss_kib * 1024,
            "pageFaults": { "IORequired": major_faults, "IONotRequired": minor_faults },
            "fsActivity": { "reads": reads, "writes": writes },
        })));
    }
    members.into()
}

/// CPU time in Node's keys; percentages are of the run time of the process.
pub fn cpu_figures(time: CpuTime) -> Map<String, Json> {
    let seconds = |micros: u64| std::time::Duration::from_micros(micros).as_secs_f64();
    let uptime = usage::uptime().max(1.0 / MICROS_PER_SEC);
    let percent = |micros: u64| seconds(micros) / uptime * 100.0;
    object(json!({
        "userCpuSeconds": seconds(time.user_us),
        "kernelCpuSeconds": seconds(time.system_us),
        "cpuConsumptionPercent": percent(time.user_us + time.system_us),
        "userCpuConsumptionPercent": percent(time.user_us),
        "kernelCpuConsumptionPercent": percent(time.system_us),
    }))
}

/// The resource limits of the process, in bytes where they are of memory.
pub fn user_limits() -> Json {
    let limits = [
        ("core_file_size_blocks", Resource::Core),
        ("data_seg_size_bytes", Resource::Data),
        ("file_size_blocks", Resource::Fsize),
        ("max_locked_memory_bytes", Resource::Memlock),
        ("max_memory_size_bytes", Resource::Rss),
        ("open_files", Resource::Nofile),
        ("stack_size_bytes", Resource::Stack),
        ("cpu_time_seconds", Resource::Cpu),
        ("max_user_processes", Resource::Nproc),
        ("virtual_memory_bytes", Resource::As),
    ];
    let shown = |limit: Option<u64>| limit.map_or(Json::from(UNLIMITED), Json::from);
    let one = |(name, resource): (&str, Resource)| {
        let limit = getrlimit(resource);
        (
            name.to_owned(),
            json!({ "soft": shown(limit.current), "hard": shown(limit.maximum) }),
        )
    };
    Json::Object(limits.into_iter().map(one).collect())
}

/// The members of an object literal.
fn object(value: Json) -> Map<String, Json> {
    match value {
        Json::Object(members) => members,
        _ => Map::new(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::process::node_oracle;

    #[test]
    fn the_system_is_described_as_by_node() {
        let script = "const { header } = process.report.getReport(); console.log(JSON.stringify(header))";
        let Some(node) = node_oracle::run(script, &[]) else {
            return;
        };
        let node: Json = serde_json::from_str(&node).unwrap();
        let ours = header(&ReportInput::default(), &ReportSettings::default());
        for key in [
            "osName",
            "osRelease",
            "osVersion",
            "osMachine",
            "host",
            "wordSize",
            "networkInterfaces",
        ] {
            assert_eq!(ours[key], node[key], "{key}");
        }
        let cpus = |header: &Json| -> Vec<_> {
            let cpus = header.as_array().unwrap().iter();
            cpus.map(|cpu| (cpu["model"].clone(), cpu.as_object().unwrap().len()))
                .collect()
        };
        assert_eq!(cpus(&ours["cpus"]), cpus(&node["cpus"]));
    }

    #[test]
    fn limits_are_those_node_reports() {
        let script = "console.log(JSON.stringify(process.report.getReport().userLimits))";
        let Some(node) = node_oracle::run(script, &[]) else {
            return;
        };
        let node: Json = serde_json::from_str(&node.replace("_kbytes", "_bytes")).unwrap();
        let mut ours = user_limits();
        // Node raises the soft limit of its own open files.
        ours["open_files"]["soft"] = node["open_files"]["soft"].clone();
        assert_eq!(ours, node);
    }

    #[test]
    fn the_native_stack_names_the_caller() {
        let frames = native_stack();
        let symbols = frames.as_array().unwrap().iter();
        assert!(
            symbols
                .clone()
                .any(|frame| frame["symbol"].as_str().unwrap().contains("native_stack")),
            "{frames}"
        );
        let text = "   0: a::b\n             at ./x.rs:1:2\n   1: <c as d>::e\nnote: omitted: 5\n";
        assert_eq!(
            parse_backtrace(text),
            json!([{ "symbol": "a::b", "location": "./x.rs:1:2" }, { "symbol": "<c as d>::e" }])
        );
    }

    #[test]
    fn resource_usage_is_that_of_the_process() {
        let usage = resource_usage();
        let number = |key: &str| usage[key].as_f64().unwrap();
        assert!(number("rss") > 0.0 && number("maxRss") >= number("rss") / 2.0);
        assert!(number("cpuConsumptionPercent") >= number("userCpuConsumptionPercent"));
        assert!(number("free_memory") <= number("total_memory"));
    }
}
