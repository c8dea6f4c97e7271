//! Places of destinations as URLs: read, written, and refused with a sentence.

use std::path::Path;

use howdah_domain::destination::Place;
use rstest::rstest;

fn read(text: &str) -> Place {
    Place::from_text(text, Path::new("/home/ada")).expect("a place").0
}

#[rstest]
#[case("/mnt/nas/backups")]
#[case("s3://backups")]
#[case(
    "s3://backups/laptop/db?endpoint=https%3A%2F%2Fminio.example.com%3A9000&region=eu-central-1&style=path"
)]
#[case(
    "s3://backups?storage-class=STANDARD_IA&sse=aws%3Akms&kms-key=k%2F1&key-id=AKIA1&profile=work&ca=%2Fetc%2Fca.pem"
)]
#[case("drive:///Howdah/my laptop")]
#[case("drive:///Howdah?client-id=1.apps.example&account=ada%40example.com")]
#[case("sftp://ada@nas:2222/srv/backups")]
#[case("sftp://nas/~/backups?login=agent")]
#[case("sftp://nas/~/backups?key=%2Fhome%2Fada%2F.ssh%2Fid")]
#[case("sftp://[::1]:2022/srv")]
#[case("webdavs://ada@cloud.example.com/remote.php/dav/files/ada/backups")]
#[case("webdav://127.0.0.1:8080/dav?ca=%2Fetc%2Fca.pem")]
#[case("ftps://ada@ftp.example.com/backups")]
#[case("ftps://ada@ftp.example.com:990/~/backups?tls=implicit")]
#[case("ftp://ftp.example.com/backups")]
#[case("azblob://account/container/a/b?endpoint=http%3A%2F%2F127.0.0.1%3A10000%2Faccount")]
#[case("gs://bucket/laptop")]
fn a_place_is_written_as_the_url_it_is_read_from(#[case] url: &str) {
    let place = read(url);
    let written = place.to_string();
    assert_eq!(read(&written), place, "{written}");
    // Once more, so that what is written is stable: it names the place for ever.
    assert_eq!(read(&written).to_string(), written);
}

#[rstest]
#[case("backups", "/home/ada/backups")]
#[case("./backups/", "/home/ada/backups")]
#[case("file:///srv/my%20backups", "/srv/my backups")]
#[case("file:/srv/backups", "/srv/backups")]
#[case("C:backups", "/home/ada/C:backups")]
#[case("s3://b/a/", "s3://b/a")]
fn equal_places_are_written_alike(#[case] text: &str, #[case] written: &str) {
    assert_eq!(read(text).to_string(), written);
}

#[test]
fn names_with_every_sign_survive() {
    let text = "s3://b/%C3%A4%20%2525%3F%23%26%3D?region=%26%3D%2B%20x";
    let Place::S3(place) = read(text) else {
        panic!("an S3 place")
    };
    assert_eq!(place.prefix, "ä %25?#&=");
    assert_eq!(place.region.as_deref(), Some("&=+ x"));
    let place = Place::S3(place);
    assert_eq!(read(&place.to_string()), place);
}

#[test]
fn a_password_is_handed_out_and_never_written() {
    let (place, secret) = Place::from_text("sftp://ada:p%40ss@nas/srv", Path::new("/")).expect("a place");
    assert_eq!(secret.expect("a secret").expose(), "p@ss");
    assert!(!format!("{place} {place:?}").contains("p@ss"), "{place}");
    assert!(!place.to_string().contains("p%40ss"), "{place}");
}

#[rstest]
#[case("/srv/backups/shop", "/srv/backups", "shop")]
#[case("s3://b/a/c?region=eu", "s3://b/a?region=eu", "c")]
#[case("s3://b/c", "s3://b", "c")]
#[case("sftp://nas/srv/a", "sftp://nas/srv", "a")]
#[case("sftp://nas/a", "sftp://nas/", "a")]
#[case("webdavs://h/dav/a%20b", "webdavs://h/dav", "a b")]
fn a_backups_own_url_is_its_destination_and_its_folder(
    #[case] url: &str,
    #[case] parent: &str,
    #[case] last: &str,
) {
    let (place, name) = read(url).split_last().expect("a folder");
    assert_eq!((place.to_string().as_str(), name.as_str()), (parent, last));
}

#[test]
fn a_place_without_a_folder_has_no_last_one() {
    assert!(read("s3://bucket").split_last().is_none());
}

#[rstest]
#[case("", "No destination is given")]
#[case("gopher://x/y", "no destination of the kind “gopher:”")]
#[case("s3:///prefix", "bucket")]
#[case("s3://b?endpoint=minio:9000", "is not a URL")]
#[case("s3://b?endpoint=ftp://minio", "must begin with https://")]
#[case("s3://b?regoin=eu", "“regoin”")]
#[case("s3://b?region=a&region=b", "twice")]
#[case("s3://b?style=odd", "path or virtual")]
#[case("s3://b?endpoint=https://u:p@h", "user or a password")]
#[case("sftp://nas/srv?login=magic", "agent or password")]
#[case("azblob://account", "container")]
#[case("drive://", "folder")]
fn what_is_no_place_is_refused_with_a_sentence(#[case] text: &str, #[case] part: &str) {
    let error = Place::from_text(text, Path::new("/"))
        .expect_err("no place")
        .to_string();
    assert!(error.contains(part), "{error}");
}

#[test]
fn one_storage_is_one_by_whatever_key_it_is_entered() {
    let place = |text: &str| Place::from_text(text, Path::new("/")).unwrap().0;
    let bucket = place("s3://backups/laptop?endpoint=https://store.example&key-id=one");
    assert!(bucket.same_storage(&place(
        "s3://backups/laptop/?endpoint=https://Store.example/&key-id=other&region=eu-central-1"
    )));
    assert!(!bucket.same_storage(&place(
        "s3://backups/other?endpoint=https://store.example&key-id=one"
    )));
    assert!(!bucket.same_storage(&place("s3://backups/laptop?key-id=one")));
    let machine = place("sftp://ada@vps/backups");
    assert!(machine.same_storage(&place("sftp://root@vps/backups?login=agent")));
    assert!(!machine.same_storage(&place("sftp://ada@vps:2222/backups")));
    assert!(!machine.same_storage(&place("/backups")));
    assert!(place("/backups").same_storage(&place("file:///backups")));
}

#[test]
fn what_people_know_a_place_by_says_where_and_not_how_to_get_in() {
    for (text, shown) in [
        (
            "sftp://ada@nas/~/backups?key=%2Fhome%2Fada%2F.ssh%2Fid",
            "sftp://ada@nas/~/backups",
        ),
        ("sftp://nas/what%3F", "sftp://nas/what%3F"),
        ("/srv/what?", "/srv/what?"),
    ] {
        assert_eq!(read(text).shown(), shown);
    }
}
