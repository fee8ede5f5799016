//! How a path answers, and the small language that people say it in.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use hyper::ext::ReasonPhrase;
use thiserror::Error;

/// What the sender gets to see of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An answer with this status.
    Status(StatusCode),
    /// The sender gets no answer for as long as it waits.
    Hang,
    /// The connection is closed once the request has been read.
    Drop,
}

/// One way of answering, for a number of requests or for all that follow.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What the sender gets.
    pub reply: Reply,
    /// How long to wait before that.
    pub delay: Duration,
    /// The answer's body; it goes out as `text/plain` unless `headers` says otherwise.
    pub body: Bytes,
    /// The answer's headers, beside those of HTTP itself.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The reason phrase; none for the status's own.
    pub reason: Option<ReasonPhrase>,
    /// How many requests are answered so before the next step; the last step has none.
    pub times: Option<u64>,
}

/// The steps of one path, and how far they are.
#[derive(Debug)]
pub struct Behaviour {
    steps: Vec<Step>,
    answered: AtomicU64,
}

/// How to answer a path: `PATH=BEHAVIOUR`, as `posthorn receiver --on` takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The path, which starts with a slash.
    pub path: String,
    /// The steps of the behaviour; each holds for its `times`.
    pub steps: Vec<Step>,
}

/// Why a text is no behaviour.
#[derive(Debug, Error, PartialEq)]
pub enum BehaviourError {
    /// The text has no path before its behaviour.
    #[error("write PATH=BEHAVIOUR with a path that starts with a slash, such as /fails=503")]
    NoPath,
    /// A step begins with what is no reply.
    #[error("`{0}` is neither a status from 200 to 599 nor `hang` nor `drop`")]
    Reply(String),
    /// A step has a setting that nobody knows.
    #[error("`{0}` is not delay=, body=, header=NAME:VALUE, reason=, times= or then=")]
    Setting(String),
    /// A setting has a value that it cannot have.
    #[error("`{0}` has a value that cannot be used")]
    Value(String),
    /// A step with `times` has no next one, or a step without has one.
    #[error("`times` and `then` come together: 503,times=3,then=200")]
    TimesAndThen,
}

impl Step {
    /// A step with this reply at once, and nothing else to it.
    #[must_use]
    pub fn reply(reply: Reply) -> Self {
        Self {
            reply,
            delay: Duration::ZERO,
            body: Bytes::new(),
            headers: vec![],
            reason: None,
            times: None,
        }
    }
}

impl From<Step> for Behaviour {
    fn from(step: Step) -> Self {
        Self::of(vec![step])
    }
}

impl Behaviour {
    /// Answers with a status and no body.
    #[must_use]
    pub fn status(status: StatusCode) -> Self {
        Step::reply(Reply::Status(status)).into()
    }

    /// Never answers.
    #[must_use]
    pub fn hang() -> Self {
        Step::reply(Reply::Hang).into()
    }

    /// Closes the connection once it has read the request.
    #[must_use]
    pub fn drop_connection() -> Self {
        Step::reply(Reply::Drop).into()
    }

    /// Steps one after another; each holds for its `times`, and the last one for good.
    #[must_use]
    pub fn of(steps: Vec<Step>) -> Self {
        Self {
            steps,
            answered: AtomicU64::new(0),
        }
    }

    /// Gives the step for the next request; none of an empty behaviour.
    pub(super) fn next(&self) -> Option<&Step> {
        if let [only] = &self.steps[..] {
            return Some(only);
        }
        let mut number = self.answered.fetch_add(1, Ordering::Relaxed);
        for step in &self.steps {
            let Some(left) = step.times.and_then(|times| number.checked_sub(times)) else {
                return Some(step);
            };
            number = left;
        }
        self.steps.last()
    }
}

/// Reads a behaviour such as `503,times=3,then=200,body=ok`: a reply, its settings, and after
/// `then=` the next one. A backslash before a comma makes it part of the value.
impl FromStr for Behaviour {
    type Err = BehaviourError;

    fn from_str(text: &str) -> Result<Self, BehaviourError> {
        parse_steps(text).map(Self::of)
    }
}

impl FromStr for Rule {
    type Err = BehaviourError;

    fn from_str(text: &str) -> Result<Self, BehaviourError> {
        let (path, behaviour) = text.split_once('=').ok_or(BehaviourError::NoPath)?;
        if !path.starts_with('/') {
            return Err(BehaviourError::NoPath);
        }
        Ok(Self {
            path: path.to_owned(),
            steps: parse_steps(behaviour)?,
        })
    }
}

