//! Counts each request to the Kubernetes API, and logs its method, URL, status and duration. Bodies, which may contain
//! Secrets, and headers are never logged.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use kube::client::Body;
use tower::{Layer, Service};

use super::requests;
use crate::adapters::call::{Caller, HttpCall};

/// Adds the log to a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogLayer;

/// A client that logs its requests.
#[derive(Debug, Clone)]
pub(super) struct Logged<S>(S);

impl<S> Layer<S> for LogLayer {
    type Service = Logged<S>;

    fn layer(&self, inner: S) -> Logged<S> {
        Logged(inner)
    }
}

impl<S, B> Service<Request<Body>> for Logged<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        requests::count(request.method(), request.uri());
        let call = HttpCall::start(Caller::Cluster, request.method(), request.uri());
        let response = self.0.call(request);
        Box::pin(async move {
            let result = response.await;
            match &result {
                Ok(response) => call.end(response.status().as_u16()),
                // The error of a credential plugin contains its output.
                Err(_) => call.fail("no response"),
            }
            result
        })
    }
}
