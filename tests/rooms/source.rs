//! One file of `src/`: where it stands, and what it names of the others.

use std::collections::{BTreeMap, BTreeSet};

use crate::tokens::{Said, Token, said, spells};

/// A path from the crate's root, such as `["feed", "window", "Window"]`.
pub type Path = Vec<String>;

/// A place in a file that names something of the crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    pub line: usize,
    pub path: Path,
}

/// A file of `src/`, as far as arrows are concerned.
pub struct Source {
    /// The file's path, such as `src/feed/window.rs`.
    pub file: String,
    /// The module that the file is, such as `["feed", "window"]`.
    pub module: Path,
    /// Everything of the crate that the file names, re-exports that it does not use left out.
    pub mentions: Vec<Mention>,
    /// What each name that a `use` brings in stands for; `None` is something of another crate.
    pub brought_in: BTreeMap<String, Option<Path>>,
    /// The child modules that only a build of the tests has.
    pub test_modules: Vec<String>,
}

/// One name that a `use` line brings in.
struct Leaf {
    line: usize,
    segments: Path,
    name: String,
}

impl Source {
    /// Reads the text of the file at this path.
    pub fn read(file: &str, text: &str) -> Self {
        let Said {
            tokens,
            test_modules,
        } = said(text);
        let mut reading = Reading {
            module: module(file),
            children: children(&tokens),
            mentions: Vec::new(),
            brought_in: BTreeMap::new(),
            words: BTreeSet::new(),
            re_exports: Vec::new(),
        };
        reading.read(&tokens);
        reading.keep_the_re_exports_that_are_used();
        Self {
            file: file.to_owned(),
            module: reading.module,
            mentions: reading.mentions,
            brought_in: reading.brought_in,
            test_modules,
        }
    }

    /// The top-level module that the file belongs to; the crate's two roots have none.
    pub fn room(&self) -> Option<&str> {
        self.module.first().map(String::as_str)
    }
}

/// The module that a file is: `src/feed/mod.rs` and `src/feed.rs` are `["feed"]`.
fn module(file: &str) -> Path {
    let inside = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut path: Path = inside.split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| last == "mod") || path == ["lib"] || path == ["main"] {
        path.pop();
    }
    path
}

/// The modules that the file declares in files of their own.
fn children(tokens: &[Token]) -> BTreeSet<String> {
    tokens
        .windows(3)
        .filter(|words| words[0].text == "mod" && words[2].text == ";")
        .map(|words| words[1].text.clone())
        .collect()
}

struct Reading {
    module: Path,
    children: BTreeSet<String>,
    mentions: Vec<Mention>,
    brought_in: BTreeMap<String, Option<Path>>,
    /// Every word outside of `use` lines.
    words: BTreeSet<String>,
    re_exports: Vec<(String, Mention)>,
}

impl Reading {
    fn read(&mut self, tokens: &[Token]) {
        let (mut at, mut public) = (0, false);
        while at < tokens.len() {
            let before = at;
            let token = &tokens[at];
            if spells(&tokens[at..], &["pub", "("]) {
                at += closing(&tokens[at..]) + 1;
            } else if token.text == "use" && !spells(&tokens[at..], &["use", "<"]) {
                let mut leaves = Vec::new();
                at = leaves_of_a_tree(tokens, at + 1, &[], &mut leaves);
                for leaf in leaves {
                    self.bring_in(leaf, public);
                }
            } else if token.is_word() {
                at = self.read_a_path(tokens, at);
            } else {
                at += 1;
            }
            public = tokens[before].text == "pub";
        }
    }

    /// Takes in the path that begins at this word, and returns where it ends.
    fn read_a_path(&mut self, tokens: &[Token], begin: usize) -> usize {
        let mut segments = vec![tokens[begin].text.clone()];
        let mut at = begin + 1;
        while at + 1 < tokens.len() && tokens[at].text == "::" && tokens[at + 1].is_word() {
            segments.push(tokens[at + 1].text.clone());
            at += 2;
        }
        self.words.insert(segments[0].clone());
        if segments.len() > 1
            && let Some(path) = self.rooted(&segments)
        {
            let line = tokens[begin].line;
            self.mentions.push(Mention { line, path });
        }
        at
    }

    fn bring_in(&mut self, leaf: Leaf, public: bool) {
        let path = self.rooted(&leaf.segments);
        self.brought_in.insert(leaf.name.clone(), path.clone());
        let Some(path) = path else { return };
        let mention = Mention {
            line: leaf.line,
            path,
        };
        if public {
            self.re_exports.push((leaf.name, mention));
        } else {
            self.mentions.push(mention);
        }
    }

    /// What is re-exported and used nowhere else in the file is passed on, and not used here.
    /// Between rooms it counts nevertheless: a room that passes on another one's stands on it.
    fn keep_the_re_exports_that_are_used(&mut self) {
        for (name, mention) in std::mem::take(&mut self.re_exports) {
            if self.words.contains(&name) || mention.path.first() != self.module.first() {
                self.mentions.push(mention);
            }
        }
        self.mentions.sort_by_key(|mention| mention.line);
    }

    /// The path from the crate's root, if it names something of this crate.
    fn rooted(&self, segments: &[String]) -> Option<Path> {
        let ups = segments
            .iter()
            .take_while(|segment| *segment == "super")
            .count();
        let (base, rest): (&[String], _) = match segments[0].as_str() {
            "crate" => (&[], &segments[1..]),
            "self" => (&self.module, &segments[1..]),
            "super" => (
                &self.module[..self.module.len().saturating_sub(ups)],
                &segments[ups..],
            ),
            child if self.children.contains(child) => (&self.module, segments),
            _ => return None,
        };
        Some([base, rest].concat())
    }
}

/// How many tokens lie before the bracket that closes the first one.
fn closing(tokens: &[Token]) -> usize {
    tokens
        .iter()
        .position(|token| token.text == ")")
        .unwrap_or(tokens.len() - 1)
}

/// Collects the names of the tree of a `use` line, and returns where the tree ends.
fn leaves_of_a_tree(
    tokens: &[Token],
    begin: usize,
    prefix: &[String],
    leaves: &mut Vec<Leaf>,
) -> usize {
    let mut segments = prefix.to_vec();
    let mut at = begin;
    while at < tokens.len() {
        let token = &tokens[at];
        match token.text.as_str() {
            "::" => at += 1,
            "{" => {
                at += 1;
                while at < tokens.len() && tokens[at].text != "}" {
                    at = leaves_of_a_tree(tokens, at, &segments, leaves);
                    if spells(&tokens[at..], &[","]) {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "as" => {
                if let Some(leaf) = leaves.last_mut() {
                    leaf.name.clone_from(&tokens[at + 1].text);
                }
                at += 2;
            }
            ";" | "," | "}" => break,
            text => {
                if text != "self" || segments.is_empty() {
                    segments.push(text.to_owned());
                }
                at += 1;
                if !spells(&tokens[at..], &["::"]) {
                    leaves.push(Leaf {
                        line: token.line,
                        name: segments.last().cloned().unwrap_or_default(),
                        segments: segments.clone(),
                    });
                }
            }
        }
    }
    at
}
