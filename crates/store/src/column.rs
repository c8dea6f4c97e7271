//! How values stand in SQLite's columns: times as microseconds, sizes as integers, words and JSON as text.

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};
use serde::{Serialize, de::DeserializeOwned};

use crate::Error;

/// A time, as whole microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time(pub(crate) Timestamp);

impl ToSql for Time {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(Value::Integer(self.0.as_microsecond())))
    }
}

impl FromSql for Time {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Timestamp::from_microsecond(value.as_i64()?)
            .map(Time)
            .map_err(FromSqlError::other)
    }
}

/// An optional time.
pub(crate) fn time(at: Option<Timestamp>) -> Option<Time> {
    at.map(Time)
}

/// A count or a size. SQLite's integers are signed: what is beyond them is refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size(pub(crate) u64);

impl ToSql for Size {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        i64::try_from(self.0)
            .map(|size| ToSqlOutput::Owned(Value::Integer(size)))
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    }
}

impl FromSql for Size {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u64::try_from(value.as_i64()?)
            .map(Size)
            .map_err(FromSqlError::other)
    }
}

/// A value as JSON.
#[derive(Debug, Clone)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        serde_json::to_string(&self.0)
            .map(|text| ToSqlOutput::Owned(Value::Text(text)))
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(Json)
            .map_err(FromSqlError::other)
    }
}

/// A field-less enum as the word that serde has for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word<T>(pub(crate) T);

impl<T: Serialize> ToSql for Word<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match serde_json::to_value(&self.0) {
            Ok(serde_json::Value::String(word)) => Ok(ToSqlOutput::Owned(Value::Text(word))),
            Ok(other) => Err(rusqlite::Error::ToSqlConversionFailure(
                format!("{other} is no word").into(),
            )),
            Err(error) => Err(rusqlite::Error::ToSqlConversionFailure(Box::new(error))),
        }
    }
}

impl<T: DeserializeOwned> FromSql for Word<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_value(serde_json::Value::String(value.as_str()?.to_owned()))
            .map(Word)
            .map_err(FromSqlError::other)
    }
}

/// An id: any type that is made from text and gives its text.
#[derive(Debug, Clone)]
pub(crate) struct Id<T>(pub(crate) T);

macro_rules! id_column {
    ($($name:ty),* $(,)?) => {$(
        impl ToSql for Id<&$name> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0.as_str().as_bytes())))
            }
        }

        impl FromSql for Id<$name> {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                Ok(Id(<$name>::from_text(value.as_str()?)))
            }
        }
    )*};
}

id_column!(
    howdah_domain::AlertId,
    howdah_domain::ChannelId,
    howdah_domain::ServerId,
    howdah_domain::DatabaseId,
    howdah_domain::PlanId,
    howdah_domain::ReplacementId,
    howdah_domain::RunId,
    howdah_domain::DestinationId,
    howdah_domain::IncidentId,
    howdah_domain::InstanceId,
    howdah_domain::MaintenanceId,
    howdah_domain::OccurrenceId,
    crate::OwnerId,
);

impl ToSql for Id<&howdah_domain::BackupId> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0.as_str().as_bytes())))
    }
}

impl FromSql for Id<howdah_domain::BackupId> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        howdah_domain::BackupId::parse(text)
            .map(Id)
            .ok_or_else(|| FromSqlError::other(Error::Unreadable(format!("“{text}” is no backup id"))))
    }
}
