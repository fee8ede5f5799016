//! How many decimals a currency's smaller unit has.

use super::tree::{Json, Kind};

/// The currencies by their decimals; the file's first lines say how it is written.
const TABLE: &str = include_str!("currencies.txt");

/// How many decimals the currency has whose ISO 4217 code stands at the pointer, in letters of any
/// case; or what is there in place of one.
pub fn decimals(data: Option<&Json<'_>>, pointer: &str) -> Result<u8, &'static str> {
    match data.and_then(|data| data.at(pointer)).map(|it| &it.kind) {
        Some(Kind::Text(code)) => of_code(&code.text()),
        Some(Kind::Null) => Err("null"),
        Some(Kind::Number(_)) => Err("a number"),
        Some(Kind::Bool(_)) => Err("true or false"),
        Some(Kind::List(_)) => Err("a list"),
        Some(Kind::Object(_)) => Err("an object"),
        None => Err("nothing"),
    }
}

fn of_code(code: &str) -> Result<u8, &'static str> {
    let mut rows = TABLE.lines().filter(|line| !line.starts_with('#'));
    let found = rows.find_map(|row| {
        let (decimals, codes) = row.split_once(' ')?;
        let mut codes = codes.split(' ');
        codes
            .any(|known| known.eq_ignore_ascii_case(code))
            .then_some(decimals)
    });
    match found {
        None => Err("text that is no currency's code"),
        Some(decimals) => decimals
            .parse()
            .map_err(|_| "the code of a currency without a smaller unit"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_code_has_the_decimals_of_iso_4217() {
        for (code, decimals) in [
            ("EUR", 2),
            ("USD", 2),
            ("jpy", 0),
            ("KRW", 0),
            ("ISK", 0),
            ("HUF", 2),
            ("KWD", 3),
            ("TND", 3),
            ("CLF", 4),
            ("CLP", 0),
            ("UYW", 4),
            ("BYR", 0),
            ("BYN", 2),
        ] {
            assert_eq!(of_code(code), Ok(decimals), "{code}");
        }
        for code in ["", "EU", "EURO", "€", "2", "#", "-", "E R", "EUR "] {
            assert_eq!(of_code(code), Err("text that is no currency's code"));
        }
        let gold = of_code("XAU");
        assert_eq!(gold, Err("the code of a currency without a smaller unit"));
    }

    #[test]
    fn the_table_has_each_code_once() {
        let mut known = BTreeSet::new();
        for row in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let (decimals, codes) = row.split_once(' ').unwrap_or_default();
            assert!(decimals == "-" || decimals.parse::<u8>().is_ok(), "{row}");
            for code in codes.split(' ') {
                let is_code = code.len() == 3 && code.bytes().all(|it| it.is_ascii_uppercase());
                assert!(is_code && known.insert(code), "{code}");
            }
        }
    }
}
