//! The images that a project may run in an environment that gets images only by promotion.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Digest, ImageReference};

/// The images of the environment's own record of a project, and of the record that is promoted to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownImages {
    /// Digests by the fully qualified reference without a digest.
    by_name: BTreeMap<String, Digest>,
    digests: BTreeSet<Digest>,
}

impl KnownImages {
    /// Adds the images of a record: digests by reference. What was added before takes precedence for the same tag.
    pub fn add(&mut self, images: &BTreeMap<String, Digest>) {
        for (name, digest) in images {
            self.digests.insert(digest.clone());
            if let Some(name) = full_name(name) {
                self.by_name.entry(name).or_insert_with(|| digest.clone());
            }
        }
    }

    /// Returns the image with its known digest, if it has only a tag that is known.
    pub fn exact(&self, image: &ImageReference) -> Option<ImageReference> {
        if image.digest.is_some() {
            return None;
        }
        Some(image.with_digest(self.by_name.get(&image.full())?))
    }

    /// Returns the images whose digests are unknown.
    pub fn new_among(&self, images: impl IntoIterator<Item = ImageReference>) -> BTreeSet<ImageReference> {
        let is_known =
            |image: &ImageReference| image.digest.as_ref().is_some_and(|digest| self.digests.contains(digest));
        images.into_iter().filter(|image| !is_known(image)).collect()
    }
}

fn full_name(name: &str) -> Option<String> {
    let name = name.split('@').next().unwrap_or_default();
    Some(ImageReference::parse(name).ok()?.full())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(letter: &str) -> Digest {
        Digest::parse(&format!("sha256:{}", letter.repeat(64))).unwrap()
    }

    fn images(pairs: &[(&str, &str)]) -> BTreeMap<String, Digest> {
        pairs.iter().map(|(name, letter)| ((*name).to_owned(), digest(letter))).collect()
    }

    fn image(text: &str) -> ImageReference {
        ImageReference::parse(text).unwrap()
    }

    #[test]
    fn what_was_promoted_comes_before_what_runs() {
        let mut known = KnownImages::default();
        known.add(&images(&[("redis", "a"), ("ghcr.io/tunes/logs:1", "b")]));
        known.add(&images(&[("redis", "c"), (&format!("ghcr.io/tunes/own:2@{}", digest("d")), "d")]));
        assert_eq!(known.exact(&image("redis:latest")), Some(image(&format!("redis:latest@{}", digest("a")))));
        assert_eq!(
            known.exact(&image("ghcr.io/tunes/own:2")),
            Some(image(&format!("ghcr.io/tunes/own:2@{}", digest("d"))))
        );
        assert_eq!(known.exact(&image("ghcr.io/tunes/logs:2")), None);
        assert_eq!(known.exact(&image(&format!("redis@{}", digest("e")))), None, "a digest stays");
        let found = ["a", "b", "c", "d", "e"].map(|letter| image(&format!("mirror.example/x@{}", digest(letter))));
        assert_eq!(known.new_among(found.clone()), BTreeSet::from([found[4].clone()]), "content decides, not the name");
        assert_eq!(known.new_among([image("redis")]).len(), 1, "a tag is not an exact image");
    }
}
