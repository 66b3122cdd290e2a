//! Who may register where, in a secured registrar (RFC 5355 threat 4).

use crate::PoolHandle;

/// Pools by name: one handle, or all that begin with some octets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PoolPattern {
    beginning: Vec<u8>,
    /// Whether a handle may go on after that.
    open: bool,
}

impl PoolPattern {
    /// Reads a handle, or the beginning of handles and a `*`.
    pub fn new(text: &str) -> PoolPattern {
        let open = text.strip_suffix('*');
        PoolPattern { beginning: open.unwrap_or(text).into(), open: open.is_some() }
    }

    /// Returns whether the pool is one of those.
    pub fn matches(&self, pool: &PoolHandle) -> bool {
        let octets = pool.as_octets();
        if self.open { octets.starts_with(&self.beginning) } else { octets == self.beginning }
    }
}

/// Who the far end of a connection is, and what it may register.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Authority {
    /// The names it was authenticated as; nobody vouches for a peer without one.
    pub names: Vec<String>,
    /// The pools it may register in; `None`: any.
    pub pools: Option<Vec<PoolPattern>>,
}

impl Authority {
    /// Returns whether it may register in this pool.
    pub fn allows(&self, pool: &PoolHandle) -> bool {
        self.pools.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(pool)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_handle_or_the_beginning_of_handles() {
        let matches = |pattern, pool| PoolPattern::new(pattern).matches(&PoolHandle::new(pool).unwrap());
        assert!(matches("ipfix", "ipfix") && !matches("ipfix", "ipfix-tls") && !matches("ipfix", "ipfi"));
        assert!(matches("ipfix*", "ipfix") && matches("ipfix*", "ipfix-tls") && !matches("ipfix*", "ipfi"));
        assert!(matches("*", "anything"));
    }

    #[test]
    fn without_a_list_any_pool_is_allowed_and_with_an_empty_one_none() {
        let pool = PoolHandle::new("ipfix").unwrap();
        assert!(Authority::default().allows(&pool));
        assert!(!Authority { pools: Some(vec![]), ..Authority::default() }.allows(&pool));
    }
}
