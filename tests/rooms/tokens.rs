//! The words of a Rust source without its comments, texts and tests.

/// One word or sign of a source, and the line that it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

impl Token {
    /// Whether this is a name or a keyword, and not a sign.
    pub fn is_word(&self) -> bool {
        self.text.starts_with(begins_a_word)
    }
}

/// What a source says to the compiler where no test is built, and the modules that are built
/// for tests only.
pub struct Said {
    pub tokens: Vec<Token>,
    pub test_modules: Vec<String>,
}

/// Reads a source: its words and signs, less the items under `#[cfg(test)]`.
pub fn said(source: &str) -> Said {
    let all = tokens(source);
    let (mut tokens, mut test_modules) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < all.len() {
        if spells(&all[at..], &["#", "[", "cfg", "(", "test", ")", "]"]) {
            let item = at + 7;
            let end = end_of_item(&all, item);
            let module = all[item..end]
                .windows(3)
                .find(|words| words[0].text == "mod");
            test_modules.extend(module.map(|words| words[1].text.clone()));
            at = end;
        } else {
            tokens.push(all[at].clone());
            at += 1;
        }
    }
    Said {
        tokens,
        test_modules,
    }
}

/// Whether the tokens begin with these texts.
pub fn spells(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len()
        && texts
            .iter()
            .zip(tokens)
            .all(|(text, token)| token.text == *text)
}

/// Where the item ends that begins here: behind its semicolon, or behind its block.
fn end_of_item(tokens: &[Token], begin: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(begin) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "}" if depth <= 1 => return at + 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

fn begins_a_word(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

/// Every word and sign of a source; `::` is one sign.
fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while !rest.is_empty() {
        let length = blank(rest).unwrap_or_else(|| {
            let length = length_of_a_token(rest);
            let text = rest[..length].to_owned();
            tokens.push(Token { text, line });
            length
        });
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

fn length_of_a_token(rest: &str) -> usize {
    if rest.starts_with("::") {
        2
    } else if rest.starts_with(begins_a_word) {
        rest.find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len())
    } else {
        rest.chars().next().map_or(0, char::len_utf8)
    }
}

/// The length of what says nothing of arrows here: white space, a comment, a text, a lifetime.
fn blank(rest: &str) -> Option<usize> {
    let space = rest.len() - rest.trim_start().len();
    if space > 0 {
        return Some(space);
    }
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if rest.starts_with('\'') {
        return Some(character_or_lifetime(rest));
    }
    let prefix = ["br", "cr", "r", "b", "c"]
        .into_iter()
        .find(|prefix| {
            rest.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(['"', '#']))
        })
        .unwrap_or("");
    let hashes = rest[prefix.len()..]
        .chars()
        .take_while(|c| *c == '#')
        .count();
    let opened = prefix.len() + hashes + 1;
    if !rest[prefix.len() + hashes..].starts_with('"') || (hashes > 0 && !prefix.ends_with('r')) {
        return None;
    }
    if prefix.ends_with('r') {
        let close = format!("\"{}", "#".repeat(hashes));
        let length = rest[opened..]
            .find(&close)
            .map(|at| opened + at + close.len());
        return Some(length.unwrap_or(rest.len()));
    }
    Some(opened + escaped(&rest[opened..], '"'))
}

/// The length of a text up to and with its closing quote, over what a backslash escapes.
fn escaped(rest: &str, quote: char) -> usize {
    let mut characters = rest.char_indices();
    while let Some((at, c)) = characters.next() {
        if c == '\\' {
            characters.next();
        } else if c == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// The length of `'a'`, of `'\n'`, or of the quote that begins a lifetime.
fn character_or_lifetime(rest: &str) -> usize {
    let mut behind = rest.char_indices().skip(1);
    match (behind.next(), behind.next()) {
        (Some((_, '\\')), _) => 1 + escaped(&rest[1..], '\''),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// The length of a block comment, with those inside it.
fn block_comment(rest: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if here.starts_with("*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                break;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}
