//! Which events a subscription gets.

use super::problem::choose;
use super::{Problem, Settings, defaults};
use crate::model::{Emit, Pattern, Scope};

pub(super) struct Events {
    pub scope: Scope,
    pub kinds: Option<Vec<Pattern>>,
    pub statuses: Option<Vec<Pattern>>,
    pub emit: Emit,
}

pub(super) fn check(settings: &Settings, problems: &mut Vec<Problem>) -> Option<Events> {
    let scope = choose(
        "scope",
        settings.scope.as_deref(),
        &[
            ("merchant", Scope::Merchant),
            ("transaction", Scope::Transaction),
        ],
        defaults::SCOPE,
        problems,
    );
    let kinds = patterns("kinds", settings.kinds.as_ref(), problems);
    let statuses = patterns("statuses", settings.statuses.as_ref(), problems);
    let emit = choose(
        "emit",
        settings.emit.as_deref(),
        &[("every", Emit::Every), ("change", Emit::Change)],
        defaults::EMIT,
        problems,
    );
    Some(Events {
        scope: scope?,
        kinds,
        statuses,
        emit: emit?,
    })
}

/// Reads the patterns of `kinds` or `statuses`.
fn patterns(
    key: &'static str,
    texts: Option<&Vec<String>>,
    problems: &mut Vec<Problem>,
) -> Option<Vec<Pattern>> {
    let texts = texts?;
    if texts.iter().any(|text| text.trim().is_empty()) {
        problems.push(Problem::new(
            key,
            "a pattern without text, which matches nothing; take it out, or give \"*\" for all",
        ));
    }
    Some(texts.iter().map(|text| Pattern::new(text)).collect())
}
