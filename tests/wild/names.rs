//! Names, certificates, texts and credentials as they are out there.

mod answers_in_time;
mod certificates;
mod credentials;
mod name_server;
mod refusals;
mod spellings;
mod texts;
mod tls_server;
