//! A server in another network than this machine's: two network namespaces with a cable between them that can be pulled.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;

use nix::sched::{CloneFlags, unshare};

/// Where the far end is.
pub(crate) const ADDRESS: &str = "192.0.2.1";

/// The far end's network, with a way from its port 5432 to a socket of this machine; it lives as long as this process.
pub(crate) struct Far;

impl Far {
    /// Gives the calling thread, and those that it starts, a network of its own with a cable to a far one. None where that is not allowed;
    /// it takes root.
    pub(crate) fn connect(socket: PathBuf) -> Option<Self> {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            println!("skipped: no network namespace is to be had here: {error}");
            return None;
        }
        let (tell, told) = mpsc::channel();
        let (plugged, is_plugged) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            tell.send(nix::unistd::gettid()).unwrap();
            is_plugged.recv().unwrap();
            ip(&format!("addr add {ADDRESS}/24 dev far"));
            ip("link set far up");
            let listener = TcpListener::bind((ADDRESS, 5432)).unwrap();
            tell.send(nix::unistd::gettid()).unwrap();
            for stream in listener.incoming().flatten() {
                carry(stream, &socket);
            }
        });
        let number = told.recv().unwrap();
        ip("link add near type veth peer name far");
        ip(&format!("link set far netns {number}"));
        plugged.send(()).unwrap();
        told.recv().unwrap();
        ip("addr add 192.0.2.2/24 dev near");
        ip("link set near up");
        ip("link set lo up");
        Some(Self)
    }

    /// Pulls the cable at this end, as when a network goes.
    pub(crate) fn pull(&self) {
        ip("link set near down");
    }

    /// Plugs it in again.
    pub(crate) fn plug(&self) {
        ip("link set near up");
    }
}

fn ip(line: &str) {
    let output = Command::new("ip").args(line.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {line}: {output:?}");
}

/// Carries bytes both ways until either side ends.
fn carry(client: TcpStream, socket: &Path) {
    let Ok(server) = UnixStream::connect(socket) else {
        return;
    };
    let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
    let (mut from_server, mut to_server) = (server.try_clone().unwrap(), server);
    std::thread::spawn(move || {
        drop(io::copy(&mut from_client, &mut to_server));
        drop(to_server.shutdown(Shutdown::Both));
    });
    std::thread::spawn(move || {
        drop(io::copy(&mut from_server, &mut to_client));
        drop(to_client.shutdown(Shutdown::Both));
    });
}
