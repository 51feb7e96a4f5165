//! Timers of one isolate, ordered by due time and, for equal times, by start.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nodule_abi::error::Result;
use nodule_abi::event::{EventKind, EventRecord};
use nodule_abi::limits::TIMER_DELAY_MS_MAX;

use crate::handles::{Handle, HandleMap, Handles, Resource};

pub mod imports;

#[derive(Clone, Copy, Debug)]
struct Timer {
    due: Instant,
    /// Place among timers of the same due time.
    sequence: u64,
    delay: Duration,
    repeat: bool,
}

/// The timers.
#[derive(Debug, Default)]
pub struct Timers {
    timers: HandleMap<Timer>,
    order: BTreeSet<(Instant, u64, Handle)>,
    sequence: u64,
}

/// Node's rule: a delay below 1 ms, above 2^31-1 ms or not a number becomes 1 ms.
fn delay_from_ms(delay_ms: f64) -> Duration {
    if (1.0..=TIMER_DELAY_MS_MAX).contains(&delay_ms) {
        Duration::from_secs_f64(delay_ms / 1000.0)
    } else {
        Duration::from_millis(1)
    }
}

impl Timers {
    /// Starts a timer.
    pub fn set(&mut self, delay_ms: f64, repeat: bool, handles: &mut Handles) -> Result<Handle> {
        let handle = handles.insert(Resource::Timer { repeat }, true)?;
        self.start(handle, delay_from_ms(delay_ms), repeat, Instant::now());
        Ok(handle)
    }

    fn start(&mut self, handle: Handle, delay: Duration, repeat: bool, now: Instant) {
        self.sequence += 1;
        let timer = Timer {
            due: now + delay,
            sequence: self.sequence,
            delay,
            repeat,
        };
        self.order.insert((timer.due, timer.sequence, handle));
        self.timers.insert(handle, timer);
    }

    /// Starts the time of a running timer anew; nothing for one that is gone.
    pub fn refresh(&mut self, handle: Handle) {
        if let Some(timer) = self.timers.get(&handle).copied() {
            self.clear(handle);
            self.start(handle, timer.delay, timer.repeat, Instant::now());
        }
    }

    /// Stops a timer.
    pub fn clear(&mut self, handle: Handle) {
        if let Some(timer) = self.timers.remove(&handle) {
            self.order.remove(&(timer.due, timer.sequence, handle));
        }
    }

    /// The time the next timer is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.order.first().map(|(due, ..)| *due)
    }

    /// The running timers in the order they are due: handle, time until then, whether it repeats.
    pub fn list(&self, now: Instant) -> impl Iterator<Item = (Handle, Duration, bool)> {
        self.order.iter().map(move |(due, _, handle)| {
            let repeat = self.timers.get(handle).is_some_and(|timer| timer.repeat);
            (*handle, due.saturating_duration_since(now), repeat)
        })
    }

    /// The record of the first timer that is due by `now`. A one-shot timer's handle is closed,
    /// a repeating one is started again from `now`.
    pub fn pop_due(&mut self, now: Instant, handles: &mut Handles) -> Option<EventRecord> {
        let (due, _, handle) = *self.order.first()?;
        if due > now {
            return None;
        }
        let timer = self.timers.get(&handle).copied();
        self.clear(handle);
        match timer {
            Some(timer) if timer.repeat => self.start(handle, timer.delay, true, now),
            // The handle is in the table for as long as the timer runs.
            _ => drop(handles.remove(handle)),
        }
        Some(EventRecord::new(EventKind::Timer, handle.number(), [0; 3]))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn odd_delays_become_one_millisecond() {
        for odd in [0.0, -5.0, f64::NAN, f64::INFINITY, 2_147_483_648.0, 0.5] {
            assert_eq!(delay_from_ms(odd), Duration::from_millis(1), "{odd}");
        }
        assert_eq!(delay_from_ms(1.5), Duration::from_micros(1500));
    }

    #[test]
    fn equal_times_fire_in_order_of_start_and_repeat() {
        let mut handles = Handles::new(8);
        let mut timers = Timers::default();
        let now = Instant::now();
        let first = timers.set(5.0, false, &mut handles).unwrap();
        let second = timers.set(5.0, true, &mut handles).unwrap();
        let later = now + Duration::from_millis(50);
        assert_eq!(timers.pop_due(later, &mut handles).unwrap().handle, first.number());
        assert_eq!(timers.pop_due(later, &mut handles).unwrap().handle, second.number());
        assert!(timers.pop_due(later, &mut handles).is_none());
        assert_eq!(handles.len(), 1, "the one-shot handle is closed");
        assert_eq!(timers.next_due(), Some(later + Duration::from_millis(5)));
    }
}
