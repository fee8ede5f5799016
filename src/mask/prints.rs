//! Recognises texts that were sent by the fingerprints of their parts. How long a search
//! takes depends on the text that is searched, and not on how many are looked for.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

/// The length from which a credential is found as a part of words too. A shorter one is found as a
/// word of its own alone: as a part of words it would be found everywhere.
pub(super) const WORD: usize = 8;

/// How much of a longer credential in a row is found: receivers cut what they quote.
const PART_OF_SECRET: usize = 12;

/// How much in a row of what was sent is found, beside its values: a name or two with their values.
const PART_OF_SENT: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A value that was sent, or a stretch of the payload.
    Sent,
    Secret,
    /// A secret that counts as a word of its own alone.
    Word,
}

type ByPrint<T> = HashMap<u64, T, BuildHasherDefault<Mixed>>;

/// The fingerprints of what is looked for. Each length of a fingerprint costs a search a turn, so
/// there are few.
pub(super) struct Prints {
    /// Sets of fingerprints, by the length of what they are of.
    of_length: BTreeMap<usize, ByPrint<Kind>>,
    /// Texts that are found whole, of [`WORD`] characters or more, by the fingerprint of so
    /// many at their beginning.
    whole: ByPrint<Vec<(Box<[u8]>, Kind)>>,
    /// The length of the longest text that is searched: what is longer cannot be in it, and is left
    /// out.
    longest: usize,
}

impl Prints {
    /// Looks for nothing yet, in texts of up to so many bytes.
    pub fn new(longest: usize) -> Self {
        Self {
            of_length: BTreeMap::new(),
            whole: ByPrint::default(),
            longest,
        }
    }

    /// Looks for a credential. A short one counts with all of its characters alone: what ASCII is
    /// left of it may be a digit.
    pub fn secret(&mut self, secret: &[u8]) {
        for letters in Letters::all_of(secret) {
            let letters = letters.bytes;
            match letters.len() {
                0 => {}
                length if length < WORD => {
                    if letters.is_ascii() == secret.is_ascii() {
                        self.add(&letters, length, Kind::Word);
                    }
                }
                length if length < PART_OF_SECRET => self.add_whole(&letters, Kind::Secret),
                _ => self.add(&letters, PART_OF_SECRET, Kind::Secret),
            }
        }
    }

    /// Looks for a value that was sent, but for what is `known` to whoever sees the answer. A short
    /// one says nothing of anybody; a long one is found as a part of what was sent.
    pub fn value(&mut self, value: &[u8], known: &[Vec<u8>]) {
        for letters in Letters::all_of(value) {
            for piece in without(known, &letters.bytes) {
                if (WORD..PART_OF_SENT).contains(&piece.len()) {
                    self.add_whole(piece, Kind::Sent);
                }
            }
        }
    }

    /// Looks for all that was sent, but for what is `known`.
    pub fn sent(&mut self, sent: &[u8], known: &[Vec<u8>]) {
        if self.longest < PART_OF_SENT {
            return;
        }
        for letters in Letters::all_of(sent) {
            for piece in without(known, &letters.bytes) {
                self.add(piece, PART_OF_SENT, Kind::Sent);
            }
        }
    }

    /// Adds the fingerprint of every part that has this length.
    fn add(&mut self, letters: &[u8], length: usize, kind: Kind) {
        if length > self.longest || length > letters.len() {
            return;
        }
        let set = self.of_length.entry(length).or_default();
        for (_, print) in rolling(letters, length) {
            let there = set.entry(print).or_insert(kind);
            *there = kind.max(*there);
        }
    }

    fn add_whole(&mut self, letters: &[u8], kind: Kind) {
        if letters.len() > self.longest {
            return;
        }
        if let Some((_, print)) = rolling(letters, WORD).next() {
            let there = self.whole.entry(print).or_default();
            if !there
                .iter()
                .any(|(text, its)| **text == *letters && *its == kind)
            {
                there.push((letters.into(), kind));
            }
        }
    }

