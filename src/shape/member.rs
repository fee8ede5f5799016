//! One member of a message: a name and a value, before an encoding writes them.

use std::borrow::Cow;

use super::tree::{Json, Quoted};

/// One named value of a message, in the order of the wire.
pub struct Member<'a> {
    pub name: Cow<'a, str>,
    pub value: Value<'a>,
    /// The member's place, from 1, and its name in the published data; none for a field of the map.
    pub published: Option<(usize, Quoted<'a>)>,
}

impl Member<'_> {
    /// The name by which an error speaks of it. A name that was published may be a part of the
    /// payload, so its place stands for it.
    pub fn place(&self) -> String {
        match self.published {
            None => format!("field `{}`", self.name),
            Some((position, _)) => format!("member {position} of the event's data"),
        }
    }
}

pub enum Value<'a> {
    Text(Cow<'a, str>),
    /// A number, in digits as JSON writes them.
    Number(Cow<'a, str>),
    Bool(bool),
    /// A part of the published data, with its type and its number text.
    Json(&'a Json<'a>),
}

impl Value<'_> {
    /// Gives the value as one piece of text, as a form carries it: `null` is empty. None for an
    /// object or a list.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(Cow::Borrowed(text)),
            Self::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Self::Json(json) => json.text(),
        }
    }
}
