//! Files from disk of a project's pods: packed into ConfigMaps that are named by their content.
//!
//! The values that Helm gets contain only the names of the ConfigMaps, the paths, and a hash of each file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use serde_json::{Value, json};

use super::{Values, digest::sha256};

/// The largest file, in bytes: the content of one ConfigMap, which Kubernetes limits.
pub const LARGEST_FILE: u64 = 1024 * 1024;
/// The most bytes of all files of a project: every node that runs its pods stores them, and so does the cluster's etcd.
pub const LARGEST_SUM: u64 = 8 * 1024 * 1024;
/// The most files of a project: each is named in its pod template.
pub const MOST_FILES: usize = 1000;

/// The key of the chart's values with the content of each ConfigMap: name -> path in the volume -> key. Set by cmdr.
const FILE_MAPS: &str = "fileMaps";
/// Hexadecimal digits of the hash of a file's content.
const KEY_LENGTH: usize = 20;
/// Hexadecimal digits of the hash in the name of a ConfigMap.
const NAME_LENGTH: usize = 16;
/// The end of the keys of executable files; the chart sets their mode.
const EXECUTABLE: &str = ".x";

/// A file for the volume of a project's pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFile {
    /// Its path in the volume: the name of its container, then its path there.
    pub path: String,
    pub content: Vec<u8>,
    pub is_executable: bool,
}

/// A ConfigMap with files.
#[derive(Clone, PartialEq, Eq)]
pub struct FileMap {
    /// `shop-files-`, and a hash of the content.
    pub name: String,
    /// The content of each file, by a hash of it.
    pub data: BTreeMap<String, Vec<u8>>,
}

/// Shows no content: plans are printed.
impl fmt::Debug for FileMap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FileMap").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FileMap {
    /// Returns the ConfigMap of a project with this content.
    pub fn new(project: &str, data: BTreeMap<String, Vec<u8>>) -> Self {
        let mut hash = sha256(data.keys().map(String::as_str).collect::<Vec<_>>().join("\n").as_bytes());
        hash.truncate(NAME_LENGTH);
        Self { name: format!("{project}-files-{hash}"), data }
    }

    /// Whether every key is the hash of its content.
    pub fn is_intact(&self) -> bool {
        self.data.iter().all(|(name, content)| *name == key(content, name.ends_with(EXECUTABLE)))
    }

    fn size(&self) -> u64 {
        self.data.values().map(|content| content.len() as u64).sum()
    }

    fn has_room(&self, key: &str, content: &[u8]) -> bool {
        self.data.contains_key(key) || self.size() + content.len() as u64 <= LARGEST_FILE
    }
}

/// The files of a project in ConfigMaps, and the values that mount them.
#[derive(Debug, Clone, Default)]
pub struct PackedFiles {
    pub maps: Vec<Arc<FileMap>>,
    values: Values,
}

impl PackedFiles {
    /// Packs files, which have different paths, into as few ConfigMaps as the order of their paths allows.
    pub fn new(project: &str, mut files: Vec<DiskFile>) -> Self {
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let mut packed: Vec<(FileMap, Values)> = Vec::new();
        for DiskFile { path, content, is_executable } in files {
            let key = key(&content, is_executable);
            let index = packed.iter().position(|(map, _)| map.has_room(&key, &content)).unwrap_or_else(|| {
                packed.push((FileMap { name: String::new(), data: BTreeMap::new() }, Values::new()));
                packed.len() - 1
            });
            let (map, paths) = &mut packed[index];
            paths.insert(path, json!(key));
            map.data.insert(key, content);
        }
        let named = packed.into_iter().map(|(map, paths)| (FileMap::new(project, map.data), paths));
        let mut all = Self::default();
        for (map, paths) in named {
            // Two ConfigMaps with the same content do not exist: the second file would have had room in the first.
            all.values.insert(map.name.clone(), Value::Object(paths));
            all.maps.push(Arc::new(map));
        }
        all
    }

    /// Adds to a project's values what mounts the files.
    pub fn add_to(&self, values: &mut Values) {
        if !self.values.is_empty() {
            values.insert(FILE_MAPS.to_owned(), Value::Object(self.values.clone()));
        }
    }
}

