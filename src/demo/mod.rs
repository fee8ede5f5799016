//! Everything that lets a person, a test or a bench try Posthorn on a machine that
//! has nothing but the PostgreSQL binaries.

pub mod postgres;
