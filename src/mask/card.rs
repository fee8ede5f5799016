//! Finds what looks like the number of a payment card, in any decimal digits, together or in
//! groups.

use std::ops::Range;

/// The fewest digits of a primary account number (ISO/IEC 7812-1).
const FEWEST_DIGITS: usize = 13;
const MOST_DIGITS: usize = 19;

/// The most digits of a card number that may be shown (PCI DSS 4.0, requirement 3.4.1).
const DIGITS_SHOWN: usize = 4;

/// The longest separator between two groups of digits, in characters: `", "` in quotes is the
/// longest that is one number still.
const LONGEST_SEPARATOR: usize = 4;

/// The places in a reading of all digits that must not be seen, by their bytes.
pub(super) fn hidden_digits(reading: &[u8]) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let may_be_digits = reading
        .iter()
        .filter(|byte| byte.is_ascii_digit() || !byte.is_ascii());
    if may_be_digits.take(FEWEST_DIGITS).count() < FEWEST_DIGITS {
        return hidden;
    }
    let groups = groups(reading);
    for first in 0..groups.len() {
        let mut digits: Vec<&Digit> = Vec::with_capacity(MOST_DIGITS);
        let mut separators: Vec<&str> = Vec::new();
        for group in &groups[first..] {
            if !digits.is_empty() {
                match &group.separator {
                    Some(separator) => separators.push(separator),
                    None => break,
                }
            }
            digits.extend(&group.digits);
            if digits.len() > MOST_DIGITS {
                break;
            }
            if is_issued(&digits) && !is_time(&separators) && is_luhn(&digits) {
                let masked = &digits[..digits.len() - DIGITS_SHOWN];
                hidden.extend(masked.iter().map(|digit| digit.at.clone()));
            }
        }
    }
    hidden
}

struct Digit {
    value: u8,
    at: Range<usize>,
}

/// A run of digits side by side.
struct Group {
    /// What stands between the group and the one before, if that can stand within a number.
    separator: Option<String>,
    digits: Vec<Digit>,
}

fn groups(reading: &[u8]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut between = Some(String::new());
    let mut in_group = false;
    for (at, character) in characters(reading) {
        if let Some(value) = digit(character) {
            let digit = Digit {
                value,
                at: at..at + character.len_utf8(),
            };
            match groups.last_mut() {
                Some(group) if in_group => group.digits.push(digit),
                _ => groups.push(Group {
                    separator: between.take(),
                    digits: vec![digit],
                }),
            }
            in_group = true;
            continue;
        }
        if in_group {
            between = Some(String::new());
            in_group = false;
        }
        let fits = |text: &String| text.chars().count() < LONGEST_SEPARATOR;
        if character.is_alphanumeric() || !between.as_ref().is_some_and(fits) {
            between = None;
        } else if let Some(between) = &mut between {
            between.push(character);
        }
    }
    groups
}

/// The characters of a reading, with U+FFFD for what is not UTF-8, at the place of its first byte.
fn characters(reading: &[u8]) -> impl Iterator<Item = (usize, char)> {
    let mut at = 0;
    reading.utf8_chunks().flat_map(move |chunk| {
        let start = at;
        let valid = chunk.valid();
        let invalid = start + valid.len();
        at = invalid + chunk.invalid().len();
        let broken =
            (!chunk.invalid().is_empty()).then_some((invalid, char::REPLACEMENT_CHARACTER));
        let characters = valid
            .char_indices()
            .map(move |(place, it)| (start + place, it));
        characters.chain(broken)
    })
}

/// The digit zero of every script, behind which the script's other digits stand (Unicode 16.0,
/// general category Nd).
const ZEROS: &[u32] = &[
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x10d40, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0,
    0x11650, 0x116c0, 0x116d0, 0x116da, 0x11730, 0x118e0, 0x11950, 0x11bf0, 0x11c50, 0x11d50,
    0x11da0, 0x11f50, 0x16130, 0x16a60, 0x16ac0, 0x16b50, 0x16d70, 0x1ccf0, 0x1d7ce, 0x1d7d8,
    0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e5f1, 0x1e950, 0x1fbf0,
];

fn digit(character: char) -> Option<u8> {
    if character.is_ascii() {
        return character.is_ascii_digit().then(|| character as u8 - b'0');
    }
    let code = u32::from(character);
    let behind = ZEROS.partition_point(|&zero| zero <= code).checked_sub(1)?;
    u8::try_from(code - ZEROS[behind])
        .ok()
        .filter(|value| *value < 10)
}

/// Whether the separators are those of a date with a time of day: there are several, a colon among
/// them; who writes a card number with colons writes it with nothing else.
fn is_time(separators: &[&str]) -> bool {
    let differ = separators.windows(2).any(|pair| pair[0] != pair[1]);
    differ && separators.iter().any(|separator| separator.contains(':'))
}

/// Whether card schemes give out numbers of this prefix and length (ISO/IEC 7812-2; the schemes'
/// own tables of ranges). A wrong guess here costs a digit of an order number, a missing one shows
/// a card.
fn is_issued(digits: &[&Digit]) -> bool {
    if !(FEWEST_DIGITS..=MOST_DIGITS).contains(&digits.len()) {
        return false;
    }
    let prefix = digits[..4].iter();
    let prefix = prefix.fold(0, |number, digit| number * 10 + u32::from(digit.value));
    match prefix {
        // Visa
        4000..=4999 => matches!(digits.len(), 13 | 16 | 19),
        // American Express; JCB before 1988
        3400..=3499 | 3700..=3799 | 1800 | 2131 => digits.len() == 15,
        // Diners Club
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => digits.len() >= 14,
        // JCB; Mir; Mastercard, by both of its ranges; RuPay and UnionPay; Troy
        3528..=3589 | 2200..=2204 | 2221..=2720 | 5100..=5599 | 8100..=8299 | 9792 => {
            digits.len() >= 16
        }
        // Maestro; Discover, UnionPay and the national schemes that share its ranges
        5000..=5099 | 5600..=5899 | 6000..=6999 => true,
        _ => false,
    }
}

/// Whether the check digit is right (ISO/IEC 7812-1, annex B).
fn is_luhn(digits: &[&Digit]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(digit.value);
            match place % 2 {
                0 => value,
                _ => value * 2 / 10 + value * 2 % 10,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}
