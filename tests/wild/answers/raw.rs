//! Receivers that say exactly the bytes of a report.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Listens on loopback; what it does with a connection is the test's.
pub struct Raw {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

#[derive(Clone, Debug)]
pub struct Request {
    /// Of its connection, from 0.
    pub connection: usize,
    pub text: String,
}

/// A connection as its receiver sees it.
pub struct Caller {
    pub stream: TcpStream,
    pub connection: usize,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Raw {
    pub async fn serving<F, S>(serve: F) -> Self
    where
        F: Fn(Caller) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        Self::with_buffer(None, serve).await
    }

    /// `buffer` is what the system keeps of what was not read, bytes.
    #[expect(clippy::unused_async, reason = "it has to run within the runtime")]
    pub async fn with_buffer<F, S>(buffer: Option<u32>, serve: F) -> Self
    where
        F: Fn(Caller) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(256).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            let mut connection = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let requests = Arc::clone(&kept);
                tokio::spawn(serve(Caller {
                    stream,
                    connection,
                    requests,
                }));
                connection += 1;
            }
        });
        Self { address, requests }
    }

    /// Says the same to every request, and leaves the connection open.
    pub async fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::serving(move |mut caller| {
            let answer = answer.clone();
            async move {
                while caller.request().await.is_some() {
                    if caller.stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Says it to the first request of each connection, and closes in order.
    pub async fn saying_and_closing(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::serving(move |mut caller| {
            let answer = answer.clone();
            async move {
                if caller.request().await.is_some() {
                    let _ = caller.stream.write_all(&answer).await;
                }
            }
        })
        .await
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Of each request, which connection it came by.
    pub fn connections(&self) -> Vec<usize> {
        self.requests().iter().map(|it| it.connection).collect()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Caller {
    /// The next request whole, head and body; none at the end of the connection.
    pub async fn request(&mut self) -> Option<String> {
        let text = read_request(&mut self.stream).await?;
        self.requests.lock().unwrap().push(Request {
            connection: self.connection,
            text: text.clone(),
        });
        Some(text)
    }

    /// Closes by a reset.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let line = line.to_ascii_lowercase();
                line.strip_prefix("content-length: ")?.parse::<usize>().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text.into_owned());
            }
        }
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).await.ok()?;
        if length == 0 {
            return None;
        }
        bytes.extend_from_slice(&chunk[..length]);
    }
}
