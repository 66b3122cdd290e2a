//! Tokio drivers of the RSerPool machines: `PoolElement` and `PoolUser`.
