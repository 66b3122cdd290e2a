//! RSerPool (RFC 5352 to 5356) as sans-IO machines: wire codec, handlespace, policies.
