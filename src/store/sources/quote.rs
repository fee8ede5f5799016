//! Names and values as SQL text, for statements that take no parameters.

/// A name as SQL, in double quotes, whatever it is.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Right whether the session takes a backslash for an escape or not.
pub fn literal(text: &str) -> String {
    let escape = if text.contains('\\') { "E" } else { "" };
    format!(
        "{escape}'{}'",
        text.replace('\\', "\\\\").replace('\'', "''")
    )
}

/// A text as SQL, or NULL.
pub fn optional_literal(text: Option<&str>) -> String {
    text.map_or_else(|| "NULL".to_owned(), literal)
}

/// A `text[]`.
pub fn array<'t>(elements: impl IntoIterator<Item = &'t String>) -> String {
    let elements: Vec<String> = elements.into_iter().map(|text| literal(text)).collect();
    format!("ARRAY[{}]::text[]", elements.join(", "))
}

/// Between `$posthorn$` and its like: a tag that the text does not hold.
pub fn dollars(text: &str) -> String {
    let mut tag = "$posthorn$".to_owned();
    while text.contains(&tag) {
        tag.insert(1, 'x');
    }
    format!("{tag}{text}{tag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_its_quotes() {
        assert_eq!(identifier(r#"a"b"#), r#""a""b""#);
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
        assert_eq!(
            array(&["a'".to_owned(), "b".to_owned()]),
            "ARRAY['a''', 'b']::text[]"
        );
        assert_eq!(dollars("x"), "$posthorn$x$posthorn$");
        assert_eq!(
            dollars("a $posthorn$ b"),
            "$xposthorn$a $posthorn$ b$xposthorn$"
        );
    }
}
