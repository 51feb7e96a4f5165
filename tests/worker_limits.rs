//! Limits of workers: what ends, what fails, what is reported; and looking at a worker from its creator.

use crate::guests::{Guest, tests};
use crate::support::{Run, guest};

fn run(program: Guest, case: &str) -> Run {
    guest(program).arg(case).run().code(0)
}

// proves: Worker.options.resourceLimits.maxOldGenerationSizeMb, Worker.options.resourceLimits.cpuMs
// proves: Worker.options.resourceLimits.deadlineMs, Worker.options.resourceLimits.codeRangeSizeMb
// proves: Worker.event.error, Worker.resourceLimits
#[test]
fn a_limit_ends_its_worker_and_no_other() {
    let run = run(tests::WORKER_LIMITS, "ends").stderr("");
    let lines: Vec<&str> = run.stdout.lines().collect();
    let out_of_memory = "Error ERR_WORKER_OUT_OF_MEMORY Worker terminated due to reaching memory limit: ";
    for (line, start, end) in [
        (0, format!("memory: {out_of_memory}"), "exit 1 online true"),
        (2, "spin: Error ERR_WORKER_CPU_LIMIT ".into(), "exit 1 online true"),
        (4, "wait: Error ERR_WORKER_DEADLINE ".into(), "exit 1 online true"),
        (6, "spin: Error ERR_WORKER_DEADLINE ".into(), "exit 1 online true"),
        (8, format!("wait: {out_of_memory}"), "exit 1 online false"),
    ] {
        run.check(
            lines[line].starts_with(&start) && lines[line].ends_with(end),
            &format!("{start}… {end}"),
        );
        // Without a remark about the neighbour.
        run.check(lines[line + 1] == "  limits true", "the neighbour answers meanwhile");
    }
    run.check(
        lines[10] == "reserved before it failed: true exit 0",
        "the limit can be a failure instead",
    );
}

// proves: Worker.options.resourceLimits.counts
#[test]
fn calls_beyond_a_count_fail_and_go_on_when_there_is_room() {
    run(tests::WORKER_LIMITS, "counts").stderr("").stdout(
        "handles: EMFILE full true again ok exit 0\n\
         ports: ERR_OUT_OF_RANGE full true again ok exit 0\n\
         threads: EAGAIN then ok exit 0\n",
    );
}

// proves: Worker.options.resourceLimits.counts, Worker.options.resourceLimits.maxOldGenerationSizeMb
#[test]
fn a_workers_worker_has_no_more_than_it_has() {
    let run = run(tests::WORKER_LIMITS, "narrow").stderr("");
    let lines: Vec<&str> = run.stdout.lines().collect();
    run.check(
        lines[0].starts_with("Error ERR_WORKER_OUT_OF_MEMORY"),
        "the memory of the creator's limit",
    );
    run.check(
        lines[0].ends_with("exit 1 and a second one: EAGAIN"),
        "as many threads as the creator",
    );
    run.check(
        lines[1..] == ["exit 0", "deepest: 4 EAGAIN"],
        "threads of threads count",
    );
}

// proves: Worker.options.resourceLimits.stackSizeMb
#[test]
fn stacks_come_in_classes_and_a_worker_survives_their_end() {
    let overflow = "RangeError ERR_WASM_STACK_OVERFLOW Maximum call stack size exceeded";
    let lines = ["0.25", "0.3", "1", "4", "16"].map(|mb| format!("{mb}: {overflow} reported {mb} exit 0\n"));
    run(tests::WORKER_LIMITS, "stack").stdout(&format!(
        "{}default: reported 1, as deep as that: true\neach class is deeper: true\n",
        lines.concat()
    ));
}

// proves: Worker.options.resourceLimits.fuel
#[test]
fn fuel_ends_at_the_same_instruction_every_time() {
    let line =
        "Error ERR_WORKER_OUT_OF_FUEL Worker terminated due to using up its fuel (raise it with --fuel), exit 1\n";
    run(tests::WORKER_LIMITS, "fuel")
        .stderr("")
        .stdout(&format!("{}same: true far: true\n", line.repeat(3)));
}

// proves: Worker.options.resourceLimits.counts, Worker.options.resourceLimits.stackSizeMb
#[test]
fn impossible_limits_are_refused() {
    run(tests::WORKER_LIMITS, "bad")
        .stderr("")
        .stdout("ERR_INVALID_ARG_VALUE\n");
}

