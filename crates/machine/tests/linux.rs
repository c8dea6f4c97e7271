//! This machine as logind, UPower and NetworkManager tell of it, on a bus of the test's own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::time::Duration;

use howdah_machine::{Machine as _, Moment, Power, State, SystemMachine};
use howdah_testkit::system_bus::{Service, SystemBus};
use tokio::sync::broadcast::Receiver;

fn machine(bus: &SystemBus) -> SystemMachine {
    SystemMachine::listening(Some(bus.address()))
}

/// Waits until the state is as wished.
async fn until(machine: &SystemMachine, wish: impl Fn(&State) -> bool) -> State {
    let mut state = machine.state();
    let waited = tokio::time::timeout(Duration::from_secs(10), state.wait_for(|state| wish(state))).await;
    match waited {
        Ok(state) => *state.unwrap(),
        Err(_) => panic!("it did not come to that: {:?}", *machine.state().borrow()),
    }
}

async fn next(moments: &mut Receiver<Moment>) -> Moment {
    tokio::time::timeout(Duration::from_secs(10), moments.recv())
        .await
        .expect("something happens in time")
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sleep_waking_and_shutdown_are_told_as_logind_tells_them() {
    let mut bus = SystemBus::start().unwrap();
    bus.add(Service::Logind).unwrap();
    let machine = machine(&bus);
    let mut moments = machine.moments();
    // Until it listens, nothing is heard.
    let mut heard = None;
    for _ in 0..100 {
        bus.prepare_for_sleep(true).unwrap();
        heard = tokio::time::timeout(Duration::from_millis(100), moments.recv())
            .await
            .ok();
        if heard.is_some() {
            break;
        }
    }
    assert_eq!(heard.unwrap().unwrap(), Moment::FallsAsleep);
    while moments.try_recv().is_ok() {}
    bus.prepare_for_sleep(false).unwrap();
    assert_eq!(next(&mut moments).await, Moment::Woke);
    bus.prepare_for_shutdown().unwrap();
    assert_eq!(next(&mut moments).await, Moment::SwitchesOff);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_a_lock_at_logind_and_goes_with_it() {
    let mut bus = SystemBus::start().unwrap();
    bus.add(Service::Logind).unwrap();
    let machine = machine(&bus);
    let hold = machine.hold("Backing up shop").await;
    assert!(hold.holds());
    let locks = bus.locks().unwrap();
    for part in ["sleep:shutdown", "Howdah", "Backing up shop", "block"] {
        assert!(locks.contains(part), "{locks}");
    }
    drop(hold);
    for _ in 0..100 {
        if !bus.locks().unwrap().contains("Howdah") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the lock is still held");
}

#[tokio::test(flavor = "multi_thread")]
async fn power_and_network_are_followed_and_unknown_once_nobody_tells() {
    let mut bus = SystemBus::start().unwrap();
    for service in [Service::UPower, Service::NetworkManager] {
        bus.add(service).unwrap();
    }
    bus.network(2, 70).unwrap();
    let machine = machine(&bus);
    let state = until(&machine, |state| state.connected.is_some()).await;
    assert_eq!((state.metered, state.connected), (Some(false), Some(true)));
    until(&machine, |state| state.power == Power::Mains).await;
    bus.power(true, 41.9).unwrap();
    until(&machine, |state| {
        state.power == Power::Battery { percent: Some(41) }
    })
    .await;
    bus.power(true, 19.9).unwrap();
    until(&machine, |state| {
        state.power == Power::Battery { percent: Some(19) }
    })
    .await;
    bus.power(false, 20.0).unwrap();
    until(&machine, |state| state.power == Power::Mains).await;
    // A guess counts, and a network that goes is gone.
    bus.network(3, 70).unwrap();
    until(&machine, |state| state.metered == Some(true)).await;
    bus.network(0, 20).unwrap();
    let state = until(&machine, |state| state.connected == Some(false)).await;
    assert_eq!(state.metered, None);
    bus.remove(Service::NetworkManager);
    until(&machine, |state| state.connected.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_is_on_the_bus_nothing_is_known_and_nothing_held() {
    let bus = SystemBus::start().unwrap();
    let machine = machine(&bus);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let state = *machine.state().borrow();
    assert_eq!((state.metered, state.connected), (None, None));
    assert!(!machine.hold("Backing up shop").await.holds());
}
