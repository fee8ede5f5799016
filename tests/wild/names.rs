//! Names, certificates, texts and credentials as they are out there.

mod answers_in_time;
mod name_server;
