//! The checker itself, on houses of a few lines: what is planted is found.

use crate::house::House;
use crate::plan::Plan;

const PLAN: Plan = Plan {
    floors: &[
        &[("model", &[])],
        &[("route", &["model"])],
        &[("store", &["model"])],
    ],
    exceptions: &[],
    circles_of_files: &[],
};

/// A house of these files, each a path inside `src/` and its text, and of what the plan asks
/// for.
fn house(files: &[(&str, &str)]) -> House {
    let asked = [
        ("model/mod.rs", "pub struct Event;"),
        ("route.rs", "use crate::model::Event;"),
        ("store.rs", "use crate::model::Event;"),
    ];
    House::of(
        asked
            .iter()
            .filter(|(file, _)| files.iter().all(|(other, _)| other != file))
            .chain(files)
            .map(|(file, text)| (format!("src/{file}"), (*text).to_owned())),
    )
}

fn faults_of_rooms(files: &[(&str, &str)]) -> String {
    PLAN.faults_of_rooms(&house(files)).join("\n")
}

fn faults_of_files(files: &[(&str, &str)]) -> String {
    PLAN.faults_of_files(&house(files)).join("\n")
}

#[test]
fn a_house_as_planned_has_no_faults() {
    assert_eq!(PLAN.faults(), Vec::<String>::new());
    assert_eq!(faults_of_rooms(&[]), "");
    assert_eq!(faults_of_files(&[]), "");
}

#[test]
fn a_new_arrow_is_named_with_its_line_and_what_to_do() {
    let said = faults_of_rooms(&[(
        "route.rs",
        "use crate::model::Event;\n\nuse crate::store::Pool;\n",
    )]);
    assert!(said.contains("route uses store, which is new"), "{said}");
    assert!(
        said.contains("src/route.rs:3: crate::store::Pool"),
        "{said}"
    );
    assert!(said.contains("floor 2, below store on floor 3"), "{said}");
}

#[test]
fn arrows_are_found_however_they_are_written() {
    for text in [
        "use crate::{model::{self, Event}, store::pool::{self as p, Pool}};",
        "fn f() { let pool = crate::store::pool::open(); }",
        "use super::store::Pool;",
        "pub use crate::store::Pool;",
        "const C: char = '\"'; fn f<'a>(p: &'a crate::store::Pool) {}",
        "const T: &str = r#\"a \" quote\"#; pub(crate) use crate::store::Pool;",
        "#[cfg(test)]\nmod tests { use super::*; }\nfn f() -> crate::store::Pool {}",
    ] {
        let said = faults_of_rooms(&[("route.rs", &format!("use crate::model::Event;\n{text}"))]);
        assert!(said.contains("route uses store"), "{text}: {said}");
    }
}

#[test]
fn what_is_no_arrow_is_left_out() {
    for text in [
        "//! Like [`crate::store::Pool`].",
        "/* crate::store /* inside */ crate::store::Pool */",
        "const T: &str = \"use \\\" crate::store::Pool;\";",
        "#[cfg(test)]\nmod tests {\n    use crate::store::Pool;\n}",
        "#[cfg(test)]\nuse crate::store::Pool;",
        "use store::Pool;",
        "pub(in crate::store) fn f() {}",
    ] {
        let said = faults_of_rooms(&[("route.rs", &format!("{text}\nuse crate::model::Event;"))]);
        assert_eq!(said, "", "{text}");
    }
}

#[test]
fn files_that_only_tests_have_are_left_out() {
    let said = faults_of_rooms(&[
        (
            "route.rs",
            "use crate::model::Event;\n#[cfg(test)]\nmod tests;",
        ),
        ("route/tests.rs", "mod deep;\nuse crate::store::Pool;"),
        ("route/tests/deep.rs", "use crate::store::Pool;"),
    ]);
    assert_eq!(said, "");
}

#[test]
fn an_arrow_that_has_gone_leaves_the_table() {
    let said = faults_of_rooms(&[("route.rs", "")]);
    assert!(said.contains("route does not use model any more"), "{said}");
}

#[test]
fn a_new_room_needs_a_floor() {
    let said = faults_of_rooms(&[("desk.rs", "")]);
    assert!(said.contains("The room desk stands on no floor"), "{said}");
}

#[test]
fn the_table_may_not_lead_up_or_in_a_circle() {
    let upward = Plan {
        floors: &[&[("model", &["store"])], &[("store", &[])]],
        ..PLAN
    };
    assert!(upward.faults()[0].contains("model on floor 1 uses store on floor 2"));
    let circle = Plan {
        floors: &[&[("model", &["vault"]), ("vault", &["model"])]],
        ..PLAN
    };
    assert!(circle.faults()[0].contains("model, vault use each other in a circle"));
    let excepted = Plan {
        floors: &[&[("model", &["vault"]), ("vault", &[])]],
        exceptions: &[("vault", "model", "a reason")],
        ..PLAN
    };
    assert_eq!(excepted.faults(), Vec::<String>::new());
}

#[test]
fn a_circle_of_files_is_named_with_its_lines() {
    let files = [
        ("store/a.rs", "use super::b::B;\nuse super::Pool;"),
        ("store/b.rs", "fn f() {\n    crate::store::c::C;\n}"),
        ("store/c.rs", "use super::A;"),
        ("store/d.rs", "use super::A;"),
        (
            "store.rs",
            "mod a; mod b; mod c; mod d; pub use a::A;\nuse crate::model::Event;",
        ),
    ];
    let said = faults_of_files(&files);
    let circle = "src/store/a.rs, src/store/b.rs, src/store/c.rs use each other in a circle";
    assert!(said.contains(circle), "{said}");
    assert!(
        said.contains("src/store/c.rs:1: crate::store::A, of src/store/a.rs"),
        "{said}"
    );
    assert!(
        said.contains("src/store/b.rs:2: crate::store::c::C"),
        "{said}"
    );
    assert!(!said.contains("store/d.rs"), "{said}");

    let allowed = Plan {
        circles_of_files: &[(
            &["src/store/a.rs", "src/store/b.rs", "src/store/c.rs"],
            "a reason",
        )],
        ..PLAN
    };
    assert_eq!(
        allowed.faults_of_files(&house(&files)),
        Vec::<String>::new()
    );
    let gone = allowed.faults_of_files(&house(&[])).join("\n");
    assert!(gone.contains("are not a circle any more"), "{gone}");
}

#[test]
fn a_parent_and_its_children_are_read_from_the_top() {
    let said = faults_of_files(&[
        (
            "store.rs",
            "mod a;\nmod b;\nuse a::A;\nfn f() { b::g(); }\npub struct Pool;",
        ),
        ("store/a.rs", "use super::Pool;"),
        ("store/b.rs", "use super::Pool;\nuse super::a;"),
    ]);
    assert_eq!(said, "");
}