    /// Tells where in the reading something is that was sent.
    pub fn find(&self, reading: &[u8], mut found: impl FnMut(Range<usize>, Kind)) {
        if self.of_length.is_empty() && self.whole.is_empty() {
            return;
        }
        for letters in Letters::all_of(reading) {
            if !self.whole.is_empty() {
                for (start, print) in rolling(&letters.bytes, WORD) {
                    for (text, kind) in self.whole.get(&print).into_iter().flatten() {
                        if letters.bytes[start..].starts_with(text) {
                            found(letters.span(start, text.len()), *kind);
                        }
                    }
                }
            }
            for (&length, set) in &self.of_length {
                for (start, print) in rolling(&letters.bytes, length) {
                    let Some(&kind) = set.get(&print) else {
                        continue;
                    };
                    let part = letters.span(start, length);
                    if kind != Kind::Word || is_word(reading, &part) {
                        found(part, kind);
                    }
                }
            }
        }
    }
}

/// The pieces of the letters between what is known.
fn without<'a>(known: &[Vec<u8>], letters: &'a [u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < letters.len() {
        let here = known.iter().find(|known| letters[at..].starts_with(known));
        if let Some(known) = here {
            pieces.push(&letters[start..at]);
            start = at + known.len();
        }
        at += here.map_or(1, Vec::len);
    }
    pieces.push(&letters[start..]);
    pieces
}

/// Whether the part has neither a letter nor a digit beside it.
fn is_word(reading: &[u8], part: &Range<usize>) -> bool {
    let beside = [
        part.start.checked_sub(1).and_then(|at| reading.get(at)),
        reading.get(part.end),
    ];
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
    !beside.into_iter().flatten().any(inside)
}

/// A text without what changes on the way: letter case, white space (which forms write as
/// `+`), control characters and what nobody sees.
pub(super) struct Letters {
    pub bytes: Vec<u8>,
    /// The place in the text that each letter is from.
    at: Vec<usize>,
}

impl Letters {
    /// The letters of a text, and those that are left where somebody cannot write others than
    /// ASCII: they get lost, or something else stands for them.
    pub fn all_of(text: &[u8]) -> impl Iterator<Item = Self> {
        let all = Self::of(text);
        let ascii = (!all.bytes.is_ascii()).then(|| all.ascii());
        [Some(all), ascii].into_iter().flatten()
    }

    /// The part of the text that so many letters stand for.
    fn span(&self, start: usize, length: usize) -> Range<usize> {
        self.at[start]..self.at[start + length - 1] + 1
    }

    fn ascii(&self) -> Self {
        let letters = self.bytes.iter().zip(&self.at);
        let (bytes, at) = letters.filter(|(byte, _)| byte.is_ascii()).unzip();
        Self { bytes, at }
    }

    fn of(text: &[u8]) -> Self {
        /// What nobody sees: U+FFFD, which stands for what was unreadable; byte order marks; spaces
        /// and hyphens that do not show.
        const UNSEEN: &[&str] = &[
            "\u{fffd}", "\u{feff}", "\u{200b}", "\u{200c}", "\u{200d}", "\u{ad}", "\u{a0}",
        ];
        let mut letters = Self {
            bytes: Vec::with_capacity(text.len()),
            at: Vec::with_capacity(text.len()),
        };
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            if !byte.is_ascii()
                && let Some(unseen) = UNSEEN
                    .iter()
                    .find(|unseen| text[at..].starts_with(unseen.as_bytes()))
            {
                at += unseen.len();
                continue;
            }
            if byte > b' ' && byte != b'+' && byte != 0x7f {
                letters.bytes.push(byte.to_ascii_lowercase());
                letters.at.push(at);
            }
            at += 1;
        }
        letters
    }
}

/// The fingerprint of each part of a length, with its place: a polynomial of its bytes, of
/// which the next is made by one byte that comes and one that goes (Karp and Rabin, 1987).
/// Two that are the same by chance mask a word too many.
fn rolling(letters: &[u8], length: usize) -> impl Iterator<Item = (usize, u64)> + '_ {
    /// The base of the polynomial: odd, and with bits all over, 2^64 divided by the golden ratio.
    const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
    let of_the_first = (1..length).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let mut print = 0_u64;
    letters.iter().enumerate().filter_map(move |(at, &byte)| {
        if let Some(gone) = at.checked_sub(length) {
            print = print.wrapping_sub(u64::from(letters[gone]).wrapping_mul(of_the_first));
        }
        print = print.wrapping_mul(BASE).wrapping_add(u64::from(byte));
        (at + 1).checked_sub(length).map(|start| (start, print))
    })
}

/// A hasher for fingerprints, which are hashes themselves: their high bits are as good as random,
/// and a map looks at the low ones too.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, print: u64) {
        self.0 = print ^ print.rotate_left(32);
    }
}
