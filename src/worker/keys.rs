//! The keys that the stored secrets need.

use anyhow::bail;

use crate::store::Pool;
use crate::store::secrets::count_by_key;
use crate::vault::Keyring;

/// Refuses to start without a key that rows need: a worker that could not open what it will need
/// says so now, not delivery by delivery.
pub(super) async fn refuse_missing(pool: &Pool, keys: &Keyring) -> anyhow::Result<()> {
    let at_hand = keys.ids();
    let missing: Vec<String> = count_by_key(pool)
        .await?
        .into_iter()
        .filter(|(id, _)| !at_hand.contains(&id.as_str()))
        .map(|(id, secrets)| format!("{id} ({secrets} secrets)"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let at_hand = match at_hand.as_slice() {
        [] => "none".to_owned(),
        ids => ids.join(", "),
    };
    bail!(
        "secrets.keys: posthorn.secrets has rows that these keys encrypted: {}; given are: {at_hand}. Add the missing ones to secrets.keys, or set or remove those secrets with `posthorn secrets`",
        missing.join(", ")
    )
}
