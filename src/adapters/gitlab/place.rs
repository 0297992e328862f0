//! Finds a project on GitLab from the URL of the git remote.

use reqwest::Url;

use crate::{adapters::http::url_encoded, domain::mirror::is_this_machine};

/// A project on a GitLab server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The URL of GitLab, without a trailing slash.
    pub server: String,
    /// The project's path with its groups: `tunes/teams/shop`.
    pub project: String,
}

/// Why the project is unknown. No variant contains the URL as written, because it may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    #[error("cannot determine the project on GitLab: the folder has no git remote 'origin'")]
    NoRemote,
    #[error("cannot determine the project on GitLab: the git remote 'origin' is not the URL of a server")]
    Remote,
    #[error("CI_SERVER_URL is not a valid server URL")]
    Server,
    #[error("'{0}' is not a valid project path: expected GROUP/PROJECT")]
    Project(String),
    #[error("the token would be sent to {0} over plain HTTP")]
    Clear(String),
}

impl Place {
    /// Parses the URL of the remote; `server` and `project` override its parts.
    ///
    /// # Errors
    /// If a part is missing or invalid, or the connection would not be secure.
    pub fn find(remote: Option<&str>, server: Option<&str>, project: Option<&str>) -> Result<Self, PlaceError> {
        let of_remote = match remote {
            Some(remote) => read(remote).ok_or(PlaceError::Remote),
            None => Err(PlaceError::NoRemote),
        };
        let (server, project) = match (server, project) {
            (Some(server), Some(project)) => (read_server(server)?, project.to_owned()),
            (Some(server), None) => {
                let server = read_server(server)?;
                let path = below(&server, &of_remote?.1);
                (server, path)
            }
            (None, project) => {
                let (server, path) = of_remote?;
                (server, project.map_or(path, str::to_owned))
            }
        };
        let project = project.trim_matches('/').to_owned();
        if !project.contains('/') {
            return Err(PlaceError::Project(project));
        }
        let authority = server.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
        if authority.is_some_and(|authority| !is_this_machine(authority)) {
            return Err(PlaceError::Clear(server));
        }
        Ok(Self { server, project })
    }

    /// Returns the root of the project in the API.
    pub(super) fn api(&self) -> String {
        format!("{}/api/v4/projects/{}", self.server, url_encoded(&self.project))
    }
}

/// Returns the server and the path of a URL in any form that git accepts.
fn read(remote: &str) -> Option<(String, String)> {
    let (server, path) = match Url::parse(remote) {
        Ok(url) if remote.contains("://") => (server_of(&url)?, url.path().to_owned()),
        // `git@host:group/project`: a colon before the first slash.
        _ => {
            let (host, path) = remote.split_once(':')?;
            let host = host.rsplit('@').next()?;
            let is_host = !host.is_empty() && !host.contains('/') && !path.starts_with("//");
            (is_host.then(|| format!("https://{host}"))?, path.to_owned())
        }
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    Some((server, path.to_owned()))
}

fn server_of(url: &Url) -> Option<String> {
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    match url.scheme() {
        scheme @ ("https" | "http") => Some(format!("{scheme}://{host}{port}")),
        // The port is the SSH port.
        "ssh" | "git+ssh" => Some(format!("https://{host}")),
        _ => None,
    }
}

fn read_server(text: &str) -> Result<String, PlaceError> {
    let url = Url::parse(text).ok().filter(|url| ["https", "http"].contains(&url.scheme()));
    let url = url.ok_or(PlaceError::Server)?;
    let server = server_of(&url).ok_or(PlaceError::Server)?;
    Ok(format!("{server}{}", url.path().trim_end_matches('/')))
}

/// Removes the path prefix of a GitLab server from `path`: it is part of git URLs over HTTP, but not of project paths
/// in the API.
fn below(server: &str, path: &str) -> String {
    let own = server.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let rest = path.strip_prefix(own).filter(|_| !own.is_empty()).and_then(|rest| rest.strip_prefix('/'));
    rest.unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(remote: &str) -> (String, String) {
        let place = Place::find(Some(remote), None, None).unwrap_or_else(|error| panic!("{remote}: {error}"));
        (place.server, place.project)
    }

    #[test]
    fn every_form_of_a_remote_identifies_its_project() {
        for (remote, server, project) in [
            ("git@gitlab.com:tunes/shop.git", "https://gitlab.com", "tunes/shop"),
            ("gitlab.example.com:tunes/teams/web/shop", "https://gitlab.example.com", "tunes/teams/web/shop"),
            ("ssh://git@gitlab.example.com:2222/tunes/shop.git", "https://gitlab.example.com", "tunes/shop"),
            ("https://gitlab.com/tunes/shop.git/", "https://gitlab.com", "tunes/shop"),
            ("https://gitlab.example.com:8443/tunes/a/shop", "https://gitlab.example.com:8443", "tunes/a/shop"),
            ("https://oauth2:canary@gitlab.com/tunes/shop.git", "https://gitlab.com", "tunes/shop"),
            ("http://localhost:8080/tunes/shop.git", "http://localhost:8080", "tunes/shop"),
        ] {
            assert_eq!(found(remote), (server.to_owned(), project.to_owned()), "{remote}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_not_shown() {
        let failed = |remote| Place::find(remote, None, None).unwrap_err();
        assert_eq!(failed(None), PlaceError::NoRemote);
        for remote in ["/srv/git/shop.git", "../shop", "file:///srv/git/shop.git", "", ":canary"] {
            assert_eq!(failed(Some(remote)), PlaceError::Remote, "{remote}");
        }
        assert_eq!(failed(Some("git@gitlab.com:shop.git")), PlaceError::Project("shop".to_owned()));
        let clear = failed(Some("http://me:canary@gitlab.example.com/tunes/shop"));
        assert_eq!(clear, PlaceError::Clear("http://gitlab.example.com".to_owned()));
    }

    #[test]
    fn variables_stand_in_place_of_the_remotes_parts() {
        let find = |remote, server, project| {
            let place: Result<Place, PlaceError> = Place::find(remote, server, project);
            place.map(|place| format!("{} {}", place.server, place.project))
        };
        let remote = Some("https://example.com/gitlab/tunes/shop.git");
        let server = Some("https://me:canary@example.com/gitlab/");
        assert_eq!(find(remote, server, None).unwrap(), "https://example.com/gitlab tunes/shop");
        assert_eq!(find(None, server, Some("a/b")).unwrap(), "https://example.com/gitlab a/b");
        assert_eq!(find(Some("git@h:x/y"), None, Some("a/b")).unwrap(), "https://h a/b");
        assert_eq!(find(None, None, Some("a/b")), Err(PlaceError::NoRemote));
        assert_eq!(find(remote, Some("example.com"), None), Err(PlaceError::Server));
        assert_eq!(
            find(None, Some("http://h"), Some("a/b")).unwrap_err().to_string(),
            "the token would be sent to http://h over plain HTTP"
        );
    }

    #[test]
    fn a_project_is_one_part_of_the_apis_path() {
        let place = Place { server: "https://h".to_owned(), project: "a/b c".to_owned() };
        assert_eq!(place.api(), "https://h/api/v4/projects/a%2Fb%20c");
    }
}
