//! What a panic says: where it was, and its message only where that is a text of the code.
//! One that was put together while running may quote a payload or a secret, whichever
//! library it comes from.

use std::panic::PanicHookInfo;

/// Makes a panic print one line, without what it quotes; holds for the whole process.
pub fn keep_to_themselves() {
    std::panic::set_hook(Box::new(|panic| eprintln!("{}", said(panic))));
}

/// Writes the one line of a panic.
#[must_use]
pub fn said(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map_or_else(
        || "an unknown place".to_owned(),
        |location| format!("{}:{}", location.file(), location.line()),
    );
    match panic.payload().downcast_ref::<&'static str>() {
        Some(text) => format!("panicked at {place}: {text}"),
        None => format!("panicked at {place}; its message may hold data and is not shown"),
    }
}
