//! A relay in front of the registry that represents the internet: it counts requests.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Forwards every request to another registry until the test ends.
pub(crate) struct Upstream {
    port: u16,
    blobs: Arc<AtomicUsize>,
}

impl Upstream {
    /// Listens on an address that containers reach. `registry`: `127.0.0.1:5555`.
    pub(crate) fn before(registry: &str) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let blobs = Arc::new(AtomicUsize::new(0));
        let (counter, registry) = (Arc::clone(&blobs), registry.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (counter, registry) = (Arc::clone(&counter), registry.clone());
                thread::spawn(move || relay(client, &registry, &counter));
            }
        });
        Self { port, blobs }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// The number of requests for blobs since the last call.
    pub(crate) fn blobs(&self) -> usize {
        self.blobs.swap(0, Ordering::SeqCst)
    }
}

fn relay(client: TcpStream, registry: &str, blobs: &AtomicUsize) {
    let Ok(server) = TcpStream::connect(registry) else { return };
    let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Write);
    });
    forward(client, server, blobs);
}

/// Forwards requests, and counts those for blobs. Requests have no bodies here. An incomplete line at the end of a chunk
/// is read again with the next chunk.
fn forward(mut client: TcpStream, mut server: TcpStream, blobs: &AtomicUsize) {
    let (mut piece, mut rest) = ([0; 16 * 1024], String::new());
    while let Ok(read) = client.read(&mut piece) {
        if read == 0 || server.write_all(&piece[..read]).is_err() {
            break;
        }
        rest.push_str(&String::from_utf8_lossy(&piece[..read]));
        while let Some((line, after)) = rest.split_once('\n') {
            let asks = line.starts_with("GET /v2/") && line.contains("/blobs/");
            blobs.fetch_add(usize::from(asks), Ordering::SeqCst);
            rest = after.to_owned();
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}
