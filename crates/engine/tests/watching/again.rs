//! What lasts is told again where a channel wants that, until somebody says that they know.

use std::time::Duration;

use howdah_engine::api::HealthState;
use howdah_testkit::Cluster;
use jiff::SignedDuration;
use rstest::rstest;

use super::support::TestEngine;
use super::{quick, until, watched};

#[rstest]
#[case::on_the_page_of_the_database(false)]
#[case::on_the_page_of_notifications(true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stays_down_is_told_again_unless_it_is_muted_until_somebody_acknowledges_it(
    #[case] by_alert: bool,
) {
    let cluster = Cluster::start(17).await.unwrap();
    let test = TestEngine::start().await;
    let ids = watched(&test, &cluster, &["postgres"], &quick(1)).await;
    let mut channel = test.engine.list_channels().await.unwrap().remove(0);
    channel.rule.again_minutes = Some(30);
    test.save_channel(channel).await;
    cluster.freeze();
    until(&test, &ids[0], |page| page.incident.is_some()).await;
    assert_eq!(test.caught.told(1).await, ["postgres does not answer"]);
    for round in 1..=2 {
        if round == 2 {
            let long = test.engine_now() + SignedDuration::from_hours(4);
            test.engine.mute(&ids[0], Some(long)).await.unwrap();
            test.clock.turn(SignedDuration::from_mins(31));
            // The outbox is looked at four times a minute.
            tokio::time::sleep(Duration::from_secs(18)).await;
            assert_eq!(test.caught.titles().len(), round, "it is muted");
            test.engine.mute(&ids[0], None).await.unwrap();
        }
        test.clock.turn(SignedDuration::from_mins(31));
        let told = test.caught.told(round + 1).await;
        assert_eq!(told[round..], ["Still: postgres does not answer"]);
    }
    let page = until(&test, &ids[0], |page| {
        page.health.state == HealthState::Down && page.incident.is_some()
    })
    .await;
    if by_alert {
        let alerts = test.engine.notifications_page().await.unwrap().alerts;
        test.engine.acknowledge_alert(&alerts[0].id).await.unwrap();
    } else {
        let incident = page.incident.unwrap().id;
        test.engine.acknowledge_incident(&incident).await.unwrap();
    }
    test.clock.turn(SignedDuration::from_mins(31));
    tokio::time::sleep(Duration::from_secs(18)).await;
    assert_eq!(test.caught.titles().len(), 3);
    cluster.thaw();
    let told = test.caught.told(4).await;
    assert_eq!(
        told[3..],
        ["postgres answers again"],
        "the end is told all the same"
    );
}
