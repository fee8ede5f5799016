//! From published text to [`Json`].
//!
//! A parser of our own, because the usual ones round numbers, drop repeated keys or
//! refuse half of a surrogate pair, which the database's `json` type lets in; and
//! because keeping the source of each value lets a mapped object copy it.

use super::tree::{Json, Kind, Quoted};
use super::unsendable::{MAX_DEPTH, Unsendable};

/// Reads a JSON text. Takes linear time, and fails rather than go deeper than [`MAX_DEPTH`].
pub fn parse(text: &str) -> Result<Json<'_>, Unsendable> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.skip_white_space();
    if parser.at == text.len() {
        Ok(value)
    } else {
        Err(parser.malformed())
    }
}

/// Whether the text is a number as JSON writes it, and nothing else.
pub fn is_number(text: &str) -> bool {
    let mut parser = Parser { text, at: 0 };
    parser.number().is_ok() && parser.at == text.len()
}

/// Reads RFC 8259 from left to right; `at` always stands on a character's first byte.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self, depth: usize) -> Result<Json<'a>, Unsendable> {
        if depth > MAX_DEPTH {
            return Err(Unsendable::TooDeep);
        }
        self.skip_white_space();
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => Kind::Object(self.object(depth)?),
            Some(b'[') => Kind::List(self.list(depth)?),
            Some(b'"') => Kind::Text(self.quoted()?),
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                Kind::Number(&self.text[start..self.at])
            }
            Some(b'n') => self.word("null", Kind::Null)?,
            Some(b't') => self.word("true", Kind::Bool(true))?,
            Some(b'f') => self.word("false", Kind::Bool(false))?,
            _ => return Err(self.malformed()),
        };
        let raw = &self.text[start..self.at];
        Ok(Json { raw, kind })
    }

    fn object(&mut self, depth: usize) -> Result<Vec<(Quoted<'a>, Json<'a>)>, Unsendable> {
        let mut members = Vec::new();
        self.expect(b'{')?;
        self.skip_white_space();
        if self.take(b'}') {
            return Ok(members);
        }
        loop {
            self.skip_white_space();
            let name = self.quoted()?;
            self.skip_white_space();
            self.expect(b':')?;
            members.push((name, self.value(depth + 1)?));
            self.skip_white_space();
            if !self.take(b',') {
                self.expect(b'}')?;
                return Ok(members);
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Json<'a>>, Unsendable> {
        let mut items = Vec::new();
        self.expect(b'[')?;
        self.skip_white_space();
        if self.take(b']') {
            return Ok(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_white_space();
            if !self.take(b',') {
                self.expect(b']')?;
                return Ok(items);
            }
        }
    }

    fn quoted(&mut self) -> Result<Quoted<'a>, Unsendable> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Quoted(text));
                }
                Some(b'\\') => self.escape()?,
                Some(0x20..) => self.at += 1,
                _ => return Err(self.malformed()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Unsendable> {
        self.expect(b'\\')?;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.malformed());
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.malformed()),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Unsendable> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Unsendable> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.malformed());
        }
        Ok(())
    }

    fn word(&mut self, word: &str, kind: Kind<'a>) -> Result<Kind<'a>, Unsendable> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.malformed());
        }
        self.at += word.len();
        Ok(kind)
    }

    fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), Unsendable> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }

    fn malformed(&self) -> Unsendable {
        Unsendable::Malformed { at: self.at }
    }
}
