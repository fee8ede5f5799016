//! What receivers say of the pace, and how work is withdrawn.
