//! Numbers moved by powers of ten without losing a digit: money is never rounded.

/// The most digits of a number, which is more than any amount has: an exponent must not become
/// gigabytes of zeros.
const MOST_DIGITS: usize = 100;

/// A decimal number: `digits` × 10^-`scale`, without zeros at either end.
#[derive(Debug)]
pub struct Decimal {
    negative: bool,
    digits: String,
    scale: i64,
}

impl Decimal {
    /// Reads a number in JSON's spelling.
    pub fn of(number: &str) -> Result<Self, &'static str> {
        let (negative, unsigned) = match number.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, number),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = format!("{whole}{fraction}");
        let places = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        let significant = digits.trim_end_matches('0').len();
        let zeros = i64::try_from(digits.len() - significant).unwrap_or(i64::MAX);
        digits.truncate(significant);
        let digits = digits.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Ok(Self {
                negative: false,
                digits,
                scale: 0,
            });
        }
        // An exponent beyond this is beyond any number of digits that is written out.
        let exponent: i32 = exponent.parse().map_err(|_| TOO_LONG)?;
        Ok(Self {
            negative,
            digits,
            scale: places - zeros - i64::from(exponent),
        })
    }

    pub fn times_ten_to(self, exponent: i64) -> Self {
        Self {
            scale: self.scale - exponent,
            ..self
        }
    }

    /// Writes the number with so many decimals, if it has no more.
    pub fn fixed(&self, places: u8) -> Result<String, &'static str> {
        let places = usize::from(places);
        let zeros = if self.digits.is_empty() {
            0
        } else {
            let missing = i64::try_from(places).unwrap_or(i64::MAX) - self.scale;
            usize::try_from(missing).map_err(|_| "a number with more decimals")?
        };
        if self.digits.len() + zeros > MOST_DIGITS {
            return Err(TOO_LONG);
        }
        let digits = format!("{}{}", self.digits, "0".repeat(zeros));
        // A digit before the point at least.
        let digits = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let sign = if self.negative { "-" } else { "" };
        let point = if places == 0 { "" } else { "." };
        Ok(format!("{sign}{whole}{point}{fraction}"))
    }
}

const TOO_LONG: &str = "a number with more than 100 digits";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scaled(number: &str, exponent: i64, places: u8) -> Result<String, &'static str> {
        Decimal::of(number)?.times_ten_to(exponent).fixed(places)
    }

    #[test]
    fn a_number_is_moved_exactly_or_refused() {
        const MORE: &str = "a number with more decimals";
        for (number, exponent, places, expected) in [
            ("1234.50", 2, 0, Ok("123450")),
            ("1234.5", 0, 2, Ok("1234.50")),
            ("1234.500", 0, 2, Ok("1234.50")),
            ("1234.505", 0, 2, Err(MORE)),
            ("0.001", 2, 0, Err(MORE)),
            ("123450", -2, 2, Ok("1234.50")),
            ("5", -2, 2, Ok("0.05")),
            ("-5", -2, 2, Ok("-0.05")),
            ("5.5", -2, 2, Err(MORE)),
            ("0", -2, 2, Ok("0.00")),
            ("-0.0", 0, 0, Ok("0")),
            ("0e999999999999", 2, 0, Ok("0")),
            ("1e3", 0, 0, Ok("1000")),
            ("1.5E+3", 2, 0, Ok("150000")),
            ("15e-1", 0, 1, Ok("1.5")),
            ("100e-2", 0, 0, Ok("1")),
            ("1e100", 0, 0, Err(TOO_LONG)),
            ("1e2147483648", 0, 0, Err(TOO_LONG)),
            ("1e-2147483648", 0, 0, Err(MORE)),
            (
                "12345678901234567890.12",
                2,
                0,
                Ok("1234567890123456789012"),
            ),
        ] {
            let found = scaled(number, exponent, places);
            assert_eq!(
                found.as_deref(),
                expected.as_ref().map(|it| *it),
                "{number}"
            );
        }
    }

    proptest! {
        #[test]
        fn cents_and_back_are_the_same(whole in 0_u64.., cents in 0_u8..100, negative: bool) {
            let sign = if negative && (whole, cents) != (0, 0) { "-" } else { "" };
            let amount = format!("{sign}{whole}.{cents:02}");
            let minor = scaled(&amount, 2, 0).unwrap_or_default();
            prop_assert_eq!(minor.parse::<i128>().ok(), format!("{sign}{whole}{cents:02}").parse().ok());
            prop_assert_eq!(scaled(&minor, -2, 2), Ok(amount));
        }

        #[test]
        fn no_number_panics(number in "-?(0|[1-9][0-9]{0,120})(\\.[0-9]{1,120})?([eE][+-]?[0-9]{1,12})?", places in 0_u8..19) {
            let _ = scaled(&number, 18, places);
            let _ = scaled(&number, -18, places);
        }
    }
}
