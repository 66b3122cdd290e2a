//! Developer commands: `cargo xtask`.
