//! Mask: what is kept of what a receiver says. Pure.
//!
//! ```text
//! what was sent ──▶ fingerprints ─┐
//! text ──▶ readings ──────────────┴──▶ what must not be seen ──▶ the text without it
//!          as it stands, unescaped, out of base64
//! ```
//!
//! An answer is judged as it came, and then masked before anything of it is stored, logged
//! or shown. What is masked, and what stays:
//!
//! | | |
//! |---|---|
//! | `[secret]` | a credential of the exchange, or 12 of its characters in a row; one shorter than 8 as a word of its own alone |
//! | `[sent]` | a value of the payload or query of 8 or more characters, and 24 characters in a row of either |
//! | `*`, `[card]` | the digits of a card number but the last four; all of one in base64 |
//! | stays | the event's id, merchant, transaction, kind and status: they stand beside the answer anyway |
//!
//! The cost is bounded: [`BODY_KEPT`] bytes and [`LOOK_AHEAD`] are searched, whatever comes,
//! and 64 KiB of what was sent are looked for.

mod card;
mod prints;
mod reading;
mod sent;
#[cfg(test)]
mod tests;

use http::StatusCode;

use self::prints::{Kind, Prints};
use self::reading::readings;
use crate::model::{Answer, Event, Subscription, Wire};
use crate::shape::Request;

/// How much of an answer's body is kept with the attempt, bytes.
const BODY_KEPT: usize = 2048;

/// The longest reason, in characters: one line of a terminal or a table cell.
const REASON_KEPT: usize = 200;

/// The most bytes that a character has in UTF-8.
const LONGEST_CHARACTER: usize = 4;

/// How many bytes are read beyond what is kept, so that what the cut goes through is seen for what
/// it is: the 24 characters that make a stretch of the payload, each in the longest escape of an
/// escape, and a card number as spread out.
const LOOK_AHEAD: usize = 1024;

/// What must not be seen of one exchange; none where nothing came that anybody chose the words of.
pub struct Mask(Option<Prints>);

impl Mask {
    /// Makes the mask of an exchange; `request` is the one that went out, with its access token. It
    /// serves for what came of it alone: where that is short, most of what was sent cannot be in it
    /// and is not looked at.
    #[must_use]
    pub fn of(event: &Event, subscription: &Subscription, request: &Request, came: &Wire) -> Self {
        if is_the_commonest(came) {
            return Self(None);
        }
        let longest = match came {
            Wire::Answer(answer) => {
                let host = answer.redirects_to.as_ref().map_or(0, String::len);
                answer.body.len().max(answer.reason.len()).max(host)
            }
            // Causes name hosts and what stands in certificates.
            Wire::Failed { detail, .. } => detail.len(),
        };
        Self(Some(sent::prints(event, subscription, request, longest)))
    }

    /// Gives the beginning of a body as text that PostgreSQL takes: UTF-8 without NUL, cut between
    /// characters. None for an empty one.
    #[must_use]
    pub fn body(&self, body: &[u8]) -> Option<String> {
        let beginning = &body[..body.len().min(BODY_KEPT + LOOK_AHEAD)];
        let text = String::from_utf8_lossy(beginning).replace('\0', "\u{fffd}");
        let mut text = self.beginning(&text, BODY_KEPT);
        text.truncate(text.floor_char_boundary(BODY_KEPT));
        (!text.is_empty()).then_some(text)
    }

    /// Gives a reason as one line. Receivers choose its words: they must not break a log line, a
    /// terminal or the database's text type.
    #[must_use]
    pub fn line(&self, reason: &str) -> String {
        let kept = REASON_KEPT * LONGEST_CHARACTER;
        let masked = self.beginning(reason, kept);
        let safe = |character: char| {
            if character.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                character
            }
        };
        let mut line: String = masked.chars().take(REASON_KEPT).map(safe).collect();
        if masked.chars().nth(REASON_KEPT).is_some() {
            line.pop();
            line.push('…');
        }
        line
    }

    /// Gives the first `kept` bytes of a text or a few less, masked.
    fn beginning(&self, text: &str, kept: usize) -> String {
        let text = &text[..text.floor_char_boundary(kept + LOOK_AHEAD)];
        let Some(prints) = &self.0 else {
            return text.to_owned();
        };
        let mut covers = vec![Cover::Nothing; text.len()];
        for reading in readings(text) {
            for digit in card::hidden_digits(&reading.bytes) {
                let places = reading.span(digit);
                if reading.of_base64 {
                    cover(&mut covers[places], Cover::Card);
                } else {
                    cover(&mut covers[places.start..=places.start], Cover::Digit);
                    cover(&mut covers[places.start + 1..places.end], Cover::OfDigit);
                }
            }
            prints.find(&reading.bytes, |part, kind| {
                let kind = match kind {
                    Kind::Sent => Cover::Sent,
                    Kind::Secret | Kind::Word => Cover::Secret,
                };
                cover(&mut covers[reading.span(part)], kind);
            });
        }
        written(text, &covers, kept)
    }
}

/// Whether an answer is what most are: a status, the phrase that the standard gives it (RFC 9110,
/// section 15) or none, and no more.
fn is_the_commonest(came: &Wire) -> bool {
    let Wire::Answer(answer) = came else {
        return false;
    };
    let Answer {
        status,
        reason,
        body,
        incomplete: None,
        coding: None,
        unreadable: None,
        retry_after: None,
        redirects_to: None,
    } = answer
    else {
        return false;
    };
    let phrase = || StatusCode::from_u16(*status).ok()?.canonical_reason();
    body.is_empty() && (reason.is_empty() || phrase() == Some(reason))
}

/// What stands in the place of a byte; where there are two, the later of these hides the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cover {
    Nothing,
    /// The first byte of a digit of a card number.
    Digit,
    /// A further byte of such a digit, where it is escaped or not ASCII.
    OfDigit,
    Card,
    Sent,
    Secret,
}

fn cover(covers: &mut [Cover], by: Cover) {
    for cover in covers {
        *cover = by.max(*cover);
    }
}

/// Writes one word for everything of a kind in a row, so that nothing tells its length.
fn written(text: &str, covers: &[Cover], kept: usize) -> String {
    let mut masked = String::with_capacity(text.len().min(kept));
    let mut before = Cover::Nothing;
    for (at, character) in text.char_indices().take_while(|(at, _)| *at < kept) {
        // Of a character in Latin-1 a part alone may be covered.
        let places = covers[at..at + character.len_utf8()].iter();
        let cover = places
            .clone()
            .min()
            .copied()
            .filter(|it| *it == Cover::Digit);
        let cover = cover.or(places.max().copied()).unwrap_or(Cover::Nothing);
        match cover {
            Cover::Nothing => masked.push(character),
            Cover::Digit => masked.push('*'),
            Cover::OfDigit => {}
            Cover::Card | Cover::Sent | Cover::Secret if cover == before => {}
            Cover::Card => masked.push_str("[card]"),
            Cover::Sent => masked.push_str("[sent]"),
            Cover::Secret => masked.push_str("[secret]"),
        }
        before = cover;
    }
    masked
}
