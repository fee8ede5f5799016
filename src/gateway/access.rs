//! Who asks: tokens, and what each of them opens.
//!
//! A token is found by its SHA-256, so what an index or a map compares tells an attacker
//! nothing about a token; the hashes are then compared once more in constant time. Tokens
//! that were found are kept until one of any kind changes: the reader looks at their revision
//! with each page.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use ring::digest;
use subtle::ConstantTimeEq;

use super::cursor::Cursor;
use super::desk::{Away, Desk};
use super::topic::{Of, Topic};
use crate::http::Metrics;
use crate::model::Pattern;
use crate::store::Pool;
use crate::store::tokens::{
    ApiTokenRow, SessionRow, Subject, TokenHash, find_api_tokens, find_sessions,
};

/// The longest text that can be a token, in bytes.
const LONGEST: usize = 512;

/// The most tokens of each kind that are kept. Beyond it everything is asked for again: that is a
/// burst of questions in an hour, and never more memory than this.
const MOST: usize = 200_000;

/// Finds whose token a client shows, and remembers it.
#[derive(Debug)]
pub struct Access {
    api: Kept<ApiTokenRow>,
    sessions: Kept<Session>,
}

/// A session, and how far its state is known.
#[derive(Debug)]
pub struct Session {
    pub row: SessionRow,
    pub complete_on: Option<Vec<Pattern>>,
    pub progress: Mutex<Progress>,
}

/// What the events up to a position say of a session.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub is_complete: bool,
    /// The position up to which events were read; none where nothing has been read.
    pub read: Option<Cursor>,
}

impl Access {
    /// Remembers nothing yet, and asks this database.
    #[must_use]
    pub fn new(pool: &Pool, metrics: &Metrics) -> Self {
        let api_pool = pool.clone();
        let session_pool = pool.clone();
        Self {
            api: Kept::new(Desk::open(
                metrics.clone(),
                move |hashes: Vec<TokenHash>| {
                    let pool = api_pool.clone();
                    async move {
                        let rows = find_api_tokens(&pool, &hashes).await?;
                        Ok(in_order(&hashes, rows, |row| row.hash, |row| row))
                    }
                },
            )),
            sessions: Kept::new(Desk::open(
                metrics.clone(),
                move |hashes: Vec<TokenHash>| {
                    let pool = session_pool.clone();
                    async move {
                        let rows = find_sessions(&pool, &hashes).await?;
                        Ok(in_order(&hashes, rows, |row| row.hash, Session::new))
                    }
                },
            )),
        }
    }

    /// Finds a merchant's API token that is still good.
    pub async fn api_token(
        &self,
        hash: &TokenHash,
        now: DateTime<Utc>,
    ) -> Result<Option<Arc<ApiTokenRow>>, Away> {
        let found = self.api.find(hash).await?;
        let found = found.filter(|row| bool::from(row.hash.ct_eq(hash)));
        Ok(found.filter(|row| row.expires_at.is_none_or(|end| now < end)))
    }

    /// Finds a session, ended or not.
    pub async fn session(&self, hash: &TokenHash) -> Result<Option<Arc<Session>>, Away> {
        let found = self.sessions.find(hash).await?;
        Ok(found.filter(|session| bool::from(session.row.hash.ct_eq(hash))))
    }

    /// Forgets all tokens, because some token has changed, or may have.
    pub fn forget(&self) {
        self.api.forget();
        self.sessions.forget();
    }
}

/// The hash of a token; none where the text cannot be one.
#[must_use]
pub fn token_hash(token: &str) -> Option<TokenHash> {
    if token.is_empty() || token.len() > LONGEST {
        return None;
    }
    let digest = digest::digest(&digest::SHA256, token.as_bytes());
    digest.as_ref().try_into().ok()
}

impl Session {
    fn new(row: SessionRow) -> Self {
        let patterns = row.complete_on.as_ref();
        let pattern = |text: &String| Pattern::new(text);
        Self {
            complete_on: patterns.map(|texts| texts.iter().map(pattern).collect()),
            row,
            progress: Mutex::default(),
        }
    }

    #[must_use]
    pub fn topic(&self) -> Topic {
        Topic {
            merchant: self.row.merchant.clone(),
            of: match &self.row.subject {
                Subject::Transaction(transaction) => Of::Transaction(transaction.clone()),
                Subject::Device(device) => Of::Device(device.clone()),
            },
        }
    }

    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_order<R, T>(
    hashes: &[TokenHash],
    rows: Vec<R>,
    hash: impl Fn(&R) -> TokenHash,
    make: impl Fn(R) -> T,
) -> Vec<Option<Arc<T>>> {
    let mut found: HashMap<TokenHash, Arc<T>> = rows
        .into_iter()
        .map(|row| (hash(&row), Arc::new(make(row))))
        .collect();
    // The same token may be asked for twice in one statement.
    let found = &mut found;
    hashes.iter().map(|hash| found.get(hash).cloned()).collect()
}

/// Rows that are remembered by the hash of their token.
#[derive(Debug)]
struct Kept<T> {
    found: Mutex<(u64, HashMap<TokenHash, Arc<T>>)>,
    desk: Desk<TokenHash, Option<Arc<T>>>,
}

impl<T: Send + Sync + 'static> Kept<T> {
    fn new(desk: Desk<TokenHash, Option<Arc<T>>>) -> Self {
        Self {
            found: Mutex::default(),
            desk,
        }
    }

    async fn find(&self, hash: &TokenHash) -> Result<Option<Arc<T>>, Away> {
        let generation = {
            let kept = self.lock();
            if let Some(found) = kept.1.get(hash) {
                return Ok(Some(Arc::clone(found)));
            }
            kept.0
        };
        let found = self.desk.ask(*hash).await?;
        if let Some(found) = &found {
            let mut kept = self.lock();
            // What was read before a change is not kept after it.
            if kept.0 == generation {
                if kept.1.len() >= MOST {
                    kept.1.clear();
                }
                kept.1.insert(*hash, Arc::clone(found));
            }
        }
        Ok(found)
    }

    fn forget(&self) {
        let mut kept = self.lock();
        kept.0 += 1;
        kept.1.clear();
    }

    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<TokenHash, Arc<T>>)> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
