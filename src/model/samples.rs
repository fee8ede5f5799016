//! One event and one subscription for the tests of every room: each test changes
//! what it is about.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::settings::defaults;
use super::subscription::{Exit, IdentityHeaders, Locked, RequestForm, TlsSettings};
use super::{
    Auth, Charset, Emit, Encoding, Event, Method, Order, RetryPolicy, Schedule, Scope, Shard,
    Signing, Spelling, StatusRanges, Subscription, SuccessRule,
};

pub fn event() -> Event {
    Event {
        id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001),
        shard: Shard(7),
        merchant: "acme".into(),
        kind: "payment.approved".into(),
        transaction_id: "8263a268-5388-492a-bca2-28e1ff4a69f0".into(),
        status: "approved".into(),
        data: r#"{"amount": 1234.50}"#.into(),
        created_at: time("2026-03-01T12:00:00.000001Z"),
    }
}

#[expect(clippy::too_many_lines, reason = "it is one list of fields")]
pub fn subscription() -> Subscription {
    Subscription {
        id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_00aa),
        merchant: "acme".to_owned(),
        name: "orders".to_owned(),
        shard: Shard(7),
        revision: 1,
        created_at: time("2026-01-01T00:00:00Z"),
        enabled: true,
        paused: false,
        unusable: None,
        scope: Scope::Merchant,
        kinds: None,
        statuses: None,
        emit: Emit::Every,
        form: RequestForm {
            url: Some("https://merchant.example/hook".parse().unwrap()),
            method: Method::Post,
            encoding: Encoding::Json,
            fields: None,
            nested: defaults::NESTED,
            space: defaults::SPACE,
            charset: Charset::Utf8,
            says_charset: false,
            xml_root: "event".to_owned(),
            xml_illegal: defaults::XML_ILLEGAL,
            asks_for_identity: defaults::ASKS_FOR_IDENTITY,
            identity: IdentityHeaders {
                id: Some(defaults::ID_HEADER),
                timestamp: Some(defaults::TIMESTAMP_HEADER),
                attempt: Some(defaults::ATTEMPT_HEADER),
                spelling: Spelling::default(),
            },
            user_agent: None,
            fixed: Vec::new(),
        },
        auth: Auth::None,
        auth_previous: None,
        signing: Signing::None,
        unsent: Vec::new(),
        tls: TlsSettings::default(),
        exit: Exit::default(),
        success: SuccessRule {
            statuses: StatusRanges(vec![(200, 299)]),
            body: None,
            give_up: StatusRanges::default(),
            disable: StatusRanges::default(),
        },
        retry: RetryPolicy {
            schedule: Schedule::Fixed(Duration::from_mins(1)),
            max_attempts: Some(5),
            max_age: None,
            cap: Duration::from_hours(1),
            honour_retry_after: true,
        },
        timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        max_in_flight: 10,
        rate: None,
        order: Order::None,
        supersede: false,
        locked: Locked::default(),
    }
}

pub fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}
