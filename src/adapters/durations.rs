//! The durations of steps in earlier runs of an environment, stored on this machine.

use std::{fs, io, path::PathBuf};

use super::builds::write_whole;
use crate::domain::step_durations::StepDurations;

/// The file of durations.
#[derive(Debug, Clone)]
pub struct DurationsFile(pub PathBuf);

impl DurationsFile {
    /// Returns the durations; none without a readable file.
    pub fn read(&self) -> StepDurations {
        serde_json::from_slice(&fs::read(&self.0).unwrap_or_default()).unwrap_or_default()
    }

    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, durations: &StepDurations) -> io::Result<()> {
        write_whole(&self.0, &serde_json::to_vec(durations).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_stored_and_a_broken_file_contains_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = DurationsFile(folder.path().join("durations/tunes.local.json"));
        assert_eq!(file.read(), StepDurations::default());
        let mut durations = StepDurations::default();
        durations.add("shop", "install", 2.5);
        file.write(&durations).unwrap();
        assert_eq!(file.read(), durations);
        fs::write(&file.0, "{\"install\": 3").unwrap();
        assert_eq!(file.read(), StepDurations::default());
    }
}
