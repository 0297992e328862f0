//! Tests with a server in this process, because real registries do not return these errors on demand.

mod server;

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use wiremock::{Request, ResponseTemplate};

use self::server::{Server, hang, header, line, reply};
use super::*;
use crate::domain::Problem;

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const MANIFEST: &str = r#"{"schemaVersion": 2, "config": {"digest": "sha256:1"}, "layers": []}"#;
const TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const SARIF: &str = "application/sarif+json";

/// A response to HEAD with the digest.
fn found() -> ResponseTemplate {
    reply(200, "").insert_header("Content-Type", TYPE).insert_header(CONTENT_DIGEST, DIGEST)
}

/// No delays, and a short timeout.
const IMPATIENCE: RetryPolicy =
    RetryPolicy { request: Duration::from_millis(300), pauses: &[Duration::ZERO; 2], longest_pause: Duration::ZERO };
/// A long timeout for requests that must succeed, even on a busy machine.
const NO_PAUSES: RetryPolicy = RetryPolicy { request: Duration::from_mins(1), ..IMPATIENCE };

fn registry(mirrors: &str, configuration: &str, patience: RetryPolicy) -> Registry {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), configuration).unwrap();
    let credentials = Credentials::read(folder.path()).unwrap();
    let mirrors = ImageMirror::parse_list(mirrors).unwrap();
    Registry::new(mirrors, credentials, None, CancellationToken::new()).unwrap().with_patience(patience)
}

fn anonymous() -> Registry {
    registry("", "{}", NO_PAUSES)
}

