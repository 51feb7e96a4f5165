//! Timers, and the order of turns.

use crate::guests::{examples, tests};
use crate::support::{guest, node};

#[test]
fn the_example_says_hello() {
    guest(examples::HELLO)
        .args(["one", "two"])
        .run()
        .success()
        .stdout_has("hello, world\n")
        .stdout_has("one\ntwo\n");
}

#[test]
fn timers_keep_their_order_and_obey() {
    guest(tests::PROCESS_TIMERS).run().success().stdout(
        "timeout 10\ntimeout 10\ntimeout 20\ntimeout 30\n\
         interval 1\ninterval 2\ninterval 3\n\
         refreshed in time: 0 runs\nthen: 1 runs\nrefreshed after it ran: 2 runs\n\
         tick 1\ntick 2\ntimeout: ETIMEDOUT\nhas_ref false\nunref'd immediate ran\n",
    );
}

/// The order of a turn as a script of Node.
const TURNS_IN_NODE: &str = r#"
    const say = (text) => () => console.log(text);
    const task = (f) => Promise.resolve().then(f);
    setTimeout(() => {
        console.log('timer 1');
        process.nextTick(say('tick of timer 1'));
        task(say('task of timer 1'));
    }, 1);
    setTimeout(say('timer 2'), 1);
    setImmediate(() => {
        console.log('immediate 1');
        process.nextTick(say('tick of immediate 1'));
        setImmediate(say('immediate of immediate 1'));
    });
    setImmediate(say('immediate 2'));
    let resolve;
    const promise = new Promise((done) => { resolve = done; });
    task(() => {
        console.log('task a');
        process.nextTick(() => { console.log('tick of task a'); resolve(); });
        task(say('task of task a'));
    });
    task(async () => { await promise; console.log('task b, resolved by a tick'); });
    process.nextTick(() => { console.log('tick 1'); process.nextTick(say('tick of tick 1')); });
    process.nextTick(say('tick 2'));
    const start = process.hrtime.bigint();
    while (process.hrtime.bigint() - start < 5_000_000n) {}
    console.log('main');
"#;

// proves: process.nextTick
#[test]
fn turns_have_nodes_order() {
    let run = guest(tests::PROCESS_TURN_ORDER).run().success();
    if let Some(node) = node(&["-e", TURNS_IN_NODE]) {
        let node = node.run();
        run.check(run.stdout == node.stdout, &format!("Node prints\n{}", node.stdout));
    }
    run.stdout(
        "main\ntick 1\ntick 2\ntick of tick 1\n\
         task a\ntask of task a\ntick of task a\ntask b, resolved by a tick\n\
         timer 1\ntick of timer 1\ntask of timer 1\ntimer 2\n\
         immediate 1\ntick of immediate 1\nimmediate 2\nimmediate of immediate 1\n",
    );
}
