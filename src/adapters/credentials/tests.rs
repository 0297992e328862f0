use std::os::unix::fs::PermissionsExt;

use super::*;

/// A configuration folder that also contains helpers, and is the first folder of their `PATH`.
struct Home(tempfile::TempDir);

impl Home {
    fn new(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), configuration).unwrap();
        Self(folder)
    }

    fn helper(self, name: &str, script: &str) -> Self {
        let path = self.0.path().join(format!("docker-credential-{name}"));
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    async fn find(&self, hosts: &[&str]) -> FoundCredentials {
        let path = format!("{}:/usr/bin:/bin", self.0.path().display());
        let credentials = Credentials::read(self.0.path()).unwrap().with_search_path(path);
        credentials.for_registries(hosts, &CancellationToken::new()).await
    }
}

fn logins(found: &FoundCredentials) -> Vec<(&str, &str, &str)> {
    found
        .credentials
        .iter()
        .map(|found| (found.host.as_str(), found.username.as_str(), found.password.expose()))
        .collect()
}

#[tokio::test]
async fn reads_the_file_as_docker_writes_it() {
    let home = Home::new(
        r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "bWU6aHVi"},
            "https://ghcr.io/v2/": {"auth": "bWU6Z2hjcjpzcGxpdA=="},
            "localhost:5000": {"username": "me", "password": "plain"},
            "azure.example.com": {"auth": "bWU6", "identitytoken": "token"},
            "empty.example.com": {}
        }, "HttpHeaders": {}}"#,
    );
    let found = home
        .find(&["docker.io", "ghcr.io", "localhost:5000", "azure.example.com", "empty.example.com", "quay.io"])
        .await;
    let expected = [
        ("docker.io", "me", "hub"),
        ("ghcr.io", "me", "ghcr:split"),
        ("localhost:5000", "me", "plain"),
        ("azure.example.com", "<token>", "token"),
    ];
    assert_eq!((logins(&found), found.warnings.len()), (expected.to_vec(), 0));
}

#[tokio::test]
async fn a_helper_is_asked_by_the_protocol() {
    let answer = r#"[ "$1" = get ] || exit 9; read -r server; printf '{"ServerURL":"%s","Username":"%s","Secret":"s3cret"}' "$server" "$server""#;
    // A helper's input ends without a line break, so `read` exits with 1 there.
    let home = Home::new(r#"{"credsStore": "store", "credHelpers": {"ghcr.io": "own"}}"#)
        .helper("store", answer)
        .helper("own", r#"echo '{"Username":"me","Secret":"own"}'"#);
    let found = home.find(&["docker.io", "ghcr.io"]).await;
    assert_eq!(logins(&found), [("docker.io", "https://index.docker.io/v1/", "s3cret"), ("ghcr.io", "me", "own")]);
}

#[tokio::test]
async fn a_helper_without_a_login_leaves_the_word_to_the_file() {
    let home = Home::new(r#"{"credsStore": "store", "auths": {"ghcr.io": {"auth": "bWU6Z2hjcg=="}, "quay.io": {}}}"#)
        .helper("store", "echo 'credentials not found in native keychain'; exit 1");
    let found = home.find(&["ghcr.io", "quay.io"]).await;
    assert_eq!((logins(&found), found.warnings.len()), (vec![("ghcr.io", "me", "ghcr")], 0));
}

#[tokio::test]
async fn what_fails_is_a_warning_that_names_the_helper() {
    let configuration =
        r#"{"credHelpers": {"a": "locked", "b": "absent", "c": "odd", "d": "leaky"}, "auths": {"e": {"auth": "%"}}}"#;
    let home = Home::new(configuration)
        .helper("locked", "echo 'keychain is locked'; exit 1")
        .helper("odd", "echo hello")
        .helper("leaky", r#"echo '{"Secret":"s3cret"}'; exit 2"#);
    let found = home.find(&["a", "b", "c", "d", "e"]).await;
    let warnings: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings[..4],
        [
            "cannot get credentials for a: credential helper docker-credential-locked failed: keychain is locked",
            "cannot get credentials for b: credential helper docker-credential-absent is not installed, or not on PATH",
            "cannot get credentials for c: credential helper docker-credential-odd returned an invalid response",
            "cannot get credentials for d: credential helper docker-credential-leaky failed (exit status: 2)",
        ]
    );
    assert!(warnings[4].starts_with("cannot get credentials for e: the entry in "), "{}", warnings[4]);
    assert_eq!(logins(&found), []);
}

#[test]
fn a_broken_file_is_named_without_its_content() {
    let home = Home::new("{\"auths\": {\"ghcr.io\": \"s3cret\"}}");
    let error = Credentials::read(home.0.path()).unwrap_err();
    assert!(error.to_string().contains("config.json: line 1, column"), "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cret"));
    assert!(Credentials::read(Path::new("/no/such/folder")).is_ok());
}

#[tokio::test]
async fn the_variable_of_pipelines_comes_first() {
    let home = Home::new(r#"{"auths": {"ghcr.io": {"auth": "bWU6ZmlsZQ=="}, "quay.io": {"auth": "bWU6ZmlsZQ=="}}}"#);
    let credentials = Credentials::read(home.0.path()).unwrap();
    let given =
        credentials.with_auth_config(r#"{"auths": {"https://ghcr.io": {"auth": "Y2k6dmFyaWFibGU="}}}"#).unwrap();
    let found = given.for_registries(&["ghcr.io", "quay.io", "docker.io"], &CancellationToken::new()).await;
    assert_eq!(logins(&found), [("ghcr.io", "ci", "variable"), ("quay.io", "me", "file")]);
    let error = Credentials::default().with_auth_config("s3cret").unwrap_err();
    let expected = "cannot read Docker's configuration in the variable DOCKER_AUTH_CONFIG: line 1, column 1 is not in \
                    Docker's format";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_helper_is_asked_once() {
    let home = Home::new(r#"{"credsStore": "once"}"#);
    let mark = home.0.path().join("asked");
    let script = format!("mkdir '{}' && echo '{{\"Username\": \"me\", \"Secret\": \"s\"}}'", mark.display());
    let home = home.helper("once", &script);
    let path = format!("{}:/usr/bin:/bin", home.0.path().display());
    let credentials = Credentials::read(home.0.path()).unwrap().with_search_path(path);
    for _ in 0..2 {
        let found = credentials.for_registries(&["ghcr.io"], &CancellationToken::new()).await;
        assert_eq!(logins(&found), [("ghcr.io", "me", "s")]);
    }
    assert!(!credentials.is_empty());
    assert!(Credentials::default().is_empty());
}

#[test]
fn nothing_shows_a_secret() {
    let credential = credential("ghcr.io", "me".to_owned(), "s3cret".to_owned());
    assert!(!format!("{credential:?}").contains("s3cret"));
    let home = Home::new(r#"{"auths": {"ghcr.io": {"auth": "bWU6Z2hjcg==", "password": "s3cret"}}}"#);
    let debug = format!("{:?}", Credentials::read(home.0.path()).unwrap());
    assert!(!debug.contains("s3cret") && !debug.contains("bWU6"), "{debug}");
}
