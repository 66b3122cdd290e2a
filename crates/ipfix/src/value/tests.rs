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

/// A value of each abstract data type in its encoding, and its text by RFC 7373 section 4 (times with a `Z` behind them).
#[test]
fn every_abstract_type_has_the_text_form_of_rfc_7373() {
    let time = NtpTime::from_unix_time(Duration::new(1_709_164_799, 123_456_789)).to_be_bytes();
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 1, 0, 0, 1).octets();
    let forms: &[(DataType, &[u8], &str)] = &[
        (DataType::OctetArray, &[0, 0xab, 0xff], "00abff"),
        (DataType::Unsigned8, &[255], "255"),
        (DataType::Unsigned16, &[255, 255], "65535"),
        (DataType::Unsigned32, &[255; 4], "4294967295"),
        (DataType::Unsigned64, &[255; 8], "18446744073709551615"),
        (DataType::Signed8, &[0x80], "-128"),
        (DataType::Signed16, &[0x80, 0], "-32768"),
        (DataType::Signed32, &[0x80, 0, 0, 0], "-2147483648"),
        (DataType::Signed64, &[0x80, 0, 0, 0, 0, 0, 0, 0], "-9223372036854775808"),
        (DataType::Float32, &[0x3f, 0x80, 0, 0], "1"),
        (DataType::Float32, &[0x7f, 0x80, 0, 0], "+inf"),
        (DataType::Float64, &[0xff, 0xf0, 0, 0, 0, 0, 0, 0], "-inf"),
        (DataType::Float64, &[0x7f, 0xf8, 0, 0, 0, 0, 0, 0], "NaN"),
        (DataType::Float64, &(-0.25_f64).to_be_bytes(), "-0.25"),
        (DataType::Float64, &1.5e300_f64.to_be_bytes(), "1.5e300"),
        (DataType::Float64, &2e-9_f64.to_be_bytes(), "2e-9"),
        (DataType::Float64, &[0; 8], "0"),
        (DataType::Boolean, &[1], "true"),
        (DataType::Boolean, &[2], "false"),
        (DataType::MacAddress, &[2, 0, 0x5e, 0x10, 0, 0xff], "02:00:5e:10:00:ff"),
        (DataType::String, "caf\u{e9} \n".as_bytes(), "caf\u{e9} \\n"),
        (DataType::DateTimeSeconds, &1_709_164_799_u32.to_be_bytes(), "2024-02-28T23:59:59Z"),
        (DataType::DateTimeMilliseconds, &[0, 0, 0, 0, 0, 0, 3, 0xe9], "1970-01-01T00:00:01.001Z"),
        (DataType::DateTimeMicroseconds, &time, "2024-02-28T23:59:59.123456Z"),
        (DataType::DateTimeNanoseconds, &time, "2024-02-28T23:59:59.123456789Z"),
        (DataType::Ipv4Address, &[192, 0, 2, 1], "192.0.2.1"),
        (DataType::Ipv6Address, &v6, "2001:db8::1:0:0:1"),
        (DataType::Unsigned256, &[7; 32], &"07".repeat(32)),
    ];
    for (data_type, octets, text) in forms {
        assert_eq!(read(*data_type, octets).to_string(), *text, "{data_type}");
    }
    let has_form = |number: u64| forms.iter().any(|form| Some(form.0) == DataType::from_number(number));
    // All but the three lists, for which RFC 7373 section 4.11 has no text.
    assert_eq!((0..24).filter(|&number| !has_form(number)).collect::<Vec<_>>(), [20, 21, 22]);
}

/// RFC 7011 section 6.2: integers and floats may be shorter; all other types have one length, or any.
#[test]
fn every_type_is_read_in_the_lengths_it_may_have_and_kept_as_octets_in_others() {
    for number in 0..24 {
        let data_type = DataType::from_number(number).unwrap();
        for length in 1..=40 {
            let octets = vec![1; length];
            let is_read = !matches!(read(data_type, &octets), Value::Octets(_));
            let may_be = match data_type {
                DataType::OctetArray | DataType::Unsigned256 => false,
                DataType::String
                | DataType::BasicList
                | DataType::SubTemplateList
                | DataType::SubTemplateMultiList => true,
                DataType::Float32 | DataType::Float64 => length == 4 || length == 8,
                other if number <= 8 => other.size().is_some() && length <= 8,
                other => other.size().map(usize::from) == Some(length),
            };
            assert_eq!(is_read, may_be, "{data_type} in {length} octets");
        }
    }
}
