//! What receivers say of the pace, what the database refuses, and how work is withdrawn.

mod counted;
mod pace;
mod refused;
mod scarce;
mod withdrawn;
