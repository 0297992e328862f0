//! The CI systems that cmdr recognizes by their variables, and what each says about a run.

use std::{cmp::Ordering, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ledger::Origin;

/// A CI system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CiProvider {
    Gitlab,
    GithubActions,
    Jenkins,
    Buildkite,
    Circleci,
    AzureDevops,
    /// A CI system that sets `CI=true` and that cmdr does not know otherwise.
    Other,
}

/// The run of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineRun {
    pub provider: CiProvider,
    /// The URL of the pipeline.
    pub url: Option<String>,
    /// The URL of the job, where the CI system has one for each job.
    pub job: Option<String>,
    /// Who started the run.
    pub user: Option<String>,
    /// The branch; that of the merge request, if there is one.
    pub branch: Option<String>,
    /// A later pipeline of the same project has a higher number. A job that is run again has that of its pipeline.
    pub number: Option<u64>,
}

impl PipelineRun {
    /// The variables by which cmdr knows the run elsewhere: the system, and of GitLab also who started it and where.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let system = PROVIDERS.iter().find(|known| known.provider == self.provider);
        let marker = system.map(|known| (known.marker.to_owned(), "true".to_owned()));
        let own = [("CI_PIPELINE_URL", &self.url), ("CI_JOB_URL", &self.job), ("GITLAB_USER_LOGIN", &self.user)];
        let own = own.into_iter().filter(|_| self.provider == CiProvider::Gitlab);
        let own = own.filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        marker.into_iter().chain(own).collect()
    }
}

/// How a CI system describes its runs. URLs are templates: `{NAME}` is replaced by a variable, and a URL with an unset
/// variable is unknown.
struct ProviderVariables {
    provider: CiProvider,
    name: &'static str,
    /// Set in each job of the system.
    marker: &'static str,
    url: &'static str,
    job: &'static str,
    user: &'static str,
    /// The first one with a value counts.
    branch: &'static [&'static str],
    number: &'static str,
}

/// From the documentation of each system. `Other` is the last one, because most systems also set `CI`.
const PROVIDERS: &[ProviderVariables] = &[
    ProviderVariables {
        provider: CiProvider::Gitlab,
        name: "GitLab",
        marker: "GITLAB_CI",
        url: "{CI_PIPELINE_URL}",
        job: "{CI_JOB_URL}",
        user: "{GITLAB_USER_LOGIN}",
        branch: &["{CI_COMMIT_REF_SLUG}"],
        number: "{CI_PIPELINE_ID}",
    },
    ProviderVariables {
        provider: CiProvider::GithubActions,
        name: "GitHub Actions",
        marker: "GITHUB_ACTIONS",
        url: "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
        job: "",
        user: "{GITHUB_ACTOR}",
        branch: &["{GITHUB_HEAD_REF}", "{GITHUB_REF_NAME}"],
        number: "{GITHUB_RUN_ID}",
    },
    ProviderVariables {
        provider: CiProvider::Jenkins,
        name: "Jenkins",
        marker: "JENKINS_URL",
        url: "{BUILD_URL}",
        job: "",
        // Set by the plugin build-user-vars.
        user: "{BUILD_USER_ID}",
        branch: &["{CHANGE_BRANCH}", "{BRANCH_NAME}"],
        number: "{BUILD_NUMBER}",
    },
    ProviderVariables {
        provider: CiProvider::Buildkite,
        name: "Buildkite",
        marker: "BUILDKITE",
        url: "{BUILDKITE_BUILD_URL}",
        job: "{BUILDKITE_BUILD_URL}#{BUILDKITE_JOB_ID}",
        user: "{BUILDKITE_BUILD_CREATOR}",
        branch: &["{BUILDKITE_BRANCH}"],
        number: "{BUILDKITE_BUILD_NUMBER}",
    },
    ProviderVariables {
        provider: CiProvider::Circleci,
        name: "CircleCI",
        marker: "CIRCLECI",
        url: "{CIRCLE_BUILD_URL}",
        job: "",
        user: "{CIRCLE_USERNAME}",
        branch: &["{CIRCLE_BRANCH}"],
        // Its only numbers are those of jobs, and a job that is run again gets a new one.
        number: "",
    },
    ProviderVariables {
        provider: CiProvider::AzureDevops,
        name: "Azure DevOps",
        marker: "TF_BUILD",
        url: "{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
        job: "",
        user: "{BUILD_REQUESTEDFOR}",
        branch: &["{SYSTEM_PULLREQUEST_SOURCEBRANCH}", "{BUILD_SOURCEBRANCHNAME}"],
        number: "{BUILD_BUILDID}",
    },
    ProviderVariables {
        provider: CiProvider::Other,
        name: "CI",
        marker: "CI",
        url: "",
        job: "",
        user: "",
        branch: &[],
        number: "",
    },
];

