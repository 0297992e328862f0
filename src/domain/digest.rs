//! SHA-256 digests as text.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Returns the SHA-256 digest of `bytes` as 64 hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