// proves: Worker.options.resourceLimits.counts, Worker.options.resourceLimits.fuel
#[test]
fn limits_of_zero_end_in_good_order() {
    let run = run(tests::WORKER_LIMITS, "zero").stderr("");
    let outcomes: Vec<(&str, &str)> = run.stdout.lines().map(|line| line.split_once(": ").unwrap()).collect();
    for (name, part) in [
        ("memory", "exit "),
        ("code", "ERR_WORKER_OUT_OF_MEMORY"),
        ("stack", "no error, exit 0"),
        ("cpu", "exit "),
        ("deadline", "exit "),
        ("fuel", "ERR_WORKER_OUT_OF_FUEL"),
        ("handles", "EMFILE"),
        ("ports", "no error, exit 0"),
        ("threads", "no error, exit 0"),
        ("infinite", "no error, exit 0"),
    ] {
        let outcome = outcomes.iter().find(|(found, _)| *found == name).unwrap().1;
        run.check(outcome.contains(part), &format!("{name}: {part} expected"));
        run.check(
            outcome.ends_with("exit 0") || outcome.ends_with("exit 1"),
            "its code is 0 or 1",
        );
    }
}

// proves: worker_threads.resourceLimits, Worker.resourceLimits
#[test]
fn limits_in_force_are_reported_inside() {
    run(tests::WORKER_LIMITS, "reported").stderr("").stdout(
        "default: maxYoungGenerationSizeMb=256 maxOldGenerationSizeMb=4096 codeRangeSizeMb=0 stackSizeMb=1\n\
         outside: Some(64.0)\n\
         set: maxYoungGenerationSizeMb=8 maxOldGenerationSizeMb=64 codeRangeSizeMb=32 stackSizeMb=1.5 cpuMs=5000 maxPorts=100\n\
         after: true\n",
    );
}

// proves: Worker.options.resourceLimits.maxYoungGenerationSizeMb
#[test]
fn what_waits_for_a_worker_is_bounded() {
    run(tests::WORKER_LIMITS, "young")
        .stderr("")
        .stdout("bounded: true Error ERR_WORKER_QUEUE_FULL the receiver's queue is full\n");
}

fn diagnostics(case: &str) -> Run {
    run(tests::WORKER_DIAGNOSTICS, case).stderr("")
}

// proves: Worker.getHeapSnapshot
#[test]
fn a_snapshot_is_a_core_dump_of_a_running_worker() {
    let run = diagnostics("snapshot");
    let lines: Vec<&str> = run.stdout.lines().collect();
    for (line, state) in lines.iter().zip(["marker", "spin", "park"]) {
        run.check(
            line.starts_with(&format!("{state}: true true ")),
            "a wasm module with the marker",
        );
        for section in ["core", "coremodules", "coreinstances", "corestack"] {
            run.check(
                line.split(' ').any(|word| word == section),
                &format!("section {section}"),
            );
        }
        run.check(
            line.contains(" nodule.host") == (state == "spin"),
            "exposeInternals adds nodule.host",
        );
        run.check(
            line.contains(" nodule.globals") == (state == "park"),
            "exposeNumericValues adds nodule.globals",
        );
    }
    run.check(lines.len() == 3, "three states");
}

// proves: Worker.getHeapStatistics
#[test]
fn statistics_of_a_worker_have_their_fifteen_figures() {
    diagnostics("statistics").stdout("15 figures\nheap true\ncode true\nused true\ncontexts 1\n");
}

// proves: Worker.cpuUsage
#[test]
fn cpu_time_of_a_worker_is_its_own() {
    diagnostics("cpu").stdout("used true more true\nERR_OUT_OF_RANGE\nERR_OUT_OF_RANGE\nidle true\n");
}

// proves: Worker.startCpuProfile, CPUProfileHandle.stop
#[test]
fn cpu_profiles_are_independent_and_stop_with_the_same_text() {
    diagnostics("cpu-profile").stdout("names true same true\nindependent true\nafter the end: ok\n");
}

// proves: Worker.startHeapProfile, HeapProfileHandle.stop
#[test]
fn there_is_one_heap_profile_at_a_time() {
    diagnostics("heap-profile")
        .stdout("second: ERR_HEAP_PROFILE_HAVE_BEEN_STARTED\nhead true samples true name true\nsame true\nagain: ok\n");
}

// proves: Worker.performance, Worker.performance.eventLoopUtilization
#[test]
fn utilization_tells_waiting_from_working() {
    diagnostics("utilization").stdout("before online: zeros\nwaits: idle\nafter: zeros\nspin: busy\npark: busy\n");
}

// proves: Worker.getHeapSnapshot, Worker.getHeapStatistics, Worker.cpuUsage, Worker.startCpuProfile, Worker.startHeapProfile
#[test]
fn a_worker_that_ended_cannot_be_looked_at() {
    diagnostics("ended").stdout(&format!("{}meanwhile: true\n", "ERR_WORKER_NOT_RUNNING\n".repeat(5)));
}
