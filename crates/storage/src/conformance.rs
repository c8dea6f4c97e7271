//! What every destination must do, as checks that any kind can be put through. It knows no kind.
//!
//! A new kind's tests call [`run`] on an empty destination. Each check panics with a sentence that names what was
//! expected, and works in a folder of its own.

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::{Destination, Error, MANIFEST, ObjectPath};

/// Puts a destination through every check, one after the other. It must hold no objects, and holds none afterwards.
///
/// # Panics
/// Where the destination does not do what [`Destination`] promises.
pub async fn run(destination: &dyn Destination) {
    an_object_comes_back_as_it_was_written(destination).await;
    an_empty_object_is_an_object(destination).await;
    an_object_longer_than_every_buffer_comes_back(destination).await;
    a_range_is_cut_to_the_object(destination).await;
    nothing_appears_before_finish(destination).await;
    a_dropped_writer_leaves_nothing(destination).await;
    a_wrong_length_leaves_nothing(destination).await;
    a_finished_object_is_never_replaced(destination).await;
    a_list_names_finished_objects_in_order(destination).await;
    what_is_not_there_is_told_as_such(destination).await;
    removing_twice_is_no_error(destination).await;
    a_removed_folder_is_gone_with_its_parents(destination).await;
    a_cancelled_write_leaves_nothing(destination).await;
    what_was_cancelled_before_does_nothing(destination).await;
    let left = destination
        .list(None, &CancellationToken::new())
        .await
        .expect("the destination can be listed");
    assert!(left.is_empty(), "the checks leave nothing behind: {left:?}");
}

fn path(text: &str) -> ObjectPath {
    ObjectPath::new(text).expect("BUG: the path of a check is valid")
}

/// Writes an object in pieces of the given length.
async fn put(destination: &dyn Destination, at: &ObjectPath, bytes: &[u8], piece: usize) {
    let cancel = CancellationToken::new();
    let mut writer = destination
        .create(at, None, &cancel)
        .await
        .expect("an object can be begun");
    for piece in bytes.chunks(piece) {
        writer
            .write(Bytes::copy_from_slice(piece))
            .await
            .expect("bytes are taken");
    }
    let stored = writer
        .finish(bytes.len() as u64)
        .await
        .expect("the object is finished");
    assert_eq!(stored.len, bytes.len() as u64, "finish tells the length");
}

async fn get(destination: &dyn Destination, at: &ObjectPath, range: Option<std::ops::Range<u64>>) -> Vec<u8> {
    let mut object = destination
        .read(at, range, &CancellationToken::new())
        .await
        .expect("the object can be read");
    let mut bytes = Vec::new();
    object
        .body
        .read_to_end(&mut bytes)
        .await
        .expect("the object's bytes can be read");
    assert_eq!(bytes.len() as u64, object.len, "read tells the length beforehand");
    bytes
}

async fn names(destination: &dyn Destination, folder: Option<&ObjectPath>) -> Vec<String> {
    destination
        .list(folder, &CancellationToken::new())
        .await
        .expect("the folder can be listed")
        .into_iter()
        .map(|entry| entry.path.to_string())
        .collect()
}

async fn remove(destination: &dyn Destination, folder: &str) {
    destination
        .delete_folder(&path(folder), &CancellationToken::new())
        .await
        .expect("a folder can be removed");
}

/// Bytes that repeat with no power of two, so that a block lost or swapped shows.
fn sample(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| u8::try_from(i % 251).expect("BUG: below 251"))
        .collect()
}

async fn an_object_comes_back_as_it_was_written(destination: &dyn Destination) {
    let at = path("shop/orders/20261122T040000Z-aaaaaa/dump");
    let bytes = sample(100_000);
    put(destination, &at, &bytes, 777).await;
    assert_eq!(get(destination, &at, None).await, bytes);
    let stat = destination
        .stat(&at, &CancellationToken::new())
        .await
        .expect("stat works");
    assert_eq!(stat.map(|stat| stat.len), Some(100_000), "stat tells the length");
    remove(destination, "shop").await;
}

async fn an_empty_object_is_an_object(destination: &dyn Destination) {
    let at = path("empty/object");
    put(destination, &at, &[], 1).await;
    assert!(get(destination, &at, None).await.is_empty());
    assert_eq!(names(destination, None).await, ["empty/object"]);
    remove(destination, "empty").await;
}

async fn an_object_longer_than_every_buffer_comes_back(destination: &dyn Destination) {
    let at = path("long/object");
    let bytes = sample(20_000_003);
    put(destination, &at, &bytes, 9_000_000).await;
    assert!(
        get(destination, &at, None).await == bytes,
        "20 MB come back unchanged"
    );
    remove(destination, "long").await;
}

async fn a_range_is_cut_to_the_object(destination: &dyn Destination) {
    let at = path("range/object");
    let bytes = sample(1000);
    put(destination, &at, &bytes, 1000).await;
    assert_eq!(get(destination, &at, Some(0..10)).await, &bytes[..10]);
    assert_eq!(get(destination, &at, Some(500..600)).await, &bytes[500..600]);
    assert_eq!(get(destination, &at, Some(990..5000)).await, &bytes[990..]);
    assert_eq!(get(destination, &at, Some(7..7)).await, b"");
    remove(destination, "range").await;
}