fn parse_steps(text: &str) -> Result<Vec<Step>, BehaviourError> {
    let mut words = split_at_commas(text).into_iter();
    let mut step = Step::reply(parse_reply(&words.next().unwrap_or_default())?);
    let mut done = vec![];
    for word in words {
        let bad = || BehaviourError::Value(word.clone());
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| BehaviourError::Setting(word.clone()))?;
        match name {
            "delay" => step.delay = humantime::parse_duration(value).map_err(|_| bad())?,
            "body" => step.body = Bytes::from(value.to_owned()),
            "reason" => step.reason = Some(value.as_bytes().try_into().map_err(|_| bad())?),
            "header" => step.headers.push(parse_header(value).ok_or_else(bad)?),
            "times" => step.times = Some(value.parse().map_err(|_| bad())?),
            "then" if step.times.is_some() => {
                let next = Step::reply(parse_reply(value)?);
                done.push(std::mem::replace(&mut step, next));
            }
            "then" => return Err(BehaviourError::TimesAndThen),
            _ => return Err(BehaviourError::Setting(word)),
        }
    }
    if step.times.is_some() {
        return Err(BehaviourError::TimesAndThen);
    }
    done.push(step);
    Ok(done)
}

fn parse_reply(text: &str) -> Result<Reply, BehaviourError> {
    match text {
        "hang" => Ok(Reply::Hang),
        "drop" => Ok(Reply::Drop),
        // 1xx is not a final answer, and the server would not send it as one.
        status => match status.parse::<u16>() {
            Ok(code @ 200..600) => StatusCode::from_u16(code).map(Reply::Status).ok(),
            _ => None,
        }
        .ok_or_else(|| BehaviourError::Reply(text.to_owned())),
    }
}

fn parse_header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}

fn split_at_commas(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, words.last_mut()) {
            ('\\', Some(word)) if characters.next_if_eq(&',').is_some() => word.push(','),
            (',', _) => words.push(String::new()),
            (other, Some(word)) => word.push(other),
            (other, None) => words.push(other.to_string()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_as_it_is_documented() {
        let rule: Rule = "/a/b=503,delay=1500ms,body=a\\,b=c,header=Retry-After: 2,reason=Not now,\
                          times=3,then=hang,times=1,then=drop"
            .parse()
            .unwrap();
        assert_eq!(rule.path, "/a/b");
        let first = &rule.steps[0];
        assert_eq!(first.reply, Reply::Status(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(first.delay, Duration::from_millis(1500));
        assert_eq!(first.body, "a,b=c");
        assert_eq!(first.headers[0].0, "retry-after");
        assert_eq!(first.headers[0].1, "2");
        assert_eq!(first.reason, b"Not now"[..].try_into().ok());
        let replies: Vec<_> = rule.steps.iter().map(|s| (s.reply, s.times)).collect();
        assert_eq!(replies[1..], [(Reply::Hang, Some(1)), (Reply::Drop, None)]);
    }

    #[test]
    fn steps_follow_each_other_and_the_last_one_stays() {
        let behaviour: Behaviour = "503,times=2,then=429,times=1,then=200".parse().unwrap();
        let statuses: Vec<_> = (0..5)
            .map(|_| match behaviour.next().unwrap().reply {
                Reply::Status(status) => status.as_u16(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(statuses, [503, 503, 429, 200, 200]);
    }

    #[test]
    fn mistakes_are_named() {
        for (rule, message) in [
            ("fails=503", "starts with a slash"),
            ("/fails", "PATH=BEHAVIOUR"),
            ("/fails=", "neither a status"),
            ("/fails=100", "neither a status"),
            ("/fails=fast", "`fast` is neither"),
            ("/fails=503,delay=soon", "`delay=soon` has a value"),
            ("/fails=503,header=x", "`header=x` has a value"),
            ("/fails=503,reason=a\nb", "has a value"),
            ("/fails=503,later=2s", "`later=2s` is not"),
            ("/fails=503,hang", "`hang` is not"),
            ("/fails=503,times=3", "come together"),
            ("/fails=503,then=200", "come together"),
        ] {
            let refused = rule.parse::<Rule>().unwrap_err().to_string();
            assert!(refused.contains(message), "{rule}: {refused}");
        }
    }
}
