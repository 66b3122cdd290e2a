//! Timing of an association: three sets by name, as one table.

use std::time::Duration;

/// Timing of an association. The names are those of RFC 9260 section 16 where it has one.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// How configuration files call it.
    pub name: &'static str,
    /// RTO.Initial, also of T1-init and T1-cookie.
    pub rto_initial: Duration,
    /// RTO.Min. Above the peer's delayed SACK (200 ms in Linux), or idle links retransmit for nothing.
    pub rto_min: Duration,
    /// RTO.Max, and the cap of the back-off.
    pub rto_max: Duration,
    /// Longest delay of our own SACK.
    pub sack_delay: Duration,
    /// HB.interval: a peer that was not heard for so long is asked.
    pub heartbeat: Duration,
    /// The same from the side that set the association up: it is the one that has somewhere else to go.
    /// Userland only, and never more often than once a round trip.
    pub probe: Duration,
    /// Path.Max.Retrans. Kernel only.
    pub path_max_retrans: u16,
    /// Association.Max.Retrans. Kernel only, and a last resort: `silence` decides before.
    pub association_max_retrans: u16,
    /// The association is lost when no packet with the right verification tag came for so long and two
    /// round trips. TCP: when nothing was acknowledged for so long.
    pub silence: Duration,
    /// The association is lost when ICMP says so for so long and no valid packet came between.
    pub unreachable: Duration,
    /// `connect` gives up after so long.
    pub connect: Duration,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Profile {
    /// Every profile: `fast`, the default; `rfc`, what RFC 9260 section 16 recommends; `rsplib`, what the
    /// reference implementation of RSerPool runs with (it leaves SCTP to Linux's defaults, and connects to
    /// a registrar within 7.5 s). The README has the same table.
    pub const ALL: [Profile; 3] = [
        Profile {
            name: "fast",
            rto_initial: millis(250),
            rto_min: millis(250),
            rto_max: millis(700),
            sack_delay: millis(20),
            heartbeat: millis(500),
            probe: millis(150),
            path_max_retrans: 2,
            association_max_retrans: 20,
            silence: millis(2_000),
            unreachable: millis(100),
            connect: millis(3_000),
        },
        Profile {
            name: "rfc",
            rto_initial: seconds(1),
            rto_min: seconds(1),
            rto_max: seconds(60),
            sack_delay: millis(200),
            heartbeat: seconds(30),
            probe: seconds(30),
            path_max_retrans: 5,
            association_max_retrans: 10,
            silence: seconds(120),
            unreachable: seconds(10),
            connect: seconds(60),
        },
        Profile {
            name: "rsplib",
            rto_initial: seconds(3),
            rto_min: seconds(1),
            rto_max: seconds(60),
            sack_delay: millis(200),
            heartbeat: seconds(30),
            probe: seconds(30),
            path_max_retrans: 5,
            association_max_retrans: 10,
            silence: seconds(120),
            unreachable: seconds(10),
            connect: millis(7_500),
        },
    ];

    /// Notices a dead peer fast. The default.
    pub const fn fast() -> Profile {
        let [fast, _, _] = Profile::ALL;
        fast
    }

    /// The values RFC 9260 section 16 recommends; a dead peer is noticed after two minutes.
    pub const fn rfc() -> Profile {
        let [_, rfc, _] = Profile::ALL;
        rfc
    }

    /// The values of the reference implementation of RSerPool.
    pub const fn rsplib() -> Profile {
        let [_, _, rsplib] = Profile::ALL;
        rsplib
    }

    /// The profile of this name; none if there is no such.
    pub fn by_name(name: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.name == name)
    }

    /// What it holds, as name and value, in the order of the README's table.
    pub fn rows(&self) -> [(&'static str, String); 11] {
        let time = |time: Duration| format!("{} ms", time.as_millis());
        [
            ("RTO.Initial", time(self.rto_initial)),
            ("RTO.Min", time(self.rto_min)),
            ("RTO.Max", time(self.rto_max)),
            ("SACK delay", time(self.sack_delay)),
            ("HB.interval", time(self.heartbeat)),
            ("probe", time(self.probe)),
            ("Path.Max.Retrans", self.path_max_retrans.to_string()),
            ("Association.Max.Retrans", self.association_max_retrans.to_string()),
            ("silence", time(self.silence)),
            ("unreachable", time(self.unreachable)),
            ("connect", time(self.connect)),
        ]
    }
}

impl Default for Profile {
    fn default() -> Profile {
        Profile::fast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_found_by_name_and_fast_is_the_default() {
        for profile in Profile::ALL {
            assert_eq!(Profile::by_name(profile.name), Some(profile));
        }
        assert_eq!(Profile::by_name("slow"), None);
        assert_eq!(Profile::default().name, "fast");
        assert_eq!([Profile::fast(), Profile::rfc(), Profile::rsplib()], Profile::ALL);
    }

    #[test]
    fn the_table_in_the_readme_says_what_the_code_has() {
        let readme = include_str!("../README.md");
        let columns = Profile::ALL.map(|profile| profile.rows());
        for (row, (name, _)) in columns[0].iter().enumerate() {
            let values = columns.each_ref().map(|column| column[row].1.as_str()).join(" | ");
            let line = format!("| {name} | {values} |");
            assert!(readme.contains(&line), "README.md lacks: {line}");
        }
    }
}
