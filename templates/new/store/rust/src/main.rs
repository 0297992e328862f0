//! {{ name }} keeps values by their keys on a volume.

mod server;

use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use server::{Answer, Call, Service};
use tiny_http::Method;

/// The size limit of a value, in bytes.
const LONGEST: usize = 1 << 20;
/// The names of temporary files are different.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = env::var_os("DATA_DIR").map_or_else(|| "/data".into(), PathBuf::from);
    server::serve(&Store { folder })
}

/// Keeps each value in a file of a folder.
struct Store {
    folder: PathBuf,
}

impl Store {
    /// The file of a key. Its name has only letters that no file system treats in its own way.
    fn path(&self, key: &str) -> PathBuf {
        let name: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("key-{name}"))
    }

    /// Replaces a value as a whole: a crash leaves the old value or the new one.
    fn put(&self, key: &str, value: &[u8]) -> io::Result<()> {
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let new = self.folder.join(format!(".new-{}-{number}", process::id()));
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(value)?;
            file.sync_all()?;
            fs::rename(&new, self.path(key))
        });
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }
}

impl Service for Store {
    fn answer(&self, call: &Call<'_>) -> Answer {
        let Some(key) = call.path.strip_prefix("/keys/").filter(|key| !key.is_empty()) else {
            return Answer::new(404, "not found\n");
        };
        let done = match call.method {
            Method::Get => fs::read(self.path(key)).map(|value| Answer::new(200, value)),
            Method::Put if call.body.len() > LONGEST => return Answer::new(413, "the value is too large\n"),
            Method::Put => self.put(key, call.body).map(|()| Answer::new(204, "")),
            Method::Delete => fs::remove_file(self.path(key)).map(|()| Answer::new(204, "")),
            _ => return Answer::new(405, "method not allowed\n"),
        };
        done.unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Answer::new(404, "not found\n"),
            _ => {
                eprintln!("failed: {error}");
                Answer::new(500, "the store failed\n")
            }
        })
    }

    fn problem(&self) -> Option<String> {
        (!self.folder.is_dir()).then(|| "its folder does not exist\n".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use server::tests::ask;

    #[test]
    fn a_value_is_kept() {
        let folder = env::temp_dir().join(format!("{{ name }}-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let store = Store { folder: folder.clone() };
        let ask = |method, body| ask(&store, method, "/keys/..%2fa", body);
        assert_eq!(ask(Method::Get, "").0, 404);
        assert_eq!(ask(Method::Put, "one").0, 204);
        assert_eq!(ask(Method::Put, "two").0, 204);
        assert_eq!(ask(Method::Get, ""), (200, "two".to_owned()));
        assert_eq!(ask(Method::Delete, "").0, 204);
        assert_eq!(ask(Method::Get, "").0, 404);
        fs::remove_dir_all(&folder).unwrap();
        assert!(store.problem().is_some());
    }
}
