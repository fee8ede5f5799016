//! The figures that were accepted last, and what has moved since.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::support::figures::{Figures, Row};

/// Where they are kept, from the root of the repository.
pub const FILE: &str = "benches/accepted.json";

/// What changes by less than this share has not moved.
const NOTICED: f64 = 0.1;

/// Each bench's measures: the ratio, or the value where there is no floor.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Accepted(BTreeMap<String, BTreeMap<String, f64>>);

impl Accepted {
    /// Nothing where the file is not there.
    pub fn read() -> anyhow::Result<Self> {
        match fs::read(file()) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    pub fn write(&self) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        Ok(fs::write(file(), text + "\n")?)
    }

    /// Takes these over; what this run did not measure stays.
    pub fn accept(&mut self, figures: &[Figures]) {
        for Figures { bench, rows, .. } in figures {
            let measures = self.0.entry(bench.clone()).or_default();
            measures.extend(rows.iter().map(|row| (row.measure.clone(), row.measured())));
        }
    }

    /// What has moved, for people.
    pub fn compare(&self, figures: &[Figures]) -> String {
        let (mut moved, mut within, mut new) = (String::new(), 0, 0);
        for Figures { bench, rows, .. } in figures {
            for row in rows {
                match self.0.get(bench).and_then(|of| of.get(&row.measure)) {
                    None => new += 1,
                    Some(&was) if is_near(was, row.measured()) => within += 1,
                    Some(&was) => {
                        // Writing to a String cannot fail.
                        let _ = writeln!(moved, "  {bench}: {}", movement(row, was));
                    }
                }
            }
        }
        if moved.is_empty() {
            moved.push_str("  nothing\n");
        }
        format!(
            "Moved by more than {} % since the figures of {FILE} were accepted:\n{moved}\
             {within} others are as they were, {new} are new. `make bench ACCEPT=1` accepts all of this run.",
            NOTICED * 100.0
        )
    }
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE)
}

fn is_near(was: f64, is: f64) -> bool {
    (is - was).abs() <= was.abs() * NOTICED
}

/// Such as `json: rate: ratio 0.73, now 0.6: 18 % worse`.
fn movement(row: &Row, was: f64) -> String {
    let is = row.measured();
    let (what, unit) = match row.ratio {
        Some(_) => ("ratio ", ""),
        None => ("", row.unit.as_str()),
    };
    let now = format!("{is} {unit}");
    let judgement = match row.more_is_better() {
        None if is > was => "more",
        None => "less",
        Some(more_is_better) if more_is_better == (is > was) => "better",
        Some(_) => "worse",
    };
    // Of nothing there is no share.
    let by = if was == 0.0 {
        String::new()
    } else {
        format!("{:.0} % ", ((is - was) / was).abs() * 100.0)
    };
    let (measure, now) = (&row.measure, now.trim_end());
    format!("{measure}: {what}{was}, now {now}: {by}{judgement}")
}
