//! The table: pure text.

use std::time::Duration;

/// One endpoint's numbers.
#[derive(Clone, Debug, Default)]
pub struct Line {
    pub endpoint: String,
    pub about: String,
    /// How many deliveries it has to get.
    pub published: usize,
    pub delivered: usize,
    pub waiting: usize,
    pub posting_errors: usize,
    pub percentiles: Option<(Duration, Duration)>,
    /// How the endpoint answers just now.
    pub answers: &'static str,
}

impl Line {
    /// How many deliveries are in the worker: read, queued or in the air.
    fn under_way(&self) -> usize {
        let known = self.delivered + self.waiting + self.posting_errors;
        self.published.saturating_sub(known)
    }
}

/// Draws one line for each endpoint between a heading and the sums. There are no percentiles of
/// everything: an endpoint that is down would hide all others.
#[must_use]
pub fn render(lines: &[Line]) -> Vec<String> {
    let heading = row([
        "endpoint",
        "",
        "published",
        "under way",
        "delivered",
        "waiting",
        "errors",
        "p50",
        "p99",
        "answers",
    ]);
    let body = lines.iter().map(|line| {
        let (median, high) = line.percentiles.map_or_else(
            || ("–".to_owned(), "–".to_owned()),
            |(median, high)| (short(median), short(high)),
        );
        row([
            &line.endpoint,
            &line.about,
            &line.published.to_string(),
            &line.under_way().to_string(),
            &line.delivered.to_string(),
            &line.waiting.to_string(),
            &line.posting_errors.to_string(),
            &median,
            &high,
            line.answers,
        ])
    });
    let sums = sum(lines);
    let last = row([
        "all",
        "",
        &sums.published.to_string(),
        &sums.under_way().to_string(),
        &sums.delivered.to_string(),
        &sums.waiting.to_string(),
        &sums.posting_errors.to_string(),
        "",
        "",
        "",
    ]);
    [heading].into_iter().chain(body).chain([last]).collect()
}

/// Writes the sums in one line of plain text, for where a table cannot be redrawn.
#[must_use]
pub fn render_sums(lines: &[Line], at: Duration) -> String {
    let sums = sum(lines);
    format!(
        "{:>4}s  published {}  under way {}  delivered {}  waiting {}  posting errors {}",
        at.as_secs(),
        sums.published,
        sums.under_way(),
        sums.delivered,
        sums.waiting,
        sums.posting_errors
    )
}

fn sum(lines: &[Line]) -> Line {
    lines.iter().fold(Line::default(), |sum, line| Line {
        published: sum.published + line.published,
        delivered: sum.delivered + line.delivered,
        waiting: sum.waiting + line.waiting,
        posting_errors: sum.posting_errors + line.posting_errors,
        ..sum
    })
}

fn row(cells: [&str; 10]) -> String {
    let [
        endpoint,
        about,
        published,
        under_way,
        delivered,
        waiting,
        errors,
        median,
        high,
        answers,
    ] = cells;
    format!(
        "{endpoint:<19} {about:<31} {published:>9} {under_way:>9} {delivered:>9} {waiting:>7} \
         {errors:>6} {median:>7} {high:>7}  {answers}"
    )
    .trim_end()
    .to_owned()
}

/// Writes a delay in three digits or so: `4.2ms`, `310ms`, `6.1s`.
fn short(delay: Duration) -> String {
    let millis = delay.as_secs_f64() * 1000.0;
    match millis {
        _ if millis < 9.95 => format!("{millis:.1}ms"),
        _ if millis < 999.5 => format!("{millis:.0}ms"),
        _ => format!("{:.1}s", millis / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Line> {
        let line = Line {
            endpoint: "clinic/payments".to_owned(),
            about: "POST nvp".to_owned(),
            published: 10,
            delivered: 5,
            waiting: 3,
            posting_errors: 1,
            percentiles: Some((Duration::from_micros(4_210), Duration::from_millis(310))),
            answers: "200",
        };
        vec![
            line.clone(),
            Line {
                percentiles: None,
                ..line
            },
        ]
    }

    #[test]
    fn the_table_shows_each_endpoint_and_the_sums() {
        let table: Vec<Vec<String>> = render(&lines())
            .iter()
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect();
        let first = [
            "clinic/payments",
            "POST",
            "nvp",
            "10",
            "1",
            "5",
            "3",
            "1",
            "4.2ms",
            "310ms",
            "200",
        ];
        assert_eq!(table[1], first);
        assert_eq!(table[3], ["all", "20", "2", "10", "6", "2"]);
        assert_eq!(
            render_sums(&lines(), Duration::from_secs(7)),
            "   7s  published 20  under way 2  delivered 10  waiting 6  posting errors 2"
        );
    }

    #[test]
    fn delays_are_short_to_read() {
        for (millis, expected) in [(0, "0.0ms"), (10, "10ms"), (999, "999ms"), (1_500, "1.5s")] {
            assert_eq!(short(Duration::from_millis(millis)), expected);
        }
    }
}
