//! The provider's application: changes statuses, and publishes each change in the
//! transaction that makes it.

use std::collections::VecDeque;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::script::Merchant;
use crate::store::demo::{self, Change};
use crate::store::{Pool, StoreError, Transaction};

/// The most transactions of one merchant that are under way at a time.
const OPEN: usize = 20;

/// How many transactions there are to one that fails after it has published, and is rolled back.
const ROLLED_BACK: u32 = 40;

/// An event that is committed.
#[derive(Debug)]
pub struct Published {
    pub event: Uuid,
    pub merchant: &'static str,
    pub kind: &'static str,
    /// When the commit was confirmed to the publisher.
    pub committed: Instant,
}

/// A transaction of the merchant's customers, and what it has still to go through.
struct Business {
    id: String,
    cents: u32,
    steps: &'static [(&'static str, &'static str)],
}

/// Publishes status changes of one merchant until `quiet`.
pub async fn publish(
    pool: Pool,
    merchant: &'static Merchant,
    news: UnboundedSender<Published>,
    quiet: CancellationToken,
) -> Result<(), StoreError> {
    let mut open: VecDeque<Business> = VecDeque::new();
    loop {
        let pause = merchant.pace.mul_f64(rand::random_range(0.2..1.8));
        tokio::select! {
            () = quiet.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        if open.len() < OPEN && rand::random_bool(0.5) || open.is_empty() {
            open.push_back(begin(merchant));
        }
        let Some(mut business) = open.pop_front() else {
            continue;
        };
        let Some(((kind, status), rest)) = business.steps.split_first() else {
            continue;
        };
        let mut transaction = pool.begin().await?;
        let event = insert(&mut transaction, merchant, &business, kind, status).await?;
        if rand::random_ratio(1, ROLLED_BACK) {
            // It will be tried again: the change has not happened.
            drop(transaction);
        } else {
            transaction.commit().await?;
            // Nobody listens any more only when the demo ends.
            let _ = news.send(Published {
                event,
                merchant: merchant.name,
                kind,
                committed: Instant::now(),
            });
            business.steps = rest;
        }
        if !business.steps.is_empty() {
            open.push_back(business);
        }
    }
}

fn begin(merchant: &Merchant) -> Business {
    Business {
        id: (merchant.new_id)(),
        cents: rand::random_range(100..50_000),
        steps: merchant.lives[rand::random_range(0..merchant.lives.len())],
    }
}

async fn insert(
    transaction: &mut Transaction,
    merchant: &Merchant,
    business: &Business,
    kind: &str,
    status: &str,
) -> Result<Uuid, StoreError> {
    let change = Change {
        merchant: merchant.name,
        kind,
        transaction_id: &business.id,
        status,
    };
    let data = (merchant.data)(&business.id, status, business.cents);
    demo::publish(transaction, change, &data).await
}
