//! What the compute benchmark computes. The same file is compiled into the guest and into the benchmark itself.

/// Side of the Mandelbrot image for one unit of work.
const SIDE: u32 = 128;

/// Escape times of a Mandelbrot image, summed: floating point.
pub fn mandelbrot(rounds: u32) -> u32 {
    let mut sum = 0_u32;
    for round in 0..rounds {
        for point in 0..SIDE * SIDE {
            let x = f64::from(point % SIDE) * 3.0 / f64::from(SIDE) - 2.0 + f64::from(round) * 1e-9;
            let y = f64::from(point / SIDE) * 2.4 / f64::from(SIDE) - 1.2;
            let (mut re, mut im, mut steps) = (0.0, 0.0, 0);
            while steps < 200 && re * re + im * im < 4.0 {
                (re, im) = (re * re - im * im + x, 2.0 * re * im + y);
                steps += 1;
            }
            sum = sum.wrapping_add(steps);
        }
    }
    sum
}

/// Numbers in the sieve.
const SIEVE: usize = 1 << 16;

/// Counts primes with a sieve: short loops over memory.
pub fn sieve(rounds: u32) -> u32 {
    let mut count = 0_u32;
    for round in 0..rounds {
        let mut composite = [false; SIEVE];
        // Keeps rounds from being taken for repetitions of each other.
        composite[SIEVE - 1] = round % 2 == 1;
        for number in 2..SIEVE {
            if composite[number] {
                continue;
            }
            count = count.wrapping_add(1);
            let mut multiple = number * number;
            while multiple < SIEVE {
                composite[multiple] = true;
                multiple += number;
            }
        }
    }
    count
}

/// Mixes 4 KiB blocks as a hash does: integer arithmetic, rotations, straight code.
pub fn mix(rounds: u32) -> u32 {
    let mut state = [0x6a09_e667_u32, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a];
    let mut block = [0_u32; 1024];
    for round in 0..rounds {
        for (word, seed) in block.iter_mut().zip(round..) {
            *word = word.wrapping_add(seed.wrapping_mul(0x9e37_79b9));
        }
        for words in block.chunks_exact(4) {
            for word in words {
                let [a, b, c, d] = state;
                let sum = (a.rotate_right(6) ^ a.rotate_right(11) ^ a.rotate_right(25)).wrapping_add(*word);
                state = [d.wrapping_add(sum ^ (b & c)), a, b.rotate_left(10), c];
            }
        }
    }
    state[0] ^ state[3]
}
