//! Questions to the database that many clients have at the same time, asked in one statement.

use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::flow::STATEMENT;
use crate::http::Metrics;
use crate::store::{StoreError, within};

/// The most questions of one statement.
const MOST: usize = 64;

/// The most questions that wait; whoever comes then waits for room.
const WAITING: usize = 1024;

/// Takes questions, and asks all that came while the statement before ran in the next one:
/// the more clients ask, the more one statement answers.
#[derive(Debug)]
pub struct Desk<Q, A> {
    questions: mpsc::Sender<(Q, oneshot::Sender<A>)>,
}

/// That the database does not answer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database does not answer")]
pub struct Away;

impl<Q, A> Desk<Q, A>
where
    Q: Send + 'static,
    A: Send + 'static,
{
    /// Opens a desk. `ask` gives one answer to each question, in their order; it ends with the
    /// desk.
    pub fn open<F>(metrics: Metrics, ask: impl Fn(Vec<Q>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Vec<A>, StoreError>> + Send,
    {
        let (questions, mut waiting) = mpsc::channel::<(Q, oneshot::Sender<A>)>(WAITING);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            let mut said = false;
            while waiting.recv_many(&mut batch, MOST).await > 0 {
                let (questions, askers): (Vec<Q>, Vec<_>) = batch.drain(..).unzip();
                metrics.gateway().query();
                match within(STATEMENT, ask(questions)).await {
                    Ok(answers) => {
                        said = false;
                        for (asker, answer) in askers.into_iter().zip(answers) {
                            // Nobody waits any more where the client has gone.
                            let _ = asker.send(answer);
                        }
                    }
                    // Dropping the askers tells them.
                    Err(error) => {
                        metrics.database_error();
                        if !said {
                            warn!(%error, "the gateway's clients get no answer until the database is back");
                        }
                        said = true;
                    }
                }
            }
        });
        Self { questions }
    }

    pub async fn ask(&self, question: Q) -> Result<A, Away> {
        let (asker, answer) = oneshot::channel();
        let sent = self.questions.send((question, asker)).await;
        sent.map_err(|_| Away)?;
        answer.await.map_err(|_| Away)
    }
}
