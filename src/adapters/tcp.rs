//! Tests whether a port accepts connections.

use std::time::Duration;

use tokio::{net::TcpStream, time::timeout};

/// Opens a connection and closes it.
///
/// # Errors
/// The operating system's error, or a timeout.
pub async fn connect(host: &str, port: u16, patience: Duration) -> Result<(), String> {
    match timeout(patience, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("timed out after {} s", patience.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_is_not_reported_without_a_process() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(connect("127.0.0.1", port, Duration::from_secs(2)).await, Ok(()));
        drop(listener);
        // A child that another test starts at this moment also holds the listener until it calls `exec`.
        let refused = loop {
            match connect("127.0.0.1", port, Duration::from_secs(2)).await {
                Ok(()) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(refused) => break refused,
            }
        };
        assert!(refused.contains("refused"), "{refused}");
    }
}
