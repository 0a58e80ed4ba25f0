//! Keys and sizes of the terminal, read on a thread of their own: reading them blocks.

use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use tokio::sync::mpsc::{Receiver, channel};

/// How long the thread outlives its listener.
const NOTICE: Duration = Duration::from_millis(100);

/// What the user does. The thread ends when nobody listens any more.
pub fn listen() -> Receiver<Event> {
    let (sender, receiver) = channel(64);
    std::thread::spawn(move || {
        while !sender.is_closed() {
            match event::poll(NOTICE) {
                Ok(false) => {}
                Ok(true) => {
                    let sent = event::read().is_ok_and(|event| sender.blocking_send(event).is_ok());
                    if !sent {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    });
    receiver
}
