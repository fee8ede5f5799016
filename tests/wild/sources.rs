//! Tables, triggers and sessions of applications.
