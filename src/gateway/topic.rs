//! What a client listens to, and which events belong to it. Pure.

use std::hash::{BuildHasher, RandomState};

use crate::model::Event;

/// The events that a client listens to: all of one merchant's, one transaction's, or one device's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    pub merchant: Box<str>,
    pub of: Of,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Of {
    Everything,
    Transaction(Box<str>),
    Device(Box<str>),
}

/// An event of the log, as gateways pass it on.
#[derive(Debug)]
pub struct LogEvent {
    pub xid: u64,
    pub event: Event,
    /// What the event's data has where `[gateway] device` points.
    pub device: Option<Box<str>>,
}

impl LogEvent {
    /// `device` is a JSON pointer (RFC 6901) into the data.
    #[must_use]
    pub fn new(xid: u64, event: Event, device: Option<&str>) -> Self {
        let device = device.and_then(|pointer| device_of(&event.data, pointer));
        Self { xid, event, device }
    }
}

fn device_of(data: &str, pointer: &str) -> Option<Box<str>> {
    let data: serde_json::Value = serde_json::from_str(data).ok()?;
    match data.pointer(pointer)? {
        serde_json::Value::String(text) => Some(text.as_str().into()),
        serde_json::Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

impl Topic {
    #[must_use]
    pub fn matches(&self, event: &LogEvent) -> bool {
        self.merchant == event.event.merchant
            && match &self.of {
                Of::Everything => true,
                Of::Transaction(transaction) => *transaction == event.event.transaction_id,
                Of::Device(device) => event.device.as_ref() == Some(device),
            }
    }
}

/// Short keys for topics. Two topics may share one: then a client looks for nothing.
#[derive(Debug, Default)]
pub struct Keys(RandomState);

impl Keys {
    #[must_use]
    pub fn of(&self, topic: &Topic) -> u64 {
        let merchant = &*topic.merchant;
        match &topic.of {
            Of::Everything => self.key(merchant, 0, ""),
            Of::Transaction(transaction) => self.key(merchant, 1, transaction),
            Of::Device(device) => self.key(merchant, 2, device),
        }
    }

    /// The topics that an event belongs to.
    pub fn of_event(&self, event: &LogEvent) -> impl Iterator<Item = u64> {
        let merchant = &*event.event.merchant;
        let device = event.device.as_deref();
        [
            Some(self.key(merchant, 0, "")),
            Some(self.key(merchant, 1, &event.event.transaction_id)),
            device.map(|device| self.key(merchant, 2, device)),
        ]
        .into_iter()
        .flatten()
    }

    fn key(&self, merchant: &str, kind: u8, name: &str) -> u64 {
        self.0.hash_one((merchant, kind, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples;

    fn event(data: &str) -> LogEvent {
        let event = Event {
            merchant: "acme".into(),
            transaction_id: "t1".into(),
            data: data.into(),
            ..samples::event()
        };
        LogEvent::new(7, event, Some("/pos/device"))
    }

    #[test]
    fn an_event_belongs_to_its_merchant_its_transaction_and_its_device() {
        let keys = Keys::default();
        let event = event(r#"{"pos": {"device": 12}}"#);
        let topic = |merchant: &str, of| Topic {
            merchant: merchant.into(),
            of,
        };
        for (topic, belongs) in [
            (topic("acme", Of::Everything), true),
            (topic("other", Of::Everything), false),
            (topic("acme", Of::Transaction("t1".into())), true),
            (topic("acme", Of::Transaction("t2".into())), false),
            (topic("other", Of::Transaction("t1".into())), false),
            (topic("acme", Of::Device("12".into())), true),
            (topic("acme", Of::Device("t1".into())), false),
        ] {
            assert_eq!(topic.matches(&event), belongs, "{topic:?}");
            let is_woken = keys.of_event(&event).any(|key| key == keys.of(&topic));
            assert_eq!(is_woken, belongs, "{topic:?}");
        }
    }

    #[test]
    fn a_device_is_a_text_or_a_number() {
        for data in [r#"{"pos": {"device": {}}}"#, r#"{"pos": 1}"#, "[]"] {
            assert_eq!(event(data).device, None, "{data}");
        }
        let named = event(r#"{"pos": {"device": "kiosk 3"}}"#);
        assert_eq!(named.device.as_deref(), Some("kiosk 3"));
    }
}
