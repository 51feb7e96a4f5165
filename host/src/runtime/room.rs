//! How many workers, or processes, may run below an isolate, those of its workers included.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What runs below one isolate. A worker or process counts in the room of everyone above it.
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

/// The place of one of them; dropping it frees it.
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

    /// A place for one more; `max` is for this isolate. How many run where there is none, here or further up.
    pub fn take(&self, max: usize) -> Result<Place, usize> {
        let mut place = Place { counted: Vec::new() };
        let (mut room, mut max) = (self, max);
        loop {
            let add = |running: usize| (running < max).then(|| running + 1);
            room.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, add)?;
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
        assert_eq!(below.take(10).unwrap_err(), 2, "the top has two");
        assert_eq!(below.take(1).unwrap_err(), 1);
        drop(first);
        let third = below.take(10).unwrap();
        drop((second, third));
        assert!(top.take(1).is_ok(), "a failed attempt takes nothing");
    }
}
