//! Texts that are likely to go wrong.

use proptest::prelude::*;

/// What parsers, headers, forms, XML and TOML treat in a way of their own.
const PIECES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\0",
    "\t",
    " ",
    ":",
    ";",
    "=",
    "&",
    "?",
    "#",
    "@",
    "/",
    "\\",
    "%",
    "%0d%0a",
    "%00",
    "+",
    "\"",
    "'",
    "<",
    ">",
    "]]>",
    "<!--",
    "&amp;",
    "&#0;",
    "<![CDATA[",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\u{feff}",
    "\u{2028}",
    "\u{ffff}",
    "\u{10ffff}",
    "\u{e9}",
    "\u{85}",
    "x-injected: 1",
    "\r\nx-injected: 1\r\n",
    "\r\n\r\nGET /second HTTP/1.1\r\n\r\n",
    "host: elsewhere",
    "transfer-encoding: chunked",
    "content-length: 0",
    "https://",
    "http://",
    "file:",
    "127.0.0.1",
    "[::1]",
    "0x7f.1",
    "localhost",
    "example.com",
    ":443",
    ":0",
    ":99999",
    "user:pass@",
    "a",
    "Z",
    "0",
    "9",
    "-",
    ".",
    "1e999",
    "-0",
    "9223372036854775808",
    "true",
    "null",
    "[[subscription]]\n",
    "url = ",
    "'''",
    "\"\"\"",
    "~1",
    "~",
    "literal:",
    "\u{301}",
];

/// Runs of such pieces and of any characters.
pub fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(PIECES).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// JSON with such texts for names and values.
pub fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        hostile().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((hostile(), inner), 0..4).prop_map(|members| members
                .into_iter()
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

/// A text with some of its characters changed, left out or put in twice.
pub fn damaged(text: &'static str) -> impl Strategy<Value = String> {
    let length = text.chars().count();
    let damage = (0..length, 0..4_u8, hostile());
    prop::collection::vec(damage, 1..6).prop_map(move |damages| {
        let mut characters: Vec<String> = text.chars().map(String::from).collect();
        for (at, kind, other) in damages {
            characters[at] = match kind {
                0 => String::new(),
                1 => other,
                2 => characters[at].repeat(2),
                _ => characters[at].clone() + &other,
            };
        }
        characters.concat()
    })
}
