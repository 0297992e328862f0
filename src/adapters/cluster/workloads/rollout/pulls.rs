//! Explains why a node cannot pull an image, from kubelet's message.

use crate::domain::causes::{self, CauseSource, images};

/// kubelet's reasons for a container that waits for its image.
pub(super) const PULL: &[&str] = &["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable"];

/// An image that its registry does not return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnavailableImage {
    /// As written in the pod: `shop:dev`.
    pub reference: String,
    /// Access was denied; the image may also not exist.
    pub is_denied: bool,
}

impl UnavailableImage {
    /// Returns the image of a failed pull, if its registry responded that it does not exist or denied access.
    pub(super) fn of(reason: &str, message: &str, image: &str) -> Option<Self> {
        let cause =
            PULL.contains(&reason).then(|| causes::find(CauseSource::Pull, &without_names(message))).flatten()?;
        let is_denied = *cause == images::REGISTRY_DENIED;
        (is_denied || *cause == images::IMAGE_NOT_FOUND).then(|| Self { reference: image.to_owned(), is_denied })
    }
}

/// Returns the message in lower case without names of images, URLs and digests: any word may be part of a name, and
/// `403` of a digest.
pub(super) fn without_names(message: &str) -> String {
    let unquoted: Vec<&str> = message.split('"').step_by(2).collect();
    let unquoted = unquoted.join(" ");
    let words: Vec<&str> =
        unquoted.split_whitespace().filter(|word| !word.contains('/') && !word.starts_with("sha256:")).collect();
    words.join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::{
        super::rules::{DiagnosedObject, diagnose},
        *,
    };
    use crate::domain::causes::{GiveUpAfter, TWICE};

    fn cause(message: &str) -> (String, GiveUpAfter) {
        let (patience, problem) =
            diagnose("ErrImagePull", message, DiagnosedObject { image: "me/app:1", ..DiagnosedObject::default() })
                .unwrap();
        (problem.message, patience)
    }

    fn failed(image: &str, why: &str) -> String {
        format!("failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {why}")
    }

    #[test]
    fn docker_hub_denies_access_to_what_may_not_exist() {
        let detail = "pull access denied, repository does not exist or may require authorization: server message: \
                    insufficient_scope: authorization failed";
        assert_eq!(cause(&failed("docker.io/me/app:1", detail)).0, "the registry denied access: me/app:1");
        let back_off = format!("Back-off pulling image \"me/app:1\": ErrImagePull: {}", failed("me/app:1", detail));
        assert_eq!(cause(&back_off).0, "the registry denied access: me/app:1");
        let private = "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to \
                       https://ghcr.io/token?scope=repository%3Aa%3Apull: 401 Unauthorized";
        assert_eq!(cause(&failed("ghcr.io/a:1", private)).0, "the registry denied access: me/app:1");
    }

    #[test]
    fn numbers_and_words_in_names_are_no_cause() {
        let digest = format!("r.example/denied@sha256:{}", "4".repeat(61) + "403");
        let silent = "failed to do request: dial tcp: lookup r.example on 172.18.0.1:53: read udp \
                      172.18.0.2:40312->172.18.0.1:401: i/o timeout";
        let (shown, patience) = cause(&failed(&digest, silent));
        assert!(shown.starts_with("cannot pull me/app:1: "), "{shown}");
        assert_eq!(patience, GiveUpAfter::Timeout);
        let absent = failed("r.example/denied:403", "r.example/denied:403: not found");
        assert_eq!(cause(&absent).0, "image not found: me/app:1");
    }

    #[test]
    fn an_image_for_other_processors_exists() {
        let detail = format!(
            "failed to pull and unpack image \"me/app:1\": no match for platform in manifest sha256:{}: not found",
            "a".repeat(64)
        );
        let expected = "the image has no variant for the CPU architecture of the node: me/app:1";
        assert_eq!(cause(&detail), (expected.to_owned(), TWICE));
        assert_eq!(UnavailableImage::of("ErrImagePull", &detail, "me/app:1"), None);
    }

    #[test]
    fn a_rate_limit_is_no_missing_login() {
        let detail = "unexpected status code 429 Too Many Requests - Server message: toomanyrequests: You have reached \
                    your unauthenticated pull rate limit";
        assert_eq!(cause(&failed("me/app:1", detail)).0, "the registry's rate limit is exceeded: me/app:1");
    }

    #[test]
    fn images_that_a_registry_does_not_return_are_known() {
        let of = |why: &str| UnavailableImage::of("ImagePullBackOff", &failed("shop:dev", why), "shop:dev");
        assert_eq!(of("shop:dev: not found").map(|image| image.is_denied), Some(false));
        assert_eq!(of("pull access denied").map(|image| image.is_denied), Some(true));
        assert_eq!(of("connection refused"), None);
        assert_eq!(UnavailableImage::of("CrashLoopBackOff", "not found", "shop:dev"), None);
    }
}
