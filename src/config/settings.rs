//! The settings of `[[profile]]` and `[[subscription]]`. Only their types are read here;
//! what they may be is for [`Settings::problems`] to say, for TOML and SQL alike.

use super::document::Section;
use super::value;
use crate::model::Settings;

pub(super) fn read(section: &mut Section<'_>) -> Settings {
    Settings {
        scope: section.text("scope"),
        url: section.text("url"),
        method: section.text("method"),
        encoding: section.text("encoding"),
        fields: section.read("fields", value::json),
        nested: section.text("nested"),
        xml_root: section.text("xml_root"),
        xml_illegal: section.text("xml_illegal"),
        id_header: section.text("id_header"),
        timestamp_header: section.text("timestamp_header"),
        attempt_header: section.text("attempt_header"),
        kinds: section.list("kinds", value::text),
        statuses: section.list("statuses", value::text),
        emit: section.text("emit"),
        success_statuses: section.list("success_statuses", value::text),
        success_body: section.text("success_body"),
        give_up_statuses: section.list("give_up_statuses", value::text),
        disable_statuses: section.list("disable_statuses", value::text),
        auth: section.text("auth"),
        auth_secret: section.text("auth_secret"),
        auth_secret_previous: section.text("auth_secret_previous"),
        oauth2_token_url: section.text("oauth2_token_url"),
        oauth2_client_auth: section.text("oauth2_client_auth"),
        oauth2_scope: section.text("oauth2_scope"),
        oauth2_audience: section.text("oauth2_audience"),
        signing: section.text("signing"),
        signing_secrets: section.list("signing_secrets", value::text),
        client_cert: section.text("client_cert"),
        client_key: section.text("client_key"),
        client_pkcs12: section.text("client_pkcs12"),
        client_pkcs12_password: section.text("client_pkcs12_password"),
        ca_cert: section.text("ca_cert"),
        retry: section.text("retry"),
        retry_interval: section.read("retry_interval", value::duration),
        retry_factor: section.read("retry_factor", value::number),
        retry_cap: section.read("retry_cap", value::duration),
        retry_jitter: section.read("retry_jitter", value::number),
        retry_delays: section.list("retry_delays", value::duration),
        max_attempts: section.read("max_attempts", value::whole_i32),
        max_age: section.read("max_age", value::duration),
        retry_after: section.flag("retry_after"),
        timeout: section.read("timeout", value::duration),
        connect_timeout: section.read("connect_timeout", value::duration),
        max_in_flight: section.read("max_in_flight", value::whole_i32),
        rate: section.read("rate", value::number),
        order: section.text("order"),
        supersede: section.flag("supersede"),
        labels: section.read("labels", value::json),
    }
}
