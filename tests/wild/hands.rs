//! What operators do, see and type.