async fn nothing_appears_before_finish(destination: &dyn Destination) {
    let at = path("slow/object");
    let cancel = CancellationToken::new();
    let mut writer = destination
        .create(&at, None, &cancel)
        .await
        .expect("an object can be begun");
    writer
        .write(Bytes::from(sample(3_000_000)))
        .await
        .expect("bytes are taken");
    assert!(
        names(destination, None).await.is_empty(),
        "an unfinished object is not listed"
    );
    assert_eq!(destination.stat(&at, &cancel).await.expect("stat works"), None);
    writer.abort().await;
    assert!(names(destination, None).await.is_empty());
    put(destination, &at, b"second try", 4).await;
    assert_eq!(get(destination, &at, None).await, b"second try");
    remove(destination, "slow").await;
}

async fn a_dropped_writer_leaves_nothing(destination: &dyn Destination) {
    let at = path("dropped/object");
    let cancel = CancellationToken::new();
    let mut writer = destination
        .create(&at, None, &cancel)
        .await
        .expect("an object can be begun");
    writer
        .write(Bytes::from_static(b"bytes"))
        .await
        .expect("bytes are taken");
    drop(writer);
    assert_eq!(destination.stat(&at, &cancel).await.expect("stat works"), None);
    assert!(names(destination, None).await.is_empty());
}

async fn a_wrong_length_leaves_nothing(destination: &dyn Destination) {
    let at = path("short/object");
    let cancel = CancellationToken::new();
    let mut writer = destination
        .create(&at, None, &cancel)
        .await
        .expect("an object can be begun");
    writer
        .write(Bytes::from_static(b"12345"))
        .await
        .expect("bytes are taken");
    let error = writer.finish(6).await.expect_err("five bytes are not six");
    assert!(
        matches!(
            error,
            Error::WrongSize {
                expected: 6,
                found: 5,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(names(destination, None).await.is_empty());
}

async fn a_finished_object_is_never_replaced(destination: &dyn Destination) {
    let at = path("kept/object");
    put(destination, &at, b"first", 5).await;
    let cancel = CancellationToken::new();
    // Some kinds notice at once, others only when the object is finished.
    let error = match destination.create(&at, None, &cancel).await {
        Err(error) => error,
        Ok(mut writer) => {
            writer
                .write(Bytes::from_static(b"second"))
                .await
                .expect("bytes are taken");
            writer
                .finish(6)
                .await
                .expect_err("an object that is there is not replaced")
        }
    };
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert_eq!(get(destination, &at, None).await, b"first");
    remove(destination, "kept").await;
}

async fn a_list_names_finished_objects_in_order(destination: &dyn Destination) {
    for name in ["list/b/2", "list/a", "list/b/1", "listing/c"] {
        put(destination, &path(name), name.as_bytes(), 100).await;
    }
    assert_eq!(
        names(destination, Some(&path("list"))).await,
        ["list/a", "list/b/1", "list/b/2"],
        "a folder's list holds what is below it, and not what only begins alike"
    );
    assert_eq!(names(destination, None).await.len(), 4);
    remove(destination, "list").await;
    assert_eq!(names(destination, None).await, ["listing/c"]);
    remove(destination, "listing").await;
}

async fn what_is_not_there_is_told_as_such(destination: &dyn Destination) {
    let cancel = CancellationToken::new();
    let nowhere = path("no/where");
    let error = destination
        .read(&nowhere, None, &cancel)
        .await
        .expect_err("nothing is there");
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert_eq!(
        destination.stat(&nowhere, &cancel).await.expect("stat works"),
        None
    );
    assert!(names(destination, Some(&nowhere)).await.is_empty());
}

async fn removing_twice_is_no_error(destination: &dyn Destination) {
    let cancel = CancellationToken::new();
    let at = path("twice/object");
    put(destination, &at, b"x", 1).await;
    for _ in 0..2 {
        destination
            .delete(&at, &cancel)
            .await
            .expect("removing is repeatable");
        destination
            .delete_folder(&path("twice"), &cancel)
            .await
            .expect("removing a folder is repeatable");
    }
}

async fn a_removed_folder_is_gone_with_its_parents(destination: &dyn Destination) {
    let cancel = CancellationToken::new();
    let folder = "shop/orders/20261122T040000Z-bbbbbb";
    for name in [MANIFEST, "dump.pgdump.zst"] {
        put(destination, &path(folder).join(name).expect("a name"), b"x", 1).await;
    }
    let unfinished = destination
        .create(&path(folder).join("index").expect("a name"), None, &cancel)
        .await
        .expect("an object can be begun");
    remove(destination, folder).await;
    drop(unfinished);
    assert!(names(destination, None).await.is_empty());
    assert_eq!(
        destination
            .stat(&path(folder).join(MANIFEST).expect("a name"), &cancel)
            .await
            .expect("stat works"),
        None
    );
}

async fn a_cancelled_write_leaves_nothing(destination: &dyn Destination) {
    let cancel = CancellationToken::new();
    let at = path("cancelled/object");
    let mut writer = destination
        .create(&at, None, &cancel)
        .await
        .expect("an object can be begun");
    writer
        .write(Bytes::from_static(b"bytes"))
        .await
        .expect("bytes are taken");
    cancel.cancel();
    let error = writer.finish(5).await.expect_err("cancelled before finish");
    assert!(error.is_cancelled(), "{error:?}");
    assert!(names(destination, None).await.is_empty());
}

async fn what_was_cancelled_before_does_nothing(destination: &dyn Destination) {
    let cancel = CancellationToken::new();
    cancel.cancel();
    let at = path("never/object");
    assert!(
        destination
            .create(&at, None, &cancel)
            .await
            .err()
            .is_some_and(|error| error.is_cancelled())
    );
    assert!(
        destination
            .list(None, &cancel)
            .await
            .is_err_and(|error| error.is_cancelled())
    );
}
