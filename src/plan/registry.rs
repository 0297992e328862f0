//! The local registry, its caches, and the images that are built for it.

use super::{Plan, Step, StepId};
use crate::domain::{
    Build, Name,
    local_registry::{ObservedService, RegistryService},
};

/// Services to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySpec {
    pub services: Vec<RegistryService>,
    /// Whether the run needs the registry. If not, it only makes the run faster.
    pub is_required: bool,
}

/// An image to build and push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSpec {
    pub project: Name,
    /// Other projects with the same build: they get the same image.
    pub shared_by: Vec<Name>,
    pub build: Build,
    /// The repository to push to, without tag: `localhost:5001/tunes/shop`.
    pub repository: String,
}

/// Returns the services that are missing or differ from the desired state, with the reasons. `None` if there are none.
pub fn to_make(wanted: &[RegistryService], found: &[ObservedService]) -> Option<(Vec<RegistryService>, String)> {
    let missing = wanted.iter().filter_map(|service| Some((service.clone(), reason(service, found)?)));
    let (services, reasons): (Vec<RegistryService>, Vec<String>) = missing.unzip();
    (!services.is_empty()).then(|| (services, reasons.join(", ")))
}

fn reason(service: &RegistryService, found: &[ObservedService]) -> Option<String> {
    let name = service.name();
    let what = match found.iter().find(|found| found.name == name) {
        None => "does not exist yet",
        Some(found) if found.checksum != service.checksum() => "has a different configuration",
        Some(found) if !found.is_joined => "is not connected to the node network",
        Some(found) if !found.is_running => "is not running",
        Some(_) => return None,
    };
    Some(format!("{name} {what}"))
}

/// Adds the build steps, each after the step that creates the registry, if there is one.
pub fn add_builds(plan: &mut Plan, builds: &[(BuildSpec, String)], registry: Option<StepId>) {
    for (build, reason) in builds {
        plan.add(Step::Build(build.clone()), reason, registry);
    }
}

/// The plan of `cmdr build`: creates what is missing of the registry, then builds.
pub fn build(builds: Vec<BuildSpec>, wanted: &[RegistryService], found: &[ObservedService]) -> Plan {
    let mut plan = Plan::default();
    let made = to_make(wanted, found).map(|(services, reason)| {
        let spec = RegistrySpec { services, is_required: true };
        plan.add(Step::LocalRegistry(spec), reason, None)
    });
    let builds: Vec<_> = builds.into_iter().map(|build| (build, "cmdr build".to_owned())).collect();
    add_builds(&mut plan, &builds, made);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{build::BuildMethod, local_registry::wanted},
        plan::graph::tests::lines,
    };

    fn as_made(service: &RegistryService) -> ObservedService {
        ObservedService {
            name: service.name(),
            label: service.label().to_owned(),
            checksum: service.checksum(),
            port: service.port(),
            is_running: true,
            is_joined: true,
        }
    }

    #[test]
    fn only_what_is_missing_is_made() {
        let wanted = wanted(&["docker.io".to_owned(), "ghcr.io".to_owned()].into(), &[], |_| false, None, 5001);
        let mut found: Vec<ObservedService> = wanted.iter().map(as_made).collect();
        assert_eq!(to_make(&wanted, &found), None);
        found[1].is_running = false;
        found[2].is_joined = false;
        let (services, reason) = to_make(&wanted, &found).unwrap();
        assert_eq!(services, wanted[1..]);
        assert_eq!(
            reason,
            "cmdr-cache-docker-io is not running, cmdr-cache-ghcr-io is not connected to the node network"
        );
        assert_eq!(to_make(&wanted, &[]).unwrap().0, wanted);
    }

    #[test]
    fn builds_wait_for_the_registry_that_they_push_to() {
        let spec = BuildSpec {
            shared_by: Vec::new(),
            project: Name::new("shop").unwrap(),
            build: Build { context: "/shop".into(), method: BuildMethod::Command("make".to_owned()) },
            repository: "localhost:5001/tunes/shop".to_owned(),
        };
        let wanted = wanted(&["docker.io".to_owned()].into(), &[], |_| false, None, 5001);
        let plan = build(vec![spec.clone()], &wanted, &[]);
        assert_eq!(lines(&plan), ["prepare registry <- ", "build shop <- registry"]);
        let found: Vec<ObservedService> = wanted.iter().map(as_made).collect();
        assert_eq!(lines(&build(vec![spec], &wanted, &found)), ["build shop <- "]);
    }

    #[test]
    fn unneeded_services_are_left_unchanged() {
        let all = wanted(&["docker.io".to_owned()].into(), &[], |_| false, None, 5001);
        let found: Vec<ObservedService> = all.iter().map(as_made).collect();
        assert_eq!(to_make(&all[..1], &found), None);
    }
}
