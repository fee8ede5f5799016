//! A source as the command that makes it.

use super::{Data, Kind, On, Source};
use crate::model::OneLine;

impl Source {
    /// The command line of `posthorn source attach` that makes the source as it is.
    #[must_use]
    pub fn command(&self, table: &str) -> String {
        let source = self;
        let mut words = vec!["posthorn source attach".to_owned(), word(table)];
        let mut option = |name: &str, value: &str| words.push(format!("--{name} {}", word(value)));
        option("merchant", &source.merchant);
        option("id", &source.id);
        option("status", &source.status);
        match &source.kind {
            Kind::Text(text) => option("kind", text),
            Kind::Sql(sql) => option("kind-sql", sql),
        }
        match &source.data {
            Data::Row if source.texts.is_empty() => {}
            Data::Row => {
                let texts: String = source
                    .texts
                    .iter()
                    .flat_map(|name| [",", name, ":text"])
                    .collect();
                option("data", &format!("*{texts}"));
            }
            Data::Columns(columns) => {
                let entry = |name: &String| {
                    let text = if source.texts.contains(name) {
                        ":text"
                    } else {
                        ""
                    };
                    format!("{name}{text}")
                };
                let entries: Vec<String> = columns.iter().map(entry).collect();
                option("data", &entries.join(","));
            }
            Data::Sql(sql) => option("data-sql", sql),
        }
        if let Some(when) = &source.when {
            option("when", when);
        }
        match source.on {
            On {
                insert: true,
                update: true,
            } => {}
            On { insert: true, .. } => option("on", "insert"),
            On { .. } => option("on", "update"),
        }
        option("on-failure", source.on_failure.as_str());
        if let Some(compare) = &source.compare {
            option("compare-as", &compare.role);
            if let Some(column) = &compare.made_at {
                option("made-at", column);
            }
        }
        option("name", &source.name);
        words.join(" ")
    }
}

/// Quotes a text so that a shell takes it for one word.
#[must_use]
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-,/:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else if text.chars().any(OneLine::escapes) {
        // Of bash, zsh and ksh: no line of a word begins like one of ours.
        let escaped = text.chars().map(|c| match c {
            '\'' | '\\' => format!("\\{c}"),
            c if OneLine::escapes(c) => format!("\\U{:08x}", u32::from(c)),
            c => c.to_string(),
        });
        format!("$'{}'", escaped.collect::<String>())
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Compare, OnFailure};
    use super::*;

    #[test]
    fn the_command_can_be_run_by_a_shell() {
        let source = Source {
            name: "payments".to_owned(),
            merchant: "merchant_id".to_owned(),
            id: "id".to_owned(),
            status: "status".to_owned(),
            kind: Kind::Sql("'payment.' || new.status".to_owned()),
            data: Data::Columns(vec!["id".to_owned(), "amount".to_owned()]),
            texts: vec!["id".to_owned()],
            when: Some("new.amount > 0".to_owned()),
            on: On {
                insert: false,
                update: true,
            },
            on_failure: OnFailure::Record,
            compare: Some(Compare {
                role: "posthorn compare".to_owned(),
                made_at: Some("created_at".to_owned()),
            }),
        };
        assert_eq!(
            source.command("shop.\"Payments\""),
            "posthorn source attach 'shop.\"Payments\"' --merchant merchant_id --id id --status status \
             --kind-sql ''\\''payment.'\\'' || new.status' --data id:text,amount --when 'new.amount > 0' \
             --on update --on-failure record --compare-as 'posthorn compare' --made-at created_at --name payments"
        );
    }

    #[test]
    fn a_word_with_a_line_feed_stays_on_its_line() {
        assert_eq!(word("it's\n\\x"), "$'it\\'s\\U0000000a\\\\x'");
        assert_eq!(word("it's"), "'it'\\''s'");
    }
}
