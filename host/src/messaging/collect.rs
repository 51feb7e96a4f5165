//! Channels that nobody can reach any more: ports that lie in each other's queues keep each other, and all that is queued
//! for them, when the isolates that put them there are done with them.
//!
//! A port is owned by an isolate, on its way outside of queues, or in a message that is queued for another port. A
//! channel is reachable when one of its ends has an owner or is not found in any queue, or when an end lies in a queue
//! of a reachable channel. While it is looked for, no port gets or loses an owner; all else goes on.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::QueueBudget;
use super::channel::{Channel, Side};
use super::message::Transferred;

/// After a collection, so many times what it took passes before the next one.
const PAUSE_FACTOR: u32 = 10;
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// When the last collection ended, and when the next one may begin.
#[derive(Debug, Default)]
pub struct Pace {
    last: Option<(Instant, Instant)>,
}

/// A channel as it was found.
struct Found {
    channel: Arc<Channel>,
    /// How many there were of its ends, and of what else keeps it.
    references: usize,
    /// Its ends that lie in queues.
    queued: usize,
    is_owned: bool,
    /// The channels that have an end in its queues.
    holds: Vec<u64>,
}

impl QueueBudget {
    /// Empties the channels that nobody can reach. Gives whether they were looked for, here or by another thread
    /// meanwhile: a guest that fills queues again and again makes nobody look all the time.
    pub fn collect(&self) -> bool {
        let wanted = Instant::now();
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        match pace.last {
            Some((ended, _)) if wanted < ended => return true,
            Some((_, next)) if wanted < next => return false,
            _ => {}
        }
        if !self.has_carriers() {
            return false;
        }
        let started = Instant::now();
        for channel in self.unreachable() {
            channel.abandon();
        }
        let ended = Instant::now();
        let pause = ((ended - started) * PAUSE_FACTOR).max(PAUSE_MIN);
        pace.last = Some((ended, ended + pause));
        true
    }

    fn unreachable(&self) -> Vec<Arc<Channel>> {
        let still = self.moving.write().unwrap_or_else(PoisonError::into_inner);
        let mut found: HashMap<u64, Found> = self.live().into_iter().map(first_look).collect();
        let numbers: Vec<_> = found.keys().copied().collect();
        for number in numbers {
            let held = found.get_mut(&number).map(Found::look).unwrap_or_default();
            for other in held {
                if let Some(other) = found.get_mut(&other) {
                    other.queued += 1;
                }
            }
        }
        drop(still);
        let is_root = |found: &Found| found.is_owned || found.references > found.queued;
        let roots = found.iter().filter(|(_, found)| is_root(found));
        let mut reached: Vec<_> = roots.map(|(number, _)| *number).collect();
        while let Some(number) = reached.pop() {
            // What is reached leaves the map.
            if let Some(found) = found.remove(&number) {
                reached.extend(found.holds);
            }
        }
        found.into_values().map(|found| found.channel).collect()
    }
}

/// References are counted before any queue is looked at: from then on they only become fewer.
fn first_look(channel: Arc<Channel>) -> (u64, Found) {
    let found = Found {
        // Without the one that looks.
        references: Arc::strong_count(&channel) - 1,
        queued: 0,
        is_owned: false,
        holds: Vec::new(),
        channel,
    };
    (found.channel.number, found)
}

impl Found {
    /// Looks into its queues; gives the channels whose ends lie there, each as often as it has ends.
    fn look(&mut self) -> Vec<u64> {
        for side in [Side::First, Side::Second] {
            let inbox = self.channel.inbox(side);
            self.is_owned |= inbox.owner.is_some();
            if inbox.carriers == 0 {
                continue;
            }
            for message in &inbox.messages {
                self.holds
                    .extend(message.resources.iter().filter_map(|resource| match resource {
                        Transferred::Port(end) => Some(end.channel_number()),
                        Transferred::Module(_) | Transferred::SharedBuffer(_) | Transferred::ArrayBuffer(_) => None,
                    }));
            }
        }
        self.holds.clone()
    }
}
