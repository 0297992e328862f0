//! The tools of the server: each is a command of cmdr with its parameters.

use serde_json::{Map, Value, json};

use crate::domain::nearest::nearest;

/// What a parameter becomes on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A word, such as the name of a project.
    Word,
    /// Any number of words.
    Words,
    /// `--option=VALUE`.
    Option(&'static str),
    /// `--option=VALUE` for each value.
    Options(&'static str),
    /// `--option`.
    Flag(&'static str),
}

/// A parameter of a tool.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) form: Form,
    pub(super) is_required: bool,
    /// What is used without a value.
    pub(super) default: Option<&'static str>,
}

/// A tool.
#[derive(Debug)]
pub(super) struct ToolSpec {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// The command, such as `query`.
    pub(super) command: &'static str,
    pub(super) parameters: &'static [Parameter],
    /// Whether it changes the environment.
    pub(super) writes: bool,
}

const fn optional(name: &'static str, about: &'static str, form: Form) -> Parameter {
    Parameter { name, about, form, is_required: false, default: None }
}

const fn required(name: &'static str, about: &'static str, form: Form) -> Parameter {
    Parameter { name, about, form, is_required: true, default: None }
}

const ENVIRONMENT: Parameter = optional("environment", "The environment; default: local", Form::Option("--env"));
const ENVIRONMENTS: Parameter = optional("environments", "The environments; default: local", Form::Options("--env"));
/// More lines would fill the context of an agent.
const LIMIT: Parameter = Parameter {
    default: Some("500"),
    ..optional(
        "limit",
        "Only the newest lines of all containers together; a note says how many older ones are left out. Default: 500",
        Form::Option("--limit"),
    )
};
const PROJECTS: Parameter = optional("projects", "Only these projects; default: all", Form::Words);

/// All tools.
pub(super) const TOOLS: &[ToolSpec] = &[
    ToolSpec {
        name: "status",
        about: "The state of every project and of the platform: desired and running version, health, URL, drift",
        command: "status",
        parameters: &[ENVIRONMENT],
        writes: false,
    },
    ToolSpec {
        name: "describe",
        about: "One project: its pods, containers, images, probes, problem, events, last log lines, resources, URLs, \
                dependencies and deployments",
        command: "status",
        parameters: &[required("project", "The project", Form::Word), ENVIRONMENT],
        writes: false,
    },
    ToolSpec {
        name: "logs",
        about: "The logs of projects, merged by time: one JSON object per line",
        command: "logs",
        parameters: &[
            PROJECTS,
            ENVIRONMENT,
            optional("since", "Only lines since this time or of this period: 10m, 2h", Form::Option("--since")),
            optional("tail", "Only the last lines of each container: 100", Form::Option("--tail")),
            optional("search", "Only lines that match this regular expression", Form::Option("--search")),
            optional("level", "Only lines of at least this level: info, warn, error", Form::Option("--level")),
            LIMIT,
            optional("previous", "The logs from before the last restart", Form::Flag("--previous")),
        ],
        writes: false,
    },
    ToolSpec {
        name: "plan",
        about: "What `cmdr up` would change, step by step, and why. Changes nothing",
        command: "plan",
        parameters: &[PROJECTS, ENVIRONMENT],
        writes: false,
    },
    ToolSpec {
        name: "query",
        about: "Answers a question about what runs: images, exposed, differs, unpinned, restarts, events, resources; or \
                lists the objects of any kind (pods, deploy, HTTPRoute, custom resources)",
        command: "query",
        parameters: &[
            required("question", "A question, or a kind of objects", Form::Word),
            optional("name", "Only rows whose name contains this text", Form::Option("--name")),
            optional(
                "expr",
                "Only objects for which this CEL expression is true, such as status.phase != 'Running'. It sees the \
                 fields of the object, those of its spec at the top, and object; for a question, the keys of the rows",
                Form::Option("--expr"),
            ),
            ENVIRONMENTS,
            optional("all_environments", "Query every environment", Form::Flag("--all-environments")),
        ],
        writes: false,
    },
    ToolSpec {
        name: "explain",
        about: "Explains the cause of a failure by the code that an error has (C014): why it happens, and a remedy; without \
                a code, all causes",
        command: "explain",
        parameters: &[optional("cause", "The code or the name of a cause", Form::Word)],
        writes: false,
    },
    ToolSpec {
        name: "doctor",
        about: "Examines this machine and the running environment: Docker, nodes, DNS, certificates, volumes, pods",
        command: "doctor",
        parameters: &[ENVIRONMENT],
        writes: false,
    },
    ToolSpec {
        name: "docs",
        about: "The documentation of cmdr: without parameters the list of pages, or one page, or a search for words",
        command: "docs",
        parameters: &[
            optional("topic", "A page, or one section of it: delivery, projects-yaml#routes", Form::Word),
            optional("search", "Words that a section contains", Form::Option("--search")),
        ],
        writes: false,
    },
    ToolSpec {
        name: "up",
        about: "Brings projects and their dependencies, or everything, to the state in projects.yaml",
        command: "up",
        parameters: &[PROJECTS, optional("build", "Build images first", Form::Flag("--build"))],
        writes: true,
    },
    ToolSpec {
        name: "restart",
        about: "Restarts the pods of projects without changing their content",
        command: "restart",
        parameters: &[required("projects", "The projects", Form::Words)],
        writes: true,
    },
];

impl ToolSpec {
    /// The JSON Schema of the parameters.
    pub(super) fn schema(&self) -> Map<String, Value> {
        let properties = self.parameters.iter().map(|parameter| {
            let about = parameter.about;
            let schema = match parameter.form {
                Form::Word | Form::Option(_) => json!({"type": "string", "description": about}),
                Form::Words | Form::Options(_) => {
                    json!({"type": "array", "items": {"type": "string"}, "description": about})
                }
                Form::Flag(_) => json!({"type": "boolean", "description": about}),
            };
            (parameter.name.to_owned(), schema)
        });
        let required = self.parameters.iter().filter(|parameter| parameter.is_required);
        let required: Vec<&str> = required.map(|parameter| parameter.name).collect();
        let schema = json!({
            "type": "object",
            "properties": properties.collect::<Map<String, Value>>(),
            "required": required,
            "additionalProperties": false,
        });
        schema.as_object().cloned().unwrap_or_default()
    }

    /// The command line for these arguments.
    ///
    /// # Errors
    /// All mistakes in the arguments, one line each.
    pub(super) fn words(&self, arguments: &Map<String, Value>) -> Result<Vec<String>, String> {
        let mut wrong = Vec::new();
        for name in arguments.keys().filter(|name| self.parameters.iter().all(|known| known.name != name.as_str())) {
            let close = nearest(name, self.parameters.iter().map(|parameter| parameter.name));
            let help = close.map(|close| format!(": did you mean '{close}'?")).unwrap_or_default();
            wrong.push(format!("the tool '{}' has no parameter '{name}'{help}", self.name));
        }
        let mut words = vec![self.command.to_owned()];
        for parameter in self.parameters {
            match arguments.get(parameter.name).filter(|value| !value.is_null()) {
                Some(value) => match parameter.words(value) {
                    Ok(own) => words.extend(own),
                    Err(error) => wrong.push(error),
                },
                None if parameter.is_required => wrong.push(format!("the parameter '{}' is required", parameter.name)),
                None => {
                    let default = parameter.default.map(Value::from);
                    words.extend(default.and_then(|value| parameter.words(&value).ok()).unwrap_or_default());
                }
            }
        }
        if wrong.is_empty() { Ok(words) } else { Err(wrong.join("\n")) }
    }
}

impl Parameter {
    fn words(&self, value: &Value) -> Result<Vec<String>, String> {
        let name = self.name;
        let one = |value: &Value| {
            let text = value.as_str().ok_or_else(|| format!("the parameter '{name}' must be text"))?;
            Ok::<String, String>(text.to_owned())
        };
        let many = |value: &Value| {
            let items = value.as_array().ok_or_else(|| format!("the parameter '{name}' must be a list of texts"))?;
            items.iter().map(one).collect::<Result<Vec<String>, String>>()
        };
        // A word that begins with a dash would be an option.
        let plain = |word: String| {
            let is_option = word.starts_with('-');
            if is_option { Err(format!("the parameter '{name}' must not begin with '-': {word}")) } else { Ok(word) }
        };
        match self.form {
            Form::Word => Ok(vec![plain(one(value)?)?]),
            Form::Words => many(value)?.into_iter().map(plain).collect(),
            Form::Option(option) => Ok(vec![format!("{option}={}", one(value)?)]),
            Form::Options(option) => Ok(many(value)?.into_iter().map(|value| format!("{option}={value}")).collect()),
            Form::Flag(option) => match value.as_bool() {
                Some(true) => Ok(vec![option.to_owned()]),
                Some(false) => Ok(Vec::new()),
                None => Err(format!("the parameter '{name}' must be true or false")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn tool(name: &str) -> &'static ToolSpec {
        TOOLS.iter().find(|tool| tool.name == name).unwrap()
    }

    fn words(name: &str, arguments: &Value) -> Result<String, String> {
        tool(name).words(arguments.as_object().unwrap()).map(|words| words.join(" "))
    }

    #[test]
    fn arguments_become_a_command_line() {
        let arguments =
            json!({"question": "pods", "expr": "a == '-b'", "environments": ["a", "b"], "all_environments": false});
        assert_eq!(words("query", &arguments), Ok("query pods --expr=a == '-b' --env=a --env=b".to_owned()));
        assert_eq!(words("up", &json!({"projects": ["shop"], "build": true})), Ok("up shop --build".to_owned()));
        assert_eq!(words("status", &json!({"environment": null})), Ok("status".to_owned()));
        assert_eq!(words("logs", &json!({"limit": null})), Ok("logs --limit=500".to_owned()));
        assert_eq!(words("logs", &json!({"limit": "7"})), Ok("logs --limit=7".to_owned()));
    }

    #[test]
    fn mistakes_are_reported_at_once() {
        let wrong = words("query", &json!({"nam": "a", "expr": 1})).unwrap_err();
        assert_eq!(
            wrong,
            "the tool 'query' has no parameter 'nam': did you mean 'name'?\nthe parameter 'question' is required\nthe \
             parameter 'expr' must be text"
        );
        let option = words("restart", &json!({"projects": ["--env=production"]})).unwrap_err();
        assert!(option.contains("must not begin with '-'"), "{option}");
        assert!(words("up", &json!({"environment": "production"})).is_err());
    }

    #[test]
    fn every_tool_is_a_command_that_exists() {
        for tool in TOOLS {
            let arguments = tool.parameters.iter().map(|parameter| {
                let value = match parameter.form {
                    Form::Option("--level") => json!("warn"),
                    Form::Option("--tail" | "--limit") => json!("5"),
                    Form::Word | Form::Option(_) => json!("1m"),
                    Form::Words | Form::Options(_) => json!(["a"]),
                    Form::Flag(_) => json!(true),
                };
                (parameter.name.to_owned(), value)
            });
            for (name, value) in arguments {
                let required = tool.parameters.iter().find(|it| it.is_required && it.name != name);
                let all =
                    [(name, value)].into_iter().chain(required.map(|it| {
                        (it.name.to_owned(), if it.form == Form::Words { json!(["a"]) } else { json!("a") })
                    }));
                let words = tool.words(&all.collect()).unwrap();
                let line = ["cmdr".to_owned()].into_iter().chain(words.clone());
                assert!(Cli::try_parse_from(line).is_ok(), "{words:?}");
            }
        }
    }
}
