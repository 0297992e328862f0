//! {{ name }} is an HTTP service.

mod server;

use server::{Answer, Call, Service};
use tiny_http::Method;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    server::serve(&Web)
}

struct Web;

impl Service for Web {
    fn answer(&self, call: &Call<'_>) -> Answer {
        match (call.method, call.path) {
            (Method::Get, "/") => Answer::new(200, "hello from {{ name }}\n"),
            _ => Answer::new(404, "not found\n"),
        }
    }

    fn problem(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use server::tests::ask;

    #[test]
    fn the_routes_answer() {
        assert_eq!(ask(&Web, Method::Get, "/"), (200, "hello from {{ name }}\n".to_owned()));
        assert_eq!(ask(&Web, Method::Get, "/missing").0, 404);
    }
}
