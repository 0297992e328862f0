//! The workspace of these tests, and how its stages reach the cluster.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use super::{
    PROJECTS,
    common::{TestWorkspace, projects::POSTGRES},
};

/// The workspace with the ports that it exposes.
pub(crate) struct Desk {
    pub workspace: TestWorkspace,
    pub postgres: u16,
    pub echo: u16,
}

impl Desk {
    pub(crate) fn new(name: &str) -> Self {
        let (postgres, echo) = (free_port(), free_port());
        let desk = Self { workspace: TestWorkspace::new(name, ""), postgres, echo };
        desk.expose(&format!("{{{postgres}: postgres, {echo}/udp: echo}}"));
        desk
    }

    /// Writes projects.yaml with these exposed ports.
    pub(crate) fn expose(&self, ports: &str) {
        self.workspace.write_projects(&[PROJECTS, POSTGRES].concat().replace("EXPOSE", ports));
    }

    /// The container that publishes ports; empty without one.
    pub(crate) fn forwarder(&self) -> String {
        let label = format!("label=cmdr/ports={}", self.workspace.name);
        self.workspace.tool("docker", &["ps", "--all", "--quiet", "--filter", &label])
    }

    pub(crate) fn password(&self) -> String {
        self.workspace.run(&["secret", "show", "postgres/db"]).expect(0).stdout.trim_end().to_owned()
    }

    /// What PostgreSQL answers to a client on this machine; `None` while it is not reached.
    pub(crate) fn sql(&self, port: u16, command: &str) -> Option<String> {
        let url = format!("postgresql://postgres:{}@127.0.0.1:{port}/postgres?connect_timeout=2", self.password());
        self.workspace.try_tool("psql", &["--no-psqlrc", "--tuples-only", "--no-align", "--command", command, &url])
    }

    /// What the UDP server answers.
    pub(crate) fn echo(&self, text: &str) -> Option<String> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        socket.send_to(text.as_bytes(), (Ipv4Addr::LOCALHOST, self.echo)).unwrap();
        let mut answer = [0; 100];
        let length = socket.recv(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }
}

/// A port that nothing on this machine uses.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Whether something accepts connections at a port of this machine.
pub(crate) fn is_open(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}
