//! The RSerPool registrar: keeps the handlespace and resolves pool handles.
