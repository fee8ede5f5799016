//! `make bench` runs this last: the rows of all benches before it, as one table.

#[path = "../support/mod.rs"]
mod support;

use std::io::Write;

use support::figures::{Figures, RESULTS};

fn main() -> anyhow::Result<()> {
    let Some(path) = std::env::var_os(RESULTS) else {
        return Ok(());
    };
    let mut all = Figures {
        bench: "all".to_owned(),
        rows: vec![],
    };
    for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
        let Figures { bench, rows } = serde_json::from_str(line)?;
        all.rows.extend(rows.into_iter().map(|mut row| {
            row.measure = format!("{bench}: {}", row.measure);
            row
        }));
    }
    let missed = all.rows.iter().filter(|row| row.met == Some(false)).count();
    let targets = all.rows.iter().filter(|row| row.met.is_some()).count();
    let mut stdout = std::io::stdout().lock();
    writeln!(
        stdout,
        "{all}\n{} of {targets} targets are met",
        targets - missed
    )?;
    Ok(())
}
