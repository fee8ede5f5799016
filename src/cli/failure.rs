//! What an operator is told when a command does not work.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use super::printable::Printable;

/// Prints the error with its causes.
#[must_use]
pub fn tell(error: &anyhow::Error) -> ExitCode {
    write_stderr(&format!("posthorn: {}\n", indented(&describe(error))));
    ExitCode::FAILURE
}

/// Prints clap's help or what is wrong with the call.
#[must_use]
pub fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Help and version; where stdout is closed, nobody wants them any more.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render();
    write_stderr(&without_database_urls(&if io::stderr().is_terminal() {
        text.ansi().to_string()
    } else {
        text.to_string()
    }));
    ExitCode::from(2)
}

/// Indents a text: what an error quotes neither drives the terminal nor begins a line.
fn indented(text: &str) -> String {
    let text = Printable(text).to_string();
    let mut lines = text.split('\n');
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| {
        let indent = if line.starts_with("  ") { "" } else { "  " };
        format!("{text}\n{indent}{line}")
    })
}

fn write_stderr(text: &str) {
    // There is no other place to tell that stderr is closed.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Writes the error and its causes, each once: many errors quote their cause themselves.
fn describe(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    without_database_urls(&line)
}

/// Puts `***` in the place of database URLs. One may hold a password, in several places; none is
/// ours to print, and an argument or an error of another library may quote one.
fn without_database_urls(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((at, scheme)) = ["postgres://", "postgresql://"]
        .into_iter()
        .filter_map(|scheme| Some((rest.find(scheme)?, scheme)))
        .min()
    {
        let (before, url) = rest.split_at(at + scheme.len());
        let end = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '\'' | '"');
        shown.push_str(before);
        shown.push('…');
        rest = &url[url.find(end).unwrap_or(url.len())..];
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn causes_follow_once_each() {
        let quoting = anyhow!("no route").context("cannot connect: no route");
        assert_eq!(describe(&quoting), "cannot connect: no route");
        let silent = anyhow!("no route").context("cannot connect");
        assert_eq!(describe(&silent), "cannot connect: no route");
    }

    #[test]
    fn no_database_url_is_shown() {
        for (text, shown) in [
            ("nothing here", "nothing here"),
            (
                "unexpected argument 'postgres://u:hunter2@h/db?password=hunter2' found",
                "unexpected argument 'postgres://…' found",
            ),
            (
                "\u{1b}[33mpostgresql://u:hun@ter2@h\u{1b}[0m and postgres://u:hunter2@h",
                "\u{1b}[33mpostgresql://…\u{1b}[0m and postgres://…",
            ),
        ] {
            assert_eq!(without_database_urls(text), shown);
        }
    }
}