/// Azure DevOps names branches as git stores them.
const BRANCH_REFERENCE: &str = "refs/heads/";

/// The values of variables that mean that this is no CI job, although the variable is set.
const OFF: [&str; 3] = ["false", "0", "no"];

impl CiProvider {
    /// The name of the system, as its vendor writes it.
    pub fn name(self) -> &'static str {
        PROVIDERS.iter().find(|known| known.provider == self).map_or("CI", |known| known.name)
    }
}

impl PipelineRun {
    /// Reads the run from the environment, of which `variable` returns one variable if it is set and not empty. `None`
    /// outside of a CI job.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let is_marked = |known: &&ProviderVariables| {
            variable(known.marker).is_some_and(|value| !OFF.contains(&value.to_ascii_lowercase().as_str()))
        };
        let known = PROVIDERS.iter().find(is_marked)?;
        let fill = |template: &str| fill(template, &variable);
        let branch = known.branch.iter().find_map(|template| fill(template));
        Some(Self {
            provider: known.provider,
            url: fill(known.url),
            job: fill(known.job),
            user: fill(known.user),
            branch: branch.map(|branch| branch.trim_start_matches(BRANCH_REFERENCE).to_owned()),
            number: fill(known.number).and_then(|number| number.parse().ok()),
        })
    }

    /// Who started the run; the CI system, if it does not say.
    pub fn started_by(&self) -> String {
        self.user.clone().unwrap_or_else(|| self.provider.name().to_owned())
    }

    /// Compares the age of this pipeline with that of the one that `origin` describes: `Less` if this one is older.
    /// `None` for pipelines of another or an unknown project or CI system.
    pub fn compare_with(&self, origin: &Origin) -> Option<Ordering> {
        let (own, other) = (self.number?, origin.pipeline_number?);
        let is_comparable = origin.provider == Some(self.provider)
            && project(self.url.as_deref()?, own)? == project(origin.pipeline.as_deref()?, other)?;
        is_comparable.then(|| own.cmp(&other))
    }

    /// The most exact URL of the run.
    pub fn most_exact_url(&self) -> Option<&String> {
        self.job.as_ref().or(self.url.as_ref())
    }
}

/// Every variable that [`PipelineRun::read`] may read.
pub fn variables() -> impl Iterator<Item = &'static str> {
    PROVIDERS.iter().flat_map(|known| {
        let templates =
            [known.url, known.job, known.user, known.number].into_iter().chain(known.branch.iter().copied());
        std::iter::once(known.marker).chain(templates.flat_map(names))
    })
}

/// What the URLs of all pipelines of a project have in common: the text around the number.
fn project(url: &str, number: u64) -> Option<(&str, &str)> {
    url.rsplit_once(&number.to_string())
}

/// The names of the variables in a template.
fn names(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|part| part.split('}').next())
}

