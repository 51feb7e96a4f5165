//! How many workers may run below an isolate, those of its workers included.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};

/// The workers below one isolate. A worker counts in the room of everyone above it.
#[derive(Clone, Debug, Default)]
pub struct Room {
    running: Arc<AtomicUsize>,
    above: Option<Arc<Above>>,
}

#[derive(Debug)]
struct Above {
    room: Room,
    max: usize,
}

/// The place of one worker; dropping it frees it.
#[derive(Debug)]
pub struct Place {
    counted: Vec<Arc<AtomicUsize>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        for running in &self.counted {
            running.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Room {
    /// The room of a worker that is made by the isolate whose room this is and which may have `max` workers.
    pub fn below(&self, max: usize) -> Self {
        Self {
            running: Arc::default(),
            above: Some(Arc::new(Above {
                room: self.clone(),
                max,
            })),
        }
    }

    /// A place for one more worker; `max` is for this isolate. `EAGAIN` when there is none here or further up.
    pub fn take(&self, max: usize) -> Result<Place> {
        let mut place = Place { counted: Vec::new() };
        let (mut room, mut max) = (self, max);
        loop {
            let add = |running: usize| (running < max).then(|| running + 1);
            if let Err(running) = room.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, add) {
                let message = format!("{running} workers run, {max} are allowed (raise it with --max-workers)");
                return Err(ErrorRecord::new(ErrorCode::Eagain, message).into());
            }
            place.counted.push(Arc::clone(&room.running));
            match &room.above {
                Some(above) => (room, max) = (&above.room, above.max),
                None => return Ok(place),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_worker_counts_for_everyone_above_it() {
        let top = Room::default();
        let first = top.take(2).unwrap();
        let below = top.below(2);
        let second = below.take(10).unwrap();
        assert!(below.take(10).unwrap_err().is_code("EAGAIN"), "the top has two");
        assert!(below.take(1).unwrap_err().is_code("EAGAIN"));
        drop(first);
        let third = below.take(10).unwrap();
        drop((second, third));
        assert!(top.take(1).is_ok(), "a failed attempt takes nothing");
    }
}
