//! Charts that are not in a registry: packed for the ledger, and unpacked from it.

use std::path::Path;

use flate2::{Compression, read::GzDecoder, write::GzEncoder};

use super::{
    ChartCache, FetchedChart, HelmError,
    charts::{cannot, inspect_folder, put_in_place},
    folder::read_chart,
};
use crate::{adapters::cache::mark_used, domain::ChartDigest};

/// Packs a chart's folder as a `.tgz`, without the files that `.helmignore` excludes; equal files result in equal bytes.
///
/// # Errors
/// If the folder cannot be read.
pub fn pack(folder: &Path) -> Result<Vec<u8>, HelmError> {
    let failed = |error: std::io::Error| cannot("pack", folder, &error);
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for (name, content) in read_chart(folder)? {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content.as_slice()).map_err(failed)?;
    }
    archive.into_inner().and_then(GzEncoder::finish).map_err(failed)
}

impl ChartCache {
    /// Unpacks a chart from the ledger. It is stored in the cache under its digest, and unpacked only once.
    ///
    /// # Errors
    /// If the archive is corrupt, or contains a chart with another digest.
    pub fn unpack(&self, name: &str, digest: &ChartDigest, archive: &[u8]) -> Result<FetchedChart, HelmError> {
        let target = self.kept(name, digest);
        if !target.is_dir() {
            let fresh = self.fresh(name)?;
            let unpacked = tar::Archive::new(GzDecoder::new(archive)).unpack(fresh.path());
            unpacked.map_err(|error| cannot("unpack", &target, &error))?;
            put_in_place(fresh.path(), &target)?;
        }
        mark_used(&target);
        let chart = inspect_folder(&target)?;
        if chart.digest == *digest {
            return Ok(chart);
        }
        Err(HelmError::Chart(format!("chart {name} in the ledger does not have the digest {digest}")))
    }

    /// Returns a chart that was unpacked before.
    pub fn unpacked(&self, name: &str, digest: &ChartDigest) -> Option<FetchedChart> {
        let folder = self.kept(name, digest);
        mark_used(&folder);
        inspect_folder(&folder).ok().filter(|chart| chart.digest == *digest)
    }

    fn kept(&self, name: &str, digest: &ChartDigest) -> std::path::PathBuf {
        self.folder.join(format!("{name}-kept-{}", &digest.as_str()[..16]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_survive_the_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ChartCache { folder: folder.path().to_owned(), mirrors: Vec::new() };
        let chart = cache.universal().unwrap();
        let packed = pack(&chart.path).unwrap();
        assert_eq!(packed, pack(&chart.path).unwrap());
        assert!(cache.unpacked(&chart.name, &chart.digest).is_none());
        let back = cache.unpack(&chart.name, &chart.digest, &packed).unwrap();
        assert_eq!((&back.digest, back.label()), (&chart.digest, chart.label()));
        assert!(cache.unpacked(&chart.name, &chart.digest).is_some());
        assert!(cache.unpack("other", &ChartDigest::of(b"other"), &packed).is_err());
    }
}
