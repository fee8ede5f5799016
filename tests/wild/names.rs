//! Name servers, certificates, encodings of answers and credentials.
