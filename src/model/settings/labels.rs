//! What the vendor calls the states of a delivery. `posthorn.delivery_status` shows it; the
//! engine itself does not need it.

use serde_json::Value;

use super::{Problem, Settings, quoted};
use crate::model::State;

pub(super) fn check(settings: &Settings, problems: &mut Vec<Problem>) {
    let refused = settings
        .labels
        .as_ref()
        .and_then(|labels| refuse(labels).err());
    problems.extend(refused.map(|message| Problem::new("labels", message)));
}

fn refuse(labels: &Value) -> Result<(), String> {
    let labels = labels
        .as_object()
        .ok_or("not an object; give states and the vendor's words, such as { posting_error = \"posting error\" }")?;
    for (state, words) in labels {
        if !State::ALL.iter().any(|known| known.as_str() == state) {
            let states = State::ALL.map(State::as_str).join(", ");
            return Err(format!(
                "{} is not a state; give one of {states}",
                quoted(state)
            ));
        }
        if words.as_str().is_none_or(|words| words.trim().is_empty()) {
            return Err(format!(
                "{state} has no text; give the vendor's words in quotes, or leave it out"
            ));
        }
    }
    Ok(())
}
