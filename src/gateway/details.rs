//! `ViewReceipt`: the details of the event that completed a session, as name-value pairs
//! (WIRE.md 2.4).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::Gateway;
use super::receive::read_body;
use super::refusal::Refusal;
use super::session::SessionState;
use crate::shape;
use crate::store::tokens::Subject;

const FORM: &str = "application/x-www-form-urlencoded";

const ACTION: &str = "ViewReceipt";

/// `POST /payment/NVP.aspx`. The page's other parameters (merchantID and so on) are taken and
/// not needed: the token stands for its one transaction.
pub async fn answer(State(gateway): State<Arc<Gateway>>, body: Body) -> Response {
    match receipt(&gateway, body).await {
        Ok(receipt) => ([(CONTENT_TYPE, FORM)], receipt).into_response(),
        Err(refusal) => {
            // In the names that the receipt has for them.
            let body = form_urlencoded::Serializer::new(String::new())
                .append_pair("responseCode", refusal.code())
                .append_pair("responseMessage", refusal.message())
                .finish();
            refusal.with_body(([(CONTENT_TYPE, FORM)], body))
        }
    }
}

async fn receipt(gateway: &Arc<Gateway>, body: Body) -> Result<String, Refusal> {
    let body = read_body(body).await?;
    let mut action = None;
    let mut token = None;
    // The page's request ends with "&", which is no pair.
    for (name, value) in form_urlencoded::parse(&body) {
        match &*name {
            "transactionAction" => action = Some(value),
            "singleSignOnToken" => token = Some(value),
            _ => {}
        }
    }
    if action.as_deref() != Some(ACTION) {
        return Err(Refusal::Malformed(
            "transactionAction is missing or not known; give ViewReceipt",
        ));
    }
    let session = gateway.session(token.as_deref()).await?;
    let Subject::Transaction(transaction) = &session.row.subject else {
        return Err(Refusal::Unauthorized);
    };
    match gateway.state_of(&session, Duration::ZERO).await? {
        SessionState::Complete => {}
        SessionState::New => {
            return Err(Refusal::Malformed(
                "the transaction is not complete; ask GetSSOTokenStatus first",
            ));
        }
        SessionState::Expired => return Err(Refusal::Unauthorized),
    }
    let asked = (session.row.merchant.clone(), transaction.clone());
    let page = gateway.transactions.ask(asked).await?;
    let events = page.events.iter().map(|(_, event)| event);
    let completed = events.filter(|event| session.completes(event));
    // Whatever came after it, such as the settlement of days later, is not what was paid then.
    let first = completed.min_by_key(|event| event.id);
    let event = first.ok_or(Refusal::NotFound)?;
    let receipt = &gateway.settings.receipt;
    shape::name_value_pairs(event, receipt, &gateway.token_key, gateway.clock.now()).map_err(
        |unsendable| {
            tracing::warn!(event = %event.id, "a receipt cannot be made: {unsendable}");
            Refusal::NotFound
        },
    )
}
