//! What has turned is written down at once: incidents, slow answers, and what is told of them.

use howdah_domain::DatabaseId;
use howdah_domain::check::{Health, Turn};
use jiff::Timestamp;

use super::incidents::{self, Fallen};
use super::slow::slowness;
use super::state::{Effect, Watched};
use super::{Watching, Work};

impl Watching {
    /// Writes down at once what has turned. What cannot be written (the disk is full) is owed, and done with a later check.
    pub(super) async fn turn(&mut self, id: &DatabaseId, effect: &Effect, at: Timestamp) {
        let Some(watched) = self.watched.get(id) else {
            return;
        };
        let mut work: Vec<Work> = self.of_incident(watched, effect, at).into_iter().collect();
        if let Some(slow) = effect.slow {
            work.push(slowness(watched, slow, at));
        }
        let written = work.is_empty() || self.write(work).await;
        if let Some(watched) = self.watched.get_mut(id) {
            watched.owes = !written;
            if watched.failure().is_none() && written {
                watched.place = None;
            }
        }
    }

    fn of_incident(&self, watched: &Watched, effect: &Effect, at: Timestamp) -> Option<Work> {
        if let Some(Turn::WentDown { .. }) = effect.turn {
            let (place, cause) = (watched.place.clone(), watched.failure().cloned()?);
            let fallen = self.fallen_with(watched);
            return Some(Box::new(move |c| {
                incidents::open(c, place.as_deref(), &fallen, &cause, at)
            }));
        }
        let id = watched.id.clone();
        match (watched.standing.health, watched.standing.down_since) {
            (Health::Down, Some(_)) if !watched.maintenance => {
                let (place, cause) = (watched.place.clone(), watched.failure().cloned()?);
                let fallen = Fallen {
                    since: watched.failing_since(),
                    id,
                };
                Some(Box::new(move |c| {
                    incidents::lasts(c, place.as_deref(), &fallen, &cause, at)
                }))
            }
            (Health::Up | Health::Slow, None) => {
                // One that joined others leaves them too, though it was not down itself yet.
                let may_be_in_one = matches!(effect.turn, Some(Turn::Recovered { .. }))
                    || watched.place.is_some()
                    || watched.owes;
                may_be_in_one.then(|| -> Work { Box::new(move |c| incidents::leave(c, &id, at)) })
            }
            _ => None,
        }
    }

    /// The database, and those that fail at the same place.
    fn fallen_with(&self, watched: &Watched) -> Vec<Fallen> {
        let fallen = |watched: &Watched| Fallen {
            id: watched.id.clone(),
            since: watched.failing_since(),
        };
        let mut all = vec![fallen(watched)];
        if let Some(place) = &watched.place {
            let others = self
                .watched
                .values()
                .filter(|other| other.id != watched.id && other.falls_with(place));
            all.extend(others.map(fallen));
        }
        all
    }
}
