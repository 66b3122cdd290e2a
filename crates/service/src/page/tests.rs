use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::*;

/// What an exporter could call itself.
const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(2)>' onload='x";

fn page(rows: usize) -> String {
    let mut history = History::new(Duration::from_secs(1), 120);
    (0..200).for_each(|sample| history.push(f64::from(sample)));
    let mut page = Page::new("IPFIX collector", HOSTILE, "2026-03-01T12:00:00.000Z");
    page.state(Mark::Changing, "draining");
    let section = page.section("overview", "Overview");
    section.facts([("Records", 12_345_u64.into()), ("Name", HOSTILE.into())]);
    section.charts([("Records a second", &history), (HOSTILE, &history)]).note(HOSTILE);
    let section = page.section("sessions", "Sessions");
    for _ in 0..3 {
        let columns = [Column::text("Exporter"), Column::text("State"), Column::number("Records")];
        let mut table = Table::new(HOSTILE, columns).when_empty("Nobody is here.").all_at("/api/v1/sessions");
        for _ in 0..rows {
            table.row([HOSTILE.into(), Cell::mark(Mark::Good, HOSTILE), Cell::code(&HOSTILE.repeat(50))]);
        }
        section.table(table);
    }
    page.html()
}

#[test]
fn a_page_is_below_60_kb_whatever_there_is_to_tell() {
    let (small, large) = (page(0), page(10_000));
    assert!(small.len() < 20_000, "the frame alone has {}", small.len());
    assert!(large.len() > 50_000 && large.len() <= MAX_OCTETS, "{}", large.len());
    assert!(large.contains(" of 10,000. All: <a href=\"/api/v1/sessions\">"));
}

#[test]
fn a_long_fact_is_written_smaller_and_a_mark_is_not_long_by_its_markup() {
    let mut page = Page::new("x", "x", "x");
    let section = page.section("x", "x");
    section.facts([("At", "127.204.15.6:4739".into()), ("State", Cell::mark(Mark::Good, "up"))]);
    let html = page.html();
    assert!(html.contains("<dd class=\"long\">127.204.15.6:4739</dd>"));
    assert!(html.contains("<dd><span class=\"mark good\">up</span></dd>"));
}

#[test]
fn nothing_an_exporter_says_is_markup() {
    let html = page(3);
    assert_eq!(html.matches("<script>").count(), 1, "only the page's own");
    assert_eq!(html.matches("<img").count(), 0);
    // Inside a tag, no quotation mark ends an attribute before its time.
    assert_eq!(html.matches("\"><script").count(), 0);
    assert!(html.contains("&quot;&gt;&lt;script&gt;alert(1)"));
}

#[test]
fn a_page_loads_nothing_and_allows_only_its_own_style_and_script() {
    let html = page(1);
    for loading in ["http://", "https://", "url(", "@import", "src=\"", " style=\"", "javascript:"] {
        assert!(!html.contains(loading), "{loading}");
    }
    for text in [STYLE, SCRIPT] {
        let hash = base64(&Sha256::digest(text));
        assert!(
            SECURITY_POLICY.contains(&format!("'sha256-{hash}'")),
            "a hash in SECURITY_POLICY has to be {hash}"
        );
        assert!(html.contains(&format!(">{text}</s")));
    }
    assert!(SECURITY_POLICY.starts_with("default-src 'none';"));
}

#[test]
fn sections_can_be_reached_by_their_names() {
    let html = page(1);
    assert!(html.contains("<title>draining – IPFIX collector "));
    assert!(html.contains("<a id=\"to-sessions\" href=\"#sessions\">Sessions</a>"));
    assert!(html.contains(
        "<section id=\"sessions\" aria-labelledby=\"sessions-h\"><h2 id=\"sessions-h\">Sessions</h2>"
    ));
    assert!(html.contains("<span class=\"mark changing\">draining</span>"));
    assert_eq!(html.matches(" id=\"sessions-0\"").count(), 1);
}

/// Every element that is opened is closed, in the right order.
#[test]
fn a_page_is_well_formed() {
    let html = page(2);
    let (before, rest) = html.split_once("<style>").unwrap();
    let (_, middle) = rest.split_once("</style>").unwrap();
    let (middle, after) = middle.split_once("<script>").unwrap();
    let (_, after) = after.split_once("</script>").unwrap();
    let mut open: Vec<&str> = Vec::new();
    for tag in [before, middle, after].concat().split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag.split([' ', '/']).find(|word| !word.is_empty()).unwrap();
        // Names live as long as the test.
        let name: &'static str = String::from(name).leak();
        match tag {
            _ if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "{open:?}"),
            _ if ["!doctype", "meta", "link", "img", "br"].contains(&name) || tag.ends_with('/') => {}
            _ => open.push(name),
        }
    }
    assert_eq!(open, [""; 0]);
}

/// RFC 4648 section 4.
fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in octets.chunks(3) {
        let number = (0..3).fold(0_u32, |number, at| number << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { digit.into() } else { '=' });
        }
    }
    text
}
