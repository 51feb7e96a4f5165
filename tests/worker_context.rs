//! Contexts: a second instance in the task of an isolate.

use crate::guests::tests;
use crate::support::guest_with;

// proves: worker_threads.createContext, worker_threads.moveMessagePortToContext
#[test]
fn a_port_moves_to_a_context_with_its_queue_and_the_context_has_nothing_else() {
    guest_with(&["--env", "SECRET=1"], tests::WORKER_CONTEXT)
        .run()
        .success()
        .stdout(
            "moved as 1\nagain: ERR_CLOSED_MESSAGE_PORT Cannot send data on closed MessagePort\nposting on it: true\n\
             context: thread 0\ncontext: env None\ncontext: worker Some(\"ERR_ACCESS_DENIED\")\ncontext: shared memory false\ncontext: port 1\n\
             context: got one\ncontext: got two\nmain: one!\nmain: two!\ncontext: got end\nmain: port closed\n\
             exit 7\nterminated Some(1)\nbroken: ERR_WORKER_INIT_FAILED\nbroken exit 1\n",
        );
}
