//! Reads TOML key by key, notes each problem with its line, and goes on. What no one
//! asked for is an unknown key.

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::{Problem, value};
use crate::model::settings::{duration_text, within};

pub(super) struct Document<'t> {
    text: &'t str,
    /// The places at which the document's lines end.
    ends: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
    /// Each `section.key` that was asked for, and whether it was there: from this the
    /// test of `config.toml.example` learns what must be documented.
    #[cfg(test)]
    asked: RefCell<Vec<(String, bool)>>,
}

impl<'t> Document<'t> {
    pub fn new(text: &'t str) -> Self {
        Self {
            text,
            ends: text.match_indices('\n').map(|(at, _)| at).collect(),
            problems: RefCell::default(),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    /// Reads the document by its outermost section; none where the text is not TOML: what a damaged
    /// text means would be a guess.
    pub fn read<T>(&self, read: impl FnOnce(&mut Section<'_>) -> T) -> Option<T> {
        let (root, errors) = DeTable::parse_recoverable(self.text);
        if errors.is_empty() {
            let mut section = Section::new(self, String::new(), root.span(), Some(root.get_ref()));
            let value = read(&mut section);
            section.refuse_the_unknown();
            return Some(value);
        }
        for error in errors {
            // `message` has the rule that was broken; `Display` would add the line's text.
            let message = format!("{}; see https://toml.io", error.message());
            self.refuse(error.span().unwrap_or_default(), String::new(), message);
        }
        None
    }

    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }

    #[cfg(test)]
    pub fn asked(&self) -> Vec<(String, bool)> {
        self.asked.borrow().clone()
    }

    fn refuse(&self, at: Range<usize>, key: String, message: String) {
        self.problems.borrow_mut().push(Problem {
            line: self.line(at.start),
            key,
            message,
        });
    }

    fn line(&self, at: usize) -> usize {
        1 + self.ends.partition_point(|&end| end < at)
    }
}

/// One table of the document; one that is not there reads as an empty one.
pub(super) struct Section<'d> {
    document: &'d Document<'d>,
    name: String,
    span: Range<usize>,
    table: Option<&'d DeTable<'d>>,
    known: Vec<&'static str>,
}

impl<'d> Section<'d> {
    fn new(
        document: &'d Document<'d>,
        name: String,
        span: Range<usize>,
        table: Option<&'d DeTable<'d>>,
    ) -> Self {
        Self {
            document,
            name,
            span,
            table,
            known: Vec::new(),
        }
    }

    /// Reads the section of this name by `read`.
    pub fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let (span, table) = match self.ask(key) {
            None => (0..0, None),
            Some(found) => {
                let table = found.get_ref().as_table();
                if table.is_none() {
                    let shape = value::shape(found.get_ref());
                    self.refuse(key, format!("{shape}; give a section, [{key}]"));
                }
                (found.span(), table)
            }
        };
        let mut section = Section::new(self.document, self.path(key), span, table);
        let value = read(&mut section);
        section.refuse_the_unknown();
        value
    }

    /// Reads the sections of this name, each by `read`, in the order of the file.
    pub fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_>) -> T,
    ) -> Vec<T> {
        let Some(found) = self.ask(key) else {
            return Vec::new();
        };
        let Some(entries) = found.get_ref().as_array() else {
            let shape = value::shape(found.get_ref());
            self.refuse(
                key,
                format!("{shape}; give sections in double brackets, [[{key}]]"),
            );
            return Vec::new();
        };
        let mut values = Vec::with_capacity(entries.len());
        for entry in entries {
            let Some(table) = entry.get_ref().as_table() else {
                let shape = value::shape(entry.get_ref());
                let message = format!("{shape}; give sections in double brackets, [[{key}]]");
                self.document.refuse(entry.span(), self.path(key), message);
                continue;
            };
            let mut section =
                Section::new(self.document, self.path(key), entry.span(), Some(table));
            values.push(read(&mut section));
            section.refuse_the_unknown();
        }
        values
    }

    /// Reads the value of the key as `parse` takes it; a refusal becomes a problem.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let found = self.ask(key)?;
        parse(found.get_ref())
            .map_err(|message| self.refuse(key, message))
            .ok()
    }

    /// Reads each entry of an array as `parse` takes it; each refusal has its own line.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let found = self.ask(key)?;
        let Some(entries) = found.get_ref().as_array() else {
            let shape = value::shape(found.get_ref());
            self.refuse(key, format!("{shape}; give an array in brackets, [ ]"));
            return None;
        };
        let mut values = Vec::with_capacity(entries.len());
        for entry in entries {
            match parse(entry.get_ref()) {
                Ok(value) => values.push(value),
                Err(message) => self.document.refuse(entry.span(), self.path(key), message),
            }
        }
        (values.len() == entries.len()).then_some(values)
    }

    pub fn text(&mut self, key: &'static str) -> Option<String> {
        self.read(key, value::text)
    }

    pub fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.read(key, value::flag)
    }

    /// Reads a whole number within the range, which must itself lie within `T`.
    pub fn whole<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<T> {
        self.read(key, |found| {
            let number = within(
                value::whole(found)?,
                &range,
                "a whole number",
                i64::to_string,
            )?;
            T::try_from(number).map_err(|_| "too large; give a smaller whole number".to_owned())
        })
    }

    pub fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.read(key, |found| {
            within(value::duration(found)?, &range, "a duration", duration_text)
        })
    }

    pub fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        self.read(key, |found| {
            let text = value::text(found)?;
            let chosen = choices.iter().find(|(name, _)| *name == text);
            chosen.map(|&(_, choice)| choice).ok_or_else(|| {
                let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
                format!(
                    "text that is not a choice; give one of {}",
                    names.join(", ")
                )
            })
        })
    }

    /// Whether the file has the key, readable or not.
    pub fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// The line of the section's head.
    pub fn line(&self) -> usize {
        self.document.line(self.span.start)
    }

    /// Notes a problem with the key; where the key is absent, at the section's head.
    pub fn refuse(&self, key: &str, message: impl Into<String>) {
        let at = self
            .entry(key)
            .map_or_else(|| self.span.clone(), |(key, _)| key.span());
        self.document.refuse(at, self.path(key), message.into());
    }

    fn refuse_the_unknown(&self) {
        let keys = self.table.into_iter().flat_map(|table| table.keys());
        for key in keys.map(|key| key.get_ref().as_ref()) {
            if self.known.contains(&key) {
                continue;
            }
            let remedy = match nearest(key, &self.known) {
                Some(known) => format!("did you mean {known}?"),
                None => "take it out; config.toml.example has every key".to_owned(),
            };
            self.refuse(key, format!("not a known key; {remedy}"));
        }
    }

    fn ask(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.push(key);
        let found = self.entry(key).map(|(_, value)| value);
        #[cfg(test)]
        self.document
            .asked
            .borrow_mut()
            .push((self.path(key), found.is_some()));
        found
    }

    fn entry(
        &self,
        key: &str,
    ) -> Option<(
        &'d Spanned<toml::de::DeString<'d>>,
        &'d Spanned<DeValue<'d>>,
    )> {
        self.table?.get_key_value(key)
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() {
            return key.to_owned();
        }
        format!("{}.{key}", self.name)
    }
}
