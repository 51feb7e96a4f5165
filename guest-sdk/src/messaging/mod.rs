//! Messages: channels, broadcast channels, structured clones. Offered by [`crate::worker_threads`].
//!
//! | file | what it holds |
//! |---|---|
//! | `port`, `port_state` | [`MessageChannel`], [`MessagePort`] |
//! | `broadcast` | [`BroadcastChannel`] |
//! | `received` | a message on its way to listeners: decoding, `messageerror` |
//! | `side_list` | resources on their way through serde |
//! | `transfer` | encoding and moving, all or nothing |
//! | `array_buffer` | buffers that move |
//! | `marks` | what cannot be transferred or cloned |
//! | `clone` | [`structured_clone`] |
//! | `room` | waiting for room at a receiver |

mod array_buffer;
mod broadcast;
mod clone;
mod marks;
mod port;
mod port_state;
pub(crate) mod received;
pub(crate) mod room;
pub(crate) mod side_list;
pub(crate) mod transfer;

pub use array_buffer::ArrayBuffer;
pub use broadcast::BroadcastChannel;
pub use clone::{structured_clone, structured_clone_with};
pub use marks::{Markable, Uncloneable, is_marked_as_untransferable, mark_as_uncloneable, mark_as_untransferable};
pub use port::{MessageChannel, MessagePort};
pub(crate) use port_state::{continued, messages_left};
pub use received::{MessageEvent, MessageSource, receive_message_on_port, receive_message_on_port_timeout};
pub use side_list::clone_error;
pub(crate) use transfer::data_clone;
pub use transfer::{TransferList, Transferable};
