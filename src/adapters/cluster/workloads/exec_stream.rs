//! The streams of a command in a container, over a WebSocket connection to the API.
//!
//! Input and output are independent of each other: a command that ends, or prints, without reading its input must not
//! wait for whoever sends it.

use std::{convert::Infallible, time::Duration};

use futures::{Sink, SinkExt, Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::{api::TerminalSize, client::Connection};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    sync::watch,
};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::exec::ExecStreams;

/// How much input is sent at once.
const BUFFER: usize = 64 * 1024;
/// How often a message keeps an idle connection open.
const PING: Duration = Duration::from_mins(1);

/// The first byte of a message, from the remote command protocol of Kubernetes, version 5.
mod channel {
    pub(super) const INPUT: u8 = 0;
    pub(super) const OUTPUT: u8 = 1;
    pub(super) const ERRORS: u8 = 2;
    pub(super) const STATUS: u8 = 3;
    pub(super) const TERMINAL_SIZE: u8 = 4;
    /// The second byte is the channel that has ended.
    pub(super) const CLOSE: u8 = 255;
}

/// How the streams ended.
pub(super) enum StreamEnd {
    /// The command has ended, or did not start.
    Ended(Box<Status>),
    /// Whoever read its output has stopped to do so.
    OutputClosed,
    ConnectionLost,
}

/// Passes on input and output until the command has ended.
pub(super) async fn pass_on(connection: Connection, streams: ExecStreams<'_>) -> StreamEnd {
    let has_input_end = connection.supports_stream_close();
    let (sender, receiver) = connection.into_stream().split();
    let ExecStreams { input, output, errors, terminal } = streams;
    let send = async {
        // What is wrong with the connection is known by its other direction.
        let _ = send(sender, input, terminal, has_input_end).await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        never = send => match never {},
        end = receive(receiver, output, errors) => end,
    }
}

/// Where a command prints to.
type CommandOutput<'a> = &'a mut (dyn tokio::io::AsyncWrite + Send + Unpin);

async fn receive(
    mut messages: impl Stream<Item = Result<Message, Error>> + Unpin,
    output: CommandOutput<'_>,
    errors: CommandOutput<'_>,
) -> StreamEnd {
    while let Some(Ok(message)) = messages.next().await {
        let Message::Binary(bytes) = message else { continue };
        let written = match bytes.split_first() {
            Some((&channel::OUTPUT, data)) => write(output, data).await,
            Some((&channel::ERRORS, data)) => write(errors, data).await,
            Some((&channel::STATUS, data)) => match serde_json::from_slice(data) {
                Ok(status) => return StreamEnd::Ended(Box::new(status)),
                Err(_) => return StreamEnd::ConnectionLost,
            },
            _ => Ok(()),
        };
        if written.is_err() {
            return StreamEnd::OutputClosed;
        }
    }
    StreamEnd::ConnectionLost
}

async fn write(to: CommandOutput<'_>, data: &[u8]) -> std::io::Result<()> {
    to.write_all(data).await?;
    to.flush().await
}

/// Sends the input until its end, each size of the terminal, and what keeps the connection open.
async fn send(
    mut messages: impl Sink<Message, Error = Error> + Unpin,
    mut input: Option<Box<dyn AsyncRead + Send + Unpin>>,
    mut terminal: Option<watch::Receiver<(u16, u16)>>,
    has_input_end: bool,
) -> Result<(), Error> {
    let mut buffer = vec![0; BUFFER];
    let mut pings = tokio::time::interval(PING);
    if let Some(terminal) = &mut terminal {
        let first = *terminal.borrow_and_update();
        messages.send(size(first)).await?;
    }
    loop {
        tokio::select! {
            read = next(&mut input, &mut buffer) => if let Ok(length @ 1..) = read {
                messages.send(on(channel::INPUT, &buffer[..length])).await?;
            } else if has_input_end {
                input = None;
                messages.send(on(channel::CLOSE, &[channel::INPUT])).await?;
            } else {
                // An older API server knows no other end.
                return messages.close().await;
            },
            changed = changed(&mut terminal) => match changed {
                Some(new) => messages.send(size(new)).await?,
                None => terminal = None,
            },
            _ = pings.tick() => messages.send(Message::Ping(Vec::new().into())).await?,
        }
    }
}

/// Reads input; waits forever if there is none.
async fn next(input: &mut Option<Box<dyn AsyncRead + Send + Unpin>>, buffer: &mut [u8]) -> std::io::Result<usize> {
    match input {
        Some(input) => input.read(buffer).await,
        None => std::future::pending().await,
    }
}

/// The new size of the terminal; `None` when no more sizes are reported.
async fn changed(terminal: &mut Option<watch::Receiver<(u16, u16)>>) -> Option<(u16, u16)> {
    match terminal {
        Some(terminal) => terminal.changed().await.ok().map(|()| *terminal.borrow_and_update()),
        None => std::future::pending().await,
    }
}

fn size((width, height): (u16, u16)) -> Message {
    on(channel::TERMINAL_SIZE, json!(TerminalSize { width, height }).to_string().as_bytes())
}

fn on(channel: u8, data: &[u8]) -> Message {
    Message::binary([&[channel], data].concat())
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;

    use super::*;

    fn ended() -> Message {
        on(channel::STATUS, br#"{"status": "Success"}"#)
    }

    async fn received(messages: Vec<Message>, output: CommandOutput<'_>) -> StreamEnd {
        let messages = futures::stream::iter(messages.into_iter().map(Ok));
        receive(messages, output, &mut tokio::io::sink()).await
    }

    #[tokio::test]
    async fn output_arrives_before_the_status() {
        let mut output = Vec::new();
        let messages = vec![on(channel::OUTPUT, b"a"), Message::Ping(Vec::new().into()), ended()];
        assert!(matches!(received(messages, &mut output).await, StreamEnd::Ended(_)));
        assert_eq!(output, b"a");
        assert!(matches!(received(Vec::new(), &mut output).await, StreamEnd::ConnectionLost));
    }

    #[tokio::test]
    async fn a_reader_that_has_left_ends_the_command() {
        let (mut output, reader) = tokio::io::duplex(16);
        drop(reader);
        let messages = vec![on(channel::OUTPUT, b"a"), ended()];
        assert!(matches!(received(messages, &mut output).await, StreamEnd::OutputClosed));
    }

    #[tokio::test]
    async fn the_end_of_the_input_is_sent() {
        let (sender, messages) = mpsc::unbounded();
        let sender = sender.sink_map_err(|_| Error::ConnectionClosed);
        let input: Box<dyn AsyncRead + Send + Unpin> = Box::new(&b"text"[..]);
        let sent = tokio::time::timeout(Duration::from_millis(200), send(sender, Some(input), None, true)).await;
        assert!(sent.is_err(), "it keeps the connection open");
        let messages: Vec<Vec<u8>> = messages.map(|message| message.into_data().to_vec()).collect().await;
        let of_input: Vec<&Vec<u8>> = messages.iter().filter(|message| !message.is_empty()).collect();
        assert_eq!(of_input, [&b"\0text".to_vec(), &vec![255, 0]]);
    }
}
