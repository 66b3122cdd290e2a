use super::*;
use crate::RecordWriter;

fn read(data_type: DataType, octets: &[u8]) -> Value<'_> {
    Kind::of(Some(data_type), u16::try_from(octets.len()).unwrap()).read(octets)
}

#[test]
fn unsigned_integers_are_read_from_one_to_eight_octets() {
    for length in 1..=8 {
        let mut writer = RecordWriter::new();
        writer.unsigned(0xa5, length);
        assert_eq!(writer.octets().len(), usize::from(length));
        assert_eq!(read(DataType::Unsigned64, writer.octets()), Value::Unsigned(0xa5));
        assert_eq!(
            Kind::of(Some(DataType::Unsigned64), VARIABLE).read(writer.octets()),
            Value::Unsigned(0xa5)
        );
    }
}

#[test]
fn signed_integers_keep_their_sign_when_reduced() {
    for length in 1..=8 {
        for value in [-1, -128, 127, 0] {
            let mut writer = RecordWriter::new();
            writer.signed(value, length);
            assert_eq!(read(DataType::Signed64, writer.octets()), Value::Signed(value));
        }
    }
    assert_eq!(read(DataType::Signed32, &[0xff, 0x7f, 0xff]), Value::Signed(-32769));
}

#[test]
fn a_counter_too_large_for_its_field_saturates() {
    let mut writer = RecordWriter::new();
    writer.unsigned(256, 1).signed(-129, 1).signed(i64::MAX, 2);
    assert_eq!(writer.octets(), [0xff, 0x80, 0x7f, 0xff]);
}

#[test]
fn float64_may_be_reduced_to_four_octets() {
    assert_eq!(read(DataType::Float64, &1.5_f32.to_be_bytes()), Value::Float(1.5));
    assert_eq!(read(DataType::Float64, &(-2.25_f64).to_be_bytes()), Value::Float(-2.25));
    assert_eq!(read(DataType::Float32, &0.5_f32.to_be_bytes()), Value::Float(0.5));
}

#[test]
fn booleans_are_one_and_two_and_nothing_else() {
    assert_eq!(read(DataType::Boolean, &[1]), Value::Boolean(true));
    assert_eq!(read(DataType::Boolean, &[2]), Value::Boolean(false));
    assert_eq!(read(DataType::Boolean, &[0]), Value::Octets(&[0]));
}

#[test]
fn octets_that_do_not_fit_their_type_stay_octets() {
    for data_type in [
        DataType::Ipv4Address,
        DataType::Ipv6Address,
        DataType::MacAddress,
        DataType::DateTimeMilliseconds,
        DataType::Unsigned64,
        DataType::Float64,
    ] {
        assert_eq!(read(data_type, &[7; 9]), Value::Octets(&[7; 9]), "{data_type}");
        assert_eq!(read(data_type, &[]), Value::Octets(&[]), "{data_type}");
    }
}

#[test]
fn every_integer_of_a_wrong_but_readable_length_is_read() {
    assert_eq!(read(DataType::Unsigned8, &[1, 0]), Value::Unsigned(256));
    assert_eq!(read(DataType::Unsigned16, &[0, 0, 1, 0]), Value::Unsigned(256));
}

#[test]
fn strings_may_be_empty_or_no_utf8() {
    assert_eq!(read(DataType::String, &[]), Value::String(Text(b"")));
    assert_eq!(Text(b"caf\xe9").to_str_lossy(), "caf\u{fffd}");
}

#[test]
fn ntp_times_survive_to_the_precision_of_their_type() {
    for nanoseconds in [0, 1, 999, 1000, 123_456_789, 999_999_999] {
        let time = Duration::new(1_700_000_000, nanoseconds);
        let ntp = NtpTime::from_unix_time(time);
        assert_eq!(ntp.since_unix_epoch(), time);
    }
    for microseconds in [0, 1, 123_456, 500_000, 999_999] {
        let time = Duration::new(1_700_000_000, microseconds * 1000);
        assert_eq!(NtpTime::from_unix_time(time).microseconds_since_unix_epoch(), time);
    }
}

#[test]
fn the_lowest_eleven_bits_of_microseconds_are_ignored() {
    let mut octets = NtpTime::from_unix_time(Duration::new(1_700_000_000, 250_000_000)).to_be_bytes();
    octets[7] |= 0xff;
    let time = read(DataType::DateTimeMicroseconds, &octets).as_unix_time();
    assert_eq!(time, Some(Duration::new(1_700_000_000, 250_000_000)));
}

#[test]
fn ntp_seconds_before_the_unix_epoch_mean_the_era_from_2036() {
    let time = NtpTime { seconds: 0, fraction: 0 };
    assert_eq!(time.since_unix_epoch().as_secs(), 2_085_978_496);
}
