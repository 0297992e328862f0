//! `cmdr cp`: files to and from containers.

use std::path::Path;

use super::exec::request;
use crate::{
    cli::CpOptions,
    domain::Problem,
    error::CommandError,
    ops::{
        reach::copy::{CopyPaths, copy},
        session::Session,
    },
};

/// # Errors
/// When the paths do not name one container, a path does not exist, or the container is not reachable.
pub(super) async fn cp(session: &Session, options: &CpOptions) -> Result<(), CommandError> {
    let (project, paths) = match (in_container(&options.source), in_container(&options.target)) {
        (Some((project, remote)), None) => {
            (project, CopyPaths::FromContainer { remote, local: options.target.clone() })
        }
        (None, Some((project, remote))) => (project, CopyPaths::ToContainer { local: options.source.clone(), remote }),
        (in_source, _) => return Err(CommandError::usage(not_one_container(in_source.is_some()))),
    };
    copy(session, &request(&project, &options.reach, options.image.as_deref()), &paths).await
}

/// Why two paths are not one of this machine and one of a container.
fn not_one_container(are_both: bool) -> Problem {
    if are_both {
        let cause = "both paths are in containers: cp copies between a container and this machine";
        return Problem::new(cause).help("copy the file to this machine first, then into the other container");
    }
    let cause = "one of the two paths must be in a container";
    Problem::new(cause).help("write it as PROJECT:PATH, such as shop:/tmp/report")
}

/// `shop:/tmp/report`. A path such as `./a:b` is a file of this machine.
fn in_container(path: &Path) -> Option<(String, String)> {
    let (project, remote) = path.to_str()?.split_once(':')?;
    (!project.contains(['/', '.']) && !project.is_empty() && !remote.is_empty())
        .then(|| (project.to_owned(), remote.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_paths_is_on_this_machine() {
        assert!(not_one_container(true).message.starts_with("both paths are in containers"));
        assert!(not_one_container(false).help.is_some_and(|help| help.contains("PROJECT:PATH")));
    }

    #[test]
    fn a_path_in_a_container_has_the_name_of_a_project() {
        let read = |text: &str| in_container(Path::new(text));
        assert_eq!(read("shop:/tmp/a:b"), Some(("shop".to_owned(), "/tmp/a:b".to_owned())));
        assert_eq!(read("shop:data"), Some(("shop".to_owned(), "data".to_owned())));
        for local in ["report", "./a:b", "/tmp/a:b", ":x", "shop:"] {
            assert_eq!(read(local), None, "{local}");
        }
    }
}
