//! What is allowed, and what a house does against it.

use std::collections::{BTreeMap, BTreeSet};

use crate::house::{Arrow, House, circles};

/// A room, and the rooms that it uses.
pub type Room = (&'static str, &'static [&'static str]);

/// What is allowed in a house.
#[derive(Clone, Copy)]
pub struct Plan {
    /// The rooms of each floor, from the ground up, and what each of them uses: rooms of floors
    /// below, and of its own floor where no circle comes of it.
    pub floors: &'static [&'static [Room]],
    /// Arrows that lead up, or that close a circle, and why they are there.
    pub exceptions: &'static [(&'static str, &'static str, &'static str)],
    /// Circles among the files of a room, and why they are there.
    pub circles_of_files: &'static [(&'static [&'static str], &'static str)],
}

impl Plan {
    /// What is wrong with the plan by itself.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (from, to) in self.regular() {
            match (self.floor(from), self.floor(to)) {
                (_, None) => faults.push(format!("{from} uses {to}, which is on no floor.")),
                (Some(low), Some(high)) if low < high => faults.push(format!(
                    "{from} on floor {low} uses {to} on floor {high}: an arrow that leads up \
                     belongs into EXCEPTIONS, with the reason why it is there."
                )),
                _ => {}
            }
        }
        let regular: Vec<_> = self.regular().collect();
        faults.extend(circles(&regular).iter().map(|rooms| {
            format!(
                "{} use each other in a circle: the arrow that closes it belongs into \
                 EXCEPTIONS, with the reason why it is there.",
                listed(rooms)
            )
        }));
        for (from, to, reason) in self.exceptions {
            if reason.is_empty() {
                faults.push(format!("The exception from {from} to {to} has no reason."));
            }
            if self.regular().any(|arrow| arrow == (*from, *to)) {
                faults.push(format!("The arrow from {from} to {to} stands there twice."));
            }
        }
        for (files, _) in self
            .circles_of_files
            .iter()
            .filter(|(_, reason)| reason.is_empty())
        {
            faults.push(format!("The circle of {} has no reason.", files.join(", ")));
        }
        faults
    }

    /// Where the rooms of the house use each other in another way than the plan says.
    pub fn faults_of_rooms(&self, house: &House) -> Vec<String> {
        let mut faults = Vec::new();
        let mut places: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for Arrow { from, to, place } in house.arrows_between_rooms() {
            places.entry((from, to)).or_default().push(place);
        }
        let allowed: BTreeSet<(&str, &str)> = self.all().collect();
        for ((from, to), places) in &places {
            if !allowed.contains(&(from.as_str(), to.as_str())) {
                let places = places.join("\n    ");
                let remedy = self.remedy(from, to);
                faults.push(format!(
                    "{from} uses {to}, which is new:\n    {places}\n  {remedy}"
                ));
            }
        }
        for (from, to) in allowed {
            if !places.contains_key(&(from.to_owned(), to.to_owned())) {
                faults.push(format!(
                    "{from} does not use {to} any more: take the arrow out of tests/rooms/table.rs."
                ));
            }
        }
        let planned: BTreeSet<&str> = self.rooms().map(|(_, (name, _))| *name).collect();
        for room in house.rooms().difference(&planned) {
            faults.push(format!(
                "The room {room} stands on no floor: put it on one in tests/rooms/table.rs."
            ));
        }
        for room in planned.difference(&house.rooms()) {
            faults.push(format!(
                "The room {room} is not there any more: take it out of tests/rooms/table.rs."
            ));
        }
        faults
    }

    /// Where files of one room use each other in a circle that is not allowed.
    pub fn faults_of_files(&self, house: &House) -> Vec<String> {
        let allowed: BTreeSet<BTreeSet<String>> = self
            .circles_of_files
            .iter()
            .map(|(files, _)| files.iter().map(|file| (*file).to_owned()).collect())
            .collect();
        let (mut faults, mut found) = (Vec::new(), BTreeSet::new());
        for room in house.rooms() {
            let mut arrows = house.arrows_within(room);
            arrows.retain(|arrow| !is_child(&arrow.from, &arrow.to));
            let pairs: Vec<_> = arrows
                .iter()
                .map(|arrow| (arrow.from.as_str(), arrow.to.as_str()))
                .collect();
            for circle in circles(&pairs) {
                if !allowed.contains(&circle) {
                    faults.push(fault_of(&circle, &arrows));
                }
                found.insert(circle);
            }
        }
        faults.extend(allowed.difference(&found).map(|circle| {
            format!(
                "{} are not a circle any more, or one of other files: mend CIRCLES_OF_FILES in \
                 tests/rooms/table.rs.",
                listed(circle)
            )
        }));
        faults
    }

    fn rooms(&self) -> impl Iterator<Item = (usize, &'static Room)> {
        let floors = self.floors.iter().enumerate();
        floors.flat_map(|(below, rooms)| rooms.iter().map(move |room| (below + 1, room)))
    }

    fn floor(&self, room: &str) -> Option<usize> {
        self.rooms()
            .find(|(_, (name, _))| *name == room)
            .map(|(floor, _)| floor)
    }

    /// The arrows that lead down, or along a floor.
    fn regular(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.rooms()
            .flat_map(|(_, (from, uses))| uses.iter().map(move |to| (*from, *to)))
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let exceptions = self.exceptions.iter().map(|(from, to, _)| (*from, *to));
        self.regular().chain(exceptions)
    }

    /// What to do about a new arrow.
    fn remedy(&self, from: &str, to: &str) -> String {
        match (self.floor(from), self.floor(to)) {
            (Some(low), Some(high)) if low < high => format!(
                "{from} stands on floor {low}, below {to} on floor {high}. Move the noun that \
                 both know down into `model` or `flow`, or let {from} name an errand that a room \
                 above does for it."
            ),
            (Some(_), None) | (None, _) => {
                "Put each of them on a floor in tests/rooms/table.rs.".to_owned()
            }
            _ => format!(
                "Take what is needed as an argument, or move it to where both may use it; if \
                 {from} should use {to}, write so in tests/rooms/table.rs."
            ),
        }
    }
}

/// Whether the first file stands in the folder of the module that the second one is.
fn is_child(file: &str, of: &str) -> bool {
    let folder = of
        .strip_suffix("/mod.rs")
        .or_else(|| of.strip_suffix(".rs"))
        .unwrap_or(of);
    file.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}

fn fault_of(circle: &BTreeSet<String>, arrows: &[Arrow]) -> String {
    let places: BTreeSet<String> = arrows
        .iter()
        .filter(|arrow| circle.contains(&arrow.from) && circle.contains(&arrow.to))
        .map(|arrow| format!("{}, of {}", arrow.place, arrow.to))
        .collect();
    let places: Vec<_> = places.into_iter().collect();
    format!(
        "{} use each other in a circle:\n    {}\n  Move what two of them know into a file of its \
         own that stands on neither, or write the reason into CIRCLES_OF_FILES in \
         tests/rooms/table.rs.",
        listed(circle),
        places.join("\n    "),
    )
}

fn listed(names: &BTreeSet<String>) -> String {
    names.iter().cloned().collect::<Vec<_>>().join(", ")
}
