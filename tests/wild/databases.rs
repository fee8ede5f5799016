//! Servers, encodings and defaults of databases.
