//! The values of a chart of one's own that take the project's image: the key `chart.image`.

use serde_json::Value;

use super::{
    Digest, ImageReference, Values,
    values::{divided, put},
};

/// A key in Helm values, from the outermost map on: `image`, `repository`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValuePath(Vec<String>);

impl ValuePath {
    /// Reads a path in the notation of `--set`: keys separated by dots, `\.` is a literal dot. `None` if a key is empty
    /// or refers to a list item.
    pub fn parse(text: &str) -> Option<Self> {
        let keys: Vec<String> = divided(text).into_iter().map(|(key, _)| key).collect();
        (!keys.iter().any(String::is_empty) && !text.ends_with(']')).then_some(Self(keys))
    }

    /// The keys, outermost first.
    pub fn keys(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }

    fn read<'a>(&self, values: &'a Values) -> Option<&'a str> {
        let (first, rest) = self.0.split_first()?;
        let found = rest.iter().try_fold(values.get(first)?, |value, key| value.get(key));
        found?.as_str()
    }

    fn clear(&self, values: &mut Values) {
        let Some((last, above)) = self.0.split_last() else { return };
        let map = above.iter().try_fold(values, |map, key| map.get_mut(key)?.as_object_mut());
        if let Some(map) = map {
            map.remove(last);
        }
    }

    fn write(&self, values: &mut Values, text: &str) {
        // The configuration refuses values above the path that are not maps.
        let _ = put(values, &self.0, Value::from(text));
    }
}

/// Where a chart takes the image from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageKey {
    /// One value takes the whole reference.
    Reference(ValuePath),
    /// The parts of the reference are values of their own.
    Parts {
        /// The registry's host; without it, it is part of the repository.
        registry: Option<ValuePath>,
        repository: ValuePath,
        tag: Option<ValuePath>,
        digest: Option<ValuePath>,
    },
}

impl ImageKey {
    /// The paths of all values that it names.
    pub fn paths(&self) -> Vec<&ValuePath> {
        match self {
            Self::Reference(path) => vec![path],
            Self::Parts { registry, repository, tag, digest } => {
                [registry.as_ref(), Some(repository), tag.as_ref(), digest.as_ref()].into_iter().flatten().collect()
            }
        }
    }

    /// Writes an image into the values of the chart. A part that the chart has no value for is left out: the digest of
    /// a chart that only takes a tag.
    pub fn write(&self, values: &mut Values, image: &ImageReference) {
        match self {
            Self::Reference(path) => path.write(values, &image.to_string()),
            Self::Parts { registry, repository, tag, digest } => {
                if let Some(path) = registry {
                    path.write(values, &image.registry);
                }
                repository.write(values, if registry.is_some() { &image.repository } else { image.name() });
                let parts = [(tag, image.tag.as_deref()), (digest, image.digest.as_ref().map(Digest::as_str))];
                for (path, part) in parts {
                    if let Some(path) = path {
                        path.write(values, part.unwrap_or_default());
                    }
                }
            }
        }
    }

    /// Removes the image from the values, so that the chart's default is used.
    pub fn clear(&self, values: &mut Values) {
        self.paths().into_iter().for_each(|path| path.clear(values));
    }

    /// Reads the image from the values of the chart; `None` if they contain no valid one.
    pub fn read(&self, values: &Values) -> Option<ImageReference> {
        let text = match self {
            Self::Reference(path) => path.read(values)?.to_owned(),
            Self::Parts { registry, repository, tag, digest } => {
                let part = |path: &Option<ValuePath>| {
                    path.as_ref().and_then(|path| path.read(values)).filter(|text| !text.is_empty())
                };
                let host = part(registry).map(|host| format!("{host}/")).unwrap_or_default();
                let tag = part(tag).map(|tag| format!(":{tag}")).unwrap_or_default();
                let digest = part(digest).map(|digest| format!("@{digest}")).unwrap_or_default();
                format!("{host}{}{tag}{digest}", repository.read(values)?)
            }
        };
        ImageReference::parse(&text).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> ValuePath {
        ValuePath::parse(text).unwrap()
    }

    fn parts(registry: Option<&str>, digest: Option<&str>) -> ImageKey {
        ImageKey::Parts {
            registry: registry.map(path),
            repository: path("image.repository"),
            tag: Some(path("image.tag")),
            digest: digest.map(path),
        }
    }

    fn image() -> ImageReference {
        ImageReference::parse(&format!("ghcr.io/tunes/shop:1.2@sha256:{}", "a".repeat(64))).unwrap()
    }

    #[test]
    fn an_image_is_written_where_the_chart_takes_it_and_read_again() {
        for (key, expected, read) in [
            (ImageKey::Reference(path("app.image")), json!({"app": {"image": image().to_string()}}), image()),
            (
                parts(None, Some("image.digest")),
                json!({"image": {"repository": "ghcr.io/tunes/shop", "tag": "1.2", "digest": image().digest}}),
                image(),
            ),
            (
                parts(Some("image.registry"), None),
                json!({"image": {"registry": "ghcr.io", "repository": "tunes/shop", "tag": "1.2"}}),
                ImageReference::parse("ghcr.io/tunes/shop:1.2").unwrap(),
            ),
        ] {
            let mut values = Values::new();
            key.write(&mut values, &image());
            assert_eq!(Value::Object(values.clone()), expected);
            assert_eq!(key.read(&values), Some(read));
            assert_eq!(key.read(&Values::new()), None);
            key.clear(&mut values);
            assert_eq!(key.read(&values), None, "the chart's default");
        }
    }

    #[test]
    fn an_earlier_digest_does_not_stay_beside_a_new_tag() {
        let (mut values, key) = (Values::new(), parts(None, Some("image.digest")));
        key.write(&mut values, &image());
        let next = ImageReference::parse("ghcr.io/tunes/shop:1.3").unwrap();
        key.write(&mut values, &next);
        assert_eq!(key.read(&values), Some(next));
    }

    #[test]
    fn a_path_names_keys_and_no_list_items() {
        assert_eq!(path("a.b\\.c").keys(), ["a", "b.c"]);
        assert_eq!(["", "a..b", "a[0]"].map(ValuePath::parse), [None, None, None]);
    }
}