/// A `config.json` with one entry.
fn login(host: &str, entry: &str) -> String {
    format!(r#"{{"auths": {{"{host}": {entry}}}}}"#)
}

#[tokio::test]
async fn a_busy_registry_is_asked_again() {
    let busy = |before: usize| if before == 0 { reply(429, "").insert_header("Retry-After", "1") } else { found() };
    let server = Server::start(move |_, _, before| busy(before)).await;
    let resolved = anonymous().resolve(&server.image("shop:1")).await.unwrap();
    assert_eq!(resolved.pinned.to_string(), format!("{}/shop:1@{DIGEST}", server.host));
    assert_eq!(server.seen().await, ["HEAD /v2/shop/manifests/1"; 2]);
}

#[tokio::test]
async fn a_registry_that_stays_busy_or_broken_is_left_after_three_tries() {
    for status in [429, 500] {
        let server = Server::start(move |_, _, _| reply(status, "")).await;
        let error = anonymous().resolve(&server.image("shop")).await.unwrap_err();
        let kind = match &error.problem {
            RegistryErrorKind::Busy { .. } => 429,
            RegistryErrorKind::Broken { status, .. } => *status,
            other => panic!("{other}"),
        };
        assert_eq!((kind, error.is_transient()), (status, true));
        assert_eq!(server.seen().await, ["HEAD /v2/shop/manifests/latest"; 3]);
    }
}

#[tokio::test]
async fn a_registry_that_hangs_is_not_waited_for() {
    let server = Server::start(|_, _, _| hang()).await;
    let error = registry("", "{}", IMPATIENCE).resolve(&server.image("shop")).await.unwrap_err();
    assert!(matches!(error.problem, RegistryErrorKind::Silent { .. }) && error.is_transient(), "{error}");
}

#[tokio::test]
async fn an_interrupt_ends_the_wait() {
    let server = Server::start(|_, _, _| hang()).await;
    let cancel = CancellationToken::new();
    let credentials = Credentials::read(tempfile::tempdir().unwrap().path()).unwrap();
    let registry = Registry::new(Vec::new(), credentials, None, cancel.clone()).unwrap().with_patience(NO_PAUSES);
    cancel.cancel();
    assert!(registry.resolve(&server.image("shop")).await.unwrap_err().is_interrupted());
}

/// A registry that requires the token `fresh`. Its token service returns it if `knows` accepts the request.
async fn guarded(knows: fn(&Request) -> bool) -> Server {
    Server::start(move |host, request, _| {
        if line(request).contains(" /token") {
            return if knows(request) {
                reply(200, r#"{"token": "fresh"}"#)
            } else {
                reply(401, r#"{"details": "who?"}"#)
            };
        }
        if header(request, "authorization") == Some("Bearer fresh") {
            return found();
        }
        let challenge = format!(r#"Bearer realm="http://{host}/token",service="rig",scope="repository:shop:pull""#);
        reply(401, "").insert_header("WWW-Authenticate", challenge)
    })
    .await
}

#[tokio::test]
async fn a_token_is_asked_for_once() {
    let server = guarded(|request| header(request, "authorization").is_none()).await;
    let registry = anonymous();
    for tag in ["shop:1", "shop:2"] {
        registry.resolve(&server.image(tag)).await.unwrap();
    }
    let token = "GET /token?scope=repository%3Ashop%3Apull&service=rig";
    let (one, two) = ("HEAD /v2/shop/manifests/1", "HEAD /v2/shop/manifests/2");
    assert_eq!(server.seen().await, [one, token, one, two]);
}

#[tokio::test]
async fn a_token_costs_a_login_where_one_is_wanted() {
    let basic = |request: &Request| header(request, "authorization") == Some("Basic bWU6c2VjcmV0");
    let server = guarded(basic).await;
    let image = server.image("shop:1");
    let entry = format!(r#"{{"auth": "{}"}}"#, STANDARD.encode("me:secret"));
    registry("", &login(&server.host, &entry), NO_PAUSES).resolve(&image).await.unwrap();

    let error = anonymous().resolve(&image).await.unwrap_err();
    let expected = format!("{} denied access without credentials: {image}", server.host);
    assert_eq!((error.to_string(), error.detail.as_slice()), (expected, &["who?".to_owned()][..]));
    let help = error.problem().help.unwrap();
    assert!(help.starts_with(&format!("run docker login {}", server.host)) && !error.is_transient(), "{help}");
}

#[tokio::test]
async fn an_identity_token_is_changed_into_another() {
    let knows = |request: &Request| {
        let body = String::from_utf8_lossy(&request.body);
        let grant = "grant_type=refresh_token&client_id=cmdr&refresh_token=id%2Btoken";
        line(request) == "POST /token" && body == format!("{grant}&scope=repository%3Ashop%3Apull&service=rig")
    };
    let server = guarded(knows).await;
    let configuration = login(&server.host, r#"{"identitytoken": "id+token"}"#);
    registry("", &configuration, NO_PAUSES).resolve(&server.image("shop:1")).await.unwrap();
}

#[tokio::test]
async fn no_secret_is_reported() {
    let server = Server::start(|_, request, _| {
        let sent = header(request, "authorization").unwrap_or_default();
        let known = String::from_utf8_lossy(&STANDARD.decode(sent.trim_start_matches("Basic ")).unwrap()).into_owned();
        let body = format!(r#"{{"errors": [{{"code": "DENIED", "message": "not {known}"}}]}}"#);
        reply(401, body).insert_header("WWW-Authenticate", "Basic realm=rig")
    })
    .await;
    let entry = r#"{"username": "me", "password": "hunter2hunter2"}"#;
    let registry = registry("", &login(&server.host, entry), NO_PAUSES);
    let error = registry.resolve(&server.image("shop:1")).await.unwrap_err();
    assert_eq!(error.detail, ["DENIED: not me:***"]);
    assert!(error.to_string().contains("denied access with the stored credentials"), "{error}");
    assert!(!format!("{registry:?} {error:?}").contains("hunter2"));
}

#[tokio::test]
async fn an_unused_login_is_not_reported() {
    let server = Server::start(|_, _, _| reply(403, "")).await;
    let configuration = login(&server.host, r#"{"username": "me", "password": "x"}"#);
    let error = registry("", &configuration, NO_PAUSES).resolve(&server.image("shop:1")).await.unwrap_err();
    assert!(matches!(error.problem, RegistryErrorKind::Refused { with_login: false, .. }), "{error}");
}

#[tokio::test]
async fn a_tag_that_does_not_exist_is_reported_with_the_nearest_one() {
    let server = Server::start(|_, request, _| match line(request).as_str() {
        "GET /v2/shop/tags/list?n=1000" => reply(200, r#"{"name": "shop", "tags": ["1.4.0", "latest"]}"#),
        _ => reply(404, r#"{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}"#),
    })
    .await;
    let error = anonymous().resolve(&server.image("shop:1.4.1")).await.unwrap_err();
    let problem = error.problem();
    assert_eq!(problem.message, format!("image not found: {}/shop:1.4.1", server.host));
    assert_eq!(problem.details, [format!("{}: MANIFEST_UNKNOWN: manifest unknown", server.host)]);
    assert_eq!(problem.help, Some(format!("did you mean {}/shop:1.4.0?", server.host)));
    assert!(!error.is_transient());
}

#[tokio::test]
async fn all_that_cannot_be_resolved_are_reported_each_once() {
    let server =
        Server::start(|_, request, _| if line(request).contains("shop") { found() } else { reply(404, "") }).await;
    let images = ["shop:1", "bus:1", "shop:1", "tram:1", "bus:1"].map(|image| server.image(image));
    let registry = anonymous();
    // In a separate task, as steps run.
    let (registry, images, errors) = tokio::spawn(async move {
        let errors = registry.resolve_all(&images).await.unwrap_err();
        (registry, images, errors)
    })
    .await
    .unwrap();
    let failed: Vec<&ImageReference> = errors.iter().map(|error| &error.image).collect();
    assert_eq!(failed, [&images[1], &images[3]]);
    assert_eq!(
        server.seen().await.iter().filter(|line| line.contains("manifests") && line.contains("shop")).count(),
        1
    );
    let resolved = registry.resolve_all(&[images[0].clone(), images[2].clone()]).await.unwrap();
    assert_eq!(resolved.len(), 2);
}

#[tokio::test]
async fn without_a_digest_in_the_header_the_content_has_it() {
    let server = Server::start(|_, _, _| reply(200, MANIFEST).insert_header("Content-Type", TYPE)).await;
    let pinned = anonymous().resolve(&server.image("shop:1")).await.unwrap().pinned;
    assert_eq!(pinned.digest, Some(Digest::of(MANIFEST.as_bytes())));
    // Content with a digest other than the requested one is rejected.
    let error = anonymous().resolve(&server.image(&format!("shop@{DIGEST}"))).await.unwrap_err();
    assert!(matches!(error.problem, RegistryErrorKind::NoImage { .. }), "{error}");
}

#[tokio::test]
async fn a_page_to_sign_in_is_no_image() {
    let server = Server::start(|_, _, _| reply(200, "<html>").insert_header("Content-Type", "text/html")).await;
    let error = anonymous().resolve(&server.image("shop:1")).await.unwrap_err();
    assert!(matches!(error.problem, RegistryErrorKind::NoImage { .. }) && !error.is_transient(), "{error}");
}

#[tokio::test]
async fn the_revision_is_read_from_the_first_image_of_an_index() {
    let configuration = r#"{"config": {"Labels": {"org.opencontainers.image.revision": "4f2a9c1"}}}"#;
    let image =
        format!(r#"{{"schemaVersion": 2, "config": {{"digest": "{}"}}}}"#, Digest::of(configuration.as_bytes()));
    let attestation = r#"{"digest": "sha256:0", "platform": {"os": "unknown"}}"#;
    let first = format!(r#"{{"digest": "{}", "platform": {{"os": "linux"}}}}"#, Digest::of(image.as_bytes()));
    let index = format!(r#"{{"schemaVersion": 2, "manifests": [{attestation}, {first}]}}"#);
    let server = Server::start(move |_, request, _| match line(request).as_str() {
        "GET /v2/shop/manifests/1" => reply(200, index.clone()),
        line if line.contains("/manifests/sha256:") => reply(200, image.clone()),
        line if line.contains("/blobs/sha256:") => reply(200, configuration),
        _ => reply(404, ""),
    })
    .await;
    assert_eq!(anonymous().revision(&server.image("shop:1")).await.as_deref(), Some("4f2a9c1"));
    assert_eq!(anonymous().revision(&server.image("shop:2")).await, None);
}

#[tokio::test]
async fn an_index_and_its_manifest_are_one_image() {
    let manifest = |number: u8| format!(r#"{{"schemaVersion": 2, "config": {{"digest": "sha256:{number}"}}}}"#);
    let index = |digests: &[&str]| {
        let images: Vec<String> = digests
            .iter()
            .map(|digest| format!(r#"{{"digest": "{digest}", "platform": {{"os": "linux"}}}}"#))
            .collect();
        format!(r#"{{"schemaVersion": 2, "manifests": [{}]}}"#, images.join(", "))
    };
    let digest = |text: &str| Digest::of(text.as_bytes()).to_string();
    let (here, elsewhere, other) = (manifest(1), manifest(2), manifest(3));
    let (both, again) = (index(&[&digest(&here), &digest(&elsewhere)]), index(&[&digest(&here)]));
    let all = [&here, &elsewhere, &other, &both, &again].map(Clone::clone);
    let converted = here.replace("\": ", "\":");
    let texts: Vec<String> = all.into_iter().chain([converted.clone()]).collect();
    let server = Server::start(move |_, request, _| {
        let found = texts.iter().find(|text| line(request).ends_with(Digest::of(text.as_bytes()).as_str()));
        found.map_or_else(|| reply(404, ""), |text| reply(200, text.clone()))
    })
    .await;
    let image = |text: &str| server.image("shop").with_digest(&Digest::of(text.as_bytes()));
    let registry = anonymous();
    for (one, two, is_same) in [
        (&both, &here, true),
        (&here, &both, true),
        (&both, &again, true),
        (&here, &converted, true),
        (&both, &other, false),
        (&here, &elsewhere, false),
    ] {
        assert_eq!(registry.is_same_image(&image(one), &image(two)).await, is_same, "{one} {two}");
    }
    let gone = image("gone");
    assert!(registry.is_same_image(&gone, &gone).await, "the registry is not requested");
    assert!(!registry.is_same_image(&gone, &image(&here)).await);
}

/// An index with one artifact.
fn referrers(artifact_type: &str) -> ResponseTemplate {
    let artifact = format!(r#"{{"digest": "sha256:1", "artifactType": "{artifact_type}"}}"#);
    reply(200, format!(r#"{{"schemaVersion": 2, "manifests": [{artifact}]}}"#))
}

#[tokio::test]
async fn artifacts_are_found_by_the_api_page_by_page() {
    let server = Server::start(|_, request, _| {
        if line(request).ends_with("last=1") {
            return referrers(SARIF);
        }
        // Some registries ignore the filter.
        let next = format!("</v2/shop/referrers/{DIGEST}?last=1>; rel=\"next\"");
        referrers("application/spdx+json").insert_header("Link", next)
    })
    .await;
    let image = server.image(&format!("shop:1@{DIGEST}"));
    assert_eq!(anonymous().has_artifact(&image, SARIF).await, Ok(true));
    let first = format!("GET /v2/shop/referrers/{DIGEST}?artifactType=application%2Fsarif%2Bjson");
    assert_eq!(server.seen().await, [first, format!("GET /v2/shop/referrers/{DIGEST}?last=1")]);
    assert_eq!(anonymous().has_artifact(&server.image("shop:1"), SARIF).await, Ok(false));
}

#[tokio::test]
async fn artifacts_are_found_by_the_tag_that_stands_in_for_the_api() {
    let tag = format!("GET /v2/shop/manifests/{}", DIGEST.replace(':', "-"));
    let server =
        Server::start(move |_, request, _| if line(request) == tag { referrers(SARIF) } else { reply(404, "") }).await;
    let image = server.image(&format!("shop@{DIGEST}"));
    assert_eq!(anonymous().has_artifact(&image, SARIF).await, Ok(true));
    assert_eq!(anonymous().has_artifact(&image, "application/spdx+json").await, Ok(false));
    assert_eq!(anonymous().has_artifact(&server.image(&format!("bus@{DIGEST}")), SARIF).await, Ok(false));
    // An error is not a "no": a gate must not decide by it.
    let broken = Server::start(|_, _, _| reply(503, "")).await;
    let error = anonymous().has_artifact(&broken.image(&format!("shop@{DIGEST}")), SARIF).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_mirror_is_tried_first_and_its_error_precedes_that_of_an_unreachable_registry() {
    let mirror =
        Server::start(|_, request, _| if line(request).contains("redis") { found() } else { reply(404, "") }).await;
    // Nothing listens on port 1.
    let registry = registry(&format!("127.0.0.1:1=http://{}", mirror.host), "{}", NO_PAUSES);
    let image = |text: &str| ImageReference::parse(&format!("127.0.0.1:1/{text}")).unwrap();
    let pinned = registry.resolve(&image("redis")).await.unwrap().pinned;
    assert_eq!(pinned.to_string(), format!("127.0.0.1:1/redis:latest@{DIGEST}"));
    assert_eq!(mirror.seen().await, ["HEAD /v2/redis/manifests/latest?ns=127.0.0.1%3A1"]);

    let error = registry.resolve(&image("shop")).await.unwrap_err();
    assert!(matches!(error.problem, RegistryErrorKind::NotFound { .. }), "{error}");
    let [first, second] = &error.detail[..] else { panic!("{:?}", error.detail) };
    assert_eq!(*first, format!("the mirror http://{}: HTTP 404 Not Found", mirror.host));
    assert!(second.starts_with("127.0.0.1:1 cannot be reached: Connection refused"), "{second}");
}

#[tokio::test]
async fn an_unreachable_registry_is_retried_but_not_one_without_tls() {
    let image = ImageReference::parse("127.0.0.1:1/shop").unwrap();
    let error = anonymous().resolve(&image).await.unwrap_err();
    assert!(matches!(error.problem, RegistryErrorKind::Unreachable { .. }) && error.is_transient(), "{error}");

    // A listener without TLS closes the connection at the client hello.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    let error = registry(&format!("127.0.0.1:1=https://{address}"), "{}", NO_PAUSES).resolve(&image).await.unwrap_err();
    assert!(
        matches!(error.problem, RegistryErrorKind::Unsafe { .. }) && !error.is_transient(),
        "{error}: {:?}",
        error.detail
    );
    assert!(error.problem().help.is_some_and(|help| help.contains("CMDR_CA")));
}

#[test]
fn a_companys_authority_must_be_one() {
    let credentials = Credentials::read(tempfile::tempdir().unwrap().path()).unwrap();
    let error = Registry::new(Vec::new(), credentials, Some("no PEM"), CancellationToken::new()).unwrap_err();
    let problem = Problem::of(&error);
    assert_eq!(problem.message, "cannot create the registry client");
    assert_eq!(problem.details, ["the company's CA file contains no certificates"]);
}
