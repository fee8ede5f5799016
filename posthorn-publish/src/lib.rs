//! Publishes events to Posthorn in your own transaction: what commits is delivered, and what
//! rolls back was never there.
//!
//! Posthorn is an outbound webhook engine beside your PostgreSQL. This crate calls the functions
//! of its schema `posthorn` over any [`PgExecutor`]: a transaction (`&mut *tx`), a connection
//! or a pool.
//!
//! ```no_run
//! use posthorn_publish::{Error, Event, publish};
//!
//! # async fn approve(pool: &sqlx::PgPool) -> Result<(), Error> {
//! let mut tx = pool.begin().await?;
//! sqlx::query("UPDATE payments SET status = 'approved' WHERE id = $1")
//!     .bind("T-1")
//!     .execute(&mut *tx)
//!     .await?;
//! let event = Event::new("acme", "payment.approved", "T-1", "approved")
//!     .data_text(r#"{"amount": 12.50}"#)?;
//! publish(&mut *tx, &event).await?;
//! tx.commit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The role that publishes gets its rights by `posthorn grant --publisher ROLE`; for one that may
//! publish for some merchants only (`--merchant`), there is [`publish_own`].

#![deny(missing_docs)]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used))]

mod address;
mod error;
mod event;
mod json;
mod session;

pub use address::{Address, Method, subscribe_transaction};
pub use error::{Error, Refusal};
pub use event::{Event, publish, publish_own};
pub use session::{Session, issue_session};

#[doc(no_inline)]
pub use sqlx::PgExecutor;

/// The README's code is a test as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
