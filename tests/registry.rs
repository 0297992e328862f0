//! The registry adapter against the real registries of the rig.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{fs, process::Command};

use cmdr::{
    adapters::{
        credentials::Credentials,
        registry::{Registry, RegistryErrorKind},
    },
    domain::{Digest, ImageReference, mirror::ImageMirror},
};
use common::{rig, tell};
use tokio_util::sync::CancellationToken;

/// The manifest types that cmdr requests, for curl.
const ACCEPT: &str = "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.docker.distribution.manifest.v2+json";

/// The login of the private registry, as `docker login` writes it.
fn login() -> String {
    let (host, user, password) = (rig("RIG_PRIVATE_REGISTRY"), rig("RIG_PRIVATE_USER"), rig("RIG_PRIVATE_PASSWORD"));
    format!(r#"{{"auths": {{"{host}": {{"username": "{user}", "password": "{password}"}}}}}}"#)
}

/// A registry with these mirrors and this `config.json`.
fn registry(mirrors: &str, configuration: &str) -> Registry {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), configuration).unwrap();
    let credentials = Credentials::read(folder.path()).unwrap();
    let mirrors = ImageMirror::parse_list(mirrors).unwrap();
    Registry::new(mirrors, credentials, None, CancellationToken::new()).unwrap()
}

/// Mirrors every public registry to the rig's registry.
fn mirrored() -> Registry {
    registry(&format!("*=http://{}", rig("RIG_REGISTRY")), "{}")
}

fn image(text: &str) -> ImageReference {
    ImageReference::parse(text).unwrap()
}

/// The digest that curl receives. `login` is `USER:PASSWORD`, or empty.
fn digest_by_curl(host: &str, repository: &str, tag: &str, login: &str) -> String {
    let url = format!("http://{host}/v2/{repository}/manifests/{tag}");
    let output = Command::new("curl").args(["-sSI", "--user", login, "-H", ACCEPT, &url]).output().unwrap();
    let headers = String::from_utf8_lossy(&output.stdout).to_lowercase();
    let digest = headers.lines().find_map(|line| line.strip_prefix("docker-content-digest: "));
    digest.unwrap_or_else(|| panic!("no digest from {url}: {headers}")).trim().to_owned()
}

#[tokio::test]
async fn public_images_are_resolved_through_a_mirror() {
    tell("waiting for the digests of docker.io/library/redis:7.0 and ghcr.io/stefanprodan/podinfo:6.9.2");
    let images = ["redis:7.0", "ghcr.io/stefanprodan/podinfo:6.9.2", "redis:7.0"].map(image);
    let resolved = mirrored().resolve_all(&images).await.unwrap();
    let pinned: Vec<String> = resolved.iter().map(|resolved| resolved.pinned.to_string()).collect();
    let redis = format!("redis:7.0@{}", digest_by_curl(&rig("RIG_REGISTRY"), "library/redis", "7.0", ":"));
    let podinfo = digest_by_curl(&rig("RIG_REGISTRY"), "stefanprodan/podinfo", "6.9.2", ":");
    assert_eq!(pinned, [redis.clone(), format!("ghcr.io/stefanprodan/podinfo:6.9.2@{podinfo}"), redis]);

    tell("waiting for what is known of the pinned image");
    let pinned = &resolved[0].pinned;
    assert_eq!(mirrored().resolve(pinned).await.unwrap().pinned, *pinned);
    assert_eq!(mirrored().revision(pinned).await, None);
    // The rig's registry does not have the API for referrers.
    assert_eq!(mirrored().has_artifact(pinned, "application/sarif+json").await, Ok(false));
}

#[tokio::test]
async fn a_private_image_wants_the_login() {
    let private = image(&rig("RIG_PRIVATE_IMAGE"));
    let (host, mirror) = (rig("RIG_PRIVATE_REGISTRY"), format!("{0}=http://{0}", rig("RIG_PRIVATE_REGISTRY")));
    let login_for_curl = format!("{}:{}", rig("RIG_PRIVATE_USER"), rig("RIG_PRIVATE_PASSWORD"));
    let tag = private.tag.clone().unwrap();
    let digest = digest_by_curl(&host, &private.repository, &tag, &login_for_curl);
    for mirrors in ["", &mirror] {
        tell(&format!("waiting for the digest of {private}, with mirrors '{mirrors}'"));
        let resolved = registry(mirrors, &login()).resolve(&private).await.unwrap();
        assert_eq!(resolved.pinned.digest.as_ref().map(Digest::as_str), Some(&*digest));

        let error = registry(mirrors, "{}").resolve(&private).await.unwrap_err();
        assert!(matches!(error.problem, RegistryErrorKind::Refused { with_login: false, .. }), "{error}");
        assert!(!error.is_transient() && error.detail[0].contains("UNAUTHORIZED"), "{:?}", error.detail);
        let help = error.problem().help.unwrap();
        assert!(help.starts_with(&format!("run docker login {host};")), "{help}");
    }
    let wrong = login().replace(&rig("RIG_PRIVATE_PASSWORD"), "wrong");
    let error = registry("", &wrong).resolve(&private).await.unwrap_err();
    assert!(matches!(error.problem, RegistryErrorKind::Refused { with_login: true, .. }), "{error}");
}

#[tokio::test]
async fn images_that_do_not_exist_are_all_reported() {
    let host = rig("RIG_REGISTRY");
    tell(&format!("waiting for {host} to say that it does not have two images"));
    let images = ["library/redis:7.1", "library/redis:7.0", "library/no-such:1"].map(|name| format!("{host}/{name}"));
    let errors = registry("", "{}").resolve_all(&images.map(|name| image(&name))).await.unwrap_err();
    let problems: Vec<_> = errors.iter().map(|error| (error.problem(), error.is_transient())).collect();
    let [(absent, false), (wrong_tag, false)] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!(absent.message, format!("image not found: {host}/library/no-such:1"));
    assert_eq!(wrong_tag.message, format!("image not found: {host}/library/redis:7.1"));
    assert_eq!(wrong_tag.help, Some(format!("did you mean {host}/library/redis:7.0?")));
}
