//! The settings with which a source reads rows: what is told is a function of the row, whatever
//! the session of whoever changes it has.

/// Names come from PostgreSQL alone, unless they have a schema.
pub const SEARCH_PATH: &str = "pg_catalog, pg_temp";

/// Every setting that anybody can change and that the text of a value depends on, what an
/// expression makes of it, or how an expression is read.
const PINNED: [(&str, &str); 16] = [
    ("timezone", "'UTC'"),
    ("timezone_abbreviations", "'Default'"),
    ("datestyle", "'ISO, MDY'"),
    ("intervalstyle", "'postgres'"),
    // The shortest text that is exact.
    ("extra_float_digits", "1"),
    ("bytea_output", "'hex'"),
    ("xmlbinary", "'base64'"),
    ("xmloption", "'content'"),
    ("lc_monetary", "'C'"),
    ("lc_numeric", "'C'"),
    ("lc_time", "'C'"),
    ("default_text_search_config", "'pg_catalog.simple'"),
    ("quote_all_identifiers", "off"),
    ("standard_conforming_strings", "on"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
];

/// The settings as clauses of CREATE FUNCTION.
pub fn clauses() -> String {
    PINNED
        .iter()
        .flat_map(|(name, value)| [" SET ", name, " = ", value])
        .collect()
}

/// The settings as statements that hold for the rest of a transaction, or to the end of a
/// savepoint.
pub fn statements() -> String {
    PINNED
        .iter()
        .flat_map(|(name, value)| ["SET LOCAL ", name, " = ", value, ";"])
        .collect()
}
