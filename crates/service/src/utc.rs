//! Points in time as people read them, in UTC (RFC 3339).

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns `2026-03-01T12:00:00.123Z`; times before 1970 are shown as its begin.
pub fn time_text(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:03}Z", second_text(since.as_secs()), since.subsec_millis())
}

/// Returns `2026-03-01T12:00:00` of a number of seconds since 1970.
pub(crate) fn second_text(since: u64) -> String {
    let (days, second) = (since / 86_400, since % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of the Gregorian calendar, by the day since 1970-01-01. A year here begins in March,
/// so that the leap day is its last; 146,097 days are 400 years.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (date, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (era * 400 + year + u64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_told_in_utc() {
        let text = |seconds: u64| time_text(UNIX_EPOCH + Duration::from_millis(seconds * 1_000 + 7));
        assert_eq!(text(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(text(951_782_400), "2000-02-29T00:00:00.007Z");
        assert_eq!(text(1_798_761_599), "2026-12-31T23:59:59.007Z");
        assert_eq!(text(4_107_542_400), "2100-03-01T00:00:00.007Z");
    }
}
