//! The rooms of the house stand on floors, and each uses only what `table` allows it.
//!
//! What counts as an arrow: everything that a file names of the crate, in a `use` line or in a
//! path in the code, where no test is built. Between the files of a room, what a `mod.rs`
//! passes on counts for the file that defines it. That a parent uses its children is natural,
//! and so it is for a child to use what its parents define: a module and its folder are read
//! from the top. What counts as a circle of files goes through at least two that stand beside
//! each other.

mod checker;
mod house;
mod plan;
mod source;
mod table;
mod tokens;

use std::path::Path;
use std::sync::LazyLock;

use house::House;
use plan::Plan;

/// The plan that `table` holds.
const PLAN: Plan = Plan {
    floors: table::FLOORS,
    exceptions: table::EXCEPTIONS,
    circles_of_files: table::CIRCLES_OF_FILES,
};

/// The house as it stands, read once for all tests.
static HOUSE: LazyLock<House> =
    LazyLock::new(|| House::standing_in(Path::new(env!("CARGO_MANIFEST_DIR"))));

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n\n{}\n", faults.join("\n\n"));
}

#[test]
fn the_table_lets_no_room_stand_on_a_higher_one_without_a_reason() {
    assert_none(&PLAN.faults());
}

#[test]
fn rooms_use_each_other_as_the_table_says() {
    assert_none(&PLAN.faults_of_rooms(&HOUSE));
}

#[test]
fn files_of_a_room_do_not_use_each_other_in_a_circle() {
    assert_none(&PLAN.faults_of_files(&HOUSE));
}
