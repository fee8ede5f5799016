//! What a text that names something in a message has to look like.

/// Whether the text is an XML name that needs no namespace: XML 1.0 allows a colon too.
pub(super) fn is_xml_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// Whether the text is a JSON pointer (RFC 6901, section 3) to a part of a document: the empty
/// one, to the whole of it, is none here.
pub(super) fn is_pointer(text: &str) -> bool {
    text.starts_with('/')
        && text
            .split('~')
            .skip(1)
            .all(|escape| escape.starts_with(['0', '1']))
}
