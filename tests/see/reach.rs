//! Commands, shells, files and ports of running containers.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::Value;

use super::common::{Stages, TestWorkspace, until};

pub(crate) fn stages(workspace: &TestWorkspace, stages: &Stages) {
    let stage = |name: &str, stage: fn(&TestWorkspace)| stages.stage(name, || stage(workspace));
    stage("a command gets its input and returns its output and exit code", a_command_runs);
    stage("a shell opens beside an image without one", a_shell_opens);
    stage("a shell on a terminal has its size and its Ctrl-C", a_shell_has_a_terminal);
    stage("files are copied to and from containers, also without tar", files_are_copied);
    stage("a forwarded port works again after its pod was replaced", a_port_is_forwarded);
    stage("the URL of a project is opened", a_url_is_opened);
    stage("a protected environment is entered only for a reason", a_reason_is_required);
}

/// Runs cmdr with this input.
fn with_input(workspace: &TestWorkspace, args: &[&str], input: &str) -> Output {
    let mut command = workspace.cmdr(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    // The command may print before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    // A command may also end without reading everything.
    let _ = writer.join().unwrap();
    output
}

fn text(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn a_command_runs(workspace: &TestWorkspace) {
    let run = with_input(workspace, &["exec", "cache", "--", "sh", "-c", "cat; echo wrong >&2; exit 7"], "hello\n");
    assert_eq!(text(&run), (7, "hello\n".to_owned(), "wrong\n".to_owned()));
    let missing = workspace.run(&["exec", "api", "--", "ls"]).expect(127).expect_said("cannot run 'ls' in 'api'");
    assert!(missing.stderr.contains("cmdr shell api"), "{}", missing.stderr);
    workspace.run(&["exec", "cahe", "--", "ls"]).expect(2).expect_said("did you mean 'cache'?");
    workspace
        .run(&["exec", "cache", "--container", "proxy", "--", "ls"])
        .expect(2)
        .expect_said("running containers: cache");
    let missing = workspace.run(&["exec", "cache", "--", "nope"]).expect(127);
    assert!(missing.stderr.contains("cannot run 'nope'"), "{}", missing.stderr);
    // A command that ends without reading its input, which goes on, and a reader that leaves. More input than fits into
    // a pipe would also stop kubectl: containerd then may not notice the end of the command.
    let mut unread =
        workspace.cmdr(&["exec", "cache", "--", "sh", "-c", "exit 3"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = unread.stdin.take().unwrap();
    input.write_all(&[b'x'; 16 << 10]).unwrap();
    assert_eq!(unread.wait().unwrap().code(), Some(3));
    drop(input);
    let mut endless =
        workspace.cmdr(&["exec", "cache", "--", "yes"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 4];
    endless.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!((&first, endless.wait().unwrap().code()), (b"y\ny\n", Some(0)));
    // 4 MB in both directions.
    let large = "0123456789abcdef".repeat(1 << 18);
    let run = with_input(workspace, &["exec", "cache", "--", "cat"], &large);
    assert_eq!((run.status.code(), run.stdout.len()), (Some(0), large.len()));
}

fn a_shell_opens(workspace: &TestWorkspace) {
    let own = with_input(workspace, &["shell", "cache"], "echo in $0; exit 4\n");
    assert_eq!((own.status.code(), String::from_utf8_lossy(&own.stdout).trim()), (Some(4), "in bash"));
    let (code, output, notes) = text(&with_input(workspace, &["shell", "api"], "ls home/app; exit 5\n"));
    assert_eq!((code, output.trim()), (5, "podinfo"), "{notes}");
    let image = ["shell", "cache", "--image", "docker.io/library/postgres:15"];
    let (code, output, _) = text(&with_input(workspace, &image, "command -v psql\n"));
    assert!(code == 0 && output.trim().ends_with("/psql"), "{output}");
    let pod = workspace.objects(&["get", "pods", "--selector", "app.kubernetes.io/instance=api"]);
    until("the debug container has ended", || {
        let pod = workspace.objects(&["get", "pod", pod["items"][0]["metadata"]["name"].as_str().unwrap()]);
        pod["status"]["ephemeralContainerStatuses"][0]["state"].get("terminated").map(|_| ())
    });
    assert!(notes.contains("has ended; Kubernetes lists it until its pod is replaced: cmdr restart api"), "{notes}");
    let wrong = workspace.run(&["shell", "api", "--image", "docker.io/library/redis:none"]).expect(1);
    assert!(wrong.stderr.contains("cannot start a debug container"), "{}", wrong.stderr);
}

/// `script` gives cmdr a terminal, whose input is what the test writes.
fn a_shell_has_a_terminal(workspace: &TestWorkspace) {
    let cmdr = workspace.cmdr(&["shell", "cache"]);
    let words: Vec<String> = std::iter::once(cmdr.get_program())
        .chain(cmdr.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let mut command = workspace.command("script");
    let line = format!("stty cols 91 rows 31; exec {}", words.join(" "));
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = String::new();
    // Each text is typed when the one before has had its effect.
    for (typed, shown) in [
        ("test -t 0 && echo size $(stty size)\n", "size 31 91"),
        ("echo waiting $((40 + 2)); sleep 300\n", "waiting 42"),
        ("\x03", "^C"),
        ("echo result $?; exit 3\n", "result 130"),
    ] {
        stdin.write_all(typed.as_bytes()).unwrap();
        let mut bytes = [0; 4096];
        while !seen.contains(shown) {
            let length = stdout.read(&mut bytes).unwrap();
            assert!(length > 0, "the shell ended before '{shown}': {seen}");
            seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(3), "{seen}");
}

fn files_are_copied(workspace: &TestWorkspace) {
    let folder = workspace.root().join("conf");
    fs::create_dir_all(folder.join("deep")).unwrap();
    fs::write(folder.join("deep/file"), "text").unwrap();
    workspace.run(&["cp", "conf", "db:/var/lib/postgresql/data"]).expect(0);
    let listed = workspace.run(&["exec", "db", "--", "cat", "/var/lib/postgresql/data/conf/deep/file"]).expect(0);
    assert_eq!(listed.stdout, "text");
    workspace.run(&["cp", "db:/var/lib/postgresql/data/conf", "back"]).expect(0);
    assert_eq!(fs::read_to_string(workspace.root().join("back/deep/file")).unwrap(), "text");
    workspace.run(&["cp", "api:/home/app/podinfo", "podinfo"]).expect(0).expect_said("has no tar");
    assert!(fs::metadata(workspace.root().join("podinfo")).unwrap().len() > 1 << 20);
    workspace.run(&["cp", "db:/none", "x"]).expect(2).expect_said("file not found in the container: /none");
    workspace.run(&["cp", "none", "db:/tmp"]).expect(2).expect_said("file not found: none");
    for project in ["db", "api"] {
        let folder = format!("{project}:/nodir/x");
        workspace.run(&["cp", "conf", &folder]).expect(2).expect_said("folder not found in the container: /nodir");
    }
    workspace.run(&["cp", "conf", "db:/usr"]).expect(1).expect_said("read-only");
    workspace.run(&["cp", "a", "b"]).expect(2).expect_said("PROJECT:PATH");
}

fn ping(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    stream.write_all(b"PING\r\n").ok()?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

fn a_port_is_forwarded(workspace: &TestWorkspace) {
    let mut forward = workspace.cmdr(&["forward", "cache:redis", "--port", "0", "--output", "json"]);
    let mut forward = forward.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(forward.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let shown: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&shown["project"], &shown["port"]), (&Value::from("cache"), &Value::from(6379)));
    let port = u16::try_from(shown["local_port"].as_u64().unwrap()).unwrap();
    assert_eq!(ping(port).as_deref(), Some("+PONG\r\n"));
    workspace.kubectl(&["delete", "pod", "--selector", "app.kubernetes.io/instance=cache", "--wait=false"]);
    until("the port works again", || ping(port).filter(|answer| answer == "+PONG\r\n"));
    super::interrupt(&forward);
    assert_eq!(forward.wait().unwrap().code(), Some(130));
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = holder.local_addr().unwrap().port().to_string();
    let refused = workspace.run(&["forward", "cache", "--port", &taken]).expect(1);
    assert!(refused.stderr.contains(&format!("cannot open port {taken} on 127.0.0.1")), "{}", refused.stderr);
    assert!(refused.stderr.contains("--port 0"), "{}", refused.stderr);
    drop(holder);
    workspace.run(&["forward", "cache:reids"]).expect(1).expect_said("did you mean 'redis'?");
}

fn a_url_is_opened(workspace: &TestWorkspace) {
    let port = Some(workspace.http_port()).filter(|port| *port != 80).map(|port| format!(":{port}"));
    let url = format!("http://shop.{}.localhost{}/\n", workspace.name, port.unwrap_or_default());
    assert_eq!(workspace.run(&["open", "shop", "--print"]).expect(0).stdout, url);
    let opened = workspace.run(&["open", "shop"]).expect(1).expect_said("cannot open a browser");
    assert_eq!(opened.stdout, url);
    workspace.run(&["open", "db"]).expect(2).expect_said("cmdr forward db");
}

fn a_reason_is_required(workspace: &TestWorkspace) {
    let exec = ["exec", "cache", "--env", "staging"];
    let command = ["--", "redis-cli", "ping"];
    workspace.run(&[&exec[..], &command].concat()).expect(0).expect_said("PONG");
    workspace.replace("platform: external}", "platform: external, only: ci}");
    let refused = workspace.run(&[&exec[..], &command].concat()).expect(2);
    assert!(refused.stderr.contains("needs a reason") && refused.stderr.contains("--because"), "{}", refused.stderr);
    workspace.run(&["cp", "cache:/etc/hostname", "x", "--env", "staging"]).expect(2).expect_said("needs a reason");
    workspace.run(&[&exec[..], &["--because", "stuck queue"], &command].concat()).expect(0).expect_said("PONG");
    let history = workspace.run(&["history", "--env", "staging"]).expect(0).stdout;
    assert!(history.contains("exec") && history.contains("stuck queue"), "{history}");
    workspace.run(&["logs", "cache", "--env", "staging", "--tail", "1"]).expect(0);
    workspace.replace(", only: ci}", "}");
}
