//! What receivers say of the pace, what the database refuses, and how work is withdrawn.

mod refused;
mod withdrawn;
