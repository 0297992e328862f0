//! A registry in this process.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::domain::ImageReference;

/// A status for which the server sends no response.
const NEVER: u16 = 0;

/// A request: its first line (`GET /v2/...`), and all of it.
pub(super) struct Request {
    pub(super) line: String,
    pub(super) text: String,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.text.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// A response: status, headers, body.
pub(super) struct Reply(u16, Vec<(&'static str, String)>, String);

pub(super) fn reply(status: u16, body: impl Into<String>) -> Reply {
    Reply(status, Vec::new(), body.into())
}

/// Never responds.
pub(super) fn hang() -> Reply {
    reply(NEVER, "")
}

impl Reply {
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.1.push((name, value.into()));
        self
    }
}

/// A registry on its own port, and the first lines of all requests that it received.
pub(super) struct Server {
    pub(super) host: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `answer` gets the host, the request and the number of earlier requests.
    pub(super) async fn start(answer: impl Fn(&str, &Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let server = Self { host: host.clone(), seen: Arc::clone(&seen) };
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (host, seen, answer) = (host.clone(), Arc::clone(&seen), Arc::clone(&answer));
                tokio::spawn(
                    async move { serve(stream, |request, before| answer(&host, request, before), &seen).await },
                );
            }
        });
        server
    }

    pub(super) fn image(&self, rest: &str) -> ImageReference {
        ImageReference::parse(&format!("{}/{rest}", self.host)).unwrap()
    }

    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Handles one request, and closes the connection.
async fn serve(mut stream: TcpStream, answer: impl Fn(&Request, usize) -> Reply, seen: &Mutex<Vec<String>>) {
    let mut text = String::new();
    let is_whole = |text: &str| {
        let length = text.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length.unwrap_or(0usize))
    };
    while !is_whole(&text) {
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes).await {
            Ok(read) if read > 0 => text.push_str(&String::from_utf8_lossy(&bytes[..read])),
            _ => return,
        }
    }
    let line = text.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push(line.clone());
        seen.len() - 1
    };
    let is_head = line.starts_with("HEAD");
    let Reply(status, headers, body) = answer(&Request { line, text }, before);
    if status == NEVER {
        return std::future::pending().await;
    }
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let body = if is_head { "" } else { &body };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    let _ = stream.write_all(answer.as_bytes()).await;
}
