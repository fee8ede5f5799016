//! What ends a command that runs until it is told to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Resolves at the first SIGINT (Ctrl-C) or SIGTERM from the call on, and not only from
/// the first poll on, so that a signal in between is not lost.
pub fn end_requested() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// The same as a token, cancelled then.
pub fn stop_when_requested() -> std::io::Result<CancellationToken> {
    let end = end_requested()?;
    let stop = CancellationToken::new();
    tokio::spawn({
        let stop = stop.clone();
        async move {
            end.await;
            stop.cancel();
        }
    });
    Ok(stop)
}
