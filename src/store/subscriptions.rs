//! Reading the configuration that lives in SQL, and writing what a config file says.
