//! How an object is cut into parts. Pure: sizes in, sizes out.
//!
//! S3 takes at most 10,000 parts of an upload, each but the last of 5 MiB to 5 GiB, and objects up to 5 TiB. Some stores want
//! all parts of an upload to have one size, so it is chosen once, from the estimate.

/// The most bytes of an object (Amazon S3 User Guide, "Multipart upload limits").
pub(super) const LARGEST_OBJECT: u64 = 5 * 1024 * GIB;

/// The most parts of an upload.
const MOST_PARTS: u64 = 10_000;

/// The size of parts where nobody knows how long the object will be: 10,000 of them are 156 GiB.
pub(super) const USUAL_PART: usize = 16 * MIB;
/// Smaller parts spend more time on asking than on sending.
const SMALLEST_PART: u64 = 8 * MIB as u64;
const LARGEST_PART: u64 = 5 * GIB;

const MIB: usize = 1024 * 1024;
const GIB: u64 = 1024 * 1024 * 1024;

/// How large the parts of one upload are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    /// Bytes of every part but the last.
    pub(super) size: usize,
}

impl Parts {
    /// Chooses the size for an object of about so many bytes; none where it is too large for S3. There is room for a tenth more
    /// than the estimate.
    pub(super) fn for_object(estimate: Option<u64>) -> Option<Self> {
        let Some(estimate) = estimate else {
            return Some(Self { size: USUAL_PART });
        };
        if estimate > LARGEST_OBJECT {
            return None;
        }
        let with_room = (estimate + estimate / 10).min(LARGEST_OBJECT);
        let size = with_room
            .div_ceil(MOST_PARTS)
            .next_multiple_of(MIB as u64)
            .clamp(SMALLEST_PART, LARGEST_PART);
        Some(Self {
            size: usize::try_from(size).unwrap_or(USUAL_PART),
        })
    }

    /// The most bytes that an object in these parts can have.
    pub(super) fn limit(self) -> u64 {
        (self.size as u64 * MOST_PARTS).min(LARGEST_OBJECT)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::unknown(None, 16)]
    #[case::empty(Some(0), 8)]
    #[case::small(Some(100 * MIB as u64), 8)]
    #[case::what_the_smallest_parts_just_take(Some(71 * GIB), 8)]
    #[case::more_than_that(Some(80 * GIB), 10)]
    #[case::half_a_tebibyte(Some(512 * GIB), 58)]
    #[case::the_largest_object(Some(LARGEST_OBJECT), 525)]
    fn one_part_size_is_chosen_from_the_estimate(#[case] estimate: Option<u64>, #[case] mib: usize) {
        let parts = Parts::for_object(estimate).unwrap();
        assert_eq!(parts.size, mib * MIB);
        assert!(estimate.is_none_or(|estimate| estimate <= parts.limit()));
    }

    #[test]
    fn the_number_of_parts_is_never_exceeded_up_to_a_tenth_more_than_estimated() {
        for exponent in 20..42 {
            for estimate in [1_u64 << exponent, (1 << exponent) + 1, (1 << exponent) * 3 / 2] {
                let parts = Parts::for_object(Some(estimate)).unwrap();
                let needed = (estimate + estimate / 10).div_ceil(parts.size as u64);
                assert!(needed <= MOST_PARTS, "{estimate} bytes need {needed} parts");
            }
        }
    }

    #[test]
    fn an_object_that_s3_cannot_keep_has_no_parts() {
        assert_eq!(Parts::for_object(Some(LARGEST_OBJECT + 1)), None);
    }

    #[test]
    fn without_an_estimate_156_gib_fit() {
        assert_eq!(Parts::for_object(None).unwrap().limit() / GIB, 156);
    }
}
