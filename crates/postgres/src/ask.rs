//! Questions to a server's catalogues: short, cancellable, and without named statements, which a pooler may not keep.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::connect::Session;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl Session {
    /// The rows of a query.
    ///
    /// # Errors
    /// As [`Session::run`], with `what` being asked as a noun phrase.
    pub(crate) async fn ask(
        &self,
        what: &str,
        cancel: &CancellationToken,
        query: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        let answer = self.client.query_typed(query, parameters);
        self.run(what, PATIENCE, cancel, answer).await
    }

    /// Carries out a statement that is done in a moment.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub(crate) async fn tell(
        &self,
        what: &str,
        cancel: &CancellationToken,
        statement: &str,
    ) -> Result<(), Error> {
        self.run(what, PATIENCE, cancel, self.client.batch_execute(statement))
            .await
    }
}
