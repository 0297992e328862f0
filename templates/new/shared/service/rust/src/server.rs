{% set no_body = ', ""' if template == 'store' else '' -%}
//! Health check, metrics and the end of the service, around its routes.

use std::{
    env,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use tiny_http::{Method, Request, Response, Server};

/// How many requests are answered at the same time.
const THREADS: usize = 8;

/// The number of {{ counter }}, for the metrics.
pub static {{ counter | upper }}: AtomicU64 = AtomicU64::new(0);

/// The answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into() }
    }
}

/// A request without its connection.
#[derive(Debug)]
pub struct Call<'a> {
    pub method: &'a Method,
    pub path: &'a str,
{%- if template == "store" %}
    pub body: &'a [u8],
{%- endif %}
}

/// The routes of the service.
pub trait Service: Send + Sync {
    fn answer(&self, call: &Call<'_>) -> Answer;
    /// Why the service cannot work.
    fn problem(&self) -> Option<String>;
}

/// Answers requests until SIGTERM or SIGINT, and then finishes the open ones.
pub fn serve(service: &dyn Service) -> Result<(), Box<dyn Error>> {
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let server = Arc::new(Server::http(format!("0.0.0.0:{port}")).map_err(|error| error.to_string())?);
    println!("listening on port {port}");
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let stopped = Arc::clone(&server);
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            println!("stopping");
            (0..THREADS).for_each(|_| stopped.unblock());
        }
    });
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Ok(request) = server.recv() {
                    respond(service, request);
                }
            });
        }
    });
    Ok(())
}
{%- if template == "store" %}

fn respond(service: &dyn Service, mut request: Request) {
    let mut body = Vec::new();
    let answer = match request.as_reader().read_to_end(&mut body) {
        Ok(_) => answer(service, &Call { method: request.method(), path: request.url(), body: &body }),
        Err(error) => Answer::new(400, error.to_string()),
    };
{%- else %}

fn respond(service: &dyn Service, request: Request) {
    let answer = answer(service, &Call { method: request.method(), path: request.url() });
{%- endif %}
    // A client that is gone needs no answer.
    let _ = request.respond(Response::from_data(answer.body).with_status_code(answer.status));
}

/// Answers the health check and the metrics, and everything else with the routes of the service.
pub fn answer(service: &dyn Service, call: &Call<'_>) -> Answer {
    match (call.method, call.path) {
        (Method::Get, "/healthz") => match service.problem() {
            Some(problem) => Answer::new(503, problem),
            None => Answer::new(200, "ok\n"),
        },
        (Method::Get, "/metrics") => {
            let count = {{ counter | upper }}.load(Ordering::Relaxed);
            Answer::new(200, format!("# TYPE {{ metric }} counter\n{{ metric }} {count}\n"))
        }
{%- if template == "worker" %}
        _ => service.answer(call),
{%- else %}
        _ => {
            {{ counter | upper }}.fetch_add(1, Ordering::Relaxed);
            service.answer(call)
        }
{%- endif %}
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The status and the body of an answer.
{%- if template == "store" %}
    pub fn ask(service: &dyn Service, method: Method, path: &str, body: &str) -> (u16, String) {
        let call = Call { method: &method, path, body: body.as_bytes() };
{%- else %}
    pub fn ask(service: &dyn Service, method: Method, path: &str) -> (u16, String) {
        let call = Call { method: &method, path };
{%- endif %}
        let found = answer(service, &call);
        (found.status, String::from_utf8(found.body).unwrap())
    }

    struct Fixed(Option<String>);

    impl Service for Fixed {
        fn answer(&self, _: &Call<'_>) -> Answer {
            Answer::new(404, "not found\n")
        }

        fn problem(&self) -> Option<String> {
            self.0.clone()
        }
    }

    #[test]
    fn health_and_metrics_are_answered() {
        let service = Fixed(None);
        assert_eq!(ask(&service, Method::Get, "/healthz"{{ no_body }}), (200, "ok\n".to_owned()));
        assert!(ask(&service, Method::Get, "/metrics"{{ no_body }}).1.contains("\n{{ metric }} "));
        assert_eq!(ask(&Fixed(Some("broken".to_owned())), Method::Get, "/healthz"{{ no_body }}).0, 503);
        assert_eq!(ask(&service, Method::Get, "/"{{ no_body }}).0, 404);
    }
}
