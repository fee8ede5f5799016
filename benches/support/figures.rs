//! What a bench has measured: rows, for people and as JSON.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;

use serde::{Deserialize, Serialize};

use super::Size;

/// Names a file to which each bench appends its line of JSON, for `summary`.
pub const RESULTS: &str = "POSTHORN_BENCH_RESULTS";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    pub bench: String,
    pub size: Size,
    pub rows: Vec<Row>,
}

/// One measure. The floor is what the bare client or the bare database took for the same in
/// the same run, in the same unit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    pub measure: String,
    pub value: f64,
    pub unit: String,
    pub floor: Option<f64>,
    /// value / floor
    pub ratio: Option<f64>,
    pub target: Option<Target>,
    pub met: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    RatioAtLeast(f64),
    RatioAtMost(f64),
}

impl Row {
    pub fn new(measure: impl Into<String>, value: f64, unit: &str) -> Self {
        Self {
            measure: measure.into(),
            value: rounded(value),
            unit: unit.to_owned(),
            floor: None,
            ratio: None,
            target: None,
            met: None,
        }
    }

    pub fn beside(mut self, floor: f64) -> Self {
        self.ratio = (floor > 0.0).then(|| rounded(self.value / floor));
        self.floor = Some(rounded(floor));
        self
    }

    /// The ratio, or the value where there is no floor: what two runs can be compared by.
    pub fn measured(&self) -> f64 {
        self.ratio.unwrap_or(self.value)
    }

    /// Whether less of it is worse; none of what is neither good nor bad. The target tells, and
    /// the unit of what has none: of a rate more is better, of everything else less.
    pub fn more_is_better(&self) -> Option<bool> {
        match self.target {
            Some(Target::AtLeast(_) | Target::RatioAtLeast(_)) => Some(true),
            Some(Target::AtMost(_) | Target::RatioAtMost(_)) => Some(false),
            None if self.unit.is_empty() => None,
            None => Some(self.unit == "/s"),
        }
    }

    /// Met or not, by the value or, of those that say so, by the ratio.
    pub fn target(mut self, target: Target) -> Self {
        let ratio = self.ratio.unwrap_or(f64::NAN);
        self.met = Some(match target {
            Target::AtLeast(bound) => self.value >= bound,
            Target::AtMost(bound) => self.value <= bound,
            Target::RatioAtLeast(bound) => ratio >= bound,
            Target::RatioAtMost(bound) => ratio <= bound,
        });
        self.target = Some(target);
        self
    }
}

/// Three significant digits, and no fewer than the whole number has.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = (2.0 - value.abs().log10().floor()).max(0.0);
    let scale = 10f64.powf(digits);
    (value * scale).round() / scale
}

impl Figures {
    /// Appends itself to the file of [`RESULTS`], if there is one.
    pub fn keep(&self) -> anyhow::Result<()> {
        let Some(path) = std::env::var_os(RESULTS) else {
            return Ok(());
        };
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(writeln!(file, "{}", serde_json::to_string(self)?)?)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.rows.iter().map(|row| row.measure.chars().count());
        let width = longest.max().unwrap_or(0).max(self.bench.len()) + 2;
        writeln!(
            f,
            "{:width$}{:>10} {:<16}{:>10}{:>8}   {:<10}met",
            self.bench, "value", "", "floor", "ratio", "target"
        )?;
        for row in &self.rows {
            let number = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
            let target = row
                .target
                .map_or(String::new(), |target| target.to_string());
            let met = row.met.map_or("", |met| if met { "yes" } else { "NO" });
            let line = format!(
                "{:width$}{:>10} {:<16}{:>10}{:>8}   {target:<10}{met}",
                row.measure,
                row.value.to_string(),
                row.unit,
                number(row.floor),
                number(row.ratio),
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
            Self::RatioAtLeast(bound) => write!(f, "≥ {bound} ×"),
            Self::RatioAtMost(bound) => write!(f, "≤ {bound} ×"),
        }
    }
}
