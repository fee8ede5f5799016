//! `posthorn evidence`: the whole story of one event.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use anyhow::{anyhow, bail};
use serde_json::{Value, json};
use uuid::Uuid;

use super::database::{DatabaseArgs, open, refusal};
use crate::audit::who_wanted;
use crate::model::settings::url::without_credentials;
use crate::route::versions::Wanted;
use crate::store::evidence::{
    AttemptRecord, Payload, Record, config_at, find_answers, find_attempts, find_deliveries,
    find_facts, find_name, find_payload,
};
use crate::store::{Pool, StoreError};

/// Prints everything that is known of one event as JSON: who wanted it, each delivery and
/// attempt with its evidence, the settings that held, and the seals that cover the rows.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The event's id, which most receivers get as webhook-id
    #[arg(value_name = "EVENT")]
    pub event: Uuid,

    /// Refuse an event of another merchant
    #[arg(long, value_name = "MERCHANT")]
    pub merchant: Option<String>,

    /// Show the payload and the answers too, as far as the role may read them; else there
    /// are their digests
    #[arg(long)]
    pub payload: bool,

    #[command(flatten)]
    pub database: DatabaseArgs,
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let Args {
        event,
        merchant,
        payload,
        database,
    } = args;
    let pool = open(&database.url()?, 1).await?;
    let story = tell(&pool, event, merchant.as_deref(), payload).await;
    pool.close().await;
    let mut text = serde_json::to_string_pretty(&story?)?;
    text.push('\n');
    Ok(io::stdout().write_all(text.as_bytes())?)
}

async fn tell(
    pool: &Pool,
    event: Uuid,
    merchant: Option<&str>,
    with_payload: bool,
) -> anyhow::Result<Value> {
    let facts = find_facts(pool, event).await.map_err(|e| refusal(&e))?;
    let mut facts = facts.ok_or_else(|| {
        anyhow!(
            "there is no event {event}; check the id, and whether retention has dropped its day"
        )
    })?;
    if let Some(merchant) = merchant
        && facts["merchant"] != merchant
    {
        bail!("the event {event} is of another merchant than {merchant}");
    }
    let mut withheld = Vec::new();
    match find_payload(pool, event).await.map_err(|e| refusal(&e))? {
        Payload::NotForThisRole => withheld.push("payload"),
        Payload::Purged => {}
        Payload::There { digest, data } => {
            facts["payload_digest"] = digest.into();
            if with_payload {
                facts["payload"] = data.into();
            }
        }
    }
    let story = Story::gather(pool, event, with_payload).await;
    let story = story.map_err(|error| refusal(&error))?;
    if story.withholds_answers {
        withheld.push("answers");
    }
    Ok(json!({
        "event": facts,
        "not_for_this_role": withheld,
        "wanted_by": story.wanted_by,
        "deliveries": story.deliveries,
        "configurations": story.configurations,
    }))
}

struct Story {
    wanted_by: Vec<Value>,
    deliveries: Vec<Value>,
    configurations: Vec<Value>,
    withholds_answers: bool,
}

impl Story {
    #[expect(
        clippy::too_many_lines,
        reason = "it is one account of everything that is known"
    )]
    async fn gather(pool: &Pool, event: Uuid, with_answers: bool) -> Result<Self, StoreError> {
        let mut deliveries: BTreeMap<(Uuid, i32), Value> = BTreeMap::new();
        for Record {
            subscription_id,
            generation,
            object,
        } in find_deliveries(pool, event).await?
        {
            deliveries.insert((subscription_id, generation), object);
        }
        let mut attempts: BTreeMap<(Uuid, i32), Vec<Value>> = BTreeMap::new();
        let mut held: BTreeSet<(Uuid, i64)> = BTreeSet::new();
        let answers = find_answers(pool, event).await?;
        for attempt in find_attempts(pool, event).await? {
            let AttemptRecord {
                mut record,
                number,
                revision,
            } = attempt;
            let key = (record.subscription_id, record.generation);
            let answers = answers.as_ref();
            if let Some((digest, text)) = answers.and_then(|it| it.get(&(key.0, key.1, number))) {
                record.object["answer_digest"] = digest.clone().into();
                if with_answers {
                    record.object["answer"] = text.clone().into();
                }
            }
            // A delivery whose row is gone shows by its attempts.
            deliveries.entry(key).or_default();
            attempts.entry(key).or_default().push(record.object);
            held.extend(revision.map(|revision| (record.subscription_id, revision)));
        }
        let mut told = Vec::new();
        let mut templates = BTreeMap::new();
        for (key, delivery) in deliveries {
            let (subscription_id, generation) = key;
            let named = find_name(pool, subscription_id).await?;
            let template_id = named.as_ref().and_then(|named| named.template_id);
            templates.insert(subscription_id, template_id.unwrap_or(subscription_id));
            told.push(json!({
                "subscription_id": subscription_id,
                "subscription": named.map(|named| named.name),
                "template_id": template_id,
                "generation": generation,
                "delivery": delivery,
                "attempts": attempts.remove(&key).unwrap_or_default(),
            }));
        }
        let mut configurations = Vec::new();
        for (subscription_id, revision) in held {
            let lane_id = templates.get(&subscription_id).copied();
            configurations.push(json!({
                "subscription_id": subscription_id,
                "revision": revision,
                "layers": layers(pool, lane_id.unwrap_or(subscription_id), revision).await?,
            }));
        }
        Ok(Self {
            wanted_by: wanted_by(pool, event).await?,
            deliveries: told,
            configurations,
            withholds_answers: answers.is_none(),
        })
    }
}

/// Reads the settings of a revision, without a user name and a password in a URL.
async fn layers(pool: &Pool, subscription: Uuid, revision: i64) -> Result<Vec<Value>, StoreError> {
    let mut layers = config_at(pool, subscription, revision).await?;
    for layer in &mut layers {
        for key in ["url", "oauth2_token_url"] {
            if let Some(Value::String(url)) = layer["settings"].get_mut(key) {
                *url = without_credentials(url);
            }
        }
    }
    Ok(layers)
}

/// Tells who wanted the event, by the settings of its time.
async fn wanted_by(pool: &Pool, event: Uuid) -> Result<Vec<Value>, StoreError> {
    let mut wanted_by = Vec::new();
    for (subscription_id, wanted) in who_wanted(pool, event).await? {
        wanted_by.push(json!({
            "subscription_id": subscription_id,
            "subscription": find_name(pool, subscription_id).await?.map(|named| named.name),
            "wanted": match wanted {
                Wanted::Yes => "yes",
                Wanted::No => "no",
                Wanted::Undecided => "undecided: the settings changed at that moment, or are not known so far back",
            },
        }));
    }
    Ok(wanted_by)
}
