//! `make bench` ends with this: the rows of all benches as one table, and what has moved since
//! figures were accepted.

#[path = "../support/mod.rs"]
mod support;

mod accepted;

use std::io::Write;
use std::path::PathBuf;

use anyhow::ensure;
use clap::Parser;

use accepted::{Accepted, FILE};
use support::Size;
use support::figures::{Figures, Row};

/// Shows what the benches have measured, and what has moved
#[derive(Debug, Parser)]
struct Args {
    /// The file to which the benches have appended their rows; nothing is shown without it
    results: Option<PathBuf>,

    /// Compare with these figures from now on
    #[arg(long)]
    accept: bool,

    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let Some(path) = args.results else {
        return Ok(());
    };
    let mut figures: Vec<Figures> = vec![];
    for line in std::fs::read_to_string(path)?.lines() {
        figures.push(serde_json::from_str(line)?);
    }
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", table(&figures))?;
    // Other sizes have other ratios.
    figures.retain(|figures| figures.size == Size::Usual);
    let mut accepted = Accepted::read()?;
    if !figures.is_empty() {
        writeln!(stdout, "\n{}", accepted.compare(&figures))?;
    }
    if args.accept {
        ensure!(
            !figures.is_empty(),
            "nothing to accept: {FILE} is of the usual sizes"
        );
        accepted.accept(&figures);
        accepted.write()?;
        writeln!(stdout, "Accepted: {FILE} has these figures now.")?;
    }
    Ok(())
}

/// All rows, each with its bench, and how many targets are met.
fn table(figures: &[Figures]) -> String {
    let named = |bench: &str, row: &Row| Row {
        measure: format!("{bench}: {}", row.measure),
        ..row.clone()
    };
    let rows = figures
        .iter()
        .flat_map(|of| of.rows.iter().map(|row| named(&of.bench, row)));
    let all = Figures {
        bench: "all".to_owned(),
        size: Size::Usual,
        rows: rows.collect(),
    };
    let targets = all.rows.iter().filter(|row| row.met.is_some()).count();
    let met = all.rows.iter().filter(|row| row.met == Some(true)).count();
    format!("{all}\n{met} of {targets} targets are met")
}
