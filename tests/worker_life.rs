//! The life of a worker: what it knows of itself, its events and their order, what holds it and what does not.

use crate::guests::tests;
use crate::support::{Run, guest, node};

fn trace(case: &str) -> Run {
    guest(tests::WORKER_TRACE).arg(case).run()
}

fn life(arguments: &[&str]) -> Run {
    guest(tests::WORKER_LIFE).args(arguments).run().success()
}

/// The cases of `worker_trace` as a script of Node.
const TRACE_IN_NODE: &str = r#"
    const { Worker, isMainThread, parentPort, workerData, threadId } = require('worker_threads');
    const name = process.argv[process.argv.length - 1];
    const text = (error) => error instanceof Error ? `Error - ${error.message}` : `reason ${error}`;
    const trace = (worker) => worker.on('online', () => console.log('online'))
        .on('message', (value) => console.log(`message ${value}`))
        .on('error', (error) => console.log(`error ${text(error)}`))
        .on('exit', (code) => console.log(`exit ${code}`));
    const source = process.env.SOURCE;
    const start = (options = {}) => new Worker(source, { eval: true, argv: [name], ...options });
    const creator = {
        data() { const data = [1, 2]; const worker = start({ workerData: data }); data.push(3); trace(worker); },
        early() { const worker = trace(start()); worker.postMessage('a'); worker.postMessage('b'); },
        event() { process.on('worker', (worker) => console.log(`worker ${worker.threadId}`)); trace(start()); },
        ids() {
            const worker = trace(start());
            console.log(`id ${worker.threadId}`);
            worker.on('exit', () => console.log(`id ${worker.threadId}`));
        },
        late() {
            const worker = trace(start());
            worker.on('exit', () => setImmediate(async () => {
                worker.postMessage('nobody reads this');
                console.log(`terminated ${await worker.terminate() === undefined ? 'None' : 'Some'}`);
            }));
        },
        terminate() {
            const worker = trace(start());
            worker.on('message', async () => console.log(`terminated Some(${await worker.terminate()})`));
        },
        'listener-throws'() {
            process.on('uncaughtException', (error) => console.log(`uncaught ${error.message}`));
            trace(start()).on('exit', () => { throw new Error('in the exit listener'); });
        },
        ref() { const worker = trace(start()); worker.unref(); worker.ref(); },
    };
    const post = (value) => parentPort.postMessage(value);
    const worker = {
        throw() { post('1'); post('2'); throw new Error('boom'); },
        close() { parentPort.on('message', () => {}); post('1'); post('2'); parentPort.close(); },
        exit() { post('1'); process.exit(300); },
        'exit-minus'() { process.exit(-1); },
        code() { process.exitCode = 7; },
        early() {
            let left = 2;
            parentPort.on('message', (value) => { post(value); left -= 1; if (left === 0) parentPort.close(); });
        },
        listener() { const listener = () => {}; parentPort.on('message', listener); parentPort.off('message', listener); },
        ids() { post(String(threadId)); },
        'exit-listener'() { process.on('exit', (code) => post(`bye ${code}`)); post('1'); },
        value() { throw 5; },
        undefined() { throw undefined; },
        rejection() { Promise.reject(new Error('rejected')); },
        handled() { process.on('uncaughtException', (error) => post(error.message)); throw new Error('caught'); },
        data() { post(`[${workerData.join(', ')}]`); },
        terminate() { parentPort.on('message', () => {}); post('up'); },
        nested() {
            const inner = new Worker(source, { eval: true, argv: ['ids'] });
            inner.on('message', (value) => post(`inner ${value}`)).on('exit', (code) => post(`inner exit ${code}`));
        },
    };
    if (isMainThread) (creator[name] ?? (() => trace(start())))();
    else (worker[name] ?? (() => post('1')))();
"#;

