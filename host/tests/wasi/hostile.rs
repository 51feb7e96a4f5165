//! Nonsense in every call: an error number or a trap, never the end of the host.

use std::time::Duration;

use nodule::Permissions;
use nodule::permissions::DirAccess;

use super::guest::{CALLS, FREE_FROM, Guest, TempDir};

/// Calls per function.
const ROUNDS: usize = 300;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Small numbers (descriptors, flags), addresses, ends of the memory and of the number range.
    fn number(&mut self) -> u64 {
        match self.next() % 6 {
            0 => self.next() % 8,
            1 => self.next() % 4096,
            2 => (64 << 16) - self.next() % 16,
            3 => u64::from(u32::MAX) - self.next() % 64,
            4 => (1 << 31) - 8 + self.next() % 16,
            _ => self.next(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_survives_hostile_arguments() {
    let dir = TempDir::new();
    std::fs::write(dir.path().join("file"), "text").unwrap();
    let permissions = Permissions::none()
        .dir(dir.path(), "/data", DirAccess::ReadWrite)
        .unwrap();
    let mut random = Random(0x5eed_cafe_f00d_1234);
    let (mut errors, mut traps) = (0, 0);
    for (name, params) in CALLS {
        // A signal would end the test process; without the role it is refused.
        let mut guest = Guest::new(|builder| builder.permissions(permissions.clone()).args(["x"]).env("A", "1")).await;
        let noise: Vec<u8> = (0..8192).map(|_| (random.number() & 0xff) as u8).collect();
        guest.plugin.write_memory(FREE_FROM, &noise).unwrap();
        for _ in 0..ROUNDS {
            let arguments: Vec<u64> = params.chars().map(|_| random.number()).collect();
            let slots: Vec<u8> = arguments.iter().flat_map(|argument| argument.to_le_bytes()).collect();
            guest.plugin.write_memory(0, &slots).unwrap();
            let export = format!("slots_{name}");
            let call = guest.plugin.call::<(), i32>(&export, ());
            // Only `poll_oneoff` may wait, for clocks as far away as the noise says.
            match tokio::time::timeout(Duration::from_secs(2), call).await {
                Ok(Ok(errno)) => {
                    assert!((0..=76).contains(&errno), "{name}{arguments:?}: {errno}");
                    errors += usize::from(errno != 0);
                }
                Ok(Err(trap)) => {
                    traps += 1;
                    assert!(!trap.is_code("ERR_INTERNAL"), "{name}{arguments:?}: {trap}");
                }
                Err(_) => {
                    assert_eq!(*name, "poll_oneoff");
                    break;
                }
            }
        }
    }
    assert!(errors > ROUNDS, "{errors} errors, {traps} traps");
}
