//! Events as JSON Lines, one object per line. Their schema is `docs/events.schema.json`.

use super::{Renderer, print};
use crate::event::Event;

pub(super) struct Json;

impl Renderer for Json {
    fn event(&mut self, event: &Event) {
        if let Ok(line) = serde_json::to_string(event) {
            print(&format!("{line}\n"));
        }
    }
}
