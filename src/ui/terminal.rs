//! The user's terminal for commands in containers: raw mode, its size, and the standard streams.

use std::io::IsTerminal;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

/// Columns and rows of a terminal that does not know its size.
const USUAL: (u16, u16) = (80, 24);

/// The terminal passes on every key until this is dropped.
#[derive(Debug)]
pub struct RawTerminal {
    before: Termios,
    sizes: watch::Receiver<(u16, u16)>,
    resizes: JoinHandle<()>,
}

impl RawTerminal {
    /// # Errors
    /// When the terminal refuses.
    pub fn open() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        let mut changes = signal(SignalKind::window_change())?;
        let (sender, sizes) = watch::channel(size());
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw)?;
        let resizes =
            tokio::spawn(async move { while changes.recv().await.is_some() && sender.send(size()).is_ok() {} });
        Ok(Self { before, sizes, resizes })
    }

    /// Columns and rows, now and after each change.
    pub fn sizes(&self) -> watch::Receiver<(u16, u16)> {
        self.sizes.clone()
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        self.resizes.abort();
        // Nothing more can be done if the terminal is gone.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn size() -> (u16, u16) {
    tcgetwinsize(std::io::stdout())
        .map_or(USUAL, |size| if size.ws_col == 0 { USUAL } else { (size.ws_col, size.ws_row) })
}

/// Whether a user sits at both ends: standard input and standard output.
pub fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Standard input, as it is typed or piped.
pub fn input() -> tokio::io::Stdin {
    tokio::io::stdin()
}

/// Standard output, for bytes of a container.
pub fn output() -> tokio::io::Stdout {
    tokio::io::stdout()
}

/// Standard error, for bytes of a container.
pub fn errors() -> tokio::io::Stderr {
    tokio::io::stderr()
}
