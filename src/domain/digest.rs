//! SHA-256 digests: of images, of charts, and as checksums.

use std::fmt::{self, Write};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The algorithm at the start of an image digest.
const ALGORITHM: &str = "sha256:";
/// The number of hexadecimal digits of SHA-256.
const DIGITS: usize = 64;

/// The digest of an image, a manifest or a blob: `sha256:` and 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline)]
pub struct Digest(String);

/// The digest of a chart's files or archive: 64 lowercase hexadecimal digits, as the ledger stores it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline)]
pub struct ChartDigest(String);

/// Why a string is not a valid digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDigest {
    #[error("'{0}' is not a valid image digest: expected sha256: and 64 hexadecimal digits")]
    Image(String),
    #[error("'{0}' is not a valid chart digest: expected 64 hexadecimal digits")]
    Chart(String),
}

impl Digest {
    /// # Errors
    /// Fails if `text` is not `sha256:` and 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, InvalidDigest> {
        let hex = text.strip_prefix(ALGORITHM).filter(|hex| is_sha256(hex));
        hex.map(|hex| Self(format!("{ALGORITHM}{}", hex.to_ascii_lowercase())))
            .ok_or_else(|| InvalidDigest::Image(text.to_owned()))
    }

    /// Returns the digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(format!("{ALGORITHM}{}", sha256(content)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the digits without the algorithm.
    pub fn hex(&self) -> &str {
        &self.0[ALGORITHM.len()..]
    }
}

impl ChartDigest {
    /// # Errors
    /// Fails if `text` is not 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, InvalidDigest> {
        let hex = Some(text).filter(|hex| is_sha256(hex));
        hex.map(|hex| Self(hex.to_ascii_lowercase())).ok_or_else(|| InvalidDigest::Chart(text.to_owned()))
    }

    /// Returns the digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(sha256(content))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_sha256(hex: &str) -> bool {
    hex.len() == DIGITS && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        Self::parse(&text)
    }
}

impl TryFrom<String> for ChartDigest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        Self::parse(&text)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl From<ChartDigest> for String {
    fn from(digest: ChartDigest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for ChartDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Returns the SHA-256 checksum of `bytes` as 64 hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hexadecimal(&Sha256::digest(bytes))
}

/// Returns two hexadecimal digits for each byte, such as those of a checksum.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_validated_and_lowercase() {
        let hex = "A1".repeat(32);
        let digest = Digest::parse(&format!("sha256:{hex}")).unwrap();
        assert_eq!((digest.as_str(), digest.hex()), (&*format!("sha256:{}", "a1".repeat(32)), &*"a1".repeat(32)));
        assert_eq!(ChartDigest::parse(&hex).unwrap().as_str(), "a1".repeat(32));
        for wrong in ["", "sha256:", "sha256:12", &hex, &format!("sha512:{hex}"), &format!("sha256:{}", "x".repeat(64))]
        {
            assert_eq!(Digest::parse(wrong), Err(InvalidDigest::Image(wrong.to_owned())));
        }
        assert_eq!(ChartDigest::parse("12"), Err(InvalidDigest::Chart("12".to_owned())));
    }

    #[test]
    fn json_contains_them_as_text() {
        let digest = Digest::of(b"colima");
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{digest}\""));
        assert_eq!(serde_json::from_str::<Digest>(&format!("\"{digest}\"")).unwrap(), digest);
        let chart = ChartDigest::of(b"colima");
        assert_eq!(serde_json::to_string(&chart).unwrap(), format!("\"{}\"", digest.hex()));
        let error = serde_json::from_str::<ChartDigest>("\"sha256:12\"").unwrap_err().to_string();
        assert!(error.starts_with("'sha256:12' is not a valid chart digest"), "{error}");
    }
}
