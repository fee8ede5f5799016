//! Times on the command line: as they are given, and as they are shown.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};

/// A moment as people write it: a time, or an age, which is so long before now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    At(DateTime<Utc>),
    Ago(Duration),
}

impl Moment {
    /// The time that is meant. `now` is the database's time.
    #[must_use]
    pub fn before(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(time) => time,
            Self::Ago(age) => TimeDelta::from_std(age)
                .ok()
                .and_then(|age| now.checked_sub_signed(age))
                .unwrap_or(DateTime::UNIX_EPOCH),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(time.with_timezone(&Utc)));
        }
        if let Ok(date) = text.parse::<NaiveDate>() {
            return Ok(Self::At(date.and_time(NaiveTime::MIN).and_utc()));
        }
        if let Ok(age) = humantime::parse_duration(text) {
            return Ok(Self::Ago(age));
        }
        Err(
            "give a time such as 2026-03-01T12:00:00Z, a day such as 2026-03-01 (UTC), \
             or an age such as 2h or \"2 days\""
                .to_owned(),
        )
    }
}

/// Writes a time for people, to the second.
pub fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_days_and_ages_are_understood() {
        let now = "2026-03-02T00:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"),
            ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00Z"),
            ("2026-03-01", "2026-03-01T00:00:00Z"),
            ("2h", "2026-03-01T22:00:00Z"),
            ("1d 30m", "2026-02-28T23:30:00Z"),
            ("2 days", "2026-02-28T00:00:00Z"),
            ("90m", "2026-03-01T22:30:00Z"),
            ("300000years", "1970-01-01T00:00:00Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            let expected: DateTime<Utc> = expected.parse().unwrap();
            assert_eq!(moment.before(now), expected, "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "12:00", "-2h", "-1 day"] {
            let error = text.parse::<Moment>().unwrap_err();
            assert!(error.contains("an age such as 2h"), "{text}");
        }
    }
}
