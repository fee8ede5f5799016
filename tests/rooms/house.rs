//! All files of `src/`, and the arrows between them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path as FilePath;

use crate::source::Source;

/// That one room or file uses another one, and a place where it does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    pub from: String,
    pub to: String,
    /// The place, such as `src/feed/window.rs:12: crate::store::Pool`.
    pub place: String,
}

/// The sources that are built where no test is.
pub struct House {
    sources: Vec<Source>,
}

impl House {
    /// Reads every source in the folder `src` of this folder.
    pub fn standing_in(folder: &FilePath) -> Self {
        let mut files = Vec::new();
        collect(&folder.join("src"), &mut files);
        files.sort();
        Self::of(files.iter().map(|file| {
            let text = fs::read_to_string(file).expect("sources are readable");
            let name = file.strip_prefix(folder).expect("it lies in the folder");
            (
                name.to_str()
                    .expect("names of sources are ASCII")
                    .to_owned(),
                text,
            )
        }))
    }

    /// A house of files that are given as their paths and texts.
    pub fn of(files: impl Iterator<Item = (String, String)>) -> Self {
        let all: Vec<Source> = files
            .map(|(file, text)| Source::read(&file, &text))
            .collect();
        let for_tests: Vec<Vec<String>> = all
            .iter()
            .flat_map(|source| {
                source
                    .test_modules
                    .iter()
                    .map(|name| [source.module.as_slice(), std::slice::from_ref(name)].concat())
            })
            .collect();
        let sources = all
            .into_iter()
            .filter(|source| {
                !for_tests
                    .iter()
                    .any(|module| source.module.starts_with(module))
            })
            .collect();
        Self { sources }
    }

    /// The rooms of the house: its top-level modules.
    pub fn rooms(&self) -> BTreeSet<&str> {
        self.sources.iter().filter_map(Source::room).collect()
    }

    /// The arrows between rooms, one for each place.
    pub fn arrows_between_rooms(&self) -> Vec<Arrow> {
        let rooms = self.rooms();
        let mut arrows = Vec::new();
        for source in &self.sources {
            let Some(from) = source.room() else { continue };
            for mention in &source.mentions {
                let to = mention.path.first().map_or("", String::as_str);
                if to != from && rooms.contains(to) {
                    arrows.push(Arrow {
                        from: from.to_owned(),
                        to: to.to_owned(),
                        place: place(source, mention.line, &mention.path),
                    });
                }
            }
        }
        arrows
    }

    /// The arrows between the files of one room, one for each place.
    pub fn arrows_within(&self, room: &str) -> Vec<Arrow> {
        let mut arrows = Vec::new();
        for source in self
            .sources
            .iter()
            .filter(|source| source.room() == Some(room))
        {
            for mention in &source.mentions {
                let Some(to) = self.defined_in(&mention.path, 8) else {
                    continue;
                };
                if to.room() == Some(room) && to.file != source.file {
                    arrows.push(Arrow {
                        from: source.file.clone(),
                        to: to.file.clone(),
                        place: place(source, mention.line, &mention.path),
                    });
                }
            }
        }
        arrows
    }

    /// The file that defines what the path names, through the re-exports on the way there.
    fn defined_in(&self, path: &[String], hops: usize) -> Option<&Source> {
        let module = self
            .sources
            .iter()
            .filter(|source| path.starts_with(&source.module))
            .max_by_key(|source| source.module.len())?;
        let brought_in = path
            .get(module.module.len())
            .and_then(|name| module.brought_in.get(name));
        match brought_in {
            Some(Some(_)) if hops == 0 => Some(module),
            Some(Some(elsewhere)) => {
                let rest = &path[module.module.len() + 1..];
                self.defined_in(&[elsewhere, rest].concat(), hops - 1)
            }
            Some(None) => None,
            None => Some(module),
        }
    }
}

fn place(source: &Source, line: usize, path: &[String]) -> String {
    format!("{}:{line}: crate::{}", source.file, path.join("::"))
}

fn collect(folder: &FilePath, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let path = entry.expect("its entries are readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The circles among these arrows: groups in which each one leads to every other.
pub fn circles(arrows: &[(&str, &str)]) -> Vec<BTreeSet<String>> {
    let mut leads_to: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in arrows {
        leads_to.entry(from).or_default().insert(to);
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> = leads_to
        .keys()
        .map(|from| (*from, reached_from(from, &leads_to)))
        .collect();
    let mut circles = BTreeSet::new();
    for (one, from_here) in reached
        .iter()
        .filter(|(one, from_here)| from_here.contains(**one))
    {
        let there_and_back = from_here
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(one)))
            .map(|other| (*other).to_owned());
        circles.insert(there_and_back.collect());
    }
    circles.into_iter().collect()
}

fn reached_from<'a>(
    from: &'a str,
    leads_to: &BTreeMap<&'a str, BTreeSet<&'a str>>,
) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(here) = open.pop() {
        for next in leads_to.get(here).into_iter().flatten() {
            if reached.insert(*next) {
                open.push(*next);
            }
        }
    }
    reached
}
