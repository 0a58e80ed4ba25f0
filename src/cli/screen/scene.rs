//! What is known, what was typed, and where the eye is. Knows no terminal.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use fleetbeat_actors::health::State;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde_json::Value;
use tokio::time::Instant;

use super::filter;
use super::row::Row;
use crate::cli::line::Event;
use crate::cli::look;

/// What comes after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Everything goes on.
    Stay,
    /// The user has seen enough.
    Leave,
}

/// How many clusters are in each state, and what makes that less than certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the order of [`State::ALL`].
    pub by_state: [usize; 4],
    /// Statuses that are overdue or held back.
    pub stale: usize,
    /// Clusters that change too often.
    pub flapping: usize,
}

/// Everything that is shown.
pub struct Scene {
    /// The server.
    pub server: String,
    /// Are there colours?
    pub colours: bool,
    /// What was typed after `/`.
    pub typed: String,
    /// Is it still being typed?
    pub typing: bool,
    /// Is the help shown?
    pub help: bool,
    /// Why the server is not heard, while it is not.
    pub lost: Option<String>,
    /// Does the monitor doubt its own network?
    pub doubt: bool,
    /// The row that the eye is on.
    pub at: usize,
    /// Rows that fit, known once something was drawn.
    pub page: usize,
    rows: HashMap<String, Row>,
    clock: Option<(DateTime<Utc>, Instant)>,
}

impl Scene {
    /// Nothing known yet.
    pub fn new(server: &str, colours: bool) -> Self {
        Self {
            server: server.to_owned(),
            colours,
            typed: String::new(),
            typing: false,
            help: false,
            lost: None,
            doubt: false,
            at: 0,
            page: 10,
            rows: HashMap::new(),
            clock: None,
        }
    }

    /// How many clusters there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Is the server heard?
    pub fn is_live(&self) -> bool {
        self.lost.is_none()
    }

    /// Everything anew, with the server's time.
    pub fn replace(&mut self, clusters: &[Value], now: Option<DateTime<Utc>>) {
        self.rows = clusters.iter().map(|cluster| (look::text(cluster, "/id"), Row::of(cluster))).collect();
        self.clock = now.map(|now| (now, Instant::now())).or(self.clock);
    }

    /// One cluster anew, or not at all.
    pub fn put_or_remove(&mut self, id: &str, cluster: Option<&Value>) {
        match cluster {
            Some(cluster) => drop(self.rows.insert(id.to_owned(), Row::of(cluster))),
            None => drop(self.rows.remove(id)),
        }
    }

    /// What an event tells of a cluster that is shown.
    pub fn change(&mut self, event: &Event) {
        if let Some(row) = self.rows.get_mut(&event.cluster_id) {
            row.change(event);
        }
    }

    /// The monitor doubts itself, or does not any more.
    pub fn doubt(&mut self, doubt: bool) {
        self.doubt = doubt;
    }

    /// The server is not heard any more.
    pub fn lose(&mut self, why: &str) {
        self.lost = Some(look::printable(why));
    }

    /// It is heard again.
    pub fn find_again(&mut self) {
        self.lost = None;
    }

    /// The rows that match what was typed, the worst first.
    pub fn rows(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.values().filter(|row| filter::matches(row, &self.typed)).collect();
        rows.sort_by(|one, other| one.order(other));
        rows
    }

    /// Counts of everything, whatever was typed.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for row in self.rows.values() {
            if let Some(place) = State::ALL.iter().position(|state| *state == row.state) {
                counts.by_state[place] += 1;
            }
            counts.stale += usize::from(row.stale);
            counts.flapping += usize::from(row.flapping);
        }
        counts
    }

    /// The server's time now.
    pub fn now(&self) -> Option<DateTime<Utc>> {
        self.clock.map(|(then, at)| then + TimeDelta::from_std(at.elapsed()).unwrap_or_default())
    }

    /// A key was pressed.
    pub fn press(&mut self, key: KeyEvent) -> After {
        if key.kind == KeyEventKind::Release {
            return After::Stay;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return After::Leave;
        }
        if self.typing {
            self.type_in(key.code);
            return After::Stay;
        }
        if self.help {
            self.help = false;
            return After::Stay;
        }
        self.command(key.code)
    }

    fn type_in(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char(letter) => self.typed.push(letter),
            KeyCode::Backspace => drop(self.typed.pop()),
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => (self.typing, self.typed) = (false, String::new()),
            _ => {}
        }
        self.at = 0;
    }

    fn command(&mut self, key: KeyCode) -> After {
        let last = self.rows().len().saturating_sub(1);
        match key {
            KeyCode::Char('q') => return After::Leave,
            KeyCode::Esc if self.typed.is_empty() => return After::Leave,
            KeyCode::Esc => (self.typed, self.at) = (String::new(), 0),
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('?' | 'h') => self.help = true,
            KeyCode::Down | KeyCode::Char('j') => self.at += 1,
            KeyCode::Up | KeyCode::Char('k') => self.at = self.at.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.at += self.page,
            KeyCode::PageUp => self.at = self.at.saturating_sub(self.page),
            KeyCode::Home | KeyCode::Char('g') => self.at = 0,
            KeyCode::End | KeyCode::Char('G') => self.at = last,
            _ => {}
        }
        self.at = self.at.min(last);
        After::Stay
    }
}
