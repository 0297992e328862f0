//! The skill file of a workspace: what a coding agent has to know to use cmdr there.

use super::{Name, Workspace, digest::sha256};

/// How many hexadecimal digits of the checksum are written.
const CHECKSUM_DIGITS: usize = 16;
const MARK: &str = "<!-- written by cmdr agent init: ";

/// The text of `SKILL.md`, with a checksum in its last line, which shows later whether it was edited.
pub fn skill_text(workspace: &Workspace) -> String {
    let projects: Vec<&str> = workspace.projects.keys().map(Name::as_str).collect();
    let environments = workspace.environments.values().map(|environment| {
        let place = if environment.is_local() { "a cluster on this machine" } else { "a remote cluster" };
        let only = if environment.only.is_some() { "; only pipelines may deploy to it" } else { "" };
        format!("- `{}`: {place}{only}\n", environment.name)
    });
    let environments: String = environments.collect();
    let text = TEMPLATE
        .replace("WORKSPACE", workspace.name.as_str())
        .replace("PROJECTS", &projects.join(", "))
        .replace("ENVIRONMENTS", &environments);
    format!("{text}\n{MARK}{} -->\n", checksum(&text))
}

/// Whether the text is unchanged since cmdr wrote it.
pub fn is_unedited(text: &str) -> bool {
    let Some((own, mark)) = text.rsplit_once(&format!("\n{MARK}")) else { return false };
    mark.trim_end().strip_suffix(" -->") == Some(&checksum(own))
}

fn checksum(text: &str) -> String {
    sha256(text.as_bytes())[..CHECKSUM_DIGITS].to_owned()
}

const TEMPLATE: &str = "---
name: cmdr
description: Start, inspect, change and deploy the platform WORKSPACE with cmdr (projects.yaml, Kubernetes, Helm). Use it \
for anything about its projects: starting or stopping it, why one fails, logs, configuration, images, deployments.
---

# The platform WORKSPACE

`projects.yaml` describes all projects; `cmdr` brings a cluster to this state. Change projects.yaml, then run
`cmdr up`. Do not change the cluster with kubectl or helm: cmdr reverts it.

Projects: PROJECTS

Environments (`--env NAME`; without it, commands use `local`):

ENVIRONMENTS
## Work

| task | command |
|---|---|
| see what would change | `cmdr plan` |
| start everything, or one project and its dependencies | `cmdr up`, `cmdr up PROJECT` |
| see the state of all projects, or of one | `cmdr status`, `cmdr status PROJECT` |
| read logs | `cmdr logs PROJECT --since 10m`, `--search REGEX`, `--previous` |
| find out what runs | `cmdr query images`, `exposed`, `restarts`, `events`, `cmdr query pods --expr EXPRESSION` |
| build images first | `cmdr up --build` |
| work in a second git worktree | `cmdr up --copy` there, then `--copy` for each command, or set `CMDR_COPY` |
| start over | `cmdr up --recreate --yes` deletes the local cluster with its data |
| check this machine | `cmdr doctor` |

## Rules

- Add `--output json` to read an answer as data. Errors have `message`, `details`, `help` and a position. Follow `help`.
- `cmdr --help --output json` describes all commands and options. `cmdr schema` prints the schemas of the answers.
- `cmdr docs --search WORDS` finds sections of the documentation, `cmdr docs TOPIC#SECTION` prints one.
- Never deploy to an environment other than `local` unless the user names it.
- `cmdr mcp` serves the same as tools of the Model Context Protocol.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_noticed() {
        let text = format!("{TEMPLATE}\n{MARK}{} -->\n", checksum(TEMPLATE));
        assert!(is_unedited(&text));
        assert!(!is_unedited(&text.replace("cmdr plan", "cmdr up")) && !is_unedited("own text\n"));
        assert!(!is_unedited(&format!("{text}more\n")));
    }
}
