//! What the system's resolver says of a name, with the difference that Rust's own lookup does not show: "there is no such name" is an answer,
//! "nobody answers" is none (getaddrinfo(3), its `EAI_…` codes).
//!
//! With [`crate::children`] the only module with `unsafe`: getaddrinfo is called, and its list is read.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

use nix::libc;

/// What was said of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Its addresses; at least one.
    Found(Vec<IpAddr>),
    /// There is no such name, or it has no address.
    NoSuchName,
    /// Nobody who could know has answered; in the system's words.
    NoAnswer(String),
}

/// The most addresses that are read.
const AT_MOST: usize = 16;

/// Looks a name up, on a thread of its own: it may hang for longer than anybody waits, and must not keep a runtime from ending.
pub(super) async fn lookup(host: &str) -> Lookup {
    let host = host.to_owned();
    let (sender, answer) = tokio::sync::oneshot::channel();
    let started = std::thread::Builder::new().name("lookup".into()).spawn(move || {
        // Whoever asked may have gone.
        let _ = sender.send(lookup_blocking(&host));
    });
    match started {
        Ok(_) => answer
            .await
            .unwrap_or_else(|_| Lookup::NoAnswer("the lookup broke off".to_owned())),
        Err(error) => Lookup::NoAnswer(error.to_string()),
    }
}

fn lookup_blocking(host: &str) -> Lookup {
    let Ok(host) = CString::new(host) else {
        return Lookup::NoSuchName;
    };
    let mut list: *mut libc::addrinfo = ptr::null_mut();
    // SAFETY: an addrinfo of zeros is a valid one: integers, and pointers that may be null.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    // SAFETY: the name ends with a NUL, a service may be null, and hints and the place for the list outlive the call.
    let code = unsafe { libc::getaddrinfo(host.as_ptr(), ptr::null(), &raw const hints, &raw mut list) };
    if code != 0 {
        return refused(code);
    }
    // SAFETY: with code 0 it is a list made by getaddrinfo, which is freed once, below, and not used afterwards.
    let found = unsafe { addresses(list) };
    // SAFETY: as above.
    unsafe { libc::freeaddrinfo(list) };
    if found.is_empty() {
        Lookup::NoSuchName
    } else {
        Lookup::Found(found)
    }
}

/// # Safety
/// `entry` is null or of a list that getaddrinfo made and that is not freed yet.
unsafe fn addresses(mut entry: *const libc::addrinfo) -> Vec<IpAddr> {
    let mut found = Vec::new();
    // SAFETY: by this function's own condition each entry is null or valid.
    while let Some(info) = unsafe { entry.as_ref() } {
        let address: Option<IpAddr> = match info.ai_family {
            libc::AF_INET if !info.ai_addr.is_null() => {
                // SAFETY: an entry of this family has an address of this type; it is read wherever it lies.
                let address = unsafe { ptr::read_unaligned(info.ai_addr.cast::<libc::sockaddr_in>()) };
                Some(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)).into())
            }
            libc::AF_INET6 if !info.ai_addr.is_null() => {
                // SAFETY: as above.
                let address = unsafe { ptr::read_unaligned(info.ai_addr.cast::<libc::sockaddr_in6>()) };
                Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
            }
            _ => None,
        };
        if let Some(address) = address.filter(|address| !found.contains(address)) {
            found.push(address);
        }
        if found.len() >= AT_MOST {
            break;
        }
        entry = info.ai_next;
    }
    found
}

fn refused(code: i32) -> Lookup {
    // EAI_NODATA, which is glibc's: the name is there and has no address.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    let is_answer = code == libc::EAI_NONAME || code == libc::EAI_NODATA;
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let is_answer = code == libc::EAI_NONAME;
    if is_answer {
        return Lookup::NoSuchName;
    }
    // SAFETY: for any code it gives a text that ends with a NUL and stays.
    let text = unsafe { CStr::from_ptr(libc::gai_strerror(code)) };
    Lookup::NoAnswer(text.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_this_machine_is_found() {
        let Lookup::Found(addresses) = lookup_blocking("localhost") else {
            panic!("localhost is not found");
        };
        assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
        assert_eq!(
            lookup_blocking("192.0.2.7"),
            Lookup::Found(vec![Ipv4Addr::new(192, 0, 2, 7).into()])
        );
        let expected = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).into();
        assert_eq!(lookup_blocking("2001:db8::7"), Lookup::Found(vec![expected]));
    }

    #[test]
    fn no_such_name_is_another_answer_than_none() {
        assert_eq!(lookup_blocking("a\0b"), Lookup::NoSuchName);
        assert_eq!(refused(libc::EAI_NONAME), Lookup::NoSuchName);
        assert!(matches!(refused(libc::EAI_AGAIN), Lookup::NoAnswer(text) if !text.is_empty()));
        assert!(matches!(refused(libc::EAI_FAIL), Lookup::NoAnswer(_)));
        assert!(matches!(refused(12345), Lookup::NoAnswer(_)));
    }

    #[test]
    fn odd_names_do_no_harm() {
        for name in ["", ".", "..", "-", "a b", "*", "ä", &"x".repeat(10_000)] {
            println!("{name:.20}: {:?}", lookup_blocking(name));
        }
    }
}
