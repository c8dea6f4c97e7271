//! The figures for Prometheus, over their port.

use std::time::Duration;

use howdah_domain::RunState;
use howdah_testkit::Cluster;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::support::TestEngine;
use super::support::nightly::{nightly, one};

/// What is answered to a request at a port of this machine; none where nobody listens.
async fn asked(port: u16, request: &str) -> Option<String> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    Some(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_for_prometheus_are_on_a_port_of_this_machine_where_the_settings_say_so() {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    nightly(&test, &cluster, one("postgres")).await;
    assert_eq!(test.back_up_now().await.state, RunState::Succeeded);
    let port = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let figures = format!("GET /metrics HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    assert_eq!(
        asked(port, &figures).await,
        None,
        "it is off until somebody wants it"
    );
    let mut settings = test.engine.settings().await;
    settings.metrics_port = Some(port);
    test.engine.save_settings(settings.clone()).await.unwrap();
    let mut answer = None;
    for _ in 0..100 {
        answer = asked(port, &figures).await;
        if answer.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = answer.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let line = "howdah_backup_timestamp_seconds{server=\"shop\",database=\"postgres\"} ";
    let at: f64 = answer
        .lines()
        .find_map(|found| found.strip_prefix(line))
        .unwrap_or_else(|| panic!("{answer}"))
        .parse()
        .unwrap();
    let now = test.engine_now().as_second();
    assert!((now - 60..=now).contains(&(at as i64)), "{at}");
    assert!(!answer.contains(cluster.password().expose()));
    // A page in a browser, whose own name was made to lead here.
    let rebound = asked(port, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        .await
        .unwrap();
    assert!(
        rebound.starts_with("HTTP/1.1 403 ") && !rebound.contains("howdah_"),
        "{rebound}"
    );
    settings.metrics_port = None;
    test.engine.save_settings(settings).await.unwrap();
    for _ in 0..100 {
        if asked(port, &figures).await.is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is still served");
}
