//! How receivers answer and how they treat connections.
