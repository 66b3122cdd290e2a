//! Numbers and times as people read them.

use std::time::Duration;

/// Returns a number with its thousands apart: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a rate: below ten with one digit behind the point, `0` where there is nothing.
pub fn rate(value: f64) -> String {
    if value < 0.05 {
        "0".to_owned()
    } else if value < 9.95 {
        format!("{value:.1}")
    } else {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast to integers saturates"
        )]
        count(value.round() as u64)
    }
}

/// Returns a number of octets with the unit that fits: `512 B`, `1.5 KiB`, `20 MiB`.
pub fn octets(number: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let mut value = number as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 9.95 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// Returns a length of time in its two largest units: `4.2 s`, `2 min 5 s`, `3 d 4 h`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{minutes} min {} s", seconds % 60),
        3_600..86_400 => format!("{hours} h {} min", minutes % 60),
        86_400.. => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_rate_has_the_digits_that_mean_something() {
        assert_eq!(
            [0.0, 0.04, 0.25, 9.94, 9.96, 12_345.6].map(rate),
            ["0", "0", "0.2", "9.9", "10", "12,346"]
        );
    }

    #[test]
    fn octets_have_the_unit_that_fits() {
        let texts = [0, 1023, 1024, 10 << 20, (1 << 30) - 1, u64::MAX].map(octets);
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "10 MiB", "1.0 GiB", "16384 PiB"]);
    }

    #[test]
    fn a_time_has_its_two_largest_units() {
        let texts = [0, 9_960, 59_999, 125_000, 3_660_000, 273_600_000]
            .map(|milliseconds| duration(Duration::from_millis(milliseconds)));
        assert_eq!(texts, ["0.0 s", "10.0 s", "59 s", "2 min 5 s", "1 h 1 min", "3 d 4 h"]);
    }
}
