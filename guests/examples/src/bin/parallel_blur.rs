//! A Gaussian blur on all cores: workers take rows of a picture in shared memory until none is left.
//!
//! With a PGM picture on standard input it is a filter: `nodule run parallel_blur.wasm < in.pgm > out.pgm`. Without one
//! it blurs a picture of its own, first with one worker, then with one for each CPU, and says how much faster that was.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use nodule_sdk::shared_memory::SharedBuffer;
use nodule_sdk::worker_threads::{self, Source, Worker, WorkerOptions};
use nodule_sdk::{Error, Result, os};
use serde::{Deserialize, Serialize};

/// Pixels to each side that a pixel is mixed with.
const RADIUS: usize = 6;
/// How fast their weight falls.
const SIGMA: f32 = 3.0;

/// A picture of 8-bit grey, the blurred one, and the next row to do.
#[derive(Clone, Serialize, Deserialize)]
struct Job {
    width: usize,
    height: usize,
    source: SharedBuffer,
    target: SharedBuffer,
    next_row: SharedBuffer,
}

impl Job {
    fn new(width: usize, height: usize, pixels: &[u8]) -> Result<Self> {
        let job = Self {
            width,
            height,
            source: SharedBuffer::new(pixels.len())?,
            target: SharedBuffer::new(pixels.len())?,
            next_row: SharedBuffer::new(size_of::<AtomicI32>())?,
        };
        job.source.write(0, pixels)?;
        Ok(job)
    }

    /// Takes rows and blurs them until none is left. All workers do this at once, on the same memory.
    fn work(&self) {
        let (source, target) = (self.source.as_u8(), self.target.as_u8());
        let weights = weights();
        loop {
            let row = self.next_row.as_i32()[0].fetch_add(1, Ordering::Relaxed);
            let Some(row) = usize::try_from(row).ok().filter(|row| *row < self.height) else {
                return;
            };
            for column in 0..self.width {
                let grey = self.blurred(source, &weights, row, column);
                target[row * self.width + column].store(grey, Ordering::Relaxed);
            }
        }
    }

    fn blurred(&self, source: &[AtomicU8], weights: &[[f32; 2 * RADIUS + 1]], row: usize, column: usize) -> u8 {
        let inside = |at: usize, step: usize, len: usize| (at + step).saturating_sub(RADIUS).min(len - 1);
        let mut sum = 0.0;
        for (y, line) in weights.iter().enumerate() {
            let start = inside(row, y, self.height) * self.width;
            for (x, weight) in line.iter().enumerate() {
                let pixel = &source[start + inside(column, x, self.width)];
                sum += weight * f32::from(pixel.load(Ordering::Relaxed));
            }
        }
        sum.round() as u8
    }

    /// Blurs with so many workers.
    async fn run(&self, workers: u32) -> Result<Duration> {
        self.next_row.as_i32()[0].store(0, Ordering::Relaxed);
        let start = Instant::now();
        let running = (0..workers)
            .map(|_| Worker::new(Source::Current, WorkerOptions::new().name("blur").worker_data(self)))
            .collect::<Result<Vec<_>>>()?;
        for worker in &running {
            if worker.join().await != 0 {
                return Err(Error::new("a worker failed"));
            }
        }
        Ok(start.elapsed())
    }

    fn result(&self) -> Result<Vec<u8>> {
        let mut pixels = vec![0; self.width * self.height];
        self.target.read(0, &mut pixels)?;
        Ok(pixels)
    }
}

/// The weights of a pixel's neighbours; their sum is 1.
fn weights() -> [[f32; 2 * RADIUS + 1]; 2 * RADIUS + 1] {
    let bell = |step: usize| (-(step as f32 - RADIUS as f32).powi(2) / (2.0 * SIGMA * SIGMA)).exp();
    let line: [f32; 2 * RADIUS + 1] = std::array::from_fn(bell);
    let sum: f32 = line.iter().sum();
    std::array::from_fn(|y| std::array::from_fn(|x| line[y] * line[x] / (sum * sum)))
}

/// Rings, as a lens makes them.
fn rings(width: usize, height: usize) -> Vec<u8> {
    let grey = |row: usize, column: usize| {
        let (y, x) = (row as f32 - height as f32 / 2.0, column as f32 - width as f32 / 2.0);
        (127.5 + 127.5 * ((x * x + y * y) / 500.0).cos()) as u8
    };
    (0..width * height).map(|at| grey(at / width, at % width)).collect()
}

/// Width, height and pixels of a binary PGM picture.
fn parse_pgm(bytes: &[u8]) -> Option<(usize, usize, &[u8])> {
    let mut rest = bytes.strip_prefix(b"P5")?;
    let mut numbers = [0_usize; 3];
    for number in &mut numbers {
        rest = rest.trim_ascii_start();
        let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        *number = std::str::from_utf8(&rest[..len]).ok()?.parse().ok()?;
        rest = &rest[len..];
    }
    let [width, height, _] = numbers;
    let pixels = rest.get(1..)?;
    (width > 0 && width.checked_mul(height)? == pixels.len()).then_some((width, height, pixels))
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    if !worker_threads::is_main_thread() {
        worker_threads::worker_data::<Job>()?.work();
        return Ok(());
    }
    let cpus = os::available_parallelism();
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)?;
    if !input.is_empty() {
        let (width, height, pixels) = parse_pgm(&input).ok_or("standard input is no PGM picture (P5, 8 bit)")?;
        let job = Job::new(width, height, pixels)?;
        job.run(cpus).await?;
        let mut output = std::io::stdout().lock();
        write!(output, "P5\n{width} {height}\n255\n")?;
        output.write_all(&job.result()?)?;
        return Ok(());
    }
    let (width, height) = (1280, 720);
    let job = Job::new(width, height, &rings(width, height))?;
    let alone = job.run(1).await?;
    let blurred = job.result()?;
    let together = job.run(cpus).await?;
    assert_eq!(blurred, job.result()?, "however many workers: the same picture");
    println!(
        "{width} x {height} pixels: 1 worker {alone:.0?}, {cpus} workers {together:.0?}, {:.2} times as fast",
        alone.as_secs_f64() / together.as_secs_f64()
    );
    Ok(())
}
