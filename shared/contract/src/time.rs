//! Points in time as all documents write them: RFC 3339, UTC, microseconds.

use std::{fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A point in time. Prints as `2026-11-21T14:33:00.123456Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The present, by the wall clock.
    pub fn now() -> Self {
        Timestamp(jiff::Timestamp::now())
    }

    /// Nanoseconds since 1970, as used in run ids.
    pub fn nanoseconds(self) -> i128 {
        self.0.as_nanosecond()
    }

    /// Time from `earlier` to `self`; zero when the clock went backwards.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::try_from(self.0.duration_since(earlier.0)).unwrap_or_default()
    }

    /// The time `later`; the end of time where that is beyond it.
    #[must_use]
    pub fn plus(self, later: Duration) -> Self {
        Timestamp(self.0.checked_add(later).unwrap_or(jiff::Timestamp::MAX))
    }

    /// `20260304T183012Z`, as used in file names.
    pub fn compact(self) -> String {
        let text = format!("{:.0}", self.0);
        text.chars().filter(|c| !matches!(c, '-' | ':')).collect()
    }
}

impl From<std::time::SystemTime> for Timestamp {
    fn from(time: std::time::SystemTime) -> Self {
        Timestamp(jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }
}

impl std::str::FromStr for Timestamp {
    type Err = String;

    /// Reads RFC 3339.
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Timestamp).map_err(|error: jiff::Error| error.to_string())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$",
            "description": "RFC 3339, UTC, microseconds",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_microseconds_and_reads_itself_back() {
        let time = Timestamp("2026-03-04T18:30:12.1Z".parse().unwrap());
        assert_eq!(time.to_string(), "2026-03-04T18:30:12.100000Z");
        assert_eq!(time.compact(), "20260304T183012Z");
        assert_eq!(time.plus(Duration::from_secs(60)).compact(), "20260304T183112Z");
        assert!(time.plus(Duration::MAX).to_string().starts_with("9999-"));
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
    }
}
