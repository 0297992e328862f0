//! Contexts of the user's kubeconfig files, read once per run, so that later changes to these files do not affect the
//! run.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper_util::client::proxy::matcher::Matcher;
use kube::config::Kubeconfig;
use tempfile::NamedTempFile;

use crate::{
    adapters::root_cause,
    domain::{Problem, nearest::nearest, proxy::Proxies, yaml},
};

const PREFIX: &str = "context-";
/// Longer than any run.
const LONGEST_RUN: Duration = Duration::from_hours(24);

/// One context with its cluster and its user, in a temporary file that only this user can read.
#[derive(Debug)]
pub struct ContextFile {
    file: NamedTempFile,
    pub context: String,
}

impl ContextFile {
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error("kubeconfig not found: {}", list(.0))]
    NoFile(Vec<PathBuf>),
    #[error("cannot read the kubeconfig {}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("context '{context}' not found in the kubeconfig")]
    Unknown { context: String, known: Vec<String> },
    #[error("cannot write to {}: {source}", folder.display())]
    Folder { folder: PathBuf, source: std::io::Error },
}

impl ContextError {
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(self.to_string());
        match self {
            Self::NoFile(_) => problem.help("set KUBECONFIG to the path of a kubeconfig"),
            Self::Unknown { known, .. } if known.is_empty() => {
                problem.help("set KUBECONFIG: this file contains no contexts")
            }
            Self::Unknown { context, known } => {
                problem.help(match nearest(context, known.iter().map(String::as_str)) {
                    Some(name) => format!("did you mean '{name}'? Edit 'context' in projects.yaml"),
                    None => format!("available contexts: {}", known.join(", ")),
                })
            }
            Self::Folder { .. } => problem.help("set CMDR_STATE to a writable folder"),
            Self::Unreadable { .. } => problem,
        }
    }
}

/// Copies a context from the first of `files` that contains it, as kubectl finds it, to a file in `folder`. The copy
/// names the proxy through which kubectl would reach the cluster.
///
/// # Errors
/// If no file contains the context, a file cannot be read, or the folder cannot be written.
pub fn read_context(
    files: &[PathBuf],
    context: &str,
    folder: &Path,
    proxies: &Proxies,
) -> Result<ContextFile, ContextError> {
    let mut whole: Option<Kubeconfig> = None;
    for path in files.iter().filter(|path| path.exists()) {
        let unreadable = |reason: String| ContextError::Unreadable { path: path.clone(), reason };
        let file = Kubeconfig::read_from(path).map_err(|error| unreadable(root_cause(&error)))?;
        whole = Some(match whole {
            Some(before) => before.merge(file).map_err(|error| unreadable(root_cause(&error)))?,
            None => file,
        });
    }
    let whole = whole.ok_or_else(|| ContextError::NoFile(files.to_vec()))?;
    let text = yaml::write(&behind(only(whole, context)?, proxies));
    let cannot = |source| ContextError::Folder { folder: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(cannot)?;
    sweep(folder);
    let mut file = tempfile::Builder::new().prefix(PREFIX).tempfile_in(folder).map_err(cannot)?;
    file.write_all(text.as_bytes()).map_err(cannot)?;
    Ok(ContextFile { file, context: context.to_owned() })
}

/// Removes old files with credentials that interrupted runs left behind.
fn sweep(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_left = |entry: &fs::DirEntry| {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
        entry.file_name().to_string_lossy().starts_with(PREFIX) && age.is_some_and(|age| age > LONGEST_RUN)
    };
    for entry in entries.filter(is_left) {
        // Another run may already have removed it.
        let _ = fs::remove_file(entry.path());
    }
}

/// Returns the kubeconfig with only this context.
fn only(mut file: Kubeconfig, context: &str) -> Result<Kubeconfig, ContextError> {
    let known: Vec<String> = file.contexts.iter().map(|context| context.name.clone()).collect();
    let unknown = || ContextError::Unknown { context: context.to_owned(), known };
    let Some(wanted) = file.contexts.iter().find(|known| known.name == context).and_then(|it| it.context.clone())
    else {
        return Err(unknown());
    };
    file.contexts.retain(|known| known.name == context);
    file.clusters.retain(|cluster| cluster.name == wanted.cluster);
    file.auth_infos.retain(|user| Some(&user.name) == wanted.user.as_ref());
    file.current_context = Some(context.to_owned());
    Ok(file)
}

/// Adds the proxy that variables set for the host of a cluster, unless the kubeconfig names one.
fn behind(mut file: Kubeconfig, proxies: &Proxies) -> Kubeconfig {
    for cluster in file.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
        if cluster.proxy_url.as_deref().unwrap_or_default().is_empty() {
            cluster.proxy_url = cluster.server.as_deref().and_then(|server| proxy_for(server, proxies));
        }
    }
    file
}

