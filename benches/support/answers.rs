//! A small HTTP/1.1 server, so that what a receiver costs takes little of the machine from those
//! that are measured: it reads heads and lengths, and answers 200 with a text that is always the
//! same, all that one read brought with one write.

use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::clock::now_us;
use super::data::NUMBER;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Room for what one read brings: several requests.
const READ: usize = 8192;

/// What is done about a request before it is answered.
#[derive(Debug, Default)]
pub struct Manners {
    pub delay: Duration,
    /// What begins with this path gets no answer.
    pub hang: Option<String>,
    /// Whether to write down when each event arrived.
    pub keep: bool,
    /// The number of each event that has arrived, and when.
    pub arrivals: Mutex<Vec<(usize, u64)>>,
}

/// Accepts and answers for as long as it is polled.
pub async fn serve(listener: TcpListener, manners: Arc<Manners>) {
    while let Ok((stream, _)) = listener.accept().await {
        // An error is a sender that went away.
        tokio::spawn(answer(stream, Arc::clone(&manners)));
    }
}

async fn answer(mut stream: TcpStream, manners: Arc<Manners>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut unread = BytesMut::new();
    let mut answers = vec![];
    loop {
        unread.reserve(READ);
        if stream.read_buf(&mut unread).await? == 0 {
            return Ok(());
        }
        while let Some(request) = Request::first_of(&unread)? {
            manners.observe(&request).await;
            let length = request.length;
            unread.advance(length);
            answers.extend_from_slice(ANSWER);
        }
        stream.write_all(&answers).await?;
        answers.clear();
    }
}

struct Request<'a> {
    path: &'a [u8],
    body: &'a [u8],
    /// Of head and body.
    length: usize,
}

impl<'a> Request<'a> {
    /// The first of what was read; none while it is not whole.
    fn first_of(unread: &'a [u8]) -> Result<Option<Self>, Error> {
        let Some(end) = memmem::find(unread, b"\r\n\r\n") else {
            return Ok(None);
        };
        let (head, rest) = unread.split_at(end + 4);
        let malformed = || Error::new(ErrorKind::InvalidData, "no request that this one reads");
        let length = content_length(head).ok_or_else(malformed)?;
        let path = head.split(|&byte| byte == b' ').nth(1);
        let path = path.ok_or_else(malformed)?;
        Ok(rest.get(..length).map(|body| Self {
            path,
            body,
            length: head.len() + length,
        }))
    }

    /// What the event's data carries; none of a body that carries none.
    fn number(&self) -> Option<usize> {
        const BEFORE: &[u8] = b"\"number\":\"";
        let start = memmem::find(self.body, BEFORE)? + BEFORE.len();
        let digits = self.body.get(start..start + NUMBER.len())?;
        str::from_utf8(digits).ok()?.parse().ok()
    }
}

/// 0 where the head says nothing of it; none where it cannot be read.
fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    for line in head.split(|&byte| byte == b'\n') {
        if let Some((name, value)) = line.split_at_checked(NAME.len())
            && name.eq_ignore_ascii_case(NAME)
        {
            return str::from_utf8(value).ok()?.trim().parse().ok();
        }
    }
    Some(0)
}

impl Manners {
    async fn observe(&self, request: &Request<'_>) {
        if self.keep
            && let Some(number) = request.number()
        {
            let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            arrivals.push((number, now_us()));
        }
        if let Some(path) = &self.hang
            && request.path.starts_with(path.as_bytes())
        {
            std::future::pending::<()>().await;
        }
        if !self.delay.is_zero() {
            sleep(self.delay).await;
        }
    }
}
