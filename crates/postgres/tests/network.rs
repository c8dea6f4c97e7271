//! The look at this machine's network, in networks made for the purpose: each in a network namespace of its own, which a thread has while it lives.
//! Where that is not permitted (it takes root) or `ip` is not there, these tests say so and do nothing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says why")]

use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use howdah_domain::{Failure, FailureCode};
use howdah_postgres::network::{LIMIT, Network as _, Outlook, SystemNetwork};
use nix::sched::{CloneFlags, unshare};
use tokio_util::sync::CancellationToken;

/// Runs `work` on a thread in a network namespace with nothing in it. False where there can be none.
fn in_a_network_of_its_own(work: impl FnOnce() + Send + 'static) -> bool {
    let thread = std::thread::spawn(move || {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            println!("skipped: no network namespace is to be had here: {error}");
            return false;
        }
        work();
        true
    });
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// What the system sees from the network of this thread.
fn looked(host: &str, code: FailureCode) -> Outlook {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let failure = Failure::new(code, "It failed.");
    let began = Instant::now();
    let outlook = runtime.block_on(SystemNetwork.look(host, 5432, &failure, &CancellationToken::new()));
    println!("{host}: {outlook:?} after {:?}", began.elapsed());
    assert!(
        began.elapsed() < LIMIT + Duration::from_millis(300),
        "{:?}",
        began.elapsed()
    );
    outlook
}

fn offline(host: &str) -> String {
    match looked(host, FailureCode::Timeout) {
        Outlook::Offline { why } => why,
        other => panic!("{host}: {other:?}"),
    }
}

/// Sets up the network of this thread; false where it cannot be.
fn ip(lines: &[&str]) -> bool {
    lines.iter().all(|line| {
        let outcome = Command::new("ip").args(line.split_whitespace()).output();
        match outcome {
            Ok(output) if output.status.success() => true,
            other => {
                println!("skipped: ip {line}: {other:?}");
                false
            }
        }
    })
}

#[test]
fn without_an_interface_nothing_remote_can_be_reached() {
    in_a_network_of_its_own(|| {
        assert!(offline("192.0.2.1").contains("no route to 192.0.2.1"));
        assert!(offline("2001:db8::1").contains("no route to 2001:db8::1"));
        assert!(offline("db.example.com").contains("resolver does not answer"));
        assert_eq!(looked("127.0.0.1", FailureCode::Timeout), Outlook::Local);
        assert_eq!(looked("/run/postgresql", FailureCode::Timeout), Outlook::Local);
        assert_eq!(looked("localhost", FailureCode::Timeout), Outlook::Local);
        assert_eq!(
            looked("192.0.2.1", FailureCode::AuthenticationFailed),
            Outlook::Online
        );
    });
}

#[test]
fn a_network_at_the_interface_is_a_way_and_what_is_beyond_is_none() {
    in_a_network_of_its_own(|| {
        if !ip(&[
            "link add dummy0 type dummy",
            "addr add 192.0.2.2/24 dev dummy0",
            "link set dummy0 up",
        ]) {
            return;
        }
        assert_eq!(looked("192.0.2.1", FailureCode::Timeout), Outlook::Online);
        assert!(offline("198.51.100.1").contains("no route"));
        assert_eq!(
            looked("192.0.2.2", FailureCode::Timeout),
            Outlook::Local,
            "its own address"
        );
        // A gateway that is not there, as when the plug was pulled behind the switch.
        if !ip(&["route add default via 192.0.2.1"]) {
            return;
        }
        let why = offline("198.51.100.1");
        assert!(why.contains("192.0.2.1"), "{why}");
        assert_eq!(
            looked("192.0.2.9", FailureCode::Timeout),
            Outlook::Online,
            "no gateway is needed"
        );
        if ip(&["route add unreachable 203.0.113.0/24"]) {
            assert!(offline("203.0.113.5").contains("no route"));
        }
    });
}

#[test]
fn a_gateway_that_refuses_is_there() {
    in_a_network_of_its_own(|| {
        // Another thread is the gateway, with a network of its own.
        let (to_us, from_gateway) = mpsc::channel();
        let (to_gateway, from_us) = mpsc::channel::<()>();
        let gateway = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            to_us.send(nix::unistd::gettid()).unwrap();
            let Ok(()) = from_us.recv() else { return };
            let is_up = ip(&[
                "link set lo up",
                "addr add 192.0.2.1/24 dev far",
                "link set far up",
            ]);
            to_us.send(nix::unistd::gettid()).unwrap();
            // Until the other end is through.
            while is_up && from_us.recv().is_ok() {}
        });
        let number = from_gateway.recv().unwrap();
        if !ip(&[
            "link add near type veth peer name far",
            &format!("link set far netns {number}"),
        ]) {
            return;
        }
        to_gateway.send(()).unwrap();
        from_gateway.recv().unwrap();
        if ip(&[
            "addr add 192.0.2.2/24 dev near",
            "link set near up",
            "route add default via 192.0.2.1",
        ]) {
            assert_eq!(looked("198.51.100.1", FailureCode::Timeout), Outlook::Online);
            assert_eq!(looked("203.0.113.1", FailureCode::HostNotFound), Outlook::Online);
        }
        drop(to_gateway);
        gateway.join().unwrap();
    });
}
