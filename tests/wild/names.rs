//! Names, certificates, texts and credentials as they are out there.

mod answers_in_time;
mod certificates;
mod name_server;
mod spellings;
mod tls_server;
