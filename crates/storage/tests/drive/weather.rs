//! Bad weather: many faults at random moments. Whatever happens, an object is there whole, or not at all. (A session whose
//! address was lost cannot be given up, so opening one is left in peace here.)

use howdah_testkit::chance::Chance;
use howdah_testkit::drive::{Fault, On};

use crate::support::{CHUNK, get, names, no_sessions, prepared, put, sample};

fn any_fault(chance: &mut Chance) -> Fault {
    let refusal = |status, reason| Fault::Answer {
        status,
        reason,
        retry_after: None,
    };
    match chance.below(12) {
        0 => Fault::LoseAnswer,
        1 => refusal(503, "backendError"),
        2 => refusal(403, "userRateLimitExceeded"),
        3 => Fault::ExpireTokens,
        4 => Fault::Keep(chance.below(CHUNK as u64)),
        5 => Fault::Alter,
        6 if chance.below(4) == 0 => Fault::DropSession,
        7 => Fault::CutAnswer(chance.below(300)),
        _ => Fault::CutRequest(chance.below(CHUNK as u64)),
    }
}

#[tokio::test]
async fn in_any_weather_an_object_is_whole_or_not_there() {
    let mut chance = Chance::for_test("weather");
    let (mut well, mut badly) = (0, 0);
    for _ in 0..8 {
        let (emulator, drive) = prepared().await;
        let len = usize::try_from(chance.below(3 * CHUNK as u64)).unwrap();
        let bytes = sample(len);
        let mut expired = false;
        for _ in 0..=chance.below(6) {
            let on =
                [On::Chunk, On::LastChunk, On::Progress, On::Get][usize::try_from(chance.below(4)).unwrap()];
            let skip = u32::try_from(chance.below(3)).unwrap();
            let fault = any_fault(&mut chance);
            // A token that is refused twice in a row is no weather.
            if fault == Fault::ExpireTokens && std::mem::replace(&mut expired, true) {
                continue;
            }
            emulator.fail_times(on, skip, 1, fault);
        }
        let result = put(&drive, "shop/dump", &bytes).await;
        no_sessions(&emulator).await;
        emulator.forgive();
        match result {
            Ok(stored) => {
                well += 1;
                assert_eq!(stored.len, len as u64);
                assert!(
                    get(&drive, "shop/dump", None).await == bytes,
                    "{len} bytes come back"
                );
            }
            Err(error) => {
                badly += 1;
                assert!(error.is_retryable(), "{error:?}");
                assert!(emulator.files().is_empty(), "{error:?}: {:?}", emulator.files());
                assert!(names(&drive).await.is_empty());
            }
        }
    }
    println!("{well} went well, {badly} did not");
}