fn key(content: &[u8], is_executable: bool) -> String {
    let mut key = sha256(content);
    key.truncate(KEY_LENGTH);
    if is_executable { key + EXECUTABLE } else { key }
}

/// Returns the names of the ConfigMaps with files that these values mount.
pub fn file_maps(values: &Values) -> impl Iterator<Item = &str> {
    let maps = values.get(FILE_MAPS).and_then(Value::as_object);
    maps.into_iter().flatten().filter(|(_, paths)| !paths.is_null()).map(|(name, _)| name.as_str())
}

/// Returns the values without what mounts files, for comparisons.
pub fn without_file_maps(values: &Values) -> Values {
    let others = values.iter().filter(|(key, _)| *key != FILE_MAPS);
    others.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Returns the paths in containers of the files that only one of two releases has, or that differ.
pub fn changed_files(one: &Values, other: &Values) -> Vec<String> {
    let (one, other) = (by_path(one), by_path(other));
    let paths: BTreeSet<&str> = one.keys().chain(other.keys()).copied().collect();
    let changed = paths.into_iter().filter(|path| one.get(path) != other.get(path));
    let in_container = |path: &str| path.find('/').map_or(path, |start| &path[start..]).to_owned();
    changed.map(in_container).collect()
}

/// The key of each file, by its path in the volume.
fn by_path(values: &Values) -> BTreeMap<&str, &Value> {
    let maps = values.get(FILE_MAPS).and_then(Value::as_object).into_iter().flatten();
    let paths = maps.filter_map(|(_, paths)| paths.as_object()).flatten();
    paths.map(|(path, key)| (path.as_str(), key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &[u8]) -> DiskFile {
        DiskFile { path: path.to_owned(), content: content.to_vec(), is_executable: false }
    }

    fn values(files: Vec<DiskFile>) -> Values {
        let mut values = Values::new();
        PackedFiles::new("shop", files).add_to(&mut values);
        values
    }

    #[test]
    fn equal_content_has_equal_names() {
        let one = values(vec![file("shop/etc/b", b"2"), file("shop/etc/a", b"1")]);
        assert_eq!(one, values(vec![file("shop/etc/a", b"1"), file("shop/etc/b", b"2")]));
        assert_ne!(one, values(vec![file("shop/etc/a", b"1"), file("shop/etc/b", b"3")]));
        let names: Vec<&str> = file_maps(&one).collect();
        assert_eq!(names.len(), 1);
        assert!(names[0].starts_with("shop-files-"), "{names:?}");
        assert_eq!(values(Vec::new()), Values::new());
        let mut script = file("shop/etc/a", b"1");
        script.is_executable = true;
        assert_ne!(values(vec![script]), values(vec![file("shop/etc/a", b"1")]));
    }

    #[test]
    fn no_config_map_is_larger_than_kubernetes_accepts() {
        let part = |name: u8| vec![name; 700 * 1024];
        let files =
            vec![file("shop/a", &part(1)), file("shop/b", &part(2)), file("shop/c", &part(1)), file("shop/d", b"")];
        let packed = PackedFiles::new("shop", files);
        assert_eq!(packed.maps.len(), 2, "the same content is stored once");
        assert!(packed.maps.iter().all(|map| map.size() <= LARGEST_FILE && map.is_intact()));
        assert!(!format!("{packed:?}").contains("data"));
    }

    #[test]
    fn a_change_names_the_files() {
        let before = values(vec![file("shop/etc/a", b"1"), file("shop/etc/b", b"2"), file("shop/etc/c", b"3")]);
        let after = values(vec![file("shop/etc/a", b"1"), file("shop/etc/b", b"4"), file("shop/etc/d", b"3")]);
        assert_eq!(changed_files(&before, &after), ["/etc/b", "/etc/c", "/etc/d"]);
        assert_eq!(changed_files(&before, &before), Vec::<String>::new());
        assert_eq!(without_file_maps(&before), Values::new());
    }
}
