//! The gate before a server that sends back what it gets.

use std::time::Duration;

use super::*;

async fn echo() -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut sessions = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            sessions.spawn(async move {
                let (mut from, mut to) = stream.into_split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    (port, task)
}

/// Sends bytes and the end, and answers what comes back until the end, or until nothing comes for a while.
async fn through(gate: &TcpGate, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gate.port()))
        .await
        .unwrap();
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    let patience = Duration::from_millis(300);
    while let Ok(Ok(read)) = tokio::time::timeout(patience, stream.read(&mut piece)).await {
        if read == 0 {
            break;
        }
        all.extend(&piece[..read]);
    }
    all
}

#[tokio::test]
async fn without_rules_bytes_come_back_as_they_were_sent() {
    let (port, echo) = echo().await;
    let gate = TcpGate::before(port).await.unwrap();
    let bytes: Vec<u8> = (0..=250).cycle().take(300_000).collect();
    assert!(through(&gate, &bytes).await == bytes);
    assert_eq!((gate.connections(), gate.passed(Way::Up)), (1, 300_000));
    assert_eq!(gate.passed(Way::Down), 300_000);
    echo.abort();
}

#[tokio::test]
async fn rules_strike_the_connections_that_they_name() {
    let (port, echo) = echo().await;
    let gate = TcpGate::before(port).await.unwrap();
    gate.rule(TcpRule::new(Way::Down, Mischief::Cut { after: 3 }).from(2));
    gate.rule(TcpRule::new(Way::Up, Mischief::Flip { at: 1 }).from(3));
    gate.rule(TcpRule::new(Way::Up, Mischief::Stall { after: 2 }).from(4));
    let mut heard = Vec::new();
    for _ in 0..5 {
        heard.push(through(&gate, b"abcdef").await);
    }
    assert_eq!(heard, [&b"abcdef"[..], b"abc", b"accdef", b"ab", b"abcdef"]);
    echo.abort();
}

#[tokio::test]
async fn every_connection_that_is_there_can_be_cut() {
    let (port, echo) = echo().await;
    let gate = TcpGate::before(port).await.unwrap();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gate.port()))
        .await
        .unwrap();
    stream.write_all(b"x").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'x');
    gate.cut_all();
    assert!(stream.read_u8().await.is_err());
    assert_eq!(through(&gate, b"new").await, b"new");
    echo.abort();
}

#[tokio::test]
async fn the_data_connections_of_ftp_go_through_the_gate() {
    let data = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let data_port = data.local_addr().unwrap().port();
    let control = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let control_port = control.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = control.accept().await.unwrap();
        let [high, low] = data_port.to_be_bytes();
        let replies = format!(
            "229 Entering Extended Passive Mode (|||{data_port}|)\r\n227 Entering Passive Mode (127,0,0,1,{high},{low}).\r\n"
        );
        stream.write_all(replies.as_bytes()).await.unwrap();
        for _ in 0..2 {
            let (mut stream, _) = data.accept().await.unwrap();
            stream.write_all(b"file").await.unwrap();
        }
        stream.write_all(b"226 done\r\n").await.unwrap();
        let _ = stream.read_u8().await;
    });

    let gate = TcpGate::before_ftp(control_port).await.unwrap();
    gate.rule(
        TcpRule::new(Way::Down, Mischief::Cut { after: 2 })
            .on_data()
            .from(2),
    );
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gate.port()))
        .await
        .unwrap();
    let mut control = BufReader::new(stream);
    let mut heard = Vec::new();
    for _ in 0..2 {
        let mut line = String::new();
        control.read_line(&mut line).await.unwrap();
        let port = Passive::read(line.as_bytes()).unwrap().port;
        assert_ne!(port, data_port);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let mut file = Vec::new();
        let _ = stream.read_to_end(&mut file).await;
        heard.push(file);
    }
    assert_eq!(heard, [&b"file"[..], b"fi"]);
    let mut line = String::new();
    control.read_line(&mut line).await.unwrap();
    assert_eq!(line, "226 done\r\n");
    assert_eq!((gate.connections(), gate.data_connections()), (1, 2));
    drop(control);
    server.await.unwrap();
}
