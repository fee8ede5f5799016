//! Which answers count as delivered, and which end a delivery at once.

use super::problem::note;
use super::{Problem, Settings, defaults, quoted};
use crate::model::{StatusRanges, SuccessRule};

pub(super) fn check(settings: &Settings, problems: &mut Vec<Problem>) -> Option<SuccessRule> {
    let statuses = match &settings.success_statuses {
        Some(texts) => ranges("success_statuses", texts, problems),
        None => Some(StatusRanges(defaults::SUCCESS_STATUSES.to_vec())),
    };
    if settings
        .success_statuses
        .as_ref()
        .is_some_and(Vec::is_empty)
    {
        problems.push(Problem::new(
            "success_statuses",
            "an empty list, with which nothing is ever delivered; give one such as [\"200-299\"]",
        ));
    }
    if let Some(ranges) = &statuses
        && ranges.0.iter().any(|&(low, high)| low < 400 && high >= 300)
    {
        problems.push(Problem::new(
            "success_statuses",
            "a range with redirects, which are not followed and never count as delivered; \
             leave 300 to 399 out",
        ));
    }
    let body = settings.success_body.clone();
    if body.as_ref().is_some_and(|body| body.trim().is_empty()) {
        problems.push(Problem::new(
            "success_body",
            "text without content; give the text that the receiver answers, or leave it out",
        ));
    }
    let give_up = match &settings.give_up_statuses {
        Some(texts) => ranges("give_up_statuses", texts, problems),
        None => Some(StatusRanges::default()),
    };
    let disable = match &settings.disable_statuses {
        Some(texts) => ranges("disable_statuses", texts, problems),
        None => Some(StatusRanges::default()),
    };
    if let (Some(statuses), Some(disable)) = (&statuses, &disable)
        && overlap(statuses, disable)
    {
        problems.push(Problem::new(
            "disable_statuses",
            "a status that success_statuses counts as delivered; take it out of one of them",
        ));
    }
    Some(SuccessRule {
        statuses: statuses?,
        body,
        give_up: give_up?,
        disable: disable?,
    })
}

fn overlap(one: &StatusRanges, other: &StatusRanges) -> bool {
    other
        .0
        .iter()
        .any(|(low, high)| one.0.iter().any(|(from, to)| from <= high && low <= to))
}

fn ranges(
    key: &'static str,
    texts: &[String],
    problems: &mut Vec<Problem>,
) -> Option<StatusRanges> {
    let ranges = texts.iter().map(|text| {
        let range = range(text).ok_or_else(|| {
            format!(
                "{} is not a range of statuses; give entries such as \"200-299\" or \"204\", \
                 within 100 to 599 and the lower first",
                quoted(text)
            )
        });
        note(key, range, problems)
    });
    // Gathered before it is looked at whether all are there: each that is not has its message.
    let ranges: Vec<_> = ranges.collect();
    ranges.into_iter().collect::<Option<_>>().map(StatusRanges)
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (status(low)?, status(high)?);
    (low <= high).then_some((low, high))
}

/// Reads a status, which has three digits (RFC 9110, section 15).
fn status(text: &str) -> Option<u16> {
    let status = text.trim().parse().ok()?;
    (100..=599).contains(&status).then_some(status)
}