/// The template with its variables replaced; `None` if it is empty or a variable is not set.
fn fill(template: &str, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut filled = template.to_owned();
    for name in names(template) {
        filled = filled.replace(&format!("{{{name}}}"), &variable(name)?);
    }
    (!filled.is_empty()).then_some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run without what the tests of its own are about.
    fn described(variables: &[(&str, &str)]) -> Option<PipelineRun> {
        read(variables).map(|run| PipelineRun { branch: None, number: None, ..run })
    }

    fn read(variables: &[(&str, &str)]) -> Option<PipelineRun> {
        PipelineRun::read(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn run(provider: CiProvider, url: Option<&str>, job: Option<&str>, user: Option<&str>) -> PipelineRun {
        let text = |it: Option<&str>| it.map(str::to_owned);
        PipelineRun { provider, url: text(url), job: text(job), user: text(user), branch: None, number: None }
    }

    #[test]
    fn every_system_names_the_user_and_the_run() {
        let gitlab = [
            ("CI", "true"),
            ("GITLAB_CI", "true"),
            ("CI_PIPELINE_URL", "https://git.test/p/1"),
            ("CI_JOB_URL", "https://git.test/j/2"),
            ("GITLAB_USER_LOGIN", "ada"),
        ];
        let (pipeline, job) = (Some("https://git.test/p/1"), Some("https://git.test/j/2"));
        assert_eq!(described(&gitlab), Some(run(CiProvider::Gitlab, pipeline, job, Some("ada"))));
        let github = [
            ("CI", "true"),
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_SERVER_URL", "https://github.test"),
            ("GITHUB_REPOSITORY", "tunes/platform"),
            ("GITHUB_RUN_ID", "7"),
            ("GITHUB_ACTOR", "ada"),
        ];
        let url = Some("https://github.test/tunes/platform/actions/runs/7");
        assert_eq!(described(&github), Some(run(CiProvider::GithubActions, url, None, Some("ada"))));
        let jenkins = [("JENKINS_URL", "https://ci.test"), ("BUILD_URL", "https://ci.test/job/a/3")];
        assert_eq!(described(&jenkins), Some(run(CiProvider::Jenkins, Some("https://ci.test/job/a/3"), None, None)));
        let buildkite =
            [("BUILDKITE", "true"), ("BUILDKITE_BUILD_URL", "https://bk.test/1"), ("BUILDKITE_JOB_ID", "9")];
        let (url, job) = (Some("https://bk.test/1"), Some("https://bk.test/1#9"));
        assert_eq!(described(&buildkite), Some(run(CiProvider::Buildkite, url, job, None)));
        let circle = [("CIRCLECI", "true"), ("CIRCLE_BUILD_URL", "https://circle.test/1"), ("CIRCLE_USERNAME", "ada")];
        assert_eq!(
            described(&circle),
            Some(run(CiProvider::Circleci, Some("https://circle.test/1"), None, Some("ada")))
        );
        let azure = [
            ("TF_BUILD", "True"),
            ("SYSTEM_COLLECTIONURI", "https://azure.test/tunes/"),
            ("SYSTEM_TEAMPROJECT", "platform"),
            ("BUILD_BUILDID", "5"),
            ("BUILD_REQUESTEDFOR", "Ada"),
        ];
        let url = Some("https://azure.test/tunes/platform/_build/results?buildId=5");
        assert_eq!(described(&azure), Some(run(CiProvider::AzureDevops, url, None, Some("Ada"))));
        assert_eq!(described(&[("CI", "true")]), Some(run(CiProvider::Other, None, None, None)));
    }

    #[test]
    fn the_branch_is_that_of_the_merge_request() {
        let branch = |variables: &[(&str, &str)]| read(variables).unwrap().branch.unwrap();
        let pushed = ("GITHUB_REF_NAME", "main");
        assert_eq!(branch(&[("GITHUB_ACTIONS", "true"), pushed]), "main");
        assert_eq!(branch(&[("GITHUB_ACTIONS", "true"), pushed, ("GITHUB_HEAD_REF", "fix/42")]), "fix/42");
        let azure = ("SYSTEM_PULLREQUEST_SOURCEBRANCH", "refs/heads/fix/42");
        assert_eq!(branch(&[("TF_BUILD", "True"), azure]), "fix/42");
    }

    #[test]
    fn only_pipelines_of_one_project_have_an_order() {
        let pipeline = |project: &str, number: &str| {
            read(&[
                ("GITLAB_CI", "true"),
                ("CI_PIPELINE_URL", &format!("https://git1.test/{project}/-/pipelines/{number}")),
                ("CI_PIPELINE_ID", number),
            ])
            .unwrap()
        };
        let origin = |run: PipelineRun| Origin {
            provider: Some(run.provider),
            pipeline: run.url,
            pipeline_number: run.number,
            ..Origin::default()
        };
        let ran = origin(pipeline("tunes", "120"));
        let compare = |project: &str, number: &str| pipeline(project, number).compare_with(&ran);
        assert_eq!(compare("tunes", "99"), Some(Ordering::Less));
        assert_eq!(compare("tunes", "1"), Some(Ordering::Less), "the number is the last one in the URL");
        assert_eq!(compare("tunes", "120"), Some(Ordering::Equal), "a job of the same pipeline");
        assert_eq!(compare("tunes", "121"), Some(Ordering::Greater));
        assert_eq!(compare("other", "99"), None);
        assert_eq!(pipeline("tunes", "99").compare_with(&Origin::default()), None, "deployed from a laptop");
        assert_eq!(read(&[("CI", "true")]).unwrap().compare_with(&ran), None);
    }

    #[test]
    fn a_url_with_an_unset_variable_is_unknown() {
        let github = [("GITHUB_ACTIONS", "true"), ("GITHUB_RUN_ID", "7")];
        assert_eq!(described(&github), Some(run(CiProvider::GithubActions, None, None, None)));
        assert_eq!(read(&github).unwrap().started_by(), "GitHub Actions");
    }

    #[test]
    fn a_marker_that_is_off_marks_nothing() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("CI", "false")]), None);
        assert_eq!(read(&[("CI", "0"), ("TF_BUILD", "False")]), None);
    }
}
