//! `posthorn config import`: a merchant's InstaMed Connect options as a section of a file.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::export::section_of;
use crate::config::{Config, ConfigError, text};
use crate::model::declaration::Entry;

/// Prints the `[[subscription]]` that a merchant's InstaMed Connect options stand for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The options, one a line: `name: value` or `name=value`
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Whose options they are
    #[arg(long)]
    pub merchant: String,

    /// What the subscription is called
    #[arg(long, default_value = "webhook")]
    pub name: String,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let shown = args.file.display().to_string();
    let options = text::read(&args.file).with_context(|| format!("cannot read {shown}"))?;
    let head = format!(
        "[[subscription]]\nmerchant = {}\nname = {}\n",
        quoted(&args.merchant),
        quoted(&args.name)
    );
    let lines: Result<Vec<String>, _> = options.lines().enumerate().map(line).collect();
    let config = match Config::parse(&shown, &(head.clone() + &lines?.concat())) {
        Err(ConfigError::Refused { name, mut problems }) => {
            for problem in &mut problems {
                // The lines of the head are ours.
                problem.line = problem.line.saturating_sub(head.lines().count()).max(1);
            }
            Err(ConfigError::Refused { name, problems })
        }
        read => read,
    }?;
    let sections = config
        .subscriptions
        .iter()
        .map(|read| section_of(&Entry::from(read)));
    Ok(write!(io::stdout(), "{}", sections.collect::<String>())?)
}

/// An option as a line of TOML; an empty line stays, so that line numbers do.
fn line((index, text): (usize, &str)) -> anyhow::Result<String> {
    if text.trim().is_empty() {
        return Ok("\n".to_owned());
    }
    let Some((name, value)) = text.split_once([':', '=']) else {
        bail!("line {}: not an option; give name: value", index + 1);
    };
    Ok(format!(
        "{} = {}\n",
        quoted(name.trim()),
        quoted(value.trim())
    ))
}

/// On one line, whatever is in it.
fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}
