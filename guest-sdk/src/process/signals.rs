//! Signals as events.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use nodule_abi::error::{ErrorCode, ErrorRecord};
use nodule_abi::signal;

use crate::error::Result;
use crate::events::{Emitter, Listener};
use crate::sys::{self, IsolateCell};

/// Name and number of a signal.
type Arguments = (&'static str, i32);

type Emitters = BTreeMap<i32, Rc<Emitter<Arguments>>>;

thread_local! {
    static EMITTERS: OnceCell<IsolateCell<Emitters>> = const { OnceCell::new() };
}

fn emitters<R>(use_emitters: impl FnOnce(&mut Emitters) -> R) -> R {
    EMITTERS.with(|emitters| {
        emitters
            .get_or_init(|| IsolateCell::new(BTreeMap::new()))
            .with(use_emitters)
    })
}

/// Calls `listener` with name and number for each signal `name`, such as `"SIGINT"`, instead of the signal's default
/// action. The listener does not keep the isolate alive; when the last one is removed the default is back. Main isolate
/// only.
///
/// (Node: `process.on('SIGINT')`)
///
/// # Errors
/// `ERR_UNKNOWN_SIGNAL`; `EINVAL` for SIGKILL and SIGSTOP.
pub fn on_signal(name: &str, mut listener: impl FnMut(&str, i32) + 'static) -> Result<Listener> {
    let emitter = listening_emitter(name)?;
    Ok(emitter.on(move |(name, number)| listener(name, *number)))
}

/// As [`on_signal`], for the next time only.
///
/// # Errors
/// As [`on_signal`].
pub fn once_signal(name: &str, listener: impl FnOnce(&str, i32) + 'static) -> Result<Listener> {
    let emitter = listening_emitter(name)?;
    Ok(emitter.once(move |(name, number)| listener(name, *number)))
}

/// The emitter of a signal, for which the host delivers events from now on.
fn listening_emitter(name: &str) -> Result<Rc<Emitter<Arguments>>> {
    let number = signal::number(name)
        .ok_or_else(|| ErrorRecord::new(ErrorCode::UnknownSignal, format!("Unknown signal: {name}")))?;
    let emitter = emitters(|emitters| {
        let emitter = emitters
            .entry(number)
            .or_insert_with(|| Rc::new(Emitter::with_observer(unlisten_at_zero(number))));
        Rc::clone(emitter)
    });
    if emitter.listener_count() == 0 {
        sys::process::signal_listen(number)?;
    }
    Ok(emitter)
}

fn unlisten_at_zero(number: i32) -> impl Fn(usize) {
    move |count| {
        if count == 0 {
            // The host knew the number when listening began.
            let _ = sys::process::signal_unlisten(number);
        }
    }
}

/// Calls the listeners of a signal that arrived.
pub(crate) fn dispatch(number: i32) {
    let emitter = emitters(|emitters| emitters.get(&number).cloned());
    if let (Some(emitter), Some(name)) = (emitter, signal::name(number)) {
        emitter.emit(&(name, number));
    }
}
