//! Pool elements with one short identifier and long ones that differ (docs/wire.md section 17).

use super::*;
use crate::wire::param::long_pe_identifier::LongPeId;

fn long(upper: u32) -> PoolElementParameter {
    let unknown = vec![LongPeId::new(upper, PE).to_parameter()];
    PoolElementParameter { unknown, ..element(&[HERE]) }
}

fn known(bench: &Bench) -> Option<LongPeId> {
    bench.registrar.handlespace().pool(&pool())?.element(PE)?.long_id()
}

#[test]
fn another_upper_half_is_another_element_even_over_the_same_association() {
    let mut bench = Bench::default();
    assert!(!bench.register(FIRST, long(1)).rejected);
    for connection in [FIRST, SECOND] {
        let response = bench.register(connection, long(2));
        assert!(response.rejected);
        assert_eq!(codes(&response), [CauseCode::NON_UNIQUE_PE_ID]);
    }
    assert_eq!(known(&bench), Some(LongPeId::new(1, PE)));
    assert!(!bench.register(FIRST, long(1)).rejected, "it registers again as ever");
}

#[test]
fn one_that_tells_no_long_identifier_is_recognized_as_before() {
    let mut bench = Bench::default();
    bench.register(FIRST, element(&[HERE]));
    assert!(!bench.register(FIRST, long(1)).rejected);
    assert_eq!(known(&bench), Some(LongPeId::new(1, PE)));
    assert!(!bench.register(FIRST, element(&[HERE])).rejected);
    assert_eq!(known(&bench), None);
}

#[test]
fn a_long_identifier_of_another_short_one_is_refused() {
    let mut bench = Bench::default();
    let unknown = vec![LongPeId::new(1, PeId(0xa2)).to_parameter()];
    let response = bench.register(FIRST, PoolElementParameter { unknown, ..element(&[HERE]) });
    assert_eq!((response.rejected, codes(&response)), (true, vec![CauseCode::INVALID_VALUES]));
}