/// Returns the URL of the proxy for a server; `None` if it is reached directly.
fn proxy_for(server: &str, proxies: &Proxies) -> Option<String> {
    let (http, https) = (proxies.http.as_deref(), proxies.https.as_deref());
    let matcher = Matcher::builder()
        .http(http.unwrap_or_default())
        .https(https.unwrap_or_default())
        .no(proxies.direct([]))
        .build();
    let server: http::Uri = server.parse().ok()?;
    matcher.intercept(&server)?;
    let url = if server.scheme_str() == Some("http") { http } else { https }?;
    Some(if url.contains("://") { url.to_owned() } else { format!("http://{url}") })
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r"
apiVersion: v1
kind: Config
current-context: other
clusters:
- {name: one, cluster: {server: 'https://127.0.0.1:1', certificate-authority: ca.crt}}
- {name: two, cluster: {server: 'https://127.0.0.1:2'}}
users:
- {name: me, user: {token: canary}}
- {name: you, user: {token: yours}}
contexts:
- {name: staging, context: {cluster: one, user: me}}
- {name: other, context: {cluster: two, user: you}}
";

    #[test]
    fn one_context_is_copied_with_what_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, FILE).unwrap();
        let file = read_context(
            &[folder.path().join("absent"), path],
            "staging",
            &folder.path().join("runs"),
            &Proxies::default(),
        )
        .unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(text.contains("canary") && !text.contains("yours") && !text.contains("127.0.0.1:2"), "{text}");
        assert!(text.contains(&format!("{}/ca.crt", folder.path().display())), "{text}");
        let kept = file.path().to_owned();
        drop(file);
        assert!(!kept.exists());
    }

    #[test]
    fn what_a_killed_run_left_is_swept_when_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, age: Duration| {
            let path = folder.path().join(name);
            let modified = std::time::SystemTime::now() - age;
            fs::File::create(&path).unwrap().set_modified(modified).unwrap();
            path
        };
        let (old, young) = (file("context-old", LONGEST_RUN * 2), file("context-young", Duration::ZERO));
        let other = file("other", LONGEST_RUN * 2);
        sweep(folder.path());
        assert!(!old.exists() && young.exists() && other.exists());
    }

    #[test]
    fn a_missing_context_is_reported_with_the_nearest_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, FILE).unwrap();
        let error = read_context(&[path], "stagin", folder.path(), &Proxies::default()).unwrap_err().problem();
        assert!(error.help.is_some_and(|help| help.contains("did you mean 'staging'?")));
        let error =
            read_context(&[folder.path().join("absent")], "staging", folder.path(), &Proxies::default()).unwrap_err();
        assert!(error.problem().message.contains("kubeconfig not found"));
    }

    #[test]
    fn the_host_of_the_cluster_decides_about_the_proxy() {
        let text = |text: &str| Some(text.to_owned());
        let https = "http://me:word@proxy.corp:3128";
        let proxies = |no: &str| Proxies { http: text("plain:1"), https: text(https), no: text(no) };
        let way = |server: &str, no: &str| proxy_for(server, &proxies(no));
        assert_eq!(way("https://api.example.com:6443", "proxy.corp,other.com,"), text(https));
        assert_eq!(way("http://api.example.com", ""), text("http://plain:1"));
        for no in ["example.com", ".example.com", "*"] {
            assert_eq!(way("https://api.example.com:6443", no), None, "{no}");
        }
        assert_eq!(way("https://10.1.2.3:6443", "10.0.0.0/8"), None);
        assert_eq!(way("https://127.0.0.1:6443", ""), None);
        assert_eq!(way("https://localhost:6443", ""), None);
        assert_eq!(proxy_for("https://api.example.com", &Proxies::default()), None);
    }

    #[tokio::test]
    async fn a_remote_cluster_is_asked_through_the_proxy() {
        use tokio::io::AsyncReadExt;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let https = Some(format!("http://{}", listener.local_addr().unwrap()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        fs::write(&path, FILE.replace("127.0.0.1:2", "api.example.test:6443")).unwrap();
        let proxies = Proxies { https, ..Proxies::default() };
        let file = read_context(&[path], "other", &folder.path().join("runs"), &proxies).unwrap();
        let cluster = super::super::Cluster::open(file.path(), Some("other")).await.unwrap();
        let proxy = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 512];
            let length = stream.read(&mut asked).await.unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        };
        let asked = tokio::select! { asked = proxy => asked, _ = cluster.identity() => String::new() };
        assert!(asked.starts_with("CONNECT api.example.test:6443 "), "{asked}");
    }
}
