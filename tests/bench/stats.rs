//! Samples and what is said about them.

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds; shown in a fitting unit. Less is better.
    Seconds,
    /// Bytes a second. More is better.
    BytesPerSecond,
    /// Things a second. More is better.
    PerSecond,
    /// Bytes. Less is better.
    Bytes,
    /// A part of something. Less is better.
    Share,
}

impl Unit {
    /// A value for people.
    pub fn show(self, value: f64) -> String {
        const KIB: f64 = 1024.0;
        match self {
            Self::Seconds if value >= 1.0 => format!("{value:.2} s"),
            Self::Seconds if value >= 1e-3 => format!("{:.2} ms", value * 1e3),
            Self::Seconds if value >= 1e-6 => format!("{:.1} µs", value * 1e6),
            Self::Seconds => format!("{:.1} ns", value * 1e9),
            Self::BytesPerSecond => format!("{:.2} GiB/s", value / KIB / KIB / KIB),
            Self::PerSecond => format!("{:.2} M/s", value / 1e6),
            Self::Bytes if value < KIB * KIB => format!("{:.1} KiB", value / KIB),
            Self::Bytes => format!("{:.1} MiB", value / KIB / KIB),
            Self::Share => format!("{:.2} %", value * 100.0),
        }
    }

    /// The field name for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::BytesPerSecond => "bytes_per_s",
            Self::PerSecond => "per_s",
            Self::Bytes => "bytes",
            Self::Share => "share",
        }
    }
}

/// Samples of one contestant at one work.
#[derive(Clone, Debug)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Keeps the samples; there must be one.
    pub fn new(mut samples: Vec<f64>) -> Self {
        assert!(!samples.is_empty(), "nothing was measured");
        samples.sort_by(f64::total_cmp);
        Self(samples)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The one in the middle.
    pub fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// The average.
    #[allow(clippy::cast_precision_loss, reason = "counts are small")]
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// The smallest.
    pub fn min(&self) -> f64 {
        self.0[0]
    }

    /// The largest.
    pub fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}
