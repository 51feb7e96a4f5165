//! The machine, as Node's `os` module tells of it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`cgroup`] | memory limits of control groups |
//! | [`network`] | addresses of network interfaces |
//!
//! This file holds the CPUs.

pub mod cgroup;
pub mod imports;
pub mod network;

use std::fs;

/// One logical CPU, as `os.cpus()` lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// What the maker calls it; `unknown` when the kernel does not say.
    pub model: String,
    /// Current speed, 0 when the kernel does not say.
    pub speed_mhz: u64,
    /// How it spent its time.
    pub times: CpuTimes,
}

/// Milliseconds a CPU spent since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// In programs.
    pub user_ms: u64,
    /// In programs of low priority.
    pub nice_ms: u64,
    /// In the kernel.
    pub sys_ms: u64,
    /// With nothing to do.
    pub idle_ms: u64,
    /// In interrupts.
    pub irq_ms: u64,
}

/// The CPUs that are online, in the kernel's order; empty when the kernel does not say.
pub fn cpus() -> Vec<Cpu> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let ms_per_tick = 1000 / rustix::param::clock_ticks_per_second().clamp(1, 1000);
    let mut cpus = parse_cpus(&read("/proc/stat"), &read("/proc/cpuinfo"), ms_per_tick);
    for (number, cpu) in &mut cpus {
        let frequency = read(&format!("/sys/devices/system/cpu/cpu{number}/cpufreq/scaling_cur_freq"));
        if let Ok(khz) = frequency.trim().parse::<u64>() {
            cpu.speed_mhz = khz / 1000;
        }
    }
    cpus.into_iter().map(|(_, cpu)| cpu).collect()
}

/// How many CPUs the process may use: affinity and quota of its control groups counted, at least 1.
pub fn available_parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// CPUs with their kernel numbers, from the texts of `/proc/stat` and `/proc/cpuinfo`.
fn parse_cpus(stat: &str, cpuinfo: &str, ms_per_tick: u64) -> Vec<(u32, Cpu)> {
    let mut cpus: Vec<_> = stat.lines().filter_map(|line| parse_times(line, ms_per_tick)).collect();
    let mut current = None;
    let mut shared_model = "unknown";
    let mut models = Vec::new();
    for line in cpuinfo.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match key.trim() {
            "processor" => current = value.parse::<u32>().ok(),
            "model name" => models.push((current, value)),
            "cpu MHz" => {
                let cpu = cpus.iter_mut().find(|(number, _)| Some(*number) == current);
                let mhz = value.split('.').next().and_then(|whole| whole.parse().ok());
                if let (Some((_, cpu)), Some(mhz)) = (cpu, mhz) {
                    cpu.speed_mhz = mhz;
                }
            }
            // Where CPUs have no name of their own there is one of the machine.
            "Processor" | "Model" | "Hardware" | "cpu model" => shared_model = value,
            _ => {}
        }
    }
    for (number, cpu) in &mut cpus {
        let own = models.iter().find(|(processor, _)| *processor == Some(*number));
        own.map_or(shared_model, |(_, model)| model).clone_into(&mut cpu.model);
    }
    cpus
}

/// A line `cpu<number> user nice system idle iowait irq …` of `/proc/stat`.
fn parse_times(line: &str, ms_per_tick: u64) -> Option<(u32, Cpu)> {
    let mut fields = line.strip_prefix("cpu")?.split_ascii_whitespace();
    // The line of all CPUs together has no number: its first field is a tick count, behind a blank.
    let number = fields
        .next()
        .filter(|_| line.as_bytes().get(3).is_some_and(u8::is_ascii_digit))?
        .parse()
        .ok()?;
    let ticks: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    let ms = |index: usize| ticks.get(index).map_or(0, |ticks| ticks.saturating_mul(ms_per_tick));
    let times = CpuTimes {
        user_ms: ms(0),
        nice_ms: ms(1),
        sys_ms: ms(2),
        idle_ms: ms(3),
        irq_ms: ms(5),
    };
    Some((
        number,
        Cpu {
            times,
            ..Cpu::default()
        },
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const STAT: &str = "cpu  9 9 9 9 9 9\ncpu0 1 2 3 4 5 6 7\ncpu3 10 0 0 0 0 0\nintr 5\nctxt 1\n";

    #[test]
    fn kernel_texts_give_the_cpus() {
        let cpuinfo =
            "processor\t: 0\nmodel name\t: Fast One\ncpu MHz\t\t: 2095.078\n\nprocessor\t: 3\nmodel name : Slow\n";
        let cpus = parse_cpus(STAT, cpuinfo, 10);
        assert_eq!(cpus.len(), 2);
        let (number, first) = &cpus[0];
        assert_eq!((*number, first.model.as_str(), first.speed_mhz), (0, "Fast One", 2095));
        assert_eq!(
            first.times,
            CpuTimes {
                user_ms: 10,
                nice_ms: 20,
                sys_ms: 30,
                idle_ms: 40,
                irq_ms: 60
            }
        );
        assert_eq!((cpus[1].0, cpus[1].1.model.as_str()), (3, "Slow"));
    }

    #[test]
    fn cpus_without_a_name_take_the_machines() {
        let cpus = parse_cpus(STAT, "processor : 0\nprocessor : 3\nModel : Board 4\n", 10);
        assert!(cpus.iter().all(|(_, cpu)| cpu.model == "Board 4"));
        assert!(parse_cpus(STAT, "", 10).iter().all(|(_, cpu)| cpu.model == "unknown"));
        assert!(parse_cpus("cpu\ncpux 1\n", "", 10).is_empty());
    }

    #[test]
    fn this_machine_has_cpus() {
        let cpus = cpus();
        assert!(!cpus.is_empty());
        assert!(cpus.iter().any(|cpu| cpu.times.user_ms > 0 && cpu.times.idle_ms > 0));
        assert!((1..=cpus.len()).contains(&available_parallelism()));
    }
}
