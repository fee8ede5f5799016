//! The floor: how fast the bare HTTP client sends the same requests on this machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Client, Method, Request, Url, redirect};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::data::{data, template};
use crate::support::process::Process;
use crate::support::stand::{CREDENTIALS, Subscriptions};
use crate::usage::cpu_ms;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(long)]
    url: String,
    #[arg(long)]
    events: usize,
    #[command(flatten)]
    subscriptions: Subscriptions,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Floor {
    pub requests: usize,
    pub seconds: f64,
    pub cpu_ms: u64,
}

/// Runs the loop in a process of its own, so that its CPU time is known.
pub async fn measure(
    url: &str,
    events: usize,
    subscriptions: Subscriptions,
) -> anyhow::Result<Floor> {
    let mut command = Process::this_bench()?;
    command.args(["floor", "--url", url]);
    command.args(["--events", &events.to_string()]);
    command.args(["--subscriptions", &subscriptions.subscriptions.to_string()]);
    command.args(["--max-in-flight", &subscriptions.max_in_flight.to_string()]);
    let mut process = Process::start(&mut command)?;
    let said = process.next_line().await?;
    process.ended().await?;
    Ok(serde_json::from_str(&said.unwrap_or_default())?)
}

/// As many senders as the lanes have places; each sends one request after another.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let client = client()?;
    let template = template();
    let bodies: Vec<Bytes> = (0..args.events)
        .map(|number| data(&template, number).into())
        .collect();
    let work = Arc::new((bodies, AtomicUsize::new(0)));
    let cpu_before = cpu_ms(std::process::id())?;
    let began = Instant::now();
    let mut senders = JoinSet::new();
    for subscription in 0..args.subscriptions.subscriptions {
        let url: Url = format!("{}/hook/{subscription}", args.url).parse()?;
        for _ in 0..args.subscriptions.max_in_flight {
            senders.spawn(send(client.clone(), url.clone(), Arc::clone(&work)));
        }
    }
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    let floor = Floor {
        requests: args.events,
        seconds: began.elapsed().as_secs_f64(),
        cpu_ms: cpu_ms(std::process::id())? - cpu_before,
    };
    println!("{}", serde_json::to_string(&floor)?);
    Ok(())
}

async fn send(
    client: Client,
    url: Url,
    work: Arc<(Vec<Bytes>, AtomicUsize)>,
) -> anyhow::Result<()> {
    let (bodies, next) = &*work;
    let authorization = format!("Basic {}", BASE64_STANDARD.encode(CREDENTIALS));
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(USER_AGENT, HeaderValue::from_static("Posthorn/floor"));
    headers.insert(AUTHORIZATION, HeaderValue::try_from(authorization)?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
        let mut request = Request::new(Method::POST, url.clone());
        *request.headers_mut() = headers.clone();
        let id = HeaderValue::try_from(Uuid::now_v7().to_string())?;
        request.headers_mut().insert("webhook-id", id);
        *request.body_mut() = Some(body.clone().into());
        let response = client.execute(request).await?;
        ensure!(response.status().is_success(), "{}", response.status());
        response.bytes().await?;
    }
    Ok(())
}

fn client() -> anyhow::Result<Client> {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .build()
        .context("the bare client")
}
