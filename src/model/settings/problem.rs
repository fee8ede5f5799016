//! How a wrong setting is told: what was found, and what to give instead.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What is wrong with one setting, in words that name the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting's key, as the config file has it.
    pub key: &'static str,
    /// The value's shape and the remedy, in words; never the value of a secret.
    pub message: String,
}

impl Problem {
    pub(super) fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self {
            key,
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// The value if it lies in the range, or what to give instead: `501 is more than 500;
/// give a whole number from 1 to 500`.
pub(crate) fn within<T: PartialOrd>(
    value: T,
    range: &RangeInclusive<T>,
    what: &str,
    show: impl Fn(&T) -> String,
) -> Result<T, String> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (show(range.start()), show(range.end()));
    let relation = if value < *range.start() {
        format!("is less than {low}")
    } else if value > *range.end() {
        format!("is more than {high}")
    } else {
        "is not a number".to_owned()
    };
    let found = show(&value);
    Err(format!(
        "{found} {relation}; give {what} from {low} to {high}"
    ))
}

/// A duration such as `1h 30m`, in the spelling that the configuration file takes.
pub(crate) fn duration_text(duration: &Duration) -> String {
    humantime::format_duration(*duration).to_string()
}

/// A number in its shortest spelling, such as `2`, `0.5` or `1e300`.
pub(super) fn number_text(number: f64) -> String {
    let text = format!("{number:?}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A value that cannot be a secret, in quotes, short and on one line.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 40;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start:?}…")
}

/// Gives the value, or notes a problem with the key.
pub(super) fn note<T>(
    key: &'static str,
    result: Result<T, impl Into<String>>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    result
        .map_err(|message| problems.push(Problem::new(key, message)))
        .ok()
}

/// Gives the choice that the text names, or notes a problem with the key. `choices` holds the
/// spelling of each.
pub(super) fn choose<T: Copy>(
    key: &'static str,
    text: Option<&str>,
    choices: &[(&str, T)],
    default: T,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let Some(text) = text else {
        return Some(default);
    };
    let chosen = choices.iter().find(|(name, _)| *name == text);
    if chosen.is_none() {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        // The text is left out: someone may have put the credentials into `auth`.
        problems.push(Problem::new(
            key,
            format!(
                "text that is not a choice; give one of {}",
                names.join(", ")
            ),
        ));
    }
    chosen.map(|&(_, choice)| choice)
}
