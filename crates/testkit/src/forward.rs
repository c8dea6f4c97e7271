//! Another way to a server: connections at one address are passed on to a port of 127.0.0.1.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Passes connections on until it is dropped.
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Forward {
    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

/// Listens at `address` (`[::1]:0` for any port of IPv6's loopback) and passes connections on to a port of 127.0.0.1.
///
/// # Errors
/// When it cannot listen there.
pub async fn forward(address: &str, to: u16) -> std::io::Result<Forward> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        // They end with this task, which owns the set.
        let mut connections = JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut far = TcpStream::connect(("127.0.0.1", to)).await?;
                copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    Ok(Forward { address, task })
}
