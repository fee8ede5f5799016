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

use super::data::{Form, data};
use super::process::Process;
use super::usage::cpu_ms;
use super::worker::CREDENTIALS;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Of the receiver, up to the number of the endpoint
    #[arg(long)]
    pub url: String,
    #[arg(long)]
    pub requests: usize,
    #[arg(long)]
    pub endpoints: u32,
    /// Simultaneous requests of all endpoints
    #[arg(long)]
    pub connections: u32,
    #[arg(long)]
    pub form: Form,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Floor {
    pub connections: u32,
    pub requests: usize,
    pub seconds: f64,
    pub cpu_ms: u64,
    /// What the receiver used meanwhile, as its process shows to whoever measures.
    #[serde(default)]
    pub receiver_cpu_ms: u64,
}

impl Floor {
    /// With another run over as many connections.
    pub fn and(self, other: Self) -> Self {
        Self {
            connections: self.connections,
            requests: self.requests + other.requests,
            seconds: self.seconds + other.seconds,
            cpu_ms: self.cpu_ms + other.cpu_ms,
            receiver_cpu_ms: self.receiver_cpu_ms + other.receiver_cpu_ms,
        }
    }

    pub fn per_s(self) -> f64 {
        self.requests as f64 / self.seconds
    }

    pub fn cpu_ms_per_1000(self) -> f64 {
        self.cpu_ms as f64 * 1000.0 / self.requests as f64
    }

    pub fn receiver_cpu_ms_per_1000(self) -> f64 {
        self.receiver_cpu_ms as f64 * 1000.0 / self.requests as f64
    }
}

impl Args {
    /// Runs the loop in a process of its own, so that its CPU time is known. `receiver`: the
    /// process that answers.
    pub async fn measure(&self, receiver: u32) -> anyhow::Result<Floor> {
        let receiver_before = cpu_ms(receiver)?;
        let mut command = Process::this_bench()?;
        command.args(["client", "--url", &self.url]);
        command.args(["--requests", &self.requests.to_string()]);
        command.args(["--endpoints", &self.endpoints.to_string()]);
        command.args(["--connections", &self.connections.to_string()]);
        let form = match self.form {
            Form::Json => "json",
            Form::Xml => "xml",
        };
        command.args(["--form", form]);
        let mut process = Process::start(&mut command)?;
        let said = process.next_line().await?;
        process.ended().await?;
        let floor: Floor = serde_json::from_str(&said.unwrap_or_default())?;
        Ok(Floor {
            receiver_cpu_ms: cpu_ms(receiver)? - receiver_before,
            ..floor
        })
    }
}

struct Work {
    bodies: Vec<Bytes>,
    next: AtomicUsize,
}

/// A sender for each connection, to one of the endpoints; it sends one request after another.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let client = client()?;
    let headers = headers(args.form)?;
    let template = args.form.body();
    let bodies = (0..args.requests).map(|number| data(&template, number).into());
    let work = Arc::new(Work {
        bodies: bodies.collect(),
        next: AtomicUsize::new(0),
    });
    let cpu_before = cpu_ms(std::process::id())?;
    let began = Instant::now();
    let mut senders = JoinSet::new();
    for sender in 0..args.connections {
        let url: Url = format!("{}{}", args.url, sender % args.endpoints).parse()?;
        senders.spawn(send(
            client.clone(),
            url,
            headers.clone(),
            Arc::clone(&work),
        ));
    }
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    let floor = Floor {
        connections: args.connections,
        requests: args.requests,
        seconds: began.elapsed().as_secs_f64(),
        cpu_ms: cpu_ms(std::process::id())? - cpu_before,
        receiver_cpu_ms: 0,
    };
    println!("{}", serde_json::to_string(&floor)?);
    Ok(())
}

async fn send(client: Client, url: Url, headers: HeaderMap, work: Arc<Work>) -> anyhow::Result<()> {
    while let Some(body) = work.bodies.get(work.next.fetch_add(1, Ordering::Relaxed)) {
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

/// As long as the worker's; a signature that is none costs the client no less to send.
fn headers(form: Form) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(USER_AGENT, HeaderValue::from_static("Posthorn/floor"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    headers.insert("webhook-timestamp", HeaderValue::from_static("1772366400"));
    headers.insert("webhook-attempt", HeaderValue::from_static("1"));
    match form {
        Form::Json => {
            let authorization = format!("Basic {}", BASE64_STANDARD.encode(CREDENTIALS));
            headers.insert(AUTHORIZATION, HeaderValue::try_from(authorization)?);
        }
        Form::Xml => {
            let signature = format!("v1,{}", BASE64_STANDARD.encode([0; 32]));
            headers.insert("webhook-signature", HeaderValue::try_from(signature)?);
        }
    }
    Ok(headers)
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
