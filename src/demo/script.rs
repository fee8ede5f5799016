//! Who plays in the demo: merchants that differ in format, authentication and retries.

use std::time::Duration;

use super::payload;

/// A merchant, and what its transactions go through.
pub struct Merchant {
    pub name: &'static str,
    pub endpoints: &'static [Endpoint],
    /// Makes a new transaction's id, in the merchant's style.
    pub new_id: fn() -> String,
    /// Makes an event's data, as JSON.
    pub data: fn(id: &str, status: &str, cents: u32) -> String,
    /// The kind and the status of each step of a transaction's life; one life is chosen for each.
    pub lives: &'static [&'static [(&'static str, &'static str)]],
    /// How long it is between two events, on average.
    pub pace: Duration,
}

/// One subscription of the merchant.
pub struct Endpoint {
    pub name: &'static str,
    /// What the endpoint shows, for people: format, authentication and retries.
    pub about: &'static str,
    /// The beginning of the kinds that it wants; empty for all.
    pub kinds: &'static str,
    /// The query that its URL has already.
    pub query: &'static str,
    pub answer: &'static str,
    pub conduct: Conduct,
    /// The rest of its section of the config file.
    pub settings: &'static str,
}

impl Endpoint {
    /// The path of its URL at the receiver.
    pub fn path(&self, merchant: &Merchant) -> String {
        format!("/{}/{}", merchant.name, self.name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    Works,
    /// The endpoint is out of order at first, and again now and then.
    FailsForAWhile,
    NeverRecovers,
}

/// The credentials, as files beside the config file: their names and contents.
pub const SECRETS: &[(&str, &str)] = &[
    ("lender.secret", "posthorn:demo-password"),
    ("carrental.secret", "X-Api-Key:demo-key"),
];

pub const MERCHANTS: &[Merchant] = &[CLINIC, LENDER, NOTARY, ARCADE, CAR_RENTAL];

/// A clinic, whose endpoint is as `InstaMed` asks for it (WIRE.md 1).
const CLINIC: Merchant = Merchant {
    name: "clinic",
    endpoints: &[Endpoint {
        name: "payments",
        about: "POST nvp, 200 only, fixed 2s",
        kinds: "payment.",
        query: "",
        answer: "200",
        conduct: Conduct::Works,
        settings: r#"encoding = "nvp"
fields = [
    { name = "TransactionID", source = "transaction_id" },
    { name = "TransactionStatus", source = "status" },
    { name = "Amount", source = "/Amount" },
    { name = "AuthorizationNumber", source = "/AuthorizationNumber", omit_when = "missing" },
]
success_statuses = ["200"]
retry = "fixed"
retry_interval = "2s"   # 30m in earnest
max_attempts = 5
timeout = "20s"
"#,
    }],
    new_id: payload::hex_id,
    data: payload::clinic,
    lives: &[
        &[
            ("payment.approved", "Approved"),
            ("payment.settlement", "Settlement"),
        ],
        &[
            ("payment.approved", "Approved"),
            ("payment.voided", "Voided"),
        ],
        &[("payment.declined", "Declined")],
        // Nobody has subscribed to plans.
        &[("plan.created", "Created"), ("plan.updated", "Updated")],
    ],
    pace: Duration::from_millis(180),
};

/// A lender, whose endpoint is as `IDPay` asks for it (WIRE.md 4).
const LENDER: Merchant = Merchant {
    name: "lender",
    endpoints: &[Endpoint {
        name: "credit",
        about: "POST json, Basic, exponential",
        kinds: "",
        query: "",
        answer: "204",
        conduct: Conduct::FailsForAWhile,
        settings: r#"fields = [{ name = "id", source = "transaction_id" }, { name = "status", source = "status" }]
auth = "basic"
auth_secret = "file:{directory}/lender.secret"
retry = "exponential"
retry_interval = "500ms"   # 5s and more in earnest
retry_factor = 1.5
retry_cap = "3s"
max_attempts = 20
"#,
    }],
    new_id: payload::uuid_id,
    data: payload::lender,
    lives: &[
        &[
            ("credit.status", "processing"),
            ("credit.status", "approved"),
        ],
        &[
            ("credit.status", "processing"),
            ("credit.status", "inconclusive"),
            ("credit.status", "approved"),
        ],
        &[
            ("credit.status", "processing"),
            ("credit.status", "expired"),
        ],
    ],
    pace: Duration::from_millis(120),
};

/// A notary, whose endpoint is as `AlphaTrust` asks for it (WIRE.md 5).
const NOTARY: Merchant = Merchant {
    name: "notary",
    endpoints: &[Endpoint {
        name: "signatures",
        about: "GET query, text RECEIVED, list",
        kinds: "",
        query: "?listener=7",
        answer: "200,body=RECEIVED",
        conduct: Conduct::Works,
        settings: r#"method = "GET"
fields = [
    { name = "TransID", source = "transaction_id" },
    { name = "TXStatus", source = "status", map = { Pending = "2", Complete = "4", Closed = "7", Cancelled = "8" } },
    { name = "EventType", source = "literal:transaction" },
    { name = "ps_securitytoken", source = "/token" },
]
success_body = "RECEIVED"
retry = "list"
retry_delays = ["1s", "2s", "4s"]   # minutes and hours in earnest
"#,
    }],
    new_id: payload::ten_digits,
    data: payload::notary,
    lives: &[
        &[
            ("signature.status", "Pending"),
            ("signature.status", "Complete"),
            ("signature.status", "Closed"),
        ],
        &[
            ("signature.status", "Pending"),
            ("signature.status", "Cancelled"),
        ],
    ],
    pace: Duration::from_millis(300),
};

/// An arcade with two endpoints as `SensePass` asks for them (WIRE.md 3): one is beyond help, and
/// the other must not notice.
const ARCADE: Merchant = Merchant {
    name: "arcade",
    endpoints: &[
        Endpoint {
            name: "till",
            about: "POST nested json, exponential",
            kinds: "",
            query: "",
            answer: "200",
            conduct: Conduct::Works,
            settings: "retry_interval = \"1s\"   # days in all in earnest\n",
        },
        Endpoint {
            name: "old-till",
            about: "the same, two attempts",
            kinds: "",
            query: "",
            answer: "500",
            conduct: Conduct::NeverRecovers,
            settings: "retry = \"fixed\"\nretry_interval = \"1s\"   # minutes in earnest\nmax_attempts = 2\n",
        },
    ],
    new_id: payload::serial,
    data: payload::arcade,
    lives: &[
        &[
            ("transaction.status", "pending"),
            ("transaction.status", "approved"),
            ("settlement.status", "done"),
        ],
        &[
            ("transaction.status", "pending"),
            ("transaction.status", "declined"),
        ],
    ],
    pace: Duration::from_millis(500),
};

const CAR_RENTAL: Merchant = Merchant {
    name: "carrental",
    endpoints: &[Endpoint {
        name: "deposits",
        about: "POST xml, API key, ordered",
        kinds: "",
        query: "",
        answer: "202",
        conduct: Conduct::Works,
        settings: r#"encoding = "xml"
auth = "api_key"
auth_secret = "file:{directory}/carrental.secret"
retry_interval = "1s"   # 5s in earnest
order = "transaction"
"#,
    }],
    new_id: payload::serial,
    data: payload::car_rental,
    lives: &[
        &[
            ("deposit.held", "held"),
            ("deposit.captured", "captured"),
            ("deposit.refunded", "refunded"),
        ],
        &[("deposit.held", "held"), ("deposit.released", "released")],
    ],
    pace: Duration::from_millis(250),
};
