//! What a worker writes to standard error while it runs.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing::field::Field;
use tracing::{Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::config::{Log, LogFormat};
use crate::model::OneLine;
use crate::store::driver::{DRIVER, NOTICES, STATEMENTS, URLS};

/// Starts logging for the whole process; call it once. The configured level is
/// Posthorn's own; `RUST_LOG`, if it is set, says it all instead.
pub fn start(log: &Log) -> anyhow::Result<()> {
    start_to(log, io::stderr, io::stderr().is_terminal())
}

/// Starts logging as [`start`] does, for a command that needs the terminal for itself.
pub fn start_in_file(log: &Log, file: File) -> anyhow::Result<()> {
    start_to(log, file, false)
}

fn start_to<W>(log: &Log, writer: W, ansi: bool) -> anyhow::Result<()>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = filter(std::env::var("RUST_LOG").ok().as_deref(), log.level)?;
    let subscriber = subscriber(log.format, filter, writer, ansi);
    tracing::subscriber::set_global_default(subscriber).context("logging has started already")
}

fn filter(rust_log: Option<&str>, level: Level) -> anyhow::Result<EnvFilter> {
    let filter = match rust_log.filter(|text| !text.trim().is_empty()) {
        Some(text) => EnvFilter::builder().parse(text).with_context(|| {
            format!(
                "RUST_LOG is {text:?}; give a level, or some such as posthorn=debug,{DRIVER}=warn"
            )
        })?,
        // Libraries tell of the bytes that they move at lower levels: those are payloads. The
        // driver takes each statement of over a second for a problem, such as a day's sealing.
        None => EnvFilter::new(format!(
            "{},posthorn={level},{STATEMENTS}=error",
            level.min(Level::WARN)
        )),
    };
    // It quotes URL parameters that it does not know, such as a misspelt `password`.
    let filter = filter.add_directive(format!("{URLS}=error").parse()?);
    // What a function of an application warns of may quote a row.
    Ok(filter.add_directive(format!("{NOTICES}=off").parse()?))
}

fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    writer: W,
    ansi: bool,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    match format {
        LogFormat::Text => {
            let builder = builder.with_ansi(ansi);
            let fields = debug_fn(field_on_one_line).delimited(" ");
            Box::new(builder.fmt_fields(fields).finish())
        }
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

/// Writes a field on one line: a merchant's name, or an error that quotes one, must not begin a
/// line that looks like ours.
fn field_on_one_line(
    writer: &mut Writer<'_>,
    field: &Field,
    value: &dyn fmt::Debug,
) -> fmt::Result {
    let value = format!("{value:?}");
    let value = OneLine(&value);
    match field.name() {
        "message" => write!(writer, "{value}"),
        name => write!(writer, "{name}={value}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of one event each of Posthorn and of its libraries.
    fn written(format: LogFormat, rust_log: Option<&str>, level: Level) -> String {
        let out = Written::default();
        let writer = out.clone();
        let filter = filter(rust_log, level).unwrap();
        let subscriber = subscriber(format, filter, move || writer.clone(), false);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "posthorn::feed", shards = 3, "took shards");
            tracing::debug!(target: "posthorn::feed", merchant = %"a\nERROR forged", "nothing\nto read");
            tracing::trace!(target: "hyper::proto", "bytes of a payload");
            tracing::warn!(target: STATEMENTS, "slow statement: execution time exceeded");
            tracing::warn!(target: URLS, "pasword=hunter2");
        });
        String::from_utf8(out.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn text_is_for_people_and_json_for_collectors() {
        let text = written(LogFormat::Text, None, Level::INFO);
        assert_eq!(text.lines().count(), 1);
        assert!(
            text.contains("INFO posthorn::feed: took shards shards=3"),
            "{text}"
        );

        let json = written(LogFormat::Json, None, Level::INFO);
        let line: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "took shards");
        assert_eq!(line["shards"], 3);
    }

    #[test]
    fn the_level_is_posthorns_and_rust_log_wins() {
        for (rust_log, level, lines) in [
            (None, Level::ERROR, 0),
            (None, Level::INFO, 1),
            (None, Level::TRACE, 2),
            (Some(" "), Level::INFO, 1),
            (Some("error"), Level::TRACE, 0),
            (Some("trace"), Level::ERROR, 4),
            (Some("posthorn=debug"), Level::ERROR, 2),
        ] {
            let text = written(LogFormat::Text, rust_log, level);
            assert_eq!(text.lines().count(), lines, "{rust_log:?} {level}\n{text}");
            assert!(!text.contains("hunter2"));
        }
    }

    #[test]
    fn a_rust_log_that_means_nothing_is_refused() {
        let error = filter(Some("posthorn=loud"), Level::INFO).unwrap_err();
        assert!(error.to_string().contains("RUST_LOG"));
    }
}
