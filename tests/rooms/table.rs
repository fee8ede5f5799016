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
                "crash", "flow", "judge", "mask", "model", "plan", "route", "shape",
            ],
        ),
        ("record", &["flow", "model"]),
    ],
    // 5: the database, the network, and what is seen from outside.
    &[
        ("store", &["flow", "model", "vault"]),
        ("send", &["model", "shape"]),
        ("http", &["model"]),
    ],
    // 6: what puts rooms together, and what goes through the database page by page: what that
    // makes of a page is decided below it, or in files of its own without I/O.
    &[
        ("audit", &["flow", "model", "route", "store"]),
        ("compare", &["store"]),
        (
            "maintenance",
            &["audit", "compare", "flow", "http", "model", "store"],
        ),
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
                "shape",
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

/// Arrows that lead up the floors or close a circle: from, to, and why they are there.
pub const EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "dispatch",
    "http",
    "it counts as it goes: a metric is an atomic addition, and an errand for each would cost more",
)];

/// Circles among files of one room: the files, and why they are there.
pub const CIRCLES_OF_FILES: &[(&[&str], &str)] = &[(
    &["src/store/pool/session.rs", "src/store/pool/shelf.rs"],
    "a session goes back to the shelf that it came from when nobody uses it any more",
)];