/// Node sends `online` and messages over two channels and does not promise which is read first; nodule does.
fn online_first(trace: &str) -> String {
    let mut lines: Vec<&str> = trace.lines().collect();
    while let Some(at) = lines
        .windows(2)
        .position(|pair| pair[0].starts_with("message") && pair[1] == "online")
    {
        lines.swap(at, at + 1);
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

// proves: Worker, Worker.event.online, Worker.event.message, Worker.event.error, Worker.event.exit
// proves: Worker.threadId, Worker.ref, Worker.postMessage, Worker.options.workerData, worker_threads.workerData
// proves: worker_threads.parentPort, process.event.worker
#[test]
fn workers_live_as_in_node() {
    for case in [
        "throw",
        "close",
        "exit",
        "exit-minus",
        "code",
        "early",
        "listener",
        "ids",
        "exit-listener",
        "value",
        "undefined",
        "rejection",
        "handled",
        "data",
        "terminate",
        "late",
        "nested",
        "event",
        "listener-throws",
        "ref",
    ] {
        let Some(node) = node(&["-e", TRACE_IN_NODE, case]) else {
            return;
        };
        let node = node.env("SOURCE", TRACE_IN_NODE).run();
        node.check(node.code == Some(0), &format!("{case}: Node runs it"));
        let expected = error_last(&online_first(&node.stdout))
            .replace("reason 5", "reason Number(5.0)")
            .replace("reason undefined", "reason Undefined");
        trace(case).success().stdout(&expected);
    }
}

/// Node may tell of an error before it reads the messages that came first.
fn error_last(trace: &str) -> String {
    let mut lines: Vec<_> = trace.lines().collect();
    let error = lines.iter().position(|line| line.starts_with("error "));
    if let Some(error) = error
        && let Some(last) = lines.iter().rposition(|line| line.starts_with("message "))
        && error < last
    {
        let line = lines.remove(error);
        lines.insert(last, line);
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

// proves: Worker.event.online, Worker.event.message, Worker.event.error, Worker.event.exit, Worker.postMessage
#[test]
fn events_come_in_their_order() {
    for (case, expected) in [
        ("throw", "online\nmessage 1\nmessage 2\nerror Error - boom\nexit 1\n"),
        ("close", "online\nmessage 1\nmessage 2\nexit 0\n"),
        ("exit", "online\nmessage 1\nexit 300\n"),
        ("exit-minus", "online\nexit -1\n"),
        ("early", "online\nmessage a\nmessage b\nexit 0\n"),
        ("value", "online\nerror reason Number(5.0)\nexit 1\n"),
        ("undefined", "online\nerror reason Undefined\nexit 1\n"),
        ("late", "online\nmessage 1\nexit 0\nterminated None\n"),
        ("nested", "online\nmessage inner 2\nmessage inner exit 0\nexit 0\n"),
        ("event", "worker 1\nonline\nmessage 1\nexit 0\n"),
    ] {
        trace(case).success().stdout(expected);
    }
    // How far it comes before the process ends is open; its end is not seen.
    let run = trace("unref").success();
    run.check(
        "online\nmessage up\n".starts_with(&run.stdout),
        "an unref'd worker does not keep the process, and its end is not seen",
    );
}

// proves: worker_threads.threadId, worker_threads.isMainThread, worker_threads.isInternalThread
// proves: worker_threads.threadName, worker_threads.parentPort, worker_threads.workerData
#[test]
fn a_thread_knows_what_it_is() {
    life(&["facts"]).stdout(
        "id 0 main true name None internal false port false data Ok(Null) limits false\n\
         id 1 main false name Some(\"WorkerThread\") internal false port true data Ok(Null) limits true\n",
    );
}

// proves: worker_threads.threadName, Worker.threadName, Worker.options.name
#[test]
fn a_name_is_trimmed_and_shown_in_the_title() {
    let long = "a name that is longer than fifteen bytes";
    let line = |name: &str| format!("Some({name:?}) Some({name:?}) \"[worker <id>] {name}\" then None\n");
    let expected: String = ["WorkerThread", "trimmed", "WorkerThread", long].map(line).concat();
    life(&["names"]).stdout(&expected);
}

// proves: worker_threads.threadId, Worker.threadId
#[test]
fn ids_are_never_used_again() {
    life(&["ids"]).stdout("41 ids\n");
}

// proves: Worker.options.workerData, Worker.options.transferList, worker_threads.workerData
#[test]
fn a_port_travels_in_the_data() {
    life(&["data"]).stdout("with a port: Some(\"through the port\")\nmoved: 25\n");
    // A list that misses it: nothing was started, and it is still here.
    life(&["missing"]).stdout(
        "TypeError ERR_MISSING_TRANSFERABLE_IN_TRANSFER_LIST Object that needs transfer was found in message but not listed in transferList\n\
         Some(\"usable\")\n",
    );
}

// proves: Worker.postMessage, Worker.terminate, Worker.ref, Worker.unref, Worker.resourceLimits
#[test]
fn after_the_end_nothing_has_an_effect() {
    life(&["after"])
        .stdout("online\nmessage a message\nexit 0\njoin 0\npost true\nterminate None join 0\nlimits true\n");
}

// proves: Worker.ref, Worker.unref, Worker.terminate
#[test]
fn an_unrefd_worker_lets_the_process_end() {
    life(&["refs", "unref"]).stdout("main is done\n");
    life(&["refs", "ref"]).stdout("main is done\nexit is not seen\n");
    life(&["refs", "terminate"]).stdout("exit is not seen\nSome(1)\nmain is done\n");
}

// proves: Worker.asyncDispose
#[test]
fn a_scope_ends_its_worker() {
    life(&["scoped"]).stdout("online\nexit 1\ntrue -1\n");
}

// proves: Worker.event.messageerror
#[test]
fn a_message_of_another_type_is_a_messageerror() {
    life(&["messageerror"]).stdout("messageerror DataCloneError\nexit 0\n");
}

// proves: worker_threads.threadId
#[test]
fn workers_of_workers_have_ids_of_their_own() {
    guest(tests::WORKER_NESTED)
        .arg("ids")
        .run()
        .success()
        .stdout("[0, 1, 2, 3]\n");
}

// proves: Worker.event.exit, Worker.unref
#[test]
fn the_end_of_a_grandchild_is_its_creators_affair() {
    let nested = |arguments: &[&str]| guest(tests::WORKER_NESTED).args(arguments).run().success();
    nested(&["exits", "exit"]).stdout("online\nmessage running\nexit 4\n");
    nested(&["exits", "panic"])
        .stdout("online\nmessage running\nerror PanicError ERR_GUEST_PANIC in the middle\nexit 1\n");
    nested(&["unref-below"]).stdout("online\nexit 0\n");
}

// proves: Worker.terminate
#[test]
fn what_is_below_an_isolate_ends_with_it() {
    guest(tests::WORKER_NESTED).arg("subtree").run().success().stdout(
        "wait: exit 1, 2 of the other go on, then 0\n\
         spin: exit 1, 2 of the other go on, then 0\n\
         exit: exit 4, 2 of the other go on, then 0\n\
         panic: exit 1, 2 of the other go on, then 0\n",
    );
}

// proves: worker_threads.setEnvironmentData, worker_threads.getEnvironmentData
#[test]
fn later_workers_start_with_the_environment_data() {
    guest(tests::WORKER_ENVIRONMENT_DATA).run().success().stdout(
        "nothing: - - - - -\n\
         here: type string ('a value') type number (1.5) an instance of Array - null\n\
         changed: - type string ('changed') an instance of Array - null\n\
         worker from before: type string ('a value') type number (1.5) an instance of Array - null then type string ('a value') type number (1.5) an instance of Array - null\n\
         nested: - type string ('changed') an instance of Array type string ('of the worker') null | - type string ('changed') an instance of Array type string ('of the worker') null\n\
         not from below: - type string ('changed') an instance of Array - null\n\
         uncloneable: DataCloneError 25 #<i32> could not be cloned.\n\
         port: TypeError ERR_MISSING_TRANSFERABLE_IN_TRANSFER_LIST Object that needs transfer was found in message but not listed in transferList\n\
         unchanged: - type string ('changed') an instance of Array - null\n",
    );
}

fn to_threads(case: &str) -> Run {
    guest(tests::WORKER_MESSAGES_TO_THREADS).arg(case).run().success()
}

// proves: worker_threads.postMessageToThread, process.event.workerMessage
#[test]
fn any_thread_reaches_any_other() {
    to_threads("delivers")
        .stdout("main got answer to question from worker true\ndone\nanswered\nSome(\"by the port\")\n");
    to_threads("blocked-main").stdout("while main was blocked: true\n");
    to_threads("order").stdout("1000 in order\nall done\n");
}

// proves: worker_threads.postMessageToThread
#[test]
fn a_message_to_a_thread_fails_with_its_reason() {
    to_threads("fails").stdout(
        "same: Error ERR_WORKER_MESSAGING_SAME_THREAD Cannot sent a message to the same thread\n\
         unknown: Error ERR_WORKER_MESSAGING_FAILED Cannot find the destination thread or listener\n\
         no listener: Error ERR_WORKER_MESSAGING_FAILED Cannot find the destination thread or listener\n\
         ended: Error ERR_WORKER_MESSAGING_FAILED Cannot find the destination thread or listener\n\
         throws: Error ERR_WORKER_MESSAGING_ERRORED The destination thread threw an error while processing the message\n\
         and goes on: done\n\
         busy: Error ERR_WORKER_MESSAGING_TIMEOUT Sending a message to another thread timed out\n\
         ended while waiting: Error ERR_WORKER_MESSAGING_FAILED Cannot find the destination thread or listener\n",
    );
}

// proves: worker_threads.postMessageToThread, process.event.workerMessage
#[test]
fn a_message_to_a_thread_keeps_nobody_alive() {
    to_threads("keeps-nobody").stdout("main is done\n");
}

fn stdio(case: &str) -> Run {
    guest(tests::WORKER_STDIO).arg(case).run()
}

// proves: Worker.stdin, Worker.stdout, Worker.options.stdin, Worker.options.stdout
#[test]
fn a_megabyte_comes_out_as_it_went_in() {
    stdio("echo").success().stdout("same: 1048576 true\nexit 0\n");
}

// proves: Worker.stdout, Worker.stderr, Worker.options.stdout, Worker.options.stderr
#[test]
fn output_that_is_read_is_complete_before_the_end() {
    stdio("captured").success().stdout(
        "exit 0 after 7890 and 7890\n\
         exit 3 after 7890 and 7890\n\
         error at the end\nexit 1 after 7890 and 7890\n",
    );
}

// proves: Worker.stdout, Worker.stderr, Worker.stdin
#[test]
fn output_that_is_not_read_goes_where_the_creators_goes() {
    let expected = |name: &str| (0..1000).map(|number| format!("{name} {number}\n")).collect::<String>();
    stdio("forwarded")
        .code(0)
        .stdout(&format!("{}ended: true true\n", expected("out")))
        .stderr(&expected("err"));
}

// proves: Worker.options.stdin
#[test]
fn the_input_of_a_worker_is_empty_unless_it_is_asked_for() {
    guest(tests::WORKER_STDIO)
        .arg("empty")
        .stdin("for the main thread")
        .run()
        .success()
        .stdout("read \"\" fd None thread 1\nexit 0\n");
}

// proves: Worker.stdout
#[test]
fn lines_of_eight_workers_stay_whole() {
    let run = stdio("lines").code(0).stderr("");
    let mut next = [0; 8];
    let mut exits = 0;
    for line in run.stdout.lines() {
        if line.starts_with("exit") {
            exits += 1;
            continue;
        }
        let parts: Vec<&str> = line.split(' ').collect();
        let [writer, number, dots] = parts[..] else {
            panic!("a broken line: {line:?}");
        };
        let (writer, number): (usize, usize) = (writer.parse().unwrap(), number.parse().unwrap());
        assert_eq!(
            number, next[writer],
            "lines of writer {writer} are lost or out of order"
        );
        assert_eq!(dots, ".".repeat(number * 7 % 500));
        next[writer] += 1;
    }
    run.check(
        next == [1000; 8] && exits == 8,
        &format!("all lines expected: {next:?}, {exits}"),
    );
}

// proves: Worker, clone.module
#[test]
fn a_module_travels_and_runs() {
    guest(tests::WORKER_OPTIONS)
        .arg("module")
        .run()
        .success()
        .stdout("nested true\nexit 0\nsame module: true\n");
}
