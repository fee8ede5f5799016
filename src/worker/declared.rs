//! What the configuration file declares takes effect at a start, and at each SIGHUP.

use tracing::{info, warn};

use crate::config::{Config, Written};
use crate::model::declaration::listed;
use crate::store::Pool;
use crate::store::declared::{Consent, apply_declared};

/// Makes what the file declares take effect. A file that declares nothing leaves that of
/// `posthorn config apply` alone.
pub(super) async fn declare(config: &Config, pool: &Pool) -> anyhow::Result<()> {
    let declaration = config.declare();
    if declaration.entries.is_empty() {
        return Ok(());
    }
    let plan = apply_declared(pool, &declaration, Consent::default()).await?;
    info!(
        changes = plan.changes.len(),
        "the file's subscriptions, profiles and locks are applied"
    );
    let gone = plan.gone();
    if !gone.is_empty() {
        warn!(
            count = gone.len(),
            "disabled or removed, because the file no longer has them: {}; what a subscription misses from now on can be had later: posthorn replay --state missing",
            listed(&gone)
        );
    }
    if !plan.unclaimed.is_empty() && declaration.owner.is_none() {
        warn!(
            count = plan.unclaimed.len(),
            "not in this file, and left alone: {}; give each file its name, owner = \"…\", and what its file no longer has is disabled",
            listed(&plan.unclaimed)
        );
    }
    Ok(())
}

/// SIGHUP: the file's profiles and subscriptions take effect; its other sections at the
/// next start. A file that is wrong changes nothing.
pub(super) async fn reload_file(path: Option<&std::path::Path>, running: &Written, pool: &Pool) {
    let Some(path) = path else { return };
    let reloaded = async {
        let config = Config::load(path)?;
        config.check_secrets()?;
        declare(&config, pool).await
    };
    match reloaded.await {
        Ok(()) => {
            info!(path = %path.display(), "subscriptions and profiles reloaded");
            let waiting = running.differences(&Written::load(path));
            if !waiting.is_empty() {
                warn!(
                    "changed in the file, and counts from the next start: {}",
                    waiting.join(", ")
                );
            }
        }
        Err(error) => warn!(path = %path.display(), "not reloaded: {error:#}"),
    }
}
