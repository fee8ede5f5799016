//! InstaMed Connect's option names, accepted as they stand in a `[[subscription]]`
//! (WIRE.md 1.8).

use toml::de::DeValue;

use super::bases::Bases;
use super::document::Section;
use super::entry::FileSubscription;
use super::value;

const PROFILE: &str = "instamed";

const URL: &str = "MerchantPaymentTransactionNotificationWebhookURL";
const PAYMENTS: &str = "MerchantPaymentTransactionNotificationSendPaymentNotifications";
const PLANS: &str = "MerchantPaymentTransactionNotificationSendPaymentPlanNotifications";
const INTERFACE: &str = "MerchantPaymentNotificationInterface";

const INTERFACE_DEFAULT: &str = "nvp";

/// The kinds that the switch for payments stands for: those of the page's first list.
const PAYMENT_KINDS: &str = "payment.*";

/// The kinds that the switch for payment plans stands for: those of the page's second list.
const PLAN_KINDS: &str = "payment_plan.*";

/// Puts the options in the place of the settings that they stand for. Where one is there, so
/// is the profile `instamed`, unless another is named; what that one leaves open is as the
/// options' page has it: NVP, and nothing is sent until it is switched on.
pub(super) fn read(
    section: &mut Section<'_>,
    subscription: &mut FileSubscription,
    bases: &Bases<'_>,
) {
    let url = section.text(URL);
    let payments = section.read(PAYMENTS, switch);
    let plans = section.read(PLANS, switch);
    let interface = section.read(INTERFACE, interface);
    let settings = &mut subscription.settings;
    for (option, key) in [
        (URL, "url"),
        (INTERFACE, "encoding"),
        (PAYMENTS, "kinds"),
        (PLANS, "kinds"),
    ] {
        if section.has(option) && section.has(key) {
            section.refuse(
                option,
                format!("given beside {key}, which means the same; take one out"),
            );
        }
    }
    let given = [URL, PAYMENTS, PLANS, INTERFACE];
    if !given.iter().any(|option| section.has(option)) {
        return;
    }
    if !section.has("profile") {
        subscription.profile = Some(PROFILE.to_owned());
    }
    settings.url = url.or(settings.url.take());
    settings.encoding = interface.or(settings.encoding.take());
    if payments.is_some() || plans.is_some() {
        let on = [(payments, PAYMENT_KINDS), (plans, PLAN_KINDS)];
        let kinds = on
            .into_iter()
            .filter(|(switch, _)| *switch == Some(true))
            .map(|(_, kinds)| kinds.to_owned());
        settings.kinds = Some(kinds.collect());
    }
    let profile = subscription.profile.as_deref();
    let profile = profile.and_then(|name| bases.profile(name));
    let profile = profile.map(|profile| &profile.settings);
    let is_open = |key| profile.is_some_and(|it| !it.has(key));
    let settings = &mut subscription.settings;
    if settings.kinds.is_none() && is_open("kinds") {
        settings.kinds = Some(Vec::new());
    }
    // A GET of a profile's own has the one encoding that it can have.
    if settings.encoding.is_none()
        && settings.method.is_none()
        && is_open("encoding")
        && is_open("method")
    {
        settings.encoding = Some(INTERFACE_DEFAULT.to_owned());
    }
}

/// Reads a switch: `true` or `false`, or the text that such exports have.
fn switch(found: &DeValue<'_>) -> Result<bool, String> {
    match found {
        DeValue::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        DeValue::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => value::flag(found),
    }
}

/// Reads the encoding of `JSON`, `XML` or `NVP`.
fn interface(found: &DeValue<'_>) -> Result<String, String> {
    let text = value::text(found)?.to_ascii_lowercase();
    match text.as_str() {
        "json" | "xml" | "nvp" => Ok(text),
        _ => Err("text that is not a choice; give one of JSON, XML, NVP".to_owned()),
    }
}
