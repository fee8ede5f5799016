//! Which room uses which: the rooms of `docs/ARCHITECTURE.md`, floor by floor.

use crate::plan::Room;

/// The floors from the ground up. A room uses those below it and, where no circle comes of it,
/// those beside it.
pub const FLOORS: &[&[Room]] = &[
    // 1: nouns and settings; they know nothing, or a file.
    &[
        ("model", &[]),
        ("vault", &["model"]),
        ("config", &["model", "vault"]),
        ("crash", &[]),
    ],
    // 2: pure decisions.
    &[
        ("shape", &["model"]),
        ("route", &["model", "shape"]),
        ("judge", &["model"]),
        ("plan", &["model"]),
        ("mask", &["model", "shape"]),
    ],
    // 3: the nouns that travel between the machines. They stand on the pure rooms, because they
    // carry what those decided: a plan's next state, versions, why nothing can be sent.
    &[("flow", &["model", "plan", "route", "shape"])],
    // 4: machines: an input and a time go in, errands come out.
    &[
        ("feed", &["flow", "model", "route"]),
        (
            "dispatch",
            &[
                "crash", "flow", "judge", "mask", "model", "plan", "record", "route", "shape",
            ],
        ),
        ("record", &["crash", "flow", "model"]),
        ("audit", &["flow", "model", "route"]),
        ("compare", &[]),
        ("maintenance", &["audit", "compare", "flow", "model"]),
    ],
    // 5: the database, the network, and what is seen from outside.
    &[
        ("store", &["flow", "model", "vault"]),
        ("send", &["model", "shape"]),
        ("http", &["model"]),
    ],
    // 6: what puts rooms together.
    &[
        (
            "gateway",
            &["config", "feed", "flow", "http", "model", "shape", "store"],
        ),
        (
            "start",
            &[
                "config", "flow", "gateway", "http", "model", "send", "store",
            ],
        ),
        (
            "worker",
            &[
                "config",
                "crash",
                "dispatch",
                "feed",
                "flow",
                "gateway",
                "http",
                "maintenance",
                "model",
                "record",
                "route",
                "send",
                "start",
                "store",
                "vault",
            ],
        ),
    ],
    // 7: commands, and things to try with.
    &[
        ("receiver", &[]),
        ("demo", &["config", "model", "receiver", "store", "worker"]),
        (
            "cli",
            &[
                "audit", "compare", "config", "demo", "gateway", "http", "judge", "mask", "model",
                "receiver", "route", "send", "shape", "start", "store", "vault", "worker",
            ],
        ),
    ],
];

const OWN_ERRANDS: &str = "being taken apart: a machine still does its errands itself";

const SHARED_NOUNS: &str = "being taken apart: what two files know gets a file of its own";

/// Arrows that lead up the floors or close a circle: from, to, and why they are there.
pub const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("dispatch", "store", OWN_ERRANDS),
    ("dispatch", "send", OWN_ERRANDS),
    ("dispatch", "http", OWN_ERRANDS),
    ("record", "store", OWN_ERRANDS),
    ("record", "http", OWN_ERRANDS),
    ("audit", "store", OWN_ERRANDS),
    ("compare", "store", OWN_ERRANDS),
    ("maintenance", "store", OWN_ERRANDS),
    ("maintenance", "http", OWN_ERRANDS),
];

/// Circles among files of one room: the files, and why they are there.
pub const CIRCLES_OF_FILES: &[(&[&str], &str)] = &[
    (
        &["src/dispatch/ended.rs", "src/dispatch/errand.rs"],
        OWN_ERRANDS,
    ),
    (
        &["src/store/pool/session.rs", "src/store/pool/shelf.rs"],
        SHARED_NOUNS,
    ),
];
