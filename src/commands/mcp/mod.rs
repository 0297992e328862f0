//! `cmdr mcp`: a server of the Model Context Protocol on standard input and output.
//!
//! A tool is a command of cmdr, which runs as a process of its own with `--output json`: an agent gets the same data as a
//! script, and standard output of the server carries nothing but the protocol.

mod tools;

use std::{path::PathBuf, sync::Arc};

use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
    },
    service::RequestContext,
    transport::stdio,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::tools::{TOOLS, ToolSpec};
use crate::{
    adapters::process::{Output, ProcessError, Tool as Process},
    cli::McpOptions,
    config,
    domain::{Name, Problem},
    error::CommandError,
    ops::session::unknown,
    settings::{Settings, own_program},
};

/// Answers that are longer would fill the context of an agent.
const LONGEST_ANSWER: usize = 400_000;
const INSTRUCTIONS: &str = "cmdr runs a platform of projects on Kubernetes, locally and in other environments. Begin \
with status. If a project is not healthy, use query (restarts, events) and follow the help lines of its causes. The \
tool docs has the documentation of projects.yaml and of every command. All answers are JSON.";

/// # Errors
/// When the connection cannot be set up.
pub(super) async fn mcp(
    settings: &Settings,
    cancel: CancellationToken,
    options: &McpOptions,
) -> Result<(), CommandError> {
    check_environment(settings)?;
    let failed = |what: String| CommandError::failed(Problem::new(what));
    let program = own_program().map_err(|error| failed(format!("cannot find the program of cmdr: {error}")))?;
    let server = ToolServer {
        program,
        folder: settings.directory.clone(),
        environment: settings.environment.clone(),
        allows_writes: options.allow_writes,
        cancel: cancel.clone(),
    };
    let running = tokio::select! {
        running = server.serve(stdio()) => running,
        () = cancel.cancelled() => return Ok(()),
    };
    let running = running.map_err(|error| failed(format!("cannot start the server: {error}")))?;
    tokio::select! {
        _ = running.waiting() => {}
        () = cancel.cancelled() => {}
    }
    Ok(())
}

/// Refuses an environment that the workspace does not have. Without a workspace, only some tools work.
fn check_environment(settings: &Settings) -> Result<(), CommandError> {
    let Ok(loaded) = config::load(&settings.directory) else { return Ok(()) };
    let (known, name) = (&loaded.workspace.environments, settings.environment.as_str());
    if known.contains_key(name) {
        return Ok(());
    }
    Err(unknown("environment", name, known.keys().map(Name::as_str)))
}

/// What the tools need.
#[derive(Debug, Clone)]
struct ToolServer {
    program: PathBuf,
    folder: PathBuf,
    /// The only environment that tools may change.
    environment: String,
    allows_writes: bool,
    cancel: CancellationToken,
}

impl ServerHandler for ToolServer {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        let implementation = Implementation::new("cmdr", env!("CARGO_PKG_VERSION")).with_title("cmdr");
        ServerConfig::new(capabilities).with_server_info(implementation).with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools().map(described).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(tool) = TOOLS.iter().find(|tool| tool.name == request.name) else {
            return Err(ErrorData::invalid_params(format!("unknown tool '{}'", request.name), None));
        };
        if tool.writes && !self.allows_writes {
            return Ok(refused("this server only reads: start it with cmdr mcp --allow-writes").into());
        }
        let result = match tool.words(&request.arguments.unwrap_or_default()) {
            Ok(words) => self.call(tool, words, &context.ct).await,
            Err(wrong) => refused(&wrong),
        };
        Ok(result.into())
    }
}

impl ToolServer {
    fn tools(&self) -> impl Iterator<Item = &'static ToolSpec> {
        let allows_writes = self.allows_writes;
        TOOLS.iter().filter(move |tool| allows_writes || !tool.writes)
    }

    /// Runs the command of a tool. It ends when the request or the server is cancelled.
    async fn call(&self, tool: &ToolSpec, words: Vec<String>, request: &CancellationToken) -> CallToolResult {
        let cancel = self.cancel.child_token();
        let process =
            Process::new(&self.program).args(["--output", "json", "--color", "never", "-C"]).arg(&self.folder);
        let process = process.args(words);
        // A tool that writes has no environment among its parameters: it changes that of the server.
        let process = if tool.writes { process.args(["--env", &self.environment]) } else { process };
        let run = process.run(&cancel);
        let result = tokio::select! {
            result = run => result,
            () = request.cancelled() => return refused("cancelled"),
        };
        answer(result)
    }
}

fn described(tool: &ToolSpec) -> Tool {
    let annotations = ToolAnnotations::new().read_only(!tool.writes).destructive(false);
    Tool::new(tool.name, tool.about, Arc::new(tool.schema())).with_annotations(annotations)
}

fn refused(text: &str) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(text)])
}

/// What a command printed. If it failed, its errors come first, and then what it printed before.
fn answer(result: Result<Output, ProcessError>) -> CallToolResult {
    match result {
        Ok(output) if output.stdout.len() > LONGEST_ANSWER => refused(&format!(
            "the answer has {} KB: narrow it with the parameters of the tool",
            output.stdout.len() / 1000
        )),
        Ok(output) => {
            // Notes, such as what was left out, follow the answer.
            let notes = Some(output.stderr.trim_end()).filter(|notes| !notes.is_empty());
            let texts = [output.stdout.trim_end()].into_iter().chain(notes);
            let mut result = CallToolResult::success(texts.map(ContentBlock::text).collect());
            result.structured_content = serde_json::from_str(&output.stdout).ok().filter(Value::is_object);
            result
        }
        Err(ProcessError::Failed { stdout, stderr, .. }) => {
            let texts = [stderr, stdout].into_iter().filter(|text| !text.trim().is_empty());
            CallToolResult::error(texts.map(|text| ContentBlock::text(text.trim_end())).collect())
        }
        Err(error) => refused(&error.to_string()),
    }
}
