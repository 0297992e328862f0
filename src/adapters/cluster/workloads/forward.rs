//! Connections to ports of pods.

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    adapters::cluster::{Cluster, ClusterError},
    domain::secret::Secret,
};

/// A request to a port of a pod.
#[derive(Debug, Clone)]
pub struct PodRequest<'a> {
    pub namespace: &'a str,
    pub pod: &'a str,
    pub port: u16,
    pub path: &'a str,
    /// The user and the password, if it needs them.
    pub login: Option<(&'a str, &'a Secret)>,
}

impl PodRequest<'_> {
    /// HTTP/1.0: the answer ends with the connection.
    fn head(&self) -> String {
        let login = self.login.map(|(user, password)| {
            let token = STANDARD.encode(format!("{user}:{}", password.expose()));
            format!("Authorization: Basic {token}\r\n")
        });
        let login = login.unwrap_or_default();
        format!("GET {} HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n{login}\r\n", self.path)
    }
}

/// The status and the body of an answer.
fn answer(bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, bytes[end + 4..].to_vec()))
}

impl Cluster {
    /// Requests a path from a port of a pod. Returns the status and the body; `None` if the answer is not HTTP.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn request_pod(&self, request: &PodRequest<'_>) -> Result<Option<(u16, Vec<u8>)>, ClusterError> {
        let pods: Api<Pod> = self.namespaced(request.namespace);
        let asking = || ClusterError::asking(format!("connect to port {} of {}", request.port, request.pod));
        let mut forwarder = pods.portforward(request.pod, &[request.port]).await.map_err(asking())?;
        let Some(mut stream) = forwarder.take_stream(request.port) else { return Ok(None) };
        let mut bytes = Vec::new();
        if stream.write_all(request.head().as_bytes()).await.is_ok() {
            // A connection that breaks has sent what it has sent.
            let _ = stream.read_to_end(&mut bytes).await;
        }
        Ok(answer(&bytes))
    }

    /// Connects a local connection to a port of a pod, until one side closes it. Returns what the pod reports, such as
    /// that nothing listens there.
    ///
    /// # Errors
    /// If the API returns an error.
    pub async fn forward_connection(
        &self,
        (namespace, pod): (&str, &str),
        port: u16,
        mut local: TcpStream,
    ) -> Result<Option<String>, ClusterError> {
        let pods: Api<Pod> = self.namespaced(namespace);
        let forwarder = pods.portforward(pod, &[port]).await;
        let mut forwarder = forwarder.map_err(ClusterError::asking(format!("forward port {port} of {pod}")))?;
        let (Some(mut remote), Some(error)) = (forwarder.take_stream(port), forwarder.take_error(port)) else {
            return Ok(None);
        };
        // Either side may close its half first; an error of the connection ends it.
        let _ = tokio::io::copy_bidirectional(&mut local, &mut remote).await;
        drop(remote);
        Ok(tokio::time::timeout(std::time::Duration::from_millis(100), error).await.ok().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let bytes = b"HTTP/1.1 404 Object Not Found\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(answer(bytes), Some((404, b"{}".to_vec())));
        assert_eq!(answer(b"AMQP"), None);
    }

    #[test]
    fn a_password_is_only_in_the_header() {
        let password = Secret::new("pass");
        let request = PodRequest { namespace: "tunes", pod: "a", port: 1, path: "/x", login: Some(("ann", &password)) };
        assert!(request.head().contains("Basic YW5uOnBhc3M=\r\n\r\n") && !format!("{request:?}").contains("pass\""));
    }
}
