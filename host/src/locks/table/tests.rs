//! The table against a model that looks at everything anew after each step.

use super::*;

/// A request of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Request {
    id: RequestId,
    name: usize,
    mode: Mode,
    owner: u64,
    is_held: bool,
}

/// All requests in their order; the rules are those of the specification, word for word.
#[derive(Default)]
struct Model(Vec<Request>);

impl Model {
    fn held(&self, name: usize) -> impl Iterator<Item = &Request> {
        self.0
            .iter()
            .filter(move |request| request.name == name && request.is_held)
    }

    fn is_grantable(&self, name: usize, mode: Mode, place: usize) -> bool {
        let is_first = !self.0[..place]
            .iter()
            .any(|request| request.name == name && !request.is_held);
        let fits = match mode {
            Mode::Exclusive => self.held(name).count() == 0,
            Mode::Shared => self.held(name).all(|request| request.mode == Mode::Shared),
        };
        is_first && fits
    }

    /// Grants what can be granted; gives the owners in order.
    fn grant(&mut self) -> Vec<u64> {
        let mut granted = Vec::new();
        for place in 0..self.0.len() {
            let Request { name, mode, .. } = self.0[place];
            if !self.0[place].is_held && self.is_grantable(name, mode, place) {
                self.0[place].is_held = true;
                granted.push(self.0[place].owner);
            }
        }
        granted
    }
}

/// A sequence of numbers that looks random and is the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

struct Run {
    table: Table<u64>,
    model: Model,
    names: [Arc<str>; 3],
    last_owner: u64,
    /// How often each kind of step had an effect.
    counts: [usize; 4],
}

impl Run {
    fn request(&mut self, numbers: &mut Numbers) {
        let name = numbers.below(self.names.len());
        let when_busy = match numbers.below(12) {
            0 => WhenBusy::Steal,
            1 | 2 => WhenBusy::Refuse,
            _ => WhenBusy::Wait,
        };
        let is_exclusive = when_busy == WhenBusy::Steal || numbers.below(3) == 0;
        let mode = if is_exclusive { Mode::Exclusive } else { Mode::Shared };
        self.last_owner += 1;
        let owner = self.last_owner;
        let mut stolen = Vec::new();
        let lost = |owner: &u64| stolen.push(*owner);
        let answer = self.table.request(&self.names[name], mode, when_busy, owner, lost);
        let is_free = self.model.is_grantable(name, mode, self.model.0.len());
        let expected: Vec<u64> = match when_busy {
            WhenBusy::Steal => self.model.held(name).map(|request| request.owner).collect(),
            WhenBusy::Refuse | WhenBusy::Wait => Vec::new(),
        };
        assert_eq!(stolen, expected);
        self.counts[0] += stolen.len();
        self.model.0.retain(|request| !expected.contains(&request.owner));
        let (id, is_held) = match answer {
            Answer::Granted(id) => (id, true),
            Answer::Pending(id) => (id, false),
            Answer::Refused => {
                self.counts[1] += 1;
                assert!(when_busy == WhenBusy::Refuse && !is_free);
                return;
            }
        };
        assert_eq!(is_held, is_free || when_busy == WhenBusy::Steal);
        assert!(is_held || when_busy == WhenBusy::Wait);
        self.model.0.push(Request {
            id,
            name,
            mode,
            owner,
            is_held,
        });
    }

    fn release(&mut self, numbers: &mut Numbers) {
        if self.model.0.is_empty() {
            return;
        }
        let request = self.model.0.remove(numbers.below(self.model.0.len()));
        let name = Arc::clone(&self.names[request.name]);
        let mut granted = Vec::new();
        let was_pending = self.table.release(&name, request.id, |owner| granted.push(*owner));
        assert_eq!(was_pending, !request.is_held);
        assert_eq!(granted, self.model.grant());
        self.counts[2] += granted.len();
        self.counts[3] += usize::from(was_pending);
        assert!(!self.table.release(&name, request.id, |_| panic!("released twice")));
    }

    fn check(&self) {
        let listed = self.table.list();
        let found: Vec<_> = listed
            .iter()
            .map(|listed| (listed.id, &**listed.name, listed.mode, *listed.owner, listed.is_held))
            .collect();
        let expected: Vec<_> = self
            .model
            .0
            .iter()
            .map(|request| {
                let name = &*self.names[request.name];
                (request.id, name, request.mode, request.owner, request.is_held)
            })
            .collect();
        assert_eq!(found, expected);
        let is_own = |owner: u64| owner.is_multiple_of(2);
        let waits = self.model.0.iter().enumerate().any(|(place, request)| {
            let is_ahead = |other: &Request| other.name == request.name && !is_own(other.owner);
            let is_held_by_other = self.model.held(request.name).any(is_ahead);
            is_own(request.owner)
                && !request.is_held
                && (is_held_by_other || self.model.0[..place].iter().any(is_ahead))
        });
        assert_eq!(self.table.waits_for_others(|owner| is_own(*owner)), waits);
    }
}

#[test]
fn ten_thousand_random_steps_follow_the_rules() {
    for seed in [0x9e37_79b9_7f4a_7c15, 1, 0xdead_beef] {
        let mut numbers = Numbers(seed);
        let mut run = Run {
            table: Table::default(),
            model: Model::default(),
            names: ["a", "b", ""].map(Arc::from),
            last_owner: 0,
            counts: [0; 4],
        };
        for _ in 0..10_000 {
            // As many end as begin, so that queues neither vanish nor only grow.
            if numbers.below(2) == 0 {
                run.request(&mut numbers);
            } else {
                run.release(&mut numbers);
            }
            run.check();
        }
        assert!(run.counts.iter().all(|count| *count > 100), "{:?}", run.counts);
        while !run.model.0.is_empty() {
            run.release(&mut numbers);
        }
        assert!(run.table.queues.is_empty(), "names without requests are forgotten");
    }
}
