//! The health check against real servers: what it asks, how it takes the answers, and that nothing of it stays. Ways to fail are in `failing.rs`,
//! a pooler in `pooled.rs`, the look into a server in `facts.rs`.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod facts;
mod failing;
mod pooled;

use std::time::{Duration, Instant};

use howdah_domain::{Connection, Failure, FailureCode, Secret};
use howdah_postgres::Error;
use howdah_postgres::check::{Answered, Question, check};
use howdah_testkit::Cluster;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(10);

fn asking(sql: &str, expected: Option<&str>) -> Question {
    Question {
        sql: Some(sql.to_owned()),
        expected: expected.map(str::to_owned),
    }
}

async fn ask(connection: &Connection, secret: &Secret, question: &Question) -> Result<Answered, Error> {
    check(
        connection,
        Some(secret),
        question,
        LIMIT,
        &CancellationToken::new(),
    )
    .await
}

async fn good(connection: &Connection, secret: &Secret, question: &Question) -> Answered {
    let outcome = ask(connection, secret, question).await;
    outcome.unwrap_or_else(|error| panic!("{question:?}: {:#?}", error.to_failure()))
}

/// The failure, which must be of this code, explain itself at no great length, and hold no password.
async fn failing(
    connection: &Connection,
    secret: &Secret,
    question: &Question,
    limit: Duration,
    code: FailureCode,
) -> Failure {
    let began = Instant::now();
    let outcome = check(
        connection,
        Some(secret),
        question,
        limit,
        &CancellationToken::new(),
    )
    .await;
    assert!(
        began.elapsed() < limit + Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    let failure = match outcome {
        Ok(answered) => panic!("{question:?} was answered: {answered:?}"),
        Err(error) => error.to_failure(),
    };
    assert_eq!(failure.code, code, "{failure:#?}");
    assert!(
        failure.hint.as_ref().is_some_and(|hint| !hint.is_empty()),
        "{failure:#?}"
    );
    assert!(!format!("{failure:?}").contains(secret.expose()), "{failure:#?}");
    let length = |text: &Option<String>| text.as_deref().unwrap_or_default().chars().count();
    assert!(failure.message.chars().count() <= 600, "{failure:#?}");
    assert!(length(&failure.details) <= 2_000, "{failure:#?}");
    failure
}

/// Waits until no check is on the server any more.
async fn gone(cluster: &Cluster, within: Duration) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'howdah-check'";
    let began = Instant::now();
    while cluster.one("postgres", sql).await.unwrap() != "0" {
        assert!(began.elapsed() < within, "a check stays on the server");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[rstest]
#[tokio::test]
async fn a_good_server_answers_and_keeps_nothing(#[values(13, 14, 15, 16, 17, 18)] major: u16) {
    let cluster = Cluster::builder(major)
        .set("log_min_messages", "debug1")
        .start()
        .await
        .unwrap();
    let (connection, secret) = (cluster.connection("postgres"), cluster.password());
    let log = || std::fs::read_to_string(cluster.folder().join("server.log")).unwrap();
    let before = log().len();
    let began = Instant::now();
    let answered = good(&connection, &secret, &Question::default()).await;
    assert!(
        answered.connect > Duration::ZERO && answered.answer > Duration::ZERO,
        "{answered:?}"
    );
    assert!(
        answered.connect + answered.answer <= began.elapsed(),
        "{answered:?}"
    );
    good(
        &cluster.socket_connection("postgres"),
        &secret,
        &Question::default(),
    )
    .await;
    let name = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    good(&connection, &secret, &asking(name, Some("howdah-check"))).await;
    good(
        &connection,
        &secret,
        &asking("SHOW server_version", Some(cluster.version())),
    )
    .await;
    let found = failing(
        &connection,
        &secret,
        &asking("SELECT 2", Some("1")),
        LIMIT,
        FailureCode::NotEqual,
    )
    .await;
    assert_eq!(found.message, "The check expected “1” and found “2”.");
    gone(&cluster, Duration::from_secs(5)).await;
    // It said goodbye: a server notes a client that does not.
    let noted = log().split_off(before);
    for word in [
        "unexpected EOF",
        "could not receive",
        "connection to client lost",
        "WARNING",
        "ERROR",
    ] {
        assert!(!noted.contains(word), "{noted}");
    }
}

#[tokio::test]
async fn a_question_may_be_any_statement_that_reads() {
    let cluster = Cluster::start(17).await.unwrap();
    let (connection, secret) = (cluster.connection("postgres"), cluster.password());
    for (sql, expected) in [
        ("  ", Some("1")),
        ("SELECT 1;", Some("1")),
        ("SELECT 'a;b' -- and so on;", Some("a;b")),
        ("/* ; */ SELECT $$;$$ ; ", Some(";")),
        ("SELECT true", Some("t")),
        ("SELECT ''", Some("")),
        ("SELECT 1.50::numeric, 'the second'", Some("1.50")),
        ("VALUES ('x'), ('y')", Some("x")),
        ("SELECT generate_series(1, 10)", Some("1")),
        ("SELECT current_setting('transaction_read_only')", Some("on")),
        ("TABLE pg_catalog.pg_am", None),
        ("EXPLAIN SELECT 1", None),
        ("SELECT NULL", None),
        ("SELECT", None),
        ("SELECT 1 WHERE false", None),
        ("DO $$ BEGIN RAISE NOTICE 'a notice'; END $$", None),
        ("-- nothing", None),
        ("ROLLBACK", None),
    ] {
        good(&connection, &secret, &asking(sql, expected)).await;
    }
    let long = "é".repeat(5_000);
    for (sql, expected, says) in [
        ("SELECT 'B'", "b", "The check expected “b” and found “B”."),
        ("SELECT NULL", "NULL", "The check expected “NULL” and found NULL."),
        (
            "SELECT 1 WHERE false",
            "1",
            "The check expected “1” and found no row.",
        ),
        ("SELECT", "1", "The check expected “1” and found no row."),
        ("SELECT repeat('é', 5000)", "1", "éé…éé"),
        ("SELECT 1", long.as_str(), "éé…éé"),
    ] {
        let question = asking(sql, Some(expected));
        let found = failing(&connection, &secret, &question, LIMIT, FailureCode::NotEqual).await;
        assert!(found.message.contains(says), "{found:#?}");
        assert!(found.message.chars().count() < 250, "{found:#?}");
    }
}

#[rstest]
#[tokio::test]
async fn a_question_that_cannot_be_asked_says_why_and_changes_nothing(#[values(13, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    let (connection, secret) = (cluster.connection("postgres"), cluster.password());
    cluster
        .sql("postgres", "CREATE TABLE t(i int); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    for (sql, code, says) in [
        (
            "SELECT 1; SELECT 2",
            FailureCode::InvalidInput,
            "more than one statement",
        ),
        (
            "COMMIT; DELETE FROM t",
            FailureCode::InvalidInput,
            "more than one statement",
        ),
        ("SELEC 1", FailureCode::InvalidInput, "syntax error"),
        ("SELECT 'open", FailureCode::InvalidInput, "unterminated"),
        ("SELECT (1", FailureCode::InvalidInput, "syntax error"),
        (
            "SELECT * FROM gone",
            FailureCode::InvalidInput,
            "\"gone\" does not exist",
        ),
        (
            "INSERT INTO t VALUES (2)",
            FailureCode::InvalidInput,
            "read-only transaction",
        ),
        (
            "CREATE TABLE u()",
            FailureCode::InvalidInput,
            "read-only transaction",
        ),
        ("COPY t TO STDOUT", FailureCode::InvalidInput, "cannot be asked"),
        (
            "COPY t FROM STDIN",
            FailureCode::InvalidInput,
            "read-only transaction",
        ),
        ("VACUUM t", FailureCode::NotEqual, "VACUUM"),
        ("SELECT 1 / 0", FailureCode::NotEqual, "division by zero"),
        (
            "SELECT 1 / (2 - i) FROM generate_series(1, 2) i",
            FailureCode::NotEqual,
            "division by zero",
        ),
        (
            "DO $$ BEGIN RAISE EXCEPTION 'replica is late: connection refused'; END $$",
            FailureCode::NotEqual,
            "replica is late",
        ),
        (
            "SELECT pg_terminate_backend(pg_backend_pid())",
            FailureCode::ConnectionLost,
            "broke off",
        ),
    ] {
        let found = failing(&connection, &secret, &asking(sql, None), LIMIT, code).await;
        assert!(found.message.contains(says), "{sql}: {found:#?}");
    }
    assert_eq!(
        cluster.one("postgres", "SELECT count(*) FROM t").await.unwrap(),
        "1"
    );
    let plain = cluster.create_role("plain", "").await.unwrap();
    let by_plain = cluster.connection_as("plain", "postgres");
    let question = asking("SELECT * FROM t", None);
    failing(&by_plain, &plain, &question, LIMIT, FailureCode::PermissionDenied).await;
    gone(&cluster, Duration::from_secs(5)).await;
}

#[rstest]
#[case("SELECT generate_series(1, 10000000), repeat('x', 100)")]
#[case("SELECT a.oid, b.oid FROM pg_class a, pg_class b, pg_class c")]
#[tokio::test]
async fn of_a_million_rows_the_first_is_the_answer(#[case] sql: &str) {
    let cluster = Cluster::start(18).await.unwrap();
    let (connection, secret) = (cluster.connection("postgres"), cluster.password());
    good(&connection, &secret, &asking(sql, None)).await;
    gone(&cluster, Duration::from_secs(3)).await;
}

#[tokio::test]
async fn an_answer_of_more_than_a_megabyte_is_not_read() {
    let cluster = Cluster::start(16).await.unwrap();
    let (connection, secret) = (cluster.connection("postgres"), cluster.password());
    let question = asking("SELECT repeat('x', 100000000)", None);
    let found = failing(&connection, &secret, &question, LIMIT, FailureCode::InvalidInput).await;
    assert!(found.message.contains("longer than 1 MB"), "{found:#?}");
    gone(&cluster, Duration::from_secs(3)).await;
    good(&connection, &secret, &asking("SELECT repeat('x', 500000)", None)).await;
}

#[rstest]
#[tokio::test]
async fn a_question_that_never_ends_is_ended_here_and_on_the_server(#[values(13, 18)] major: u16) {
    let cluster = Cluster::start(major).await.unwrap();
    let (connection, secret) = (cluster.connection("postgres"), cluster.password());
    let limit = Duration::from_secs(1);
    for sql in [
        "SELECT pg_sleep(3600)",
        "SELECT count(*) FROM generate_series(1, 1000000000000)",
    ] {
        let found = failing(
            &connection,
            &secret,
            &asking(sql, None),
            limit,
            FailureCode::Timeout,
        )
        .await;
        let details = found.details.unwrap();
        assert!(
            details.contains("logged in, but the question was not answered"),
            "{details}"
        );
        gone(&cluster, Duration::from_secs(2)).await;
    }
    let holder = cluster.client("postgres").await.unwrap();
    holder.batch_execute("CREATE TABLE held()").await.unwrap();
    holder.batch_execute("BEGIN; LOCK held").await.unwrap();
    failing(
        &connection,
        &secret,
        &asking("TABLE held", None),
        limit,
        FailureCode::Timeout,
    )
    .await;
    gone(&cluster, Duration::from_secs(2)).await;
    // A role's own timeout does not matter to a question, nor does it to the role.
    cluster
        .sql("postgres", "ALTER ROLE postgres SET statement_timeout = '50ms'")
        .await
        .unwrap();
    good(&connection, &secret, &asking("SELECT pg_sleep(0.3)", None)).await;
}

#[tokio::test]
async fn a_check_that_is_cancelled_ends_at_once_and_on_the_server_when_its_time_is_over() {
    let cluster = Cluster::start(17).await.unwrap();
    let (connection, secret) = (cluster.connection("postgres"), cluster.password());
    let cancel = CancellationToken::new();
    let question = asking("SELECT pg_sleep(3600)", None);
    let began = Instant::now();
    let checking = check(
        &connection,
        Some(&secret),
        &question,
        Duration::from_secs(3),
        &cancel,
    );
    let cancelling = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(checking, cancelling);
    assert!(outcome.unwrap_err().is_cancelled());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    gone(&cluster, Duration::from_secs(5)).await;
    let outcome = check(&connection, Some(&secret), &Question::default(), LIMIT, &cancel).await;
    assert!(
        outcome.unwrap_err().is_cancelled(),
        "nothing is begun after a cancellation"
    );
}

#[tokio::test]
async fn a_long_error_text_keeps_its_end() {
    let cluster = Cluster::start(18).await.unwrap();
    let (connection, secret) = (cluster.connection("postgres"), cluster.password());
    let sql = "DO $$ BEGIN RAISE EXCEPTION 'It begins. % It ends.', repeat('äb ', 33000); END $$";
    let found = failing(
        &connection,
        &secret,
        &asking(sql, None),
        LIMIT,
        FailureCode::NotEqual,
    )
    .await;
    let details = found.details.unwrap();
    assert!(details.contains("It begins."), "{details}");
    assert!(details.ends_with("It ends. (P0001)"), "{details}");
    assert!(details.chars().count() <= 2_000);
    assert!(found.message.contains("It ends."), "{}", found.message);
}

#[tokio::test]
async fn twenty_checks_at_once_are_answered_each() {
    let cluster = Cluster::start(18).await.unwrap();
    let (connection, secret) = (cluster.connection("postgres"), cluster.password());
    let mut checks = tokio::task::JoinSet::new();
    for i in 0..20 {
        let (connection, secret) = (connection.clone(), secret.clone());
        checks.spawn(async move {
            let question = asking(&format!("SELECT {i}"), Some(&i.to_string()));
            good(&connection, &secret, &question).await
        });
    }
    assert_eq!(checks.join_all().await.len(), 20);
    gone(&cluster, Duration::from_secs(5)).await;
}
