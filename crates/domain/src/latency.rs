//! How long answers took, summed up so that sums can be summed up again: percentiles cannot be merged, histograms can.

/// How many buckets a histogram has.
pub const BUCKETS: usize = 84;

/// Where the second bucket begins, in microseconds; the first one holds what is quicker.
const FIRST_MICROS: f64 = 100.0;

/// Buckets for each doubling: a percentile is told to within a fifth.
const PER_DOUBLING: f64 = 4.0;

/// Counts of durations in buckets that grow by a fifth each, from 0.1 ms to 145 s; what takes longer counts in the last one. The buckets never
/// change: what was written years ago is added to what is written today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u32; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS] }
    }
}

impl Histogram {
    /// Counts one duration, in microseconds.
    pub fn count(&mut self, micros: u32) {
        let counted = &mut self.counts[bucket(micros)];
        *counted = counted.saturating_add(1);
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        for (ours, theirs) in self.counts.iter_mut().zip(other.counts) {
            *ours = ours.saturating_add(theirs);
        }
    }

    /// How many durations were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// The duration in microseconds that a share of all (0 to 1) does not exceed: its bucket's middle, on the scale of the buckets. None where
    /// nothing was counted.
    pub fn percentile(&self, share: f64) -> Option<u32> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )]
        let wanted = ((total as f64 * share.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        found.map(middle)
    }

    /// As bytes: for each bucket that is not empty how many empty ones lie before it, and its count, as LEB128. A quiet hour takes ten.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut empty = 0;
        for count in self.counts {
            if count == 0 {
                empty += 1;
                continue;
            }
            write(&mut bytes, empty);
            write(&mut bytes, count);
            empty = 0;
        }
        bytes
    }

    /// From those bytes; none where they are not such.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut histogram = Self::default();
        let mut at = 0;
        while !bytes.is_empty() {
            at += usize::try_from(read(&mut bytes)?).ok()?;
            *histogram.counts.get_mut(at)? = read(&mut bytes)?;
            at += 1;
        }
        Some(histogram)
    }
}

fn bucket(micros: u32) -> usize {
    let doublings = (f64::from(micros) / FIRST_MICROS).log2();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates, and is clamped"
    )]
    let bucket = (doublings * PER_DOUBLING + 1.0).max(0.0) as usize;
    bucket.min(BUCKETS - 1)
}

fn middle(bucket: usize) -> u32 {
    #[allow(clippy::cast_precision_loss, reason = "there are 84")]
    let doublings = (bucket as f64 - 0.5) / PER_DOUBLING;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it fits")]
    let micros = (FIRST_MICROS * doublings.exp2()).round() as u32;
    micros
}

fn write(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or_default());
}

fn read(bytes: &mut &[u8]) -> Option<u32> {
    let mut number: u32 = 0;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_told_to_within_a_fifth() {
        for micros in [150, 999, 1_000, 25_000, 1_000_000, 59_999_999] {
            let mut histogram = Histogram::default();
            histogram.count(micros);
            let told = histogram.percentile(0.5).unwrap();
            let ratio = f64::from(told) / f64::from(micros);
            assert!((0.84..1.2).contains(&ratio), "{micros}: {told}");
        }
    }

    #[test]
    fn hours_make_a_day() {
        let (mut day, mut whole) = (Histogram::default(), Histogram::default());
        for hour in 0..24_u32 {
            let mut histogram = Histogram::default();
            for minute in 0..60 {
                let micros = 1_000 + hour * 900 + minute * 37;
                histogram.count(micros);
                whole.count(micros);
            }
            day.add(&Histogram::from_bytes(&histogram.to_bytes()).unwrap());
        }
        assert_eq!(day, whole);
        assert_eq!(day.total(), 24 * 60);
        assert!(day.percentile(0.5) < day.percentile(0.95));
        assert_eq!(Histogram::default().percentile(0.5), None);
    }

    #[test]
    fn the_longest_and_the_shortest_are_counted_too() {
        let mut histogram = Histogram::default();
        for micros in [0, 1, 99, u32::MAX] {
            histogram.count(micros);
        }
        assert_eq!(histogram.total(), 4);
        assert!(histogram.percentile(0.0).unwrap() < 100);
        assert!(histogram.percentile(1.0).unwrap() > 100_000_000);
        let again = Histogram::from_bytes(&histogram.to_bytes()).unwrap();
        assert_eq!(again, histogram);
    }

    #[test]
    fn bytes_that_are_no_histogram_are_told_and_harm_nobody() {
        assert_eq!(Histogram::from_bytes(&[]), Some(Histogram::default()));
        for bytes in [
            &[200_u8][..],
            &[84, 1],
            &[0xff; 20],
            &[1],
            &[0, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(Histogram::from_bytes(bytes), None, "{bytes:?}");
        }
    }
}
