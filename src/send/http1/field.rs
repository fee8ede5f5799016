//! One header of an answer.

/// A header as it came: its value without the white space around it, its folds undone.
pub(super) struct Field {
    pub(super) name: Vec<u8>,
    pub(super) value: Vec<u8>,
}
