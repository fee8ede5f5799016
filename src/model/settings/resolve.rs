//! From settings to the subscription that takes effect: the same for TOML and SQL.

use std::cell::RefCell;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::credentials::{self, Credentials};
use super::events::Events;
use super::limits::{self, Limits};
use super::signing::{self, SigningSettings};
use super::{
    Problem, Settings, events, exit, fields, fixed, form, headers, labels, retry, success,
};
use crate::model::secret::{ReadSecret, SecretError, SecretRef};
use crate::model::subscription::{Exit, Locked, RequestForm};
use crate::model::{RetryPolicy, Shard, Subscription, SuccessRule};

/// What a subscription is, apart from its settings. The fields are those of [`Subscription`].
#[derive(Clone, Debug)]
pub struct Identity {
    /// The subscription's id.
    pub id: Uuid,
    /// The tenant that the subscription belongs to.
    pub merchant: String,
    /// The subscription's name, unique within the merchant.
    pub name: String,
    /// The shard that the merchant belongs to.
    pub shard: Shard,
    /// The number of the configuration's change that made it so.
    pub revision: i64,
    /// When the subscription was made: older events are not for it.
    pub created_at: DateTime<Utc>,
    /// Whether the subscription matches events at all.
    pub enabled: bool,
    /// Whether the subscription is paused: its deliveries are kept as pending for now.
    pub paused: bool,
}

impl Identity {
    /// What a subscription is of which no database knows: what SQL gives a row does not matter to
    /// whether its settings can be used.
    #[must_use]
    pub fn unwritten(merchant: &str, name: &str) -> Self {
        Self {
            id: Uuid::nil(),
            merchant: merchant.to_owned(),
            name: name.to_owned(),
            shard: Shard(0),
            revision: 0,
            created_at: DateTime::UNIX_EPOCH,
            enabled: true,
            paused: false,
        }
    }
}

/// Resolves what decides which events a subscription gets, and nothing else of it: all that can be
/// said of one whose other settings cannot be used, or are of no account.
#[must_use]
pub fn resolve_matching(identity: Identity, settings: &Settings) -> Option<Subscription> {
    let matching = Settings {
        url: Some("https://unusable.invalid/".to_owned()),
        scope: settings.scope.clone(),
        kinds: settings.kinds.clone(),
        statuses: settings.statuses.clone(),
        emit: settings.emit.clone(),
        fields: settings
            .fields
            .clone()
            .filter(|fields| fields::check(fields, false, &mut Vec::new()).is_some()),
        ..Settings::default()
    };
    // They name no secret.
    let no_secrets = |from: &SecretRef| Err(SecretError::OutOfReach(from.clone()));
    resolve(identity, &matching, &no_secrets).ok()
}

/// The parts of a subscription that [`check`] could read; a part that it refused is absent.
pub(super) struct Checked {
    events: Option<Events>,
    form: Option<RequestForm>,
    fixed: Option<Vec<fixed::Entry>>,
    signing: Option<SigningSettings>,
    success: Option<SuccessRule>,
    retry: Option<RetryPolicy>,
    limits: Option<Limits>,
    exit: Option<Exit>,
    credentials: Credentials,
}

/// Checks every setting and goes on after a refusal, so that all of them show at once.
pub(super) fn check(settings: &Settings, problems: &mut Vec<Problem>) -> Checked {
    https_for_certificates(settings, problems);
    labels::check(settings, problems);
    let form = form::check(settings, problems);
    let signs = settings.signing.as_deref() == Some(signing::STANDARD_WEBHOOKS);
    let taken = form.as_ref().map(|form| form.identity.taken(signs));
    Checked {
        events: events::check(settings, problems),
        signing: signing::check(settings, form.as_ref(), problems),
        form,
        fixed: fixed::check(settings, &taken.unwrap_or_default(), problems),
        success: success::check(settings, problems),
        retry: retry::check(settings, problems),
        limits: limits::check(settings, problems),
        exit: exit::check(settings, problems),
        credentials: credentials::check(settings, problems),
    }
}

/// Refuses a client certificate over plain http: it would prove nothing, and no one would notice.
fn https_for_certificates(settings: &Settings, problems: &mut Vec<Problem>) {
    let plain = |url: &String| url.to_ascii_lowercase().starts_with("http://");
    if !settings.url.as_ref().is_some_and(plain) {
        return;
    }
    for (key, given) in [
        ("client_cert", &settings.client_cert),
        ("client_pkcs12", &settings.client_pkcs12),
    ] {
        if given.is_some() {
            problems.push(Problem::new(
                key,
                "given, but the url is http://; give an https:// url, or take it out",
            ));
        }
    }
}

/// Makes the subscription that takes effect, or tells all that keeps it from doing so. `settings`
/// are already merged with the profile's by [`Settings::or`]; `read` fetches a secret.
#[expect(clippy::too_many_lines, reason = "it is one list of settings")]
pub fn resolve(
    identity: Identity,
    settings: &Settings,
    read: &ReadSecret<'_>,
) -> Result<Subscription, Vec<Problem>> {
    let mut problems = Vec::new();
    let checked = check(settings, &mut problems);
    let unsent = RefCell::new(Vec::new());
    let read = &|from: &SecretRef| {
        let secret = read(from)?;
        if settings.names_unsent(&from.to_string()) {
            unsent.borrow_mut().push(secret.clone());
        }
        Ok(secret)
    };
    let auth = checked.credentials.auth(read, &mut problems);
    let tls = checked.credentials.certificates.tls(read, &mut problems);
    let signing = checked
        .signing
        .and_then(|signing| signing.open(read, &mut problems));
    let fixed = checked
        .fixed
        .and_then(|fixed| fixed::open(fixed, read, &mut problems));
    if let (Some(form), Some((auth, previous)), Some(signing)) = (&checked.form, &auth, &signing) {
        let identity = &form.identity;
        for auth in [Some(auth), previous.as_ref()].into_iter().flatten() {
            headers::refuse_a_key_in_their_place(auth, identity, signing, &mut problems);
        }
    }
    if let (Some(fixed), Some((auth, _))) = (&fixed, &auth) {
        fixed::refuse_the_keys(fixed, auth, &mut problems);
    }
    let (
        Some(events),
        Some(form),
        Some(fixed),
        Some(success),
        Some(retry),
        Some(limits),
        Some(exit),
        Some((auth, auth_previous)),
        Some(signing),
        true,
    ) = (
        checked.events,
        checked.form,
        fixed,
        checked.success,
        checked.retry,
        checked.limits,
        checked.exit,
        auth,
        signing,
        problems.is_empty(),
    )
    else {
        return Err(problems);
    };
    Ok(Subscription {
        id: identity.id,
        merchant: identity.merchant,
        name: identity.name,
        shard: identity.shard,
        revision: identity.revision,
        created_at: identity.created_at,
        enabled: identity.enabled,
        paused: identity.paused,
        unusable: None,
        scope: events.scope,
        kinds: events.kinds,
        statuses: events.statuses,
        emit: events.emit,
        form: form.with(fixed),
        auth,
        auth_previous,
        signing,
        unsent: unsent.into_inner(),
        tls,
        exit,
        success,
        retry,
        timeout: limits.timeout,
        connect_timeout: limits.connect_timeout,
        max_in_flight: limits.max_in_flight,
        rate: limits.rate,
        order: limits.order,
        supersede: limits.supersede,
        locked: Locked::default(),
    })
}
