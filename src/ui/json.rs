//! Events as JSON Lines, one object per line. Their schema is `docs/events.schema.json`.

use super::{Renderer, print};
use crate::event::TimedEvent;

pub(super) struct Json;

impl Renderer for Json {
    fn event(&mut self, timed: &TimedEvent) {
        if let Ok(line) = serde_json::to_string(timed) {
            print(&format!("{line}\n"));
        }
    }
}
