//! The URL of a project in the browser.

use crate::{
    adapters::browser::open_in_browser,
    domain::{
        Name, Problem,
        ports::{Pair, STANDARD},
    },
    error::CommandError,
    ops::{
        own_cluster::not_running,
        session::{Session, disabled_here, unknown},
    },
    ui,
};

/// Opens the first URL of a project, or only prints it.
///
/// # Errors
/// When the project has no URL, or there is no browser.
pub async fn open_project(session: &Session, name: &str, only_print: bool) -> Result<(), CommandError> {
    let Some(project) = session.projects.iter().find(|project| project.name.as_str() == name) else {
        let known = &session.loaded.workspace.projects;
        return Err(if known.contains_key(name) {
            CommandError::usage(disabled_here(session, name))
        } else {
            unknown("project", name, known.keys().map(Name::as_str))
        });
    };
    let ports = if session.environment.is_local() {
        let (http, https) = session.local().await?.published_ports().ok_or_else(not_running)?;
        Pair { http, https }
    } else {
        STANDARD
    };
    let url = project.routes.iter().flat_map(|route| route.urls(ports)).map(|url| url.shown).next();
    let url = url.ok_or_else(|| {
        let help = format!("give it a host in projects.yaml, or reach its port with cmdr forward {name}");
        CommandError::usage(Problem::new(format!("'{name}' has no URL")).help(help))
    })?;
    ui::print(&format!("{url}\n"));
    if only_print {
        return Ok(());
    }
    open_in_browser(&url).await.map_err(|reason| {
        let problem = Problem { details: vec![reason], ..Problem::new("cannot open a browser") };
        CommandError::failed(problem.help("open the URL yourself; --print only prints it"))
    })
}
