//! Threads and their messages (Node: `worker_threads`).

pub use crate::messaging::{
    ArrayBuffer, BroadcastChannel, Markable, MessageChannel, MessageEvent, MessagePort, MessageSource, Module,
    TransferList, Transferable, Uncloneable, clone_error, is_marked_as_untransferable, mark_as_uncloneable,
    mark_as_untransferable, receive_message_on_port, receive_message_on_port_timeout, structured_clone,
    structured_clone_with,
};
