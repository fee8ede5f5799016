//! `posthorn config show`: each effective setting of a subscription, and whose word it is.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::words;
use crate::cli::database::{DatabaseArgs, open};
use crate::cli::named::SubscriptionName;
use crate::model::settings::{Origin, defaults};
use crate::model::{OneLine, Settings};
use crate::shape::PRODUCT;
use crate::store::subscriptions::SubscriptionRow;

/// Prints each effective setting of a subscription with where it comes from: an operator's
/// lock, the subscription, its profile or the engine's default.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub which: SubscriptionName,

    #[command(flatten)]
    pub database: DatabaseArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let pool = open(&args.database.url()?, 1).await?;
    let found = args.which.find(&pool).await;
    pool.close().await;
    Ok(write!(io::stdout(), "{}", told(&found?))?)
}

fn told(row: &SubscriptionRow) -> String {
    let settings = &row.settings;
    let effective = settings.clone().or(&defaults::written_out(settings));
    let lines: Vec<[String; 3]> = Settings::KEYS
        .iter()
        .map(|key| {
            let value = effective.to_toml(key);
            let value =
                value.map_or_else(|| absent(key).to_owned(), |value| words::shown(key, &value));
            [(*key).to_owned(), value, origin(&row.layers.origin(key))]
        })
        .collect();
    let width = |column: usize| {
        let lengths = lines.iter().map(|line| line[column].chars().count());
        lengths
            .filter(|&length| length <= WIDEST)
            .max()
            .unwrap_or(0)
    };
    let (keys, values) = (width(0), width(1));
    let mut text = format!(
        "{}/{}, managed by {}{}{}\n",
        OneLine(&row.identity.merchant),
        OneLine(&row.identity.name),
        row.managed_by,
        match (row.identity.enabled, row.gone) {
            (true, _) => "",
            (false, true) => ", disabled because its endpoint is gone",
            (false, false) => ", disabled",
        },
        if row.identity.paused { ", paused" } else { "" },
    );
    for [key, value, origin] in &lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {key:keys$}  {value:values$}  {origin}");
    }
    for problem in settings.problems() {
        let _ = writeln!(text, "cannot be used: {}", OneLine(&problem.to_string()));
    }
    text
}

/// A longer value moves only its own line.
const WIDEST: usize = 40;

/// What holds where neither a setting nor a default says anything.
fn absent(key: &str) -> &'static str {
    match key {
        "fields" => "the data as published",
        "kinds" | "statuses" => "all",
        "user_agent" => PRODUCT,
        "rate" | "max_attempts" | "max_age" => "no limit",
        _ => "none",
    }
}

fn origin(origin: &Origin<'_>) -> String {
    match origin {
        Origin::Lock(name) => format!("lock {}", OneLine(name)),
        Origin::Subscription => "subscription".to_owned(),
        Origin::Profile(name) => format!("profile {}", OneLine(name)),
        Origin::Default => "engine default".to_owned(),
    }
}
